//! Characters that can't be seen: spreadsheets, web pages and word processors leave them round names and ids.

/// Whether a character takes no space, or changes the direction of what stands beside it.
fn is_zero_width(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether a character shows nothing of its own: controls, those for the direction of text, and those without a width.
/// Whatever is shown of what others wrote has these escaped.
pub fn is_invisible(character: char) -> bool {
    character.is_control() || is_zero_width(character)
}

/// A name or an id without what is not significant at its ends: white space, and what can't be seen.
#[inline]
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) if first.is_ascii_graphic() && last.is_ascii_graphic() => bytes,
        _ => trim_slowly(bytes),
    }
}

/// Bytes that are not text are shown as they are.
#[cold]
fn trim_slowly(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Ok(text) => trim_text(text).as_bytes(),
        Err(_) => bytes.trim_ascii(),
    }
}

/// The same of a text.
pub(super) fn trim_text(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || is_zero_width(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_of_any_kind_is_trimmed_from_both_ends_alone() {
        for (text, trimmed) in [
            ("10", "10"),
            (" 10\t", "10"),
            ("\u{a0}10\u{202f}", "10"),
            ("\u{feff}\u{200b}user id\u{2060} ", "user id"),
            ("miasto\u{17c}", "miasto\u{17c}"),
            ("a\u{200b}b", "a\u{200b}b"),
            ("\u{3000}", ""),
            ("", ""),
        ] {
            assert_eq!(trim(text.as_bytes()), trimmed.as_bytes(), "{text:?}");
        }
        assert_eq!(trim(b" \xff "), b"\xff");
    }
}
