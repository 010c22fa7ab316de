//! `,` `;` `\t` `|`

use std::fmt;
use std::str::FromStr;

/// The byte between fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiter(u8);

impl Delimiter {
    /// As the reader of CSV wants it.
    pub fn byte(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == b'\t' { f.write_str(r"\t") } else { write!(f, "{}", char::from(self.0)) }
    }
}

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "," => b',',
            ";" => b';',
            "|" => b'|',
            "\t" | r"\t" | "tab" => b'\t',
            _ => return Err(format!(r"`{text}` is not a delimiter: write `,` `;` `\t` or `|`")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_print_as_they_are_written() {
        for text in [",", ";", "|", r"\t"] {
            assert_eq!(text.parse::<Delimiter>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_tab_has_three_spellings() {
        for text in ["\t", r"\t", "tab"] {
            assert_eq!(text.parse::<Delimiter>().unwrap().byte(), b'\t');
        }
    }

    #[test]
    fn nothing_else_delimits() {
        for text in ["", " ", ",,", ":", "ä"] {
            assert!(text.parse::<Delimiter>().is_err(), "{text}");
        }
    }
}
