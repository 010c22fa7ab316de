//! What may precede the header.

/// Byte-order marks and zero-width spaces, which editors and exports add. They are ignored.
const MARKS: [&[u8]; 3] = ["\u{feff}".as_bytes(), "\u{200b}".as_bytes(), "\u{2060}".as_bytes()];

/// What precedes the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Preamble {
    pub(super) bytes: usize,
    pub(super) lines: u64,
    /// The delimiter in a line `sep=;`, which is meant for Excel.
    pub(super) delimiter: Option<u8>,
}

impl Preamble {
    /// The preamble of an input. `start` must include the first line.
    pub(super) fn of(start: &[u8]) -> Self {
        let mut rest = start;
        while let Some(next) = MARKS.iter().find_map(|mark| rest.strip_prefix(*mark)) {
            rest = next;
        }
        let marks = start.len() - rest.len();
        let line = rest.iter().position(|byte| b"\r\n".contains(byte)).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(line);
        let Some(delimiter) = named_delimiter(line) else { return Self { bytes: marks, ..Self::default() } };
        let end = if behind.starts_with(b"\r\n") { 2 } else { behind.len().min(1) };
        let lines = u64::from(behind.get(..end).is_some_and(|end| end.ends_with(b"\n")));
        Self { bytes: marks + line.len() + end, lines, delimiter: Some(delimiter) }
    }
}

/// The delimiter in a line `sep=;`. Exports may quote the line, and spreadsheets may append delimiters.
fn named_delimiter(line: &[u8]) -> Option<u8> {
    let line = line.strip_prefix(b"\"").unwrap_or(line);
    let (key, rest) = line.split_at_checked(b"sep=".len())?;
    let (&delimiter, rest) = rest.split_first()?;
    let is_one = delimiter == b'\t' || (delimiter.is_ascii_punctuation() && delimiter != b'"');
    let is_filling = |byte: &u8| *byte == b'"' || *byte == delimiter || byte.is_ascii_whitespace();
    (key.eq_ignore_ascii_case(b"sep=") && is_one && rest.iter().all(is_filling)).then_some(delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_name_the_delimiter() {
        for (start, bytes, lines, delimiter) in [
            ("sep=;\nuser_id", 6, 1, Some(b';')),
            ("SEP=,\r\nuser_id", 7, 1, Some(b',')),
            ("\"sep=;\"\n", 8, 1, Some(b';')),
            ("sep=;;;\n", 8, 1, Some(b';')),
            ("Sep=\t\n", 6, 1, Some(b'\t')),
            ("\u{feff}sep=|", 8, 0, Some(b'|')),
            ("\u{feff}\u{feff}\u{200b}user_id\n", 9, 0, None),
            ("sep=\n", 0, 0, None),
            ("sep=a\n", 0, 0, None),
            ("sep=;x\n", 0, 0, None),
            ("separate,sep=;\n", 0, 0, None),
            ("", 0, 0, None),
        ] {
            assert_eq!(Preamble::of(start.as_bytes()), Preamble { bytes, lines, delimiter }, "{start:?}");
        }
    }
}
