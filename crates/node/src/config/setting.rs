//! The types that a key can have: how each is read, checked, written, described.

use super::decimal::{Fraction, ten_thousandths};
use super::problem::nearest;
use consensus::config::SecurityPolicy;
use consensus::params::Ratio;
use crypto::SecurityLevel;
use serde_json::{Number, Value};
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// A type of key.
pub(super) trait Setting: Sized {
    /// What limits its values.
    type Range;
    /// Its name in the table of keys.
    const KIND: &'static str;
    /// Whether `null` means "not given".
    const OPTIONAL: bool = false;
    /// Reads a value; the message of an error says what is legal.
    fn read(value: &Value, range: &Self::Range) -> Result<Self, String>;
    /// The value as JSON.
    fn write(&self) -> Value;
    /// The legal values.
    fn describe(range: &Self::Range) -> String;
}

/// A value as a message shows it, shortened.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) if text.chars().count() > 40 => "a long text".to_owned(),
        other => other.to_string(),
    }
}

fn span<T: Display>(range: &RangeInclusive<T>) -> String {
    format!("{} to {}", range.start(), range.end())
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            type Range = RangeInclusive<$type>;
            const KIND: &'static str = "integer";

            fn read(value: &Value, range: &Self::Range) -> Result<Self, String> {
                let number = value.as_u64().and_then(|n| <$type>::try_from(n).ok());
                number.filter(|n| range.contains(n)).ok_or_else(|| {
                    format!("must be an integer from {}, found {}", span(range), found(value))
                })
            }

            fn write(&self) -> Value {
                Value::Number(Number::from(*self))
            }

            fn describe(range: &Self::Range) -> String {
                span(range)
            }
        }
    )*};
}

integers!(u16, u32, u64);

impl Setting for bool {
    type Range = ();
    const KIND: &'static str = "boolean";

    fn read(value: &Value, (): &()) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("must be true or false, found {}", found(value)))
    }

    fn write(&self) -> Value {
        Value::Bool(*self)
    }

    fn describe((): &()) -> String {
        "true or false".to_owned()
    }
}

/// Reads a decimal by the text of its number, in ten-thousandths.
fn decimal(value: &Value, range: &RangeInclusive<Fraction>) -> Result<u32, String> {
    let expected = format!("must be a decimal from {} of at most four places", span(range));
    let Value::Number(number) = value else { return Err(format!("{expected}, found {}", found(value))) };
    let parsed = ten_thousandths(&number.to_string()).map_err(|error| format!("{expected}; {number} {error}"))?;
    let inside = (range.start().ten_thousandths()..=range.end().ten_thousandths()).contains(&parsed);
    if inside { Ok(parsed) } else { Err(format!("{expected}, found {number}")) }
}

/// The JSON number with exactly this text; the texts here are plain decimals.
fn decimal_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

impl Setting for Fraction {
    type Range = RangeInclusive<Self>;
    const KIND: &'static str = "decimal";

    fn read(value: &Value, range: &Self::Range) -> Result<Self, String> {
        decimal(value, range).map(Self::new)
    }

    fn write(&self) -> Value {
        decimal_value(&self.to_string())
    }

    fn describe(range: &Self::Range) -> String {
        span(range)
    }
}

impl Setting for Ratio {
    type Range = RangeInclusive<Fraction>;
    const KIND: &'static str = "decimal";

    fn read(value: &Value, range: &Self::Range) -> Result<Self, String> {
        decimal(value, range).and_then(|n| Self::new(n).map_err(|error| error.to_string()))
    }

    fn write(&self) -> Value {
        decimal_value(&self.to_string())
    }

    fn describe(range: &Self::Range) -> String {
        span(range)
    }
}

impl Setting for [Ratio; 2] {
    type Range = RangeInclusive<Fraction>;
    const KIND: &'static str = "two decimals";

    fn read(value: &Value, range: &Self::Range) -> Result<Self, String> {
        let expected = || format!("must be [low, high] with {} <= low <= high <= {}", range.start(), range.end());
        let Some([low, high]) = value.as_array().map(Vec::as_slice) else {
            return Err(format!("{}, found {}", expected(), found(value)));
        };
        let pair = [Ratio::read(low, range)?, Ratio::read(high, range)?];
        if pair[0] > pair[1] { Err(format!("{}, found {value}", expected())) } else { Ok(pair) }
    }

    fn write(&self) -> Value {
        Value::Array(self.iter().map(Setting::write).collect())
    }

    fn describe(range: &Self::Range) -> String {
        format!("[low, high], {} <= low <= high <= {}", range.start(), range.end())
    }
}

impl<T: Setting> Setting for Option<T> {
    type Range = T::Range;
    const KIND: &'static str = T::KIND;
    const OPTIONAL: bool = true;

    fn read(value: &Value, range: &Self::Range) -> Result<Self, String> {
        T::read(value, range).map(Some)
    }

    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, Setting::write)
    }

    fn describe(range: &Self::Range) -> String {
        format!("{}, or null for none", T::describe(range))
    }
}

/// What limits a text.
pub(super) struct TextRule {
    /// The rule in words.
    pub text: &'static str,
    /// The rule.
    pub check: fn(&str) -> bool,
}

impl Setting for String {
    type Range = TextRule;
    const KIND: &'static str = "text";

    fn read(value: &Value, rule: &TextRule) -> Result<Self, String> {
        let text = value.as_str().filter(|text| (rule.check)(text));
        text.map(str::to_owned).ok_or_else(|| format!("must be {}, found {}", rule.text, found(value)))
    }

    fn write(&self) -> Value {
        Value::String(self.clone())
    }

    fn describe(rule: &TextRule) -> String {
        rule.text.to_owned()
    }
}

impl Setting for SocketAddr {
    type Range = ();
    const KIND: &'static str = "address";

    fn read(value: &Value, range: &()) -> Result<Self, String> {
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        parsed.ok_or_else(|| format!("must be {}, found {}", Self::describe(range), found(value)))
    }

    fn write(&self) -> Value {
        Value::String(self.to_string())
    }

    fn describe((): &()) -> String {
        "an IP address and port such as 127.0.0.1:8080 or [::1]:8080".to_owned()
    }
}

impl Setting for SecurityLevel {
    type Range = ();
    const KIND: &'static str = "integer";

    fn read(value: &Value, range: &()) -> Result<Self, String> {
        let dimension = value.as_u64().and_then(|n| u32::try_from(n).ok());
        let level = dimension.and_then(|dimension| Self::from_dimension(dimension).ok());
        level.ok_or_else(|| format!("must be {}, found {}", Self::describe(range), found(value)))
    }

    fn write(&self) -> Value {
        Value::Number(self.dimension().into())
    }

    fn describe((): &()) -> String {
        "512, 768, 1024 or 2048 (0: classical, for comparison only)".to_owned()
    }
}

impl Setting for SecurityPolicy {
    type Range = ();
    const KIND: &'static str = "choice";

    fn read(value: &Value, (): &()) -> Result<Self, String> {
        choose(value, &["standard", "high", "cnsa"], Self::from_name)
    }

    fn write(&self) -> Value {
        Value::String(self.name().to_owned())
    }

    fn describe((): &()) -> String {
        alternatives(&["standard", "high", "cnsa"])
    }
}

/// Reads one of some names.
pub(super) fn choose<T>(value: &Value, names: &[&str], from: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    let text = value.as_str().unwrap_or_default();
    from(text).ok_or_else(|| {
        let hint = nearest(text, names).map_or(String::new(), |near| format!("; did you mean {near}?"));
        format!("must be {}, found {}{hint}", alternatives(names), found(value))
    })
}

/// Names as a sentence has them.
pub(super) fn alternatives(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.join(""),
    }
}
