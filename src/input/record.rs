//! A CSV record, and its syntax errors.

/// The most bytes of a record in the input. A quote that is never closed would otherwise put the rest of the input in
/// memory.
pub(super) const LONGEST_RECORD: usize = 16 << 20;

/// The fields of one record, unquoted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) fields: &'a [u8],
    /// The end of each field in `fields`.
    pub(super) ends: &'a [usize],
    /// The number of bytes between two fields.
    pub(super) delimiter_len: usize,
    /// The record as it is in the input, without its line end. Only the start if it is longer than [`LONGEST_RECORD`].
    pub(super) raw: &'a [u8],
    /// The number of its bytes in the input.
    pub(super) size: usize,
    /// The line where it starts, from 1.
    pub(super) line: u64,
    /// The number of its lines, at least 1.
    pub(super) lines: u64,
    /// The error that makes its fields unreliable.
    pub(super) syntax_error: Option<SyntaxError>,
    /// It is the last record of the input, without a line end.
    pub(super) lacks_line_end: bool,
    /// A carriage return without a line feed precedes it.
    pub(super) follows_lone_cr: bool,
}

/// Why a record is not valid CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SyntaxError {
    /// Text follows the closing quote of a field. Usually the opening quote was not meant as one, and what is between
    /// the two was taken for one value.
    TextAfterQuote,
    /// The input ends inside a quoted field.
    OpenQuote,
    /// The record is longer than [`LONGEST_RECORD`]. Its fields were not kept.
    TooLong,
}

impl SyntaxError {
    /// The error in words.
    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::TextAfterQuote => "text after a closing quote",
            Self::OpenQuote => "a quote is never closed",
            Self::TooLong => "the record has more than 16 MiB",
        }
    }
}

impl<'a> Record<'a> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of all fields and of what is between them.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.fields.len()
    }

    /// A field by its number. Panics if there is none.
    #[inline]
    pub(super) fn get(&self, number: usize) -> &'a [u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] + self.delimiter_len };
        &self.fields[start..self.ends[number]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'_, 'a> {
        (0..self.len()).map(|number| self.get(number))
    }
}

/// How the lines of an input end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// With a line feed, which may follow a carriage return.
    Feed,
    /// With a carriage return, as in files of old Macs.
    Return,
}

/// The result of reading on.
#[derive(Debug)]
pub(super) enum NextRecord<'a> {
    Record(Record<'a>),
    /// The byte range ended.
    RangeEnd(Boundary),
    InputEnd,
}

/// Where a byte range ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    BetweenRecords,
    WithinRecord,
}

/// Fields as one line of text.
pub(super) fn line_of<'a>(fields: impl Iterator<Item = &'a [u8]>, delimiter: u8) -> Vec<u8> {
    let fields: Vec<&[u8]> = fields.collect();
    // Each time its buffer is full, the writer scans the rest of the field.
    let most = fields.iter().map(|field| field.len() * 2 + "\"\",".len()).sum::<usize>() + "\n".len();
    let mut writer =
        csv::WriterBuilder::new().delimiter(delimiter).buffer_capacity(most).from_writer(Vec::new());
    writer.write_record(fields).expect("a vector takes everything");
    let mut line = writer.into_inner().expect("a vector takes everything");
    line.pop();
    line
}

/// Whether text follows a closing quote anywhere in a record.
pub(super) fn has_text_after_quote(mut rest: &[u8], delimiter: u8) -> bool {
    loop {
        let Some(mut quoted) = rest.strip_prefix(b"\"") else {
            let Some(end) = memchr::memchr(delimiter, rest) else { return false };
            rest = &rest[end + 1..];
            continue;
        };
        let behind = loop {
            // The parser has reported a quote that is not closed.
            let Some(quote) = memchr::memchr(b'"', quoted) else { return false };
            match quoted.get(quote + 1) {
                Some(b'"') => quoted = &quoted[quote + 2..],
                _ => break &quoted[quote + 1..],
            }
        };
        match behind.split_first() {
            None => return false,
            Some((byte, next)) if *byte == delimiter => rest = next,
            Some(_) => return true,
        }
    }
}

/// Whether a record has only delimiters, quotes and white space, and perhaps the character that ends a text under DOS.
/// Spreadsheets and exports leave such lines.
pub(super) fn has_no_content(raw: &[u8], delimiter: u8) -> bool {
    const END_OF_FILE: char = '\u{1a}';
    let Ok(text) = std::str::from_utf8(raw) else { return false };
    let text = text.trim_end();
    let text = text.strip_suffix(END_OF_FILE).unwrap_or(text);
    text.chars()
        .all(|character| character.is_whitespace() || character == '"' || character == char::from(delimiter))
}
