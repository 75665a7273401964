//! A node's HTTP API as a blocking client.

pub(crate) mod access;
pub(crate) mod bulk;
pub(crate) mod stream;

use std::time::Duration;

use node::views::{BlockView, ResultView, StatusView};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::failure::{BUSY, FAILED, Failure, Outcome, UNREACHABLE};

/// Where a node serves HTTP by default.
pub(crate) const DEFAULT_NODE: &str = "http://127.0.0.1:8080";
/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for an answer, beside the time that the node was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A stream with nothing in it, not even a keep-alive comment (every 15 s), for this long is dead.
const STREAM_SILENCE: Duration = Duration::from_secs(45);
/// Longest answer: a page of results of the largest values.
const MAX_ANSWER_BYTES: u64 = 1 << 30;
/// Longest `wait_ms` of the API.
pub(crate) const MAX_WAIT_MS: u64 = 60_000;
/// Most blocks of one answer.
const PAGE_BLOCKS: usize = 1_000;

/// The node that a command asks.
#[derive(clap::Args)]
pub(crate) struct NodeArg {
    /// The node to ask.
    #[arg(long, value_name = "URL", default_value = DEFAULT_NODE)]
    pub(crate) node: String,
}

impl NodeArg {
    /// Its client.
    pub(crate) fn client(&self) -> Outcome<Client> {
        Client::new(&self.node)
    }
}

/// Why a call gives no answer. Converts into a [`Failure`] with the right exit code.
#[derive(Clone, Debug)]
pub(crate) enum ClientError {
    /// No connection, or it broke.
    Unreachable(String),
    /// The node refuses.
    Refused {
        /// HTTP status.
        status: u16,
        /// The API's word for it.
        code: String,
        /// What it says.
        message: String,
    },
    /// What answers is not a node of this version.
    Strange(String),
}

impl ClientError {
    /// Whether trying again later may do.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { status: 429, .. })
    }
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(what) | Self::Strange(what) => f.write_str(what),
            Self::Refused { message, .. } => f.write_str(message),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::Unreachable(_) => UNREACHABLE,
            ClientError::Refused { status: 429, .. } => BUSY,
            ClientError::Refused { .. } | ClientError::Strange(_) => FAILED,
        };
        Self::new(code, error)
    }
}

/// The answer to one line of a bulk request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LineAnswer {
    /// Taken; the id.
    Taken(String),
    /// Not now.
    Busy,
    /// Not at all, and why.
    Refused(String),
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct LineBody {
    id: Option<String>,
    error: Option<ErrorBody>,
}

/// What `POST /v1/proposals` answers.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Taken {
    /// The proposal's id.
    pub(crate) id: String,
    /// Its deadline, microseconds since the Unix epoch.
    pub(crate) deadline: u64,
}

/// Asks one node. Cheap to clone; connections are kept.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
    agent: Agent,
}

impl Client {
    /// A client of the node at `url`: `http://host:port`, or `host:port`.
    pub(crate) fn new(url: &str) -> Outcome<Self> {
        let base = match url.split_once("://") {
            None => format!("http://{url}"),
            Some(("http" | "https", _)) => url.to_owned(),
            Some(_) => {
                return Err(Failure::usage(format!("{url}: give http://host:port or https://host:port of the node")));
            }
        };
        let base = base.trim_end_matches('/').to_owned();
        if base.ends_with(':') || base.len() <= "http://".len() || base.contains(char::is_whitespace) {
            return Err(Failure::usage(format!("{url:?} is not the URL of a node: give http://host:port")));
        }
        // A proxy of the environment is for the web, not for the validator next door.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT));
        let config = access::apply(config, &base)?.build();
        Ok(Self { base, agent: config.new_agent() })
    }

    /// The node's URL.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    fn unreachable(&self, error: impl std::fmt::Display) -> ClientError {
        ClientError::Unreachable(format!(
            "no answer from {}: {error}; is the node running there? (--node URL asks another one)",
            self.base
        ))
    }

    fn get(&self, path: &str, wait: Duration) -> Result<Vec<u8>, ClientError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT + wait)).build();
        self.answer(request.call())
    }

    /// `GET` of a path that answers with JSON.
    pub(crate) fn get_json(&self, path: &str) -> Result<Value, ClientError> {
        self.parse(&self.get(path, Duration::ZERO)?)
    }

    /// `PUT` of JSON.
    pub(crate) fn put_json(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let request = self.agent.put(format!("{}{path}", self.base)).content_type("application/json");
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        self.parse(&self.answer(request.send(body.to_string().as_bytes()))?)
    }

    fn post(&self, path: &str, kind: &str, body: &[u8]) -> Result<Vec<u8>, ClientError> {
        let request = self.agent.post(format!("{}{path}", self.base)).content_type(kind);
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        self.answer(request.send(body))
    }

    fn answer(&self, response: Result<Response<Body>, ureq::Error>) -> Result<Vec<u8>, ClientError> {
        let mut response = response.map_err(|error| self.unreachable(error))?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let body = body.map_err(|error| self.unreachable(error))?;
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let refused = |code: String, message: String| ClientError::Refused { status, code, message };
        Err(match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { code, message }) => refused(code, format!("{} says: {message}", self.base)),
            Err(_) => refused(String::new(), format!("{} answers with HTTP status {status}", self.base)),
        })
    }

    fn parse<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(bytes).map_err(|error| {
            ClientError::Strange(format!(
                "the answer of {} is not understood: {error}; is it an agent-mesh node of this version?",
                self.base
            ))
        })
    }

    /// `GET` of any path: the status and the body, whatever they are.
    pub(crate) fn look(&self, path: &str) -> Result<(u16, Vec<u8>), ClientError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        let mut response = request.call().map_err(|error| self.unreachable(error))?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        Ok((response.status().as_u16(), body.map_err(|error| self.unreachable(error))?))
    }

    /// `GET` of a path that answers with JSON.
    pub(crate) fn value(&self, path: &str) -> Result<Value, ClientError> {
        self.parse(&self.get(path, Duration::ZERO)?)
    }

    /// A health endpoint: whether it says healthy, and what it says. Also an unhealthy node answers.
    pub(crate) fn health(&self, path: &str) -> Result<(bool, Value), ClientError> {
        let (status, body) = self.look(path)?;
        match status {
            200 | 503 => Ok((status == 200, self.parse(&body)?)),
            _ => Err(ClientError::Strange(format!("{}{path} answers with HTTP status {status}", self.base))),
        }
    }

    /// `GET` of anything that is answered in JSON.
    pub(crate) fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.parse(&self.get(path, Duration::ZERO)?)
    }

    /// `POST` of a JSON object that is answered in JSON.
    pub(crate) fn write<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, ClientError> {
        self.parse(&self.post(path, "application/json", body.to_string().as_bytes())?)
    }

    /// `GET /livez`.
    pub(crate) fn live(&self) -> Result<(), ClientError> {
        self.get("/livez", Duration::ZERO).map(drop)
    }

    /// `GET /v1/status`.
    pub(crate) fn status(&self) -> Result<StatusView, ClientError> {
        self.parse(&self.get("/v1/status", Duration::ZERO)?)
    }

    /// `POST /v1/proposals` with one proposal.
    pub(crate) fn propose(&self, request: &Value) -> Result<Taken, ClientError> {
        self.parse(&self.post("/v1/proposals", "application/json", request.to_string().as_bytes())?)
    }

    /// `POST /v1/proposals` with one proposal a line. A line without an answer counts as busy: a fixed proposal may be sent again.
    pub(crate) fn propose_lines<'a>(
        &self,
        lines: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<Vec<LineAnswer>, ClientError> {
        let sent = lines.len();
        let mut body = Vec::new();
        for line in lines {
            body.extend_from_slice(line.as_bytes());
            body.push(b'\n');
        }
        let bytes = self.post("/v1/proposals", "application/x-ndjson", &body)?;
        let mut answers = Vec::with_capacity(sent);
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(sent) {
            let LineBody { id, error } = self.parse(line)?;
            answers.push(match (id, error) {
                (Some(id), None) => LineAnswer::Taken(id),
                (None, Some(error)) if matches!(error.code.as_str(), "busy" | "overloaded" | "memory_full") => {
                    LineAnswer::Busy
                }
                (None, Some(error)) => LineAnswer::Refused(error.message),
                _ => LineAnswer::Refused(format!("{} answers with neither id nor error", self.base)),
            });
        }
        answers.resize(sent, LineAnswer::Busy);
        Ok(answers)
    }

    /// `GET /v1/proposals/{id}`; `None` if it is unknown there.
    pub(crate) fn result(&self, id: &str, wait_ms: u64) -> Result<Option<ResultView>, ClientError> {
        let wait_ms = wait_ms.min(MAX_WAIT_MS);
        let query = if wait_ms == 0 { String::new() } else { format!("?wait_ms={wait_ms}") };
        match self.get(&format!("/v1/proposals/{id}{query}"), Duration::from_millis(wait_ms)) {
            Ok(bytes) => self.parse(&bytes).map(Some),
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `GET /v1/blocks`: up to `limit` final blocks from `from` on.
    pub(crate) fn blocks(&self, from: u64, limit: usize) -> Result<Vec<BlockView>, ClientError> {
        self.parse(&self.get(&format!("/v1/blocks?from={from}&limit={}", limit.min(PAGE_BLOCKS)), Duration::ZERO)?)
    }

    /// `GET /v1/blocks/{height}`, with values.
    pub(crate) fn block(&self, height: u64) -> Result<BlockView, ClientError> {
        self.parse(&self.get(&format!("/v1/blocks/{height}"), Duration::ZERO)?)
    }

    /// `GET /v1/stream`: final blocks from `from` on, or after `last`, or from now on.
    pub(crate) fn stream(
        &self,
        from: Option<u64>,
        last: Option<u64>,
        values: bool,
    ) -> Result<stream::Events, ClientError> {
        let from = from.map(|from| format!("&from={from}")).unwrap_or_default();
        let mut request = self.agent.get(format!("{}/v1/stream?values={values}{from}", self.base));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let request =
            request.config().timeout_recv_response(Some(ANSWER_TIMEOUT)).timeout_per_read(Some(STREAM_SILENCE)).build();
        let response = request.call().map_err(|error| self.unreachable(error))?;
        if response.status() == 200 {
            return Ok(stream::Events::new(response.into_body().into_reader()));
        }
        match self.answer(Ok(response)) {
            Ok(_) => {
                Err(ClientError::Strange(format!("{} does not stream blocks; is it an agent-mesh node?", self.base)))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_completed() {
        assert_eq!(Client::new("127.0.0.1:8080").unwrap().url(), "http://127.0.0.1:8080");
        assert_eq!(Client::new("http://node:1/").unwrap().url(), "http://node:1");
        for wrong in ["https://node", "ftp://x", "", "http://", "a b"] {
            assert_eq!(Client::new(wrong).unwrap_err().code, crate::failure::USAGE, "{wrong}");
        }
    }

    #[test]
    fn nobody_there_is_unreachable() {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failure: Failure = Client::new(&unused.to_string()).unwrap().status().unwrap_err().into();
        assert_eq!(failure.code, UNREACHABLE);
        assert!(failure.message.contains("is the node running there?"), "{}", failure.message);
    }
}
