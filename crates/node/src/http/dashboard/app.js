// Shows what the validator says. Nothing is stored; text from the network only ever becomes text.

import { Refusal, follow, getJson, getMetrics, getText, hasToken, postJson, setToken, whenDenied } from "./api.js";

const BLOCKS = 60;
const $ = (id) => document.getElementById(id);
const seen = { status: null, at: 0, blocks: new Map(), validators: [], quantum: null, ai: null, health: null, scrapes: [], picked: null };
let drawn = "";

/** An element: h("p.why", {title: "…"}, "text", child …). */
function h(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
const fill = (element, ...children) => element.replaceChildren(...children);
function say(element, text) { if (element.textContent !== text) element.textContent = text; }

const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const count = (number) => integer.format(number).replaceAll(",", "\u202f");
const short = (hash) => `${hash.slice(0, 12)}…`;
function span(seconds) {
  if (!(seconds >= 0)) return "–";
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86400).toFixed(1)} days`;
}
function bytes(number) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (number < 1000) return `${number < 10 && unit !== "B" ? number.toFixed(1) : number.toFixed(0)} ${unit}`;
    number /= 1000;
  }
  return `${number.toFixed(1)} TB`;
}
const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// ---- What is derived ------------------------------------------------------------------------------------------------

const scrape = () => seen.scrapes.at(-1)?.series ?? new Map();
function change(series) {
  const [first, last] = [seen.scrapes[0], seen.scrapes.at(-1)];
  return first && last && first !== last ? { by: (last.series.get(series) ?? 0) - (first.series.get(series) ?? 0), seconds: (last.at - first.at) / 1000 } : null;
}
/** A quantile of a histogram over the scrapes that are kept (about a minute), else over everything. */
function quantile(name, q) {
  const [first, last] = [seen.scrapes[0]?.series, scrape()];
  const read = (from) => [...last.entries()].filter(([key]) => key.startsWith(`${name}_bucket{le="`)).map(([key, value]) => {
    const bound = key.slice(name.length + 12, -2);
    return [bound === "+Inf" ? Infinity : Number(bound), value - (from?.get(key) ?? 0)];
  });
  let buckets = read(seen.scrapes.length > 1 ? first : null);
  if (!(buckets.at(-1)?.[1] > 0)) buckets = read(null);
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total === 0) return NaN;
  let [below, low] = [0, 0];
  for (const [bound, upto] of buckets) {
    if (upto >= q * total) return bound === Infinity ? low : low + (bound - low) * ((q * total - below) / Math.max(upto - below, 1));
    [below, low] = [upto, bound];
  }
  return NaN;
}
const blocks = () => [...seen.blocks.values()].sort((a, b) => a.height - b.height).slice(-BLOCKS);
const votes = (block) => Math.max(block.voters?.length ?? 0, block.weight);

// ---- Drawing --------------------------------------------------------------------------------------------------------

function drawHero() {
  const { status, health } = seen;
  if (!status) return;
  const quorum = status.quorum;
  say($("where"), `${status.network} / ${status.name}`);
  document.title = `${status.name} · ${count(status.height)} · agent-mesh`;
  say($("build"), `agent-mesh ${status.version} · chain ${short(status.chain_id)}`);
  const last = Math.max(status.height, ...seen.blocks.keys());
  say($("height"), count(last));
  const reachable = status.peers_connected + 1;
  const state = $("state");
  const [kind, text] =
    seen.lost ? ["bad", "No answer from the validator"]
    : health && !health.healthy ? ["bad", "No progress"]
    : status.accused > quorum.f ? ["bad", "More traitors than the network tolerates"]
    : status.accused > 0 ? ["warn", `Making progress; ${plural(status.accused, "validator")} proven faulty`]
    : reachable < quorum.n ? ["warn", `Making progress; ${plural(quorum.n - reachable, "validator")} not reachable`]
    : ["", "Making progress"];
  state.className = `state ${kind}`;
  say(state, text);
  const why = seen.lost ? "Is it running? The page goes on asking."
    : health && !health.healthy ? health.reason
    : `${reachable} of ${plural(quorum.n, "validator")} reachable; needed: ${quorum.q_min}, for finality in one round ${quorum.q_fast}.` +
      (health?.degraded ? " Classical cryptography: for comparison only." : "");
  say($("why"), why);
}

function drawAge() {
  const { status } = seen;
  if (!status || status.since_final_us === null || status.since_final_us === undefined) return;
  const since = (seen.lastBlockAt ? Math.min(performance.now() - seen.lastBlockAt, status.since_final_us / 1e3 + performance.now() - seen.at) : status.since_final_us / 1e3 + performance.now() - seen.at) / 1e3;
  say($("age"), `· the last one ${since < 1 ? "just now" : `${span(since)} ago`}`);
}

function figure(label, value, note, kind = "") {
  return h(`div${kind ? `.${kind}` : ""}`, {}, h("dt", {}, label), h("dd", {}, value, note ? h("small", {}, note) : null));
}

function drawFigures() {
  const { status } = seen;
  if (!status) return;
  const q = status.quorum;
  const left = q.f - status.accused;
  const spare = status.peers_connected + 1 - q.q_min;
  const recent = blocks();
  const fast = recent.filter((block) => block.path === "fast").length;
  const values = change("agent_mesh_final_values_total");
  const missed = change('agent_mesh_views_entered_total{reason="nullification"}');
  const middle = quantile("agent_mesh_block_finality_seconds", 0.5);
  fill($("figures"),
    figure("Traitors tolerated", `${Math.max(left, 0)} of ${q.f}`, status.accused ? `${status.accused} proven faulty` : "none proven faulty", left < 0 ? "bad" : left < q.f ? "warn" : ""),
    figure("Can still be lost", spare >= 0 ? String(spare) : "0", spare >= 0 ? `of ${status.peers_connected + 1} reachable, before progress stops` : `${-spare} too few to progress`, spare < 0 ? "bad" : spare < q.n - q.q_min ? "warn" : ""),
    figure("Finality, middle", span(middle), `99 %: ${span(quantile("agent_mesh_block_finality_seconds", 0.99))}`),
    figure("One round", recent.length ? `${Math.round((100 * fast) / recent.length)} %` : "–", `of the last ${plural(recent.length, "block")}`),
    figure("Values", values ? `${count(values.by / values.seconds)} /s` : "–", `${count(scrape().get("agent_mesh_final_values_total") ?? 0)} since the start`),
    figure("Waiting", count(status.mempool), `${count(status.own_proposals)} of this node’s clients`),
    figure("Leaders given up", missed ? count(missed.by) : "–", "in the last minute", missed?.by > 0 ? "warn" : ""),
    figure("Write to disk, 99 %", span(quantile("agent_mesh_flush_seconds", 0.99)), `epoch ${status.epoch}, view ${count(status.view)}`),
  );
}

function drawMarks() {
  const q = seen.status?.quorum;
  if (!q) return;
  const signature = `${q.n}/${q.q_min}/${q.q_fast}`;
  if (signature === drawn) return;
  drawn = signature;
  const lines = [[q.q_fast, `q fast ${q.q_fast}`], [q.q_min, `q min ${q.q_min}`]];
  // Where the two fall together, one line says both.
  const shown = q.q_fast === q.q_min ? [[q.q_min, `q all ${q.q_min}`]] : lines;
  fill($("marks"), ...shown.map(([votes, text]) => {
    const line = h("p", {}, h("span", {}, text));
    line.style.bottom = `${(100 * votes) / q.n}%`;
    return line;
  }));
}

function drawBlocks() {
  const n = seen.status?.quorum.n;
  if (!n) return;
  drawMarks();
  const recent = blocks();
  const list = $("bars");
  const known = new Map([...list.children].map((item) => [Number(item.dataset.height), item]));
  const hadFocus = Number(document.activeElement?.closest?.("li[data-height]")?.dataset.height ?? NaN);
  const items = recent.map((block) => {
    let item = known.get(block.height);
    if (!item) {
      const bar = h("button.bar", { type: "button", tabindex: "-1", onclick: () => pick(block.height) }, h("i"), h("b"));
      item = h("li", { "data-height": String(block.height) }, bar);
    }
    const bar = item.firstChild;
    const label = `Block ${block.height}: ${votes(block)} of ${n} voted, threshold ${block.threshold}, ${block.path === "fast" ? "one round" : "two rounds"}, ${plural(block.count, "value")}`;
    bar.className = `bar ${block.path}`;
    bar.setAttribute("aria-label", label);
    bar.title = label;
    bar.setAttribute("aria-pressed", String(seen.picked === block.height));
    bar.children[0].style.height = `${(100 * votes(block)) / n}%`;
    bar.children[1].style.bottom = `calc(${(100 * block.threshold) / n}% - 1px)`;
    return item;
  });
  const same = items.length === list.children.length && items.every((item, at) => item === list.children[at]);
  if (!same) fill(list, ...items);
  const reach = known.has(hadFocus) && items.some((item) => Number(item.dataset.height) === hadFocus) ? hadFocus : seen.picked ?? recent.at(-1)?.height;
  for (const item of items) item.firstChild.tabIndex = Number(item.dataset.height) === reach ? 0 : -1;
  if (!items.some((item) => item.firstChild.tabIndex === 0) && items.length) items.at(-1).firstChild.tabIndex = 0;
  if (!Number.isNaN(hadFocus)) items.find((item) => Number(item.dataset.height) === hadFocus)?.firstChild.focus({ preventScroll: true });
}

$("bars").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const bars = [...$("bars").querySelectorAll(".bar")];
  const at = Math.min(Math.max(bars.indexOf(document.activeElement) + step, 0), bars.length - 1);
  for (const bar of bars) bar.tabIndex = -1;
  bars[at].tabIndex = 0;
  bars[at].focus();
});

async function pick(height) {
  seen.picked = seen.picked === height ? null : height;
  drawBlocks();
  const place = $("detail");
  if (seen.picked === null) return fill(place);
  try {
    const block = await getJson(`/v1/blocks/${height}`);
    if (seen.picked !== height) return;
    const q = seen.status.quorum;
    const said = new Set(block.voters ?? []);
    const values = (block.values ?? []).slice(0, 50).map((value) => h("li", {}, value.value ?? `base64 ${value.value_b64}`));
    fill(place,
      h("h3", {}, `Block ${count(block.height)}: ${block.path === "fast" ? "final in one round" : "final in two rounds"}`),
      facts([
        ["Hash", h("code", {}, block.hash)], ["Leader", `${block.leader}, view ${count(block.view)}, epoch ${block.epoch}`],
        ["Dated", new Date(block.time_us / 1000).toLocaleString()],
        ["Certificate", `${block.weight} of ${plural(q.n, "validator")}; the threshold of this block is ${block.threshold}`],
        ["Made final by", block.finalized_by_height === block.height ? "its own votes" : `block ${count(block.finalized_by_height)}`],
        ["Values", count(block.count)],
      ]),
      block.voters
        ? h("ul.votes", { "aria-label": "Whose vote was seen" }, ...seen.validators.map((validator) =>
            h(`li${said.has(validator.index) ? "" : ".no"}`, {}, `${validator.name} ${said.has(validator.index) ? "voted" : "not seen"}`)))
        : null ?? "",
      values.length ? h("ul.values", { "aria-label": "Values" }, ...values) : "",
    );
  } catch (error) {
    fill(place, h("p", {}, error.message));
  }
}

function facts(pairs) {
  const list = h("dl.facts");
  for (const [name, value] of pairs) if (value !== null && value !== undefined && value !== "") list.append(h("dt", {}, name), h("dd", {}, value));
  return list;
}

function drawValidators() {
  const now = Date.now() * 1000;
  const top = Math.max(0, ...seen.validators.map((validator) => validator.last_vote_view ?? 0));
  const rows = seen.validators.map((validator) => {
    const [kind, state] = validator.accused ? ["bad", "proven faulty"] : validator.key_overdue ? ["bad", "key overdue, votes do not count"] : validator.this_node ? ["", "this node"] : validator.connected ? ["", "connected"] : ["down", "not connected"];
    const behind = top - (validator.last_vote_view ?? 0);
    const vote = validator.last_vote_us ? `${span(Math.max(now - validator.last_vote_us, 0) / 1e6)} ago${behind > 3 ? `, ${count(behind)} views back` : ""}` : "none seen";
    const cell = (label, text, kind = "") => h(`td${kind}`, { "data-label": label }, text);
    return h("tr", {},
      h("td.name", { "data-label": "" }, validator.name, h("small", {}, String(validator.index))),
      h("td.plain", {}, h(`span.tag${kind ? `.${kind}` : ""}`, {}, state)),
      cell("last vote", vote),
      cell("late", count(validator.votes_late), ".n"), cell("missing", count(validator.votes_missing), ".n"),
      cell("verified", `${(100 * validator.verification_rate).toFixed(validator.verification_rate === 1 ? 0 : 1)} %`, ".n"),
      cell("link", validator.this_node ? "–" : validator.group ?? "–"),
      cell("round trip", validator.rtt_us === null ? "–" : span(validator.rtt_us / 1e6), ".n"),
      cell("sent", validator.this_node ? "–" : bytes(validator.bytes_sent), ".n"), cell("received", validator.this_node ? "–" : bytes(validator.bytes_received), ".n"));
  });
  fill($("validators").tBodies[0], ...rows);
  const accused = seen.validators.filter((validator) => validator.accused);
  const place = $("evidence");
  if (accused.length === 0) return fill(place);
  fill(place, h("p.warning", {}, `Evidence is held against ${accused.map((validator) => validator.name).join(", ")}. It proves to anyone that they broke the rules: `, h("button.quiet", { type: "button", onclick: async () => save("evidence.json", await getJson("/v1/evidence")) }, "Download it"), " and check it with agent-mesh evidence."));
}

const words = (key) => key.replaceAll("_", " ");
function shown(key, value) {
  if (value === null || value === undefined) return null;
  if (typeof value === "number") {
    if (key.endsWith("_us")) return span(value / 1e6);
    if (key.endsWith("_ms")) return span(value / 1e3);
    if (/_(s|seconds)$/.test(key)) return span(value);
    if (/rate|accuracy|share|ratio|skill|quality/.test(key) && Math.abs(value) <= 1) return `${(100 * value).toFixed(1)} %`;
    return Number.isInteger(value) ? count(value) : value.toPrecision(4);
  }
  if (Array.isArray(value)) return value.length ? value.map((one) => (typeof one === "object" ? JSON.stringify(one) : String(one))).join(", ") : "none";
  if (typeof value === "object") return Object.entries(value).map(([name, inner]) => `${words(name)} ${shown(name, inner) ?? "–"}`).join(" · ");
  return String(value);
}
const label = (key) => words(key.replace(/_(us|ms|s|seconds)$/, "")).replace(/^./, (letter) => letter.toUpperCase());
const listed = (details, skip = []) => Object.entries(details ?? {}).filter(([key]) => !skip.includes(key)).map(([key, value]) => [label(key), shown(key, value)]);

function drawHealth() {
  if (seen.quantum) {
    say($("quantum-why"), seen.quantum.reason);
    const groups = new Map();
    for (const group of Object.values(seen.quantum.details.link_groups ?? {})) groups.set(group ?? "link down", (groups.get(group ?? "link down") ?? 0) + 1);
    fill($("quantum"), ...facts([
      ...listed(seen.quantum.details, ["link_groups"]),
      ["Links", [...groups].map(([group, number]) => `${number} × ${group}`).join(", ")],
      ["Signing, middle", span(quantileOf("agent_mesh_sign_seconds"))],
      ["Verifying, middle", span(quantileOf("agent_mesh_verify_seconds"))],
    ]).childNodes);
  }
  if (seen.ai) {
    say($("ai-why"), seen.ai.reason);
    const series = scrape();
    const accuracy = series.get("ai_optimization_accuracy");
    fill($("ai"), ...facts([
      ...listed(seen.ai.details),
      ["Prediction accuracy", Number.isNaN(accuracy) || accuracy === undefined ? "no predictions yet" : `${(100 * accuracy).toFixed(1)} %`],
      ["Saved on votes", `${(series.get("network_overhead_reduction_percentage") ?? 0).toFixed(1)} % against always sending`],
    ]).childNodes);
  }
}
/** The middle of a histogram with an algorithm label: the one algorithm that there is. */
function quantileOf(name) {
  const series = scrape();
  const total = [...series].find(([key]) => key.startsWith(`${name}_count{`));
  const sum = [...series].find(([key]) => key.startsWith(`${name}_sum{`));
  if (!total || !total[1]) return NaN;
  const buckets = [...series].filter(([key]) => key.startsWith(`${name}_bucket{`));
  const found = buckets.find(([, value]) => value >= total[1] / 2);
  const bound = found ? Number(/le="([^"]+)"/.exec(found[0])?.[1]) : NaN;
  return Number.isFinite(bound) ? Math.min(bound, 2 * (sum[1] / total[1])) : sum[1] / total[1];
}

// ---- Proposing ------------------------------------------------------------------------------------------------------

$("propose").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  const place = $("result");
  button.disabled = true;
  const begun = performance.now();
  try {
    fill(place, h("div.cert.wait", {}, h("h3", {}, "Proposing …")));
    const taken = await postJson("/v1/proposals", { value: $("value").value, priority: Number($("priority").value) });
    fill(place, h("div.cert.wait", {}, h("h3", {}, "Taken, not final yet"), h("p", {}, h("code", {}, taken.id))));
    let result;
    do result = await getJson(`/v1/proposals/${taken.id}?wait_ms=20000`); while (result.state === "pending");
    showResult(result, (performance.now() - begun) / 1e3);
    if (result.state === "final") $("value").value = "";
  } catch (error) {
    fill(place, h("div.cert.bad", {}, h("h3", {}, "Not taken"), h("p", {}, error.message)));
  } finally {
    button.disabled = false;
  }
});

function showResult(result, seconds) {
  const place = $("result");
  if (result.state !== "final") {
    return fill(place, h("div.cert.bad", {}, h("h3", {}, result.state === "expired" ? "Expired: it will never become final" : result.state), h("p", {}, h("code", {}, result.id))));
  }
  const verdict = h("p.verdict", { role: "status" });
  const check = h("button.quiet", { type: "button", onclick: async () => {
    check.disabled = true;
    try {
      const answer = await postJson("/v1/verify", result);
      verdict.className = `verdict ${answer.valid ? "yes" : "no"}`;
      say(verdict, answer.valid
        ? `Valid: this node recomputed every field from the certificate and the genesis; ${plural(answer.signers, "validator")} signed. To trust nobody, download it and run agent-mesh verify.`
        : `Not valid: ${answer.reason}`);
    } catch (error) {
      verdict.className = "verdict no";
      say(verdict, error.message);
    }
    check.disabled = false;
  } }, "Verify on this node");
  const keepIt = h("button.quiet", { type: "button", onclick: () => save(`result-${result.id.slice(0, 12)}.json`, result) }, "Download certificate");
  const proof = Math.round((result.proof_b64.length * 3) / 4);
  fill(place, h("div.cert", {},
    h("h3", {}, `Final after ${span(seconds)}`),
    facts([
      ["Id", h("code", {}, result.id)], ["Block", `height ${count(result.height)}, place ${result.index}, led by ${result.leader} in view ${count(result.view)}`],
      ["Finality", `${result.path === "fast" ? "one round" : "two rounds"}, ${plural(result.weight, "validator")} signed, threshold ${result.threshold}`],
      ["Withstands", plural(result.strength, "Byzantine validator")],
      ["Phases", result.phases_ms ? `taken ${result.phases_ms.verification.toFixed(1)} ms, in a block ${result.phases_ms.optimization.toFixed(1)} ms, voted ${result.phases_ms.consensus.toFixed(1)} ms (the node’s word)` : null],
      ["Certificate", bytes(proof)],
    ]),
    h("p.row", {}, check, keepIt), verdict));
}

function save(name, value) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// A link cannot carry a token: with one, the page asks and shows what it gets.
document.querySelector("footer").addEventListener("click", async (event) => {
  const link = event.target.closest("a");
  if (!link || !hasToken()) return;
  event.preventDefault();
  const url = URL.createObjectURL(new Blob([await getText(link.getAttribute("href"))], { type: "text/plain; charset=utf-8" }));
  window.open(url, "_blank", "noopener");
  setTimeout(() => URL.revokeObjectURL(url), 60000);
});

// ---- Asking ---------------------------------------------------------------------------------------------------------

function keep(block) {
  seen.blocks.set(block.height, block);
  if (seen.blocks.size > 4 * BLOCKS) for (const height of [...seen.blocks.keys()].sort((a, b) => a - b).slice(0, -BLOCKS)) seen.blocks.delete(height);
}

let due = false;
function soon() {
  if (due) return;
  due = true;
  setTimeout(() => { due = false; drawHero(); drawAge(); drawBlocks(); }, 200);
}

async function every(milliseconds, job) {
  for (;;) {
    if (!document.hidden && !$("ask").open) {
      try { await job(); } catch (error) { if (!(error instanceof Refusal)) { seen.lost = true; drawHero(); } }
    }
    await new Promise((resume) => setTimeout(resume, milliseconds));
  }
}

function connection(state) {
  $("dot").className = `dot ${state}`;
  say($("link"), { live: "live", lost: "reconnecting", denied: "token needed" }[state]);
}

function begin() {
  $("forget").hidden = !hasToken();
  follow((block) => { keep(block); seen.lastBlockAt = performance.now(); soon(); }, connection);
}

whenDenied((status, message) => {
  if (status === 403) return;
  const dialog = $("ask");
  if (dialog.open) return;
  if (hasToken()) say($("ask-why"), message);
  dialog.showModal();
});
$("ask").addEventListener("cancel", (event) => event.preventDefault());
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value.trim());
  $("token").value = "";
  $("ask").close();
  begin();
});
$("forget").addEventListener("click", () => { setToken(null); location.reload(); });

every(2000, async () => {
  seen.status = await getJson("/v1/status");
  seen.at = performance.now();
  seen.lost = false;
  const from = Math.max(1, seen.status.height - BLOCKS + 1);
  for (const block of await getJson(`/v1/blocks?from=${from}&limit=${BLOCKS}`)) keep(block);
  drawHero(); drawFigures(); drawBlocks();
});
every(3000, async () => { seen.validators = await getJson("/v1/validators"); drawValidators(); });
every(5000, async () => {
  [seen.health, seen.quantum, seen.ai] = await Promise.all(["consensus", "quantum", "ai"].map((what) => getJson(`/health/${what}`)));
  const series = await getMetrics();
  seen.scrapes.push({ at: performance.now(), series });
  if (seen.scrapes.length > 12) seen.scrapes.shift();
  drawHero(); drawFigures(); drawHealth();
});
setInterval(drawAge, 500);
begin();
