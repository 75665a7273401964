// Asks the validator that served this page: JSON, metrics, the stream of blocks. With a token where it wants one.

const KEY = "agent-mesh-token";
let onDenied = () => {};

export const hasToken = () => sessionStorage.getItem(KEY) !== null;
export const setToken = (token) => (token ? sessionStorage.setItem(KEY, token) : sessionStorage.removeItem(KEY));
export const whenDenied = (callback) => { onDenied = callback; };

export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  if (response.status === 401 || response.status === 403) {
    const body = await response.json().catch(() => ({}));
    onDenied(response.status, body.message ?? "");
    throw new Refusal(response.status, body.code, body.message ?? "not allowed");
  }
  return response;
}

export async function getJson(path, options) {
  const response = await ask(path, options);
  const body = await response.json();
  // Health endpoints say with 503 what is wrong; that is an answer.
  if (response.ok || "healthy" in body) return body;
  throw new Refusal(response.status, body.code, body.message);
}

export const postJson = (path, value, signal) =>
  getJson(path, { method: "POST", headers: { "content-type": "application/json" }, body: typeof value === "string" ? value : JSON.stringify(value), signal });

export const getText = async (path) => (await ask(path)).text();

/** Prometheus' text format as a map from series to number. */
export async function getMetrics() {
  const series = new Map();
  for (const line of (await getText("/metrics")).split("\n")) {
    if (line === "" || line[0] === "#") continue;
    const at = line.lastIndexOf(" ");
    series.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return series;
}

/** Final blocks as they come, for ever; `state` hears "live" and "lost". */
export async function follow(onBlock, state) {
  let last = null;
  for (let pause = 500; ; pause = Math.min(pause * 2, 8000)) {
    try {
      const headers = last === null ? {} : { "last-event-id": String(last) };
      const response = await ask("/v1/stream", { headers });
      if (!response.ok) throw new Error(`status ${response.status}`);
      state("live");
      pause = 500;
      let text = "";
      const decoder = new TextDecoder();
      for (const reader = response.body.getReader(); ;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += decoder.decode(value, { stream: true });
        const events = text.split("\n\n");
        text = events.pop();
        for (const event of events) {
          const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
          if (data === "") continue;
          const block = JSON.parse(data);
          last = block.height;
          onBlock(block);
        }
      }
    } catch (error) {
      if (error instanceof Refusal) { state("denied"); return; }
    }
    state("lost");
    await new Promise((resume) => setTimeout(resume, pause));
  }
}
