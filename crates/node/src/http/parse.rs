//! Proposals from JSON, strictly: unknown, double and wrong fields are refused by name.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::error::{ApiError, shown};
use crate::ProposalRequest;

/// A proposal from a JSON object.
pub(super) fn object(json: &[u8]) -> Result<ProposalRequest, ApiError> {
    serde_json::from_slice::<Object>(json).map(|object| object.0).map_err(refused)
}

/// A proposal from a line: a JSON object, or a JSON string that is the value.
pub(super) fn line(json: &[u8]) -> Result<ProposalRequest, ApiError> {
    if let Some(value) = plain_string(json) {
        return Ok(ProposalRequest { value: Bytes::copy_from_slice(value.as_bytes()), ..ProposalRequest::default() });
    }
    serde_json::from_slice::<Either>(json).map(|either| either.0).map_err(refused)
}

fn refused(error: serde_json::Error) -> ApiError {
    let what = if error.is_data() { "" } else { "not JSON: " };
    ApiError::invalid(format!("{what}{error}"))
}

/// The text of a JSON string without escapes: most lines of bulk clients are one.
fn plain_string(json: &[u8]) -> Option<&str> {
    let inside = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let plain = inside.iter().all(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\');
    if plain { std::str::from_utf8(inside).ok() } else { None }
}

/// The fields, for messages.
const FIELDS: &str = "value, value_b64, priority, timeout_ms, nonce, deadline";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Value,
    ValueB64,
    Priority,
    TimeoutMs,
    Nonce,
    Deadline,
}

impl Field {
    const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::ValueB64 => "value_b64",
            Self::Priority => "priority",
            Self::TimeoutMs => "timeout_ms",
            Self::Nonce => "nonce",
            Self::Deadline => "deadline",
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Field, E> {
                Ok(match name {
                    "value" => Field::Value,
                    "value_b64" => Field::ValueB64,
                    "priority" => Field::Priority,
                    "timeout_ms" => Field::TimeoutMs,
                    "nonce" => Field::Nonce,
                    "deadline" => Field::Deadline,
                    other => {
                        return Err(E::custom(format!("unknown field {:?}; the fields are {FIELDS}", shown(other))));
                    }
                })
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// Text that is borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Any)
    }
}

struct Object(ProposalRequest);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Proposal { text: false }).map(Self)
    }
}

struct Either(ProposalRequest);

impl<'de> Deserialize<'de> for Either {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Proposal { text: true }).map(Self)
    }
}

struct Proposal {
    /// Whether a string stands for its value.
    text: bool,
}

impl<'de> Visitor<'de> for Proposal {
    type Value = ProposalRequest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text {
            "a proposal: an object with value or value_b64, or a string"
        } else {
            "an object with value or value_b64"
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ProposalRequest, E> {
        if !self.text {
            return Err(E::invalid_type(serde::de::Unexpected::Str(&shown(text)), &self));
        }
        Ok(ProposalRequest { value: Bytes::copy_from_slice(text.as_bytes()), ..ProposalRequest::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ProposalRequest, A::Error> {
        let mut request = ProposalRequest::default();
        let mut value = None;
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Value => {
                    let text = one::<Text<'_>, A>(&mut map, field)?.0;
                    set(&mut value, field, Bytes::copy_from_slice(text.as_bytes()))?;
                }
                Field::ValueB64 => {
                    let text = one::<Text<'_>, A>(&mut map, field)?.0;
                    let bytes = BASE64.decode(text.as_bytes());
                    let bytes = bytes
                        .map_err(|error| A::Error::custom(format!("value_b64 is not base64 with padding: {error}")))?;
                    set(&mut value, field, Bytes::from(bytes))?;
                }
                Field::Priority => set(&mut request.priority, field, one(&mut map, field)?)?,
                Field::TimeoutMs => set(&mut request.timeout_ms, field, one(&mut map, field)?)?,
                Field::Nonce => set(&mut request.nonce, field, one(&mut map, field)?)?,
                Field::Deadline => set(&mut request.deadline_us, field, one(&mut map, field)?)?,
            }
        }
        request.value =
            value.ok_or_else(|| A::Error::custom("there is no value: give value (text) or value_b64 (base64)"))?;
        Ok(request)
    }
}

/// The value of a field; an error says which field it was.
fn one<'de, T: Deserialize<'de>, A: MapAccess<'de>>(map: &mut A, field: Field) -> Result<T, A::Error> {
    map.next_value().map_err(|error| A::Error::custom(format!("{}: {error}", field.name())))
}

fn set<T, E: Error>(place: &mut Option<T>, field: Field, found: T) -> Result<(), E> {
    if place.replace(found).is_none() {
        return Ok(());
    }
    Err(match field {
        Field::Value | Field::ValueB64 => {
            E::custom("the value is given twice: give exactly one of value and value_b64")
        }
        other => E::custom(format!("{} is given twice", other.name())),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(json: &str) -> String {
        line(json.as_bytes()).unwrap_err().body.message.into_owned()
    }

    #[test]
    fn objects_and_strings() {
        let all = r#" {"value":"a\u00e4b","priority":9,"timeout_ms":5,"nonce":18446744073709551615,"deadline":7} "#;
        let request = object(all.as_bytes()).unwrap();
        let value = Bytes::from("aäb");
        let expected = ProposalRequest {
            value: value.clone(),
            priority: Some(9),
            timeout_ms: Some(5),
            deadline_us: Some(7),
            nonce: Some(u64::MAX),
        };
        assert_eq!(request, expected);
        assert_eq!(line(all.as_bytes()).unwrap(), expected);
        for text in [r#"{"value_b64":"YcOkYg=="}"#, r#""aäb""#, r#""a\u00e4b""#] {
            assert_eq!(line(text.as_bytes()).unwrap(), ProposalRequest { value: value.clone(), ..Default::default() });
        }
        assert_eq!(line(br#""""#).unwrap().value.len(), 0);
    }

    #[test]
    fn messages_name_the_field() {
        for (json, expected) in [
            (r#"{"value":"a","prio":1}"#, "unknown field \"prio\"; the fields are value, value_b64, priority"),
            (r#"{"value":"a","priority":"x"}"#, "priority: invalid type: string \"x\", expected u8"),
            (r#"{"value":"a","priority":256}"#, "priority: invalid value: integer `256`, expected u8"),
            (r#"{"value":"a","nonce":1.5}"#, "nonce: invalid type: floating point"),
            (r#"{"value":5}"#, "value: invalid type: integer `5`, expected a string"),
            (r#"{"value":null}"#, "value: invalid type: null"),
            (r#"{"value":"a","value_b64":"YQ=="}"#, "exactly one of value and value_b64"),
            (r#"{"value":"a","nonce":1,"nonce":2}"#, "nonce is given twice"),
            (r#"{"value_b64":"YQ"}"#, "value_b64 is not base64"),
            ("{}", "there is no value"),
            ("[1]", "invalid type: sequence, expected a proposal"),
            ("{\"value\":\"a\"", "not JSON: EOF while parsing an object"),
            ("\"a\"b\"", "not JSON: trailing characters"),
            ("\"a", "not JSON: EOF while parsing a string"),
            ("\"", "not JSON: EOF while parsing a string"),
        ] {
            let found = message(json);
            assert!(found.contains(expected), "{json} → {found}");
        }
        assert!(object(b"\"text\"").unwrap_err().body.message.contains("expected an object"));
        let long = message(&format!("{{\"{}\":1}}", "x".repeat(100_000)));
        assert!(long.len() < 300, "{long}");
    }

    proptest! {
        #[test]
        fn strings_are_what_serde_says(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(line(json.as_bytes()).unwrap().value, Bytes::from(text));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let known = serde_json::from_slice::<String>(&bytes).ok().map(Bytes::from);
            prop_assert_eq!(line(&bytes).ok().map(|request| request.value), known);
        }
    }
}
