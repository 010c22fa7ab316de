//! Shows values of the input in messages.

use std::fmt::Write;

use super::invisible::is_invisible;

/// The most characters of a value that a message shows.
const SHOWN: usize = 40;

/// A value for a message: cut if it is long, with invisible characters and bytes that are not text escaped.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    // A character has at most four bytes, so the rest is never shown.
    let start = bytes.get(..SHOWN * 4 + 4).unwrap_or(bytes);
    let mut shown = String::new();
    for (count, (character, escaped)) in characters(start).enumerate() {
        if count == SHOWN {
            write!(shown, "… ({} bytes)", bytes.len()).expect("a string takes everything");
            return shown;
        }
        match escaped {
            Some(byte) => write!(shown, "\\x{byte:02x}").expect("a string takes everything"),
            None if is_invisible(character) || is_odd_space(character) => {
                shown.extend(character.escape_default());
            }
            None => shown.push(character),
        }
    }
    shown
}

/// White space that looks like a space, or like nothing, but is not a space.
fn is_odd_space(character: char) -> bool {
    character.is_whitespace() && character != ' '
}

/// The whole text, with bytes that are not text escaped as `\xff`.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a string takes everything");
        }
    }
    text
}

/// Characters, and bytes that are not part of any.
fn characters(bytes: &[u8]) -> impl Iterator<Item = (char, Option<u8>)> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let none = chunk.invalid().iter().map(|byte| (char::REPLACEMENT_CHARACTER, Some(*byte)));
        chunk.valid().chars().map(|character| (character, None)).chain(none)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_printable() {
        assert_eq!(excerpt("Kraków".as_bytes()), "Kraków");
        assert_eq!(excerpt(b"a\nb\xff\0"), r"a\nb\xff\u{0}");
        assert_eq!(excerpt("\u{a0}1\u{200b}\u{202e}".as_bytes()), r"\u{a0}1\u{200b}\u{202e}");
        assert_eq!(excerpt("ą".repeat(1000).as_bytes()), format!("{}… (2000 bytes)", "ą".repeat(40)));
    }

    #[test]
    fn escaping_cuts_nothing() {
        assert_eq!(escape(b"Krak\xf3w\n"), "Krak\\xf3w\n");
        assert_eq!(escape(&[b'a'; 10_000]).len(), 10_000);
    }
}
