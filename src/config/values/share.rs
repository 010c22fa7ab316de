//! A share of a whole.

use std::fmt;
use std::str::FromStr;

/// A share of a whole, written in percent: `5%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl Share {
    /// The same, at most the whole.
    pub fn of_whole(text: &str) -> Result<Self, String> {
        let share = text.parse::<Self>()?;
        if share.0 > 1.0 { Err(format!("`{text}` is more than `100%`")) } else { Ok(share) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        percent
            .filter(|percent| percent.is_finite() && *percent >= 0.0)
            .map(|percent| Self(percent / 100.0))
            .ok_or_else(|| format!("`{text}` is not a share: write percent, as `5%`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_percent() {
        for (text, share) in [("5%", 0.05), (" 0.5 % ", 0.005), ("0%", 0.0), ("250%", 2.5)] {
            let parsed = text.parse::<Share>().unwrap();
            assert!((parsed.0 - share).abs() < 1e-12, "{text}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        for text in ["5", "", "%", "-1%", "NaN%", "inf%", "five%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert!(Share::of_whole("101%").is_err() && Share::of_whole("100%").is_ok());
    }
}
