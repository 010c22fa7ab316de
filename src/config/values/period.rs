//! `250ms`, `30s`, `1h30m`, `7d`

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::fmt::friendly::{Spacing, SpanParser, SpanPrinter};

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

impl Period {
    /// Parses one that is longer than nothing.
    pub fn above_zero(text: &str) -> Result<Self, String> {
        text.parse().and_then(|period: Self| {
            if period.0.is_zero() {
                Err(format!("`{text}` is too short: write for instance `30s`"))
            } else {
                Ok(period)
            }
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&SpanPrinter::new().spacing(Spacing::None).unsigned_duration_to_string(&self.0))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim();
        let is_bare = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let (days, rest) = days(number).unwrap_or((Duration::ZERO, number));
        let rest = match rest {
            "" if !days.is_zero() => Some(Duration::ZERO),
            rest => SpanParser::new().parse_unsigned_duration(rest).ok(),
        };
        rest.and_then(|rest| days.checked_add(rest)).map(Self).ok_or_else(|| {
            if is_bare {
                format!("`{text}` needs a unit: write `{number}s`, `{number}m` or `{number}h`")
            } else {
                format!("`{text}` is not a length of time: write for instance `250ms`, `30s` or `1h30m`")
            }
        })
    }
}

/// The days that a text begins with, of 24 hours each, and the rest of it.
fn days(text: &str) -> Option<(Duration, &str)> {
    let (days, rest) = text.split_once('d')?;
    let seconds = days.parse::<u64>().ok()?.checked_mul(24 * 60 * 60)?;
    (seconds > 0).then(|| (Duration::from_secs(seconds), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn periods_are_read_with_their_units() {
        let cases = [("250ms", 250), ("30s", 30_000), ("10m", 600_000), ("1h30m", 5_400_000), ("0s", 0)];
        for (text, millis) in cases {
            assert_eq!(text.parse(), Ok(Period(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn a_day_has_24_hours() {
        let cases = [("7d", 168), ("1d", 24), ("2d12h", 60)];
        for (text, hours) in cases {
            assert_eq!(text.parse(), Ok(Period(Duration::from_hours(hours))), "{text}");
        }
        for text in ["d", "xd", "7d!", "0d", "99999999999999999d", "1d7d"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_no_period() {
        for text in ["", "30", "-1s", "1s ago", "1 month", "soon"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn periods_print_as_they_are_written(millis in 0..1_000_000_000_u64) {
            let period = Period(Duration::from_millis(millis));
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
    }
}
