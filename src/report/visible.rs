//! Makes text from files, servers and settings safe to print: it may have characters that control the terminal, reorder
//! a line or are invisible.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

pub use crate::input::is_invisible;

/// A text with what can't be seen escaped, as `\u{1b}`; line ends and tabs become spaces. `##[` is escaped as well: wherever it
/// stands, the runner of GitHub Actions takes it for the start of a command.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(pub &'a str);

impl Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hashes = 0;
        self.0.chars().try_for_each(|character| {
            let before = hashes;
            hashes = if character == '#' { before + 1 } else { 0 };
            match character {
                '\n' | '\r' | '\t' => f.write_char(' '),
                '[' if before >= 2 => f.write_str(r"\u{5b}"),
                unseen if is_invisible(unseen) => write!(f, "{}", unseen.escape_unicode()),
                seen => f.write_char(seen),
            }
        })
    }
}

/// JSON with what can't be seen escaped, and `##[`: other bytes, the same data. Line ends between values stay.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let is_hidden = |character: char| is_invisible(character) && !matches!(character, '\n' | '\r' | '\t');
    if json.contains("##[") {
        // It can only be within a text.
        return Cow::Owned(visible_json(&json.replace("##[", r"##\u005b")).into_owned());
    }
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").expect("a string takes everything");
            }
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_reorders_or_hides_is_escaped() {
        let check = |text: &str, shown: &str| assert_eq!(Visible(text).to_string(), shown);
        check("Łódź – 東京 👍", "Łódź – 東京 👍");
        check("\u{1b}[2J\u{7}\u{9b}", r"\u{1b}[2J\u{7}\u{9b}");
        check("gnp.\u{202e}vsc", r"gnp.\u{202e}vsc");
        check("a\u{200b}b\u{feff}\u{e0041}", r"a\u{200b}b\u{feff}\u{e0041}");
        check("a\nb\tc", "a b c");
        check("# [a] ##[error]x ###[y", r"# [a] ##\u{5b}error]x ###\u{5b}y");
    }

    proptest! {
        #[test]
        fn json_stays_the_same_data(text in ".*|[#\\[]{3,5}|[\u{1}-\u{a0}\u{200b}-\u{2070}\u{e0000}-\u{e0080}]{0,20}") {
            let json = serde_json::to_string_pretty(&[&text]).unwrap();
            let escaped = visible_json(&json);
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), [text]);
            prop_assert!(!escaped.contains(|c| is_invisible(c) && c != '\n') && !escaped.contains("##["));
        }
    }
}
