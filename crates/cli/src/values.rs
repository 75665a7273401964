//! What a line of a file of values means, and how a proposal is put into JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use consensus::body::Proposal;
use consensus::bounds::MAX_PRIORITY;
use consensus::types::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Outcome};

/// Priority of a proposal that names none.
const DEFAULT_PRIORITY: u8 = 4;

/// A value that is to be proposed, before its deadline and nonce are fixed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    /// Opaque bytes.
    pub(crate) value: Vec<u8>,
    /// 0 to 9.
    pub(crate) priority: Option<u8>,
    /// Milliseconds from sending to the deadline.
    pub(crate) timeout_ms: Option<u64>,
    /// The deadline itself, microseconds since the Unix epoch.
    pub(crate) deadline: Option<u64>,
    /// Makes equal values different proposals.
    pub(crate) nonce: Option<u64>,
}

/// A proposal object, as the API takes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    value: Option<String>,
    value_b64: Option<String>,
    priority: Option<u8>,
    timeout_ms: Option<u64>,
    deadline: Option<u64>,
    nonce: Option<u64>,
}

/// The values of a file: one a line, empty lines left out. A line that cannot be meant so is refused by its number, before anything is
/// sent.
pub(crate) fn parse(bytes: &[u8]) -> Outcome<Vec<Draft>> {
    let mut drafts = Vec::new();
    for (number, line) in (1_usize..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let draft = Draft::of_line(line);
        drafts.push(draft.map_err(|why| Failure::failed(format!("line {number}: {why}; nothing was sent")))?);
    }
    Ok(drafts)
}

impl Draft {
    /// A value and nothing else.
    pub(crate) fn of_value(value: Vec<u8>) -> Self {
        Self { value, ..Self::default() }
    }

    /// A JSON string is a value; an object with `value` or `value_b64` is a proposal; any other line is a value of its text.
    fn of_line(line: &[u8]) -> Result<Self, String> {
        match serde_json::from_slice::<Value>(line) {
            Ok(Value::String(text)) => Ok(Self::of_value(text.into_bytes())),
            Ok(Value::Object(object)) if object.contains_key("value") || object.contains_key("value_b64") => {
                Self::of_object(object)
            }
            _ => Ok(Self::of_value(line.to_vec())),
        }
    }

    fn of_object(object: Map<String, Value>) -> Result<Self, String> {
        let object: Object = serde_json::from_value(Value::Object(object)).map_err(|error| {
            format!("an object with \"value\" or \"value_b64\" is a proposal, and this one is not right: {error}. To propose the object \
                     itself, put it into a JSON string")
        })?;
        let value = match (object.value, object.value_b64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(b64)) => BASE64.decode(b64).map_err(|error| format!("value_b64 is not base64: {error}"))?,
            _ => return Err("give one of value and value_b64".to_owned()),
        };
        if let Some(priority) = object.priority.filter(|priority| *priority > MAX_PRIORITY) {
            return Err(format!("priority is {priority}; use 0 (last) to {MAX_PRIORITY} (first)"));
        }
        let (priority, timeout_ms, deadline, nonce) =
            (object.priority, object.timeout_ms, object.deadline, object.nonce);
        Ok(Self { value, priority, timeout_ms, deadline, nonce })
    }

    /// Fixes deadline and nonce, so that it is one proposal with one id wherever it is sent.
    pub(crate) fn fix(self, now: Timestamp, timeout_ms: u64) -> Outcome<Proposal> {
        let deadline = match self.deadline {
            Some(deadline) => Timestamp::new(deadline),
            None => now.after_ms(self.timeout_ms.unwrap_or(timeout_ms)),
        };
        let nonce = self.nonce.map_or_else(crypto::random::u64, Ok)?;
        let priority = self.priority.unwrap_or(DEFAULT_PRIORITY);
        Ok(Proposal { deadline, priority, nonce, value: self.value.into() })
    }

    /// The API's object for it, with what was given and nothing else.
    pub(crate) fn request(&self) -> Value {
        let mut object = value_fields(&self.value);
        let numbers = [
            ("priority", self.priority.map(u64::from)),
            ("timeout_ms", self.timeout_ms),
            ("deadline", self.deadline),
            ("nonce", self.nonce),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                object.insert(key.to_owned(), json!(number));
            }
        }
        Value::Object(object)
    }
}

/// The API's object for a proposal that is fixed, on one line.
pub(crate) fn request(proposal: &Proposal) -> String {
    let mut object = value_fields(&proposal.value);
    object.insert("priority".to_owned(), json!(proposal.priority));
    object.insert("deadline".to_owned(), json!(proposal.deadline.get()));
    object.insert("nonce".to_owned(), json!(proposal.nonce));
    Value::Object(object).to_string()
}

/// Text as it is, unless base64 is shorter than its escapes.
fn value_fields(value: &[u8]) -> Map<String, Value> {
    let text = std::str::from_utf8(value).ok().filter(|text| {
        let escapes: usize =
            text.bytes().map(|byte| if byte < 0x20 { 5 } else { usize::from(byte == b'"' || byte == b'\\') }).sum();
        escapes <= value.len() / 3
    });
    let (key, value) = match text {
        Some(text) => ("value", text.to_owned()),
        None => ("value_b64", BASE64.encode(value)),
    };
    Map::from_iter([(key.to_owned(), Value::String(value))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Draft {
        Draft::of_line(text.as_bytes()).unwrap()
    }

    #[test]
    fn lines_mean_what_they_say() {
        assert_eq!(line("\"a\\nb\"").value, b"a\nb");
        let proposal = line(r#"{"value": "x", "priority": 9, "timeout_ms": 5, "nonce": 7}"#);
        assert_eq!((proposal.priority, proposal.timeout_ms, proposal.nonce), (Some(9), Some(5), Some(7)));
        assert_eq!(line(r#"{"value_b64": "AAE="}"#).value, [0, 1]);
        for opaque in [r#"{"order": 1}"#, "[1, 2]", "12", "null", "plain text", "{broken", "  indented"] {
            assert_eq!(line(opaque), Draft::of_value(opaque.as_bytes().to_vec()));
        }
        for wrong in [
            r#"{"value": 3}"#,
            r#"{"value": "x", "colour": "red"}"#,
            r#"{"value": "x", "value_b64": ""}"#,
            r#"{"value_b64": "?"}"#,
            r#"{"value": "x", "priority": 10}"#,
        ] {
            assert!(Draft::of_line(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_are_lines() {
        let drafts = parse(b"\"a\"\r\n\n{\"n\": 1}\nlast").unwrap();
        let values: Vec<&[u8]> = drafts.iter().map(|draft| draft.value.as_slice()).collect();
        assert_eq!(values, [b"a".as_slice(), b"{\"n\": 1}", b"last"]);
        let refused = parse(b"a\n{\"value\": 1}").unwrap_err();
        assert!(refused.message.starts_with("line 2: "), "{}", refused.message);
        assert_eq!(parse(b"\xff\xfe\n").unwrap()[0].value, [0xff, 0xfe]);
    }

    #[test]
    fn a_fixed_proposal_keeps_every_field() {
        let proposal = line(r#"{"value": "x", "nonce": 18446744073709551615}"#).fix(Timestamp::new(1_000), 2).unwrap();
        assert_eq!((proposal.deadline.get(), proposal.priority, proposal.nonce), (3_000, 4, u64::MAX));
        let again = line(&request(&proposal)).fix(Timestamp::new(9), 9).unwrap();
        assert_eq!(proposal, again);
        let bytes = Proposal { value: vec![0; 90].into(), ..proposal };
        assert!(request(&bytes).contains("value_b64"));
        assert_eq!(line(&request(&bytes)).value, bytes.value);
    }
}
