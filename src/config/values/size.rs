//! `128MB`, `2GiB`

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Units of size in bytes, largest first.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("B", 1),
];

/// An amount of memory, in bytes. In units, the letters' case does not matter, and the `B` may be missing.
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
        let wrong = || {
            format!(
                "`{text}` is not a size: write a whole number of kB, MB, GB or KiB, MiB, GiB, as `512MB` or `2GiB`"
            )
        };
        let text = text.trim();
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
        let names_it = |name: &str| {
            let unit = unit.trim_start();
            unit.eq_ignore_ascii_case(name)
                || name.strip_suffix('B').is_some_and(|name| unit.eq_ignore_ascii_case(name))
        };
        let (_, scale) = UNITS.iter().find(|(name, _)| names_it(name)).ok_or_else(wrong)?;
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*scale));
        bytes.and_then(NonZeroU64::new).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_have_decimal_units_and_binary_ones() {
        let cases = [
            ("128MB", 128_000_000),
            ("2 gb", 2_000_000_000),
            ("5k", 5000),
            ("1T", 1_000_000_000_000),
            ("512MiB", 512 << 20),
            ("2gi", 2 << 30),
            ("1 TiB", 1 << 40),
            ("3KIB", 3072),
            ("7b", 7),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<Size>().unwrap().0.get(), bytes, "{text}");
        }
    }

    #[test]
    fn a_size_has_a_unit_and_is_not_nothing() {
        for text in ["", "128", "128 ", "MB", "0MB", "-1MB", "1.5GB", "1PB", "1iB", "1MBs", "99999999999GB"] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains("GB or KiB"), "{error}");
        }
    }

    #[test]
    fn sizes_print_in_the_largest_unit_that_divides_them() {
        for text in ["128MB", "512MiB", "1500MB", "2GiB", "1TB", "16385B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn sizes_print_as_they_are_written(bytes: NonZeroU64) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }
}
