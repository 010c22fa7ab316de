//! `utf-8`, `windows-1252`, ...

use std::fmt;
use std::str::FromStr;

/// A character encoding, by any label of the WHATWG's Encoding Standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding(pub &'static encoding_rs::Encoding);

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name().to_ascii_lowercase())
    }
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        encoding_rs::Encoding::for_label(text.as_bytes())
            .filter(|&encoding| encoding != encoding_rs::REPLACEMENT)
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is not a known encoding: write for instance `utf-8` or `windows-1252`")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_the_web() {
        for (label, name) in [("UTF8", "utf-8"), ("latin1", "windows-1252"), ("utf-16le", "utf-16le")] {
            let encoding: Encoding = label.parse().unwrap();
            assert_eq!(encoding.to_string(), name);
            assert_eq!(name.parse(), Ok(encoding));
        }
    }

    #[test]
    fn an_encoding_that_only_replaces_is_none() {
        for label in ["", "utf-9", "iso-2022-kr"] {
            assert!(label.parse::<Encoding>().is_err(), "{label}");
        }
    }
}
