//! Proposals as HTTP clients send them: a body, or a line of a bulk.

use super::word;
use crate::Target;

/// First byte: body or line; the rest: its bytes.
pub const TARGET: Target = Target { name: "http", seeds, run, longest: 1 << 12 };

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"0{"value": "text", "priority": 5, "timeout_ms": 1000}"#,
        r#"0{"value_b64": "AAAA", "nonce": 7, "deadline": "2026-01-01T00:00:00Z"}"#,
        r#"0{"value": "\u00e9\ud83d\ude00", "nonce": "18446744073709551615", "deadline": 1767225600000000}"#,
        r#"1"a plain line""#,
        r#"1{"value": "x"}"#,
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn run(input: &[u8]) -> String {
    let Some((first, bytes)) = input.split_first() else { return String::new() };
    match node::http::read_proposal(bytes, *first & 1 == 1) {
        Ok(_) => "ok".to_owned(),
        Err(error) => word("", &error),
    }
}
