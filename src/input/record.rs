//! One record of CSV, and what can be wrong with it.

/// The most bytes of one record, as it stands in the input. A quote that is never closed takes in all that follows; it
/// must not take all memory.
pub(super) const LONGEST_RECORD: usize = 16 << 20;

/// The fields of one record, unquoted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) fields: &'a [u8],
    /// Where each field ends in `fields`.
    pub(super) ends: &'a [usize],
    /// How many bytes are between two fields.
    pub(super) delimiter_len: usize,
    /// As it stands in the input, without the line end behind it. Of one that is longer than [`LONGEST_RECORD`], the start.
    pub(super) raw: &'a [u8],
    /// How many bytes it has in the input.
    pub(super) size: usize,
    /// The line where it starts, from 1.
    pub(super) line: u64,
    /// On how many lines it stands, at least 1.
    pub(super) lines: u64,
    /// Why its fields can't be relied on.
    pub(super) syntax_error: Option<SyntaxError>,
    /// The input ends with it, without a line end.
    pub(super) lacks_line_end: bool,
    /// A carriage return stands before it, without a line feed.
    pub(super) follows_lone_cr: bool,
}

/// What is wrong with a record as CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SyntaxError {
    /// A quoted field goes on behind its closing quote. Most often the quote before was not meant to open anything, and
    /// what stands between the two was taken for text.
    TextAfterQuote,
    /// The input ends inside a quoted field.
    OpenQuote,
    /// It has more than [`LONGEST_RECORD`] bytes. Its fields were not kept.
    TooLong,
}

impl SyntaxError {
    /// In words.
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

    /// How many bytes all fields have, and what is between them.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.fields.len()
    }

    /// The field of this number. Panics if there are not so many.
    #[inline]
    pub(super) fn get(&self, number: usize) -> &'a [u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] + self.delimiter_len };
        &self.fields[start..self.ends[number]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'_, 'a> {
        (0..self.len()).map(|number| self.get(number))
    }
}

/// What ends the lines of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// A line feed, behind a carriage return or not.
    Feed,
    /// A carriage return, as in files from Macs of old.
    Return,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum NextRecord<'a> {
    Record(Record<'a>),
    /// The byte range is over, between two records or within one.
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
    // The writer looks through all that is left of a field each time its buffer is full.
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
            // A quote that is open at the end was noticed by the parser.
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

/// Whether a record is a line that spreadsheets and exports leave: it has no character other than delimiters, quotes and
/// white space, and perhaps the one that ends a text under DOS.
pub(super) fn has_no_content(raw: &[u8], delimiter: u8) -> bool {
    const END_OF_FILE: char = '\u{1a}';
    let Ok(text) = std::str::from_utf8(raw) else { return false };
    let text = text.trim_end();
    let text = text.strip_suffix(END_OF_FILE).unwrap_or(text);
    text.chars()
        .all(|character| character.is_whitespace() || character == '"' || character == char::from(delimiter))
}
