//! Results, values and times in words.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use consensus::genesis::Genesis;
use node::views::{ResultView, State};

/// Characters of a value that a line shows.
const SHOWN_CHARS: usize = 60;

/// What a network withstands.
pub(crate) fn guarantee(genesis: &Genesis) -> String {
    genesis.config.quorum.explain()
}

/// A value on one line, shortened.
pub(crate) fn value(text: Option<&str>, b64: Option<&str>) -> String {
    match (text, b64) {
        (Some(text), _) => shorten(&format!("{text:?}")),
        (None, Some(b64)) => {
            let bytes = BASE64.decode(b64).map_or(0, |bytes| bytes.len());
            format!("{bytes} bytes {}", shorten(b64))
        }
        (None, None) => "nothing".to_owned(),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The first characters of an id or hash.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// A result in a few lines.
pub(crate) fn result(view: &ResultView) -> String {
    match view.state {
        State::Final => {}
        State::Pending => return format!("{}: pending; ask again later", view.id),
        State::Expired => return format!("{}: expired; it is not in the log and never will be", view.id),
        State::Refused => return format!("{}: refused", view.id),
    }
    let number = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".to_owned());
    let mut words = format!(
        "{}: final\n  value      {}\n  block      height {}, place {}, view {}, leader {}, hash {}…\n  finality   {} path, {} validators, \
         threshold {}, withstands {} Byzantine, by the block of height {}",
        view.id,
        value(view.value.as_deref(), view.value_b64.as_deref()),
        number(view.height),
        number(view.index.map(u64::from)),
        number(view.view),
        text(&view.leader),
        short(&text(&view.block_hash)),
        text(&view.path),
        number(view.weight.map(u64::from)),
        number(view.threshold.map(u64::from)),
        number(view.strength.map(u64::from)),
        number(view.finalized_by_height),
    );
    if let Some(phases) = view.phases_ms {
        // Writing into a String does not fail.
        let _ = write!(
            words,
            "\n  phases     verification {:.1} ms, optimization {:.1} ms, consensus {:.1} ms, total {:.1} ms (the node's word)",
            phases.verification, phases.optimization, phases.consensus, phases.total
        );
    }
    words
}

/// Microseconds since the Unix epoch as UTC, to the millisecond.
pub(crate) fn time(us: u64) -> String {
    let (days, seconds) = ((us / 86_400_000_000) as i64, us / 1_000_000 % 86_400);
    // Days to a date by counting 400-year eras from 1 March 0000 (Hinnant, chrono-compatible low-level date algorithms).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let of_era_year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_era_year + of_era_year / 4 - of_era_year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = of_era_year + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        us / 1_000 % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999_000, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_600_123_456, "2025-01-01T00:00:00.123Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(time(us), text);
        }
    }

    #[test]
    fn long_values_are_shortened() {
        assert_eq!(value(Some("a\nb"), None), "\"a\\nb\"");
        let long = "ä".repeat(100);
        assert!(value(Some(&long), None).chars().count() <= SHOWN_CHARS + 1);
        assert_eq!(value(None, Some("AAEC")), "3 bytes AAEC");
    }
}
