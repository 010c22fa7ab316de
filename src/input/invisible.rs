//! Characters that are not visible. Spreadsheets, web pages and word processors leave them around names and ids.

/// Whether a character has no width, or changes the direction of its neighbours.
fn is_zero_width(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether a character must be escaped wherever text of others is shown: controls, characters without a width and
/// those that change the direction of text.
pub fn is_invisible(character: char) -> bool {
    character.is_control() || is_zero_width(character)
}

/// A name or an id without white space and invisible characters at its ends.
#[inline]
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) if first.is_ascii_graphic() && last.is_ascii_graphic() => bytes,
        _ => trim_slowly(bytes),
    }
}

/// If the bytes are not text, only ASCII white space is removed.
#[cold]
fn trim_slowly(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Ok(text) => trim_text(text).as_bytes(),
        Err(_) => bytes.trim_ascii(),
    }
}

/// The same for a text.
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
