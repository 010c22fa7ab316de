//! `100` or `2.5%`

use std::fmt;
use std::str::FromStr;

/// How many rows of all: a number of them, or a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// This many.
    Rows(u64),
    /// This many of ten thousand: 1% is 100.
    Share(u16),
}

impl Limit {
    /// Whether `part` rows of `all` are more than this.
    pub fn is_exceeded_by(self, part: u64, all: u64) -> bool {
        match self {
            Self::Rows(most) => part > most,
            Self::Share(share) => u128::from(part) * 10_000 > u128::from(all) * u128::from(share),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => write!(f, "{rows}"),
            Self::Share(share) if share % 100 == 0 => write!(f, "{}%", share / 100),
            Self::Share(share) => write!(f, "{}.{:02}%", share / 100, share % 100),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a limit: write a number of rows or a share, as `100` or `2.5%`");
        match text.trim().strip_suffix('%') {
            None => text.trim().parse().ok().map(Self::Rows).ok_or_else(wrong),
            Some(share) => {
                hundredths(share.trim_end()).filter(|&s| s <= 10_000).map(Self::Share).ok_or_else(wrong)
            }
        }
    }
}

/// A decimal number with at most two places, times 100.
fn hundredths(text: &str) -> Option<u16> {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    if !(1..=2).contains(&places.len()) || !places.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = if places.len() == 1 { 10 } else { 1 };
    whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(places.parse::<u16>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_is_exceeded_from_the_first_row_above_it() {
        let exceeds = |limit: &str, part, all| limit.parse::<Limit>().unwrap().is_exceeded_by(part, all);
        assert!(!exceeds("100", 100, 100));
        assert!(exceeds("100", 101, 1_000_000));
        assert!(!exceeds("1%", 10, 1000));
        assert!(exceeds("1%", 11, 1000));
        assert!(exceeds("0.5%", 6, 1000));
        assert!(!exceeds("100%", u64::MAX, u64::MAX));
        assert!(exceeds("0", 1, 1) && exceeds("0%", 1, u64::MAX));
    }

    #[test]
    fn limits_are_whole_numbers_or_shares_up_to_all() {
        for text in ["", "%", "-1", "1.5", "101%", "1.%", ".5%", "1.234%", "1.+5%", "ten"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn limits_print_as_they_are_written(share in 0..=10_000_u16, rows: u64) {
            for limit in [Limit::Rows(rows), Limit::Share(share)] {
                prop_assert_eq!(limit.to_string().parse(), Ok(limit));
            }
        }
    }
}
