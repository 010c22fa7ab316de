//! `128MB`

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Units of size, largest first, in bytes.
const UNITS: [(&str, u64); 4] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("B", 1)];

/// An amount of memory, in bytes. Units are decimal; the letters' case does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub NonZeroU64);

impl fmt::Display for Size {
    /// In the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.get();
        let (unit, scale) = UNITS.iter().find(|(_, scale)| bytes.is_multiple_of(*scale)).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", bytes / scale)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no size: write for instance `128MB` or `2GB`");
        let text = text.trim();
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
        let (_, scale) =
            UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim())).ok_or_else(wrong)?;
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*scale));
        bytes.and_then(NonZeroU64::new).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_have_decimal_units() {
        for (text, bytes) in [("128MB", 128_000_000), ("2 gb", 2_000_000_000), ("5kB", 5000), ("7b", 7)] {
            assert_eq!(text.parse::<Size>().unwrap().0.get(), bytes);
        }
    }

    #[test]
    fn a_size_has_a_unit_and_is_no_nothing() {
        for text in ["", "128", "MB", "0MB", "-1MB", "1.5GB", "1TB", "99999999999GB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn sizes_print_as_they_are_written(bytes: NonZeroU64) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }
}
