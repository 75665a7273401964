//! Decimals of at most four places as integers, so that every node reads the same number.

use std::fmt;

/// Why a number is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecimalError {
    /// More than four places behind the point.
    Places,
    /// Not a plain decimal from 0 on, or far too large.
    Form,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Places => "has more than four decimal places",
            Self::Form => "is not a plain decimal such as 0.67",
        })
    }
}

/// Ten-thousandths of a decimal in its shortest text form, without going through floats.
pub(super) fn ten_thousandths(text: &str) -> Result<u32, DecimalError> {
    // A tiny number prints as 1e-7; that is a matter of places, 1e+30 one of form.
    if text.contains("e-") {
        return Err(DecimalError::Places);
    }
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(places) {
        return Err(DecimalError::Form);
    }
    let places = places.trim_end_matches('0');
    if places.len() > 4 {
        return Err(DecimalError::Places);
    }
    let whole: u32 = whole.parse().map_err(|_| DecimalError::Form)?;
    let places: u32 = format!("{places:0<4}").parse().map_err(|_| DecimalError::Form)?;
    whole.checked_mul(10_000).and_then(|w| w.checked_add(places)).ok_or(DecimalError::Form)
}

/// A number from 0 to 1 with at most four decimal places, exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction(u32);

impl Fraction {
    /// 0.
    pub const ZERO: Self = Self(0);
    /// 1.
    pub const ONE: Self = Self(10_000);

    /// The fraction of so many ten-thousandths; more than 10,000 count as 1.
    pub const fn new(ten_thousandths: u32) -> Self {
        if ten_thousandths > 10_000 { Self::ONE } else { Self(ten_thousandths) }
    }

    /// How many ten-thousandths it is.
    pub const fn ten_thousandths(self) -> u32 {
        self.0
    }

    /// The nearest float, for code that only measures and advises.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (text, value) in [("0.67", 6700), ("0.6", 6000), ("1", 10_000), ("1.0", 10_000), ("0.0001", 1), ("0", 0)] {
            assert_eq!(ten_thousandths(text), Ok(value), "{text}");
        }
        assert_eq!(ten_thousandths("0.67000"), Ok(6700));
        assert_eq!(ten_thousandths("12.5"), Ok(125_000));
        for text in ["0.66667", "0.00001", "1e-7"] {
            assert_eq!(ten_thousandths(text), Err(DecimalError::Places), "{text}");
        }
        for text in ["", ".5", "-0.5", "1e+30", "0,5", "999999999", "+1"] {
            assert_eq!(ten_thousandths(text), Err(DecimalError::Form), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for n in 0..=10_000 {
            assert_eq!(ten_thousandths(&Fraction::new(n).to_string()), Ok(n));
        }
        assert_eq!(Fraction::new(6700).to_string(), "0.67");
        assert_eq!(Fraction::ONE.to_string(), "1");
    }
}
