//! Splits the bytes in a buffer into records.

use std::ops::Range;

use super::record::{LONGEST_RECORD, Record, SyntaxError, has_no_content, has_text_after_quote};

/// The bytes to read from the input at a time.
pub(super) const CHUNK: usize = 256 << 10;

/// The bytes to keep of a record that is too long.
pub(super) const KEPT: usize = 1 << 10;

/// Splits the bytes in a buffer into records. Lines without quotes are split at their delimiters, all others by
/// csv-core, the parser of the csv crate. It drives csv-core itself because it must know where each record starts and
/// its text there, continue at the end of the buffer, and report errors that the parser tolerates.
///
/// The parser accepts text after a closing quote, so a record with a quote is checked again.
#[derive(Debug)]
pub(super) struct Splitter {
    delimiter: u8,
    parser: csv_core::Reader,
    buffer: Vec<u8>,
    /// Where the current record starts in the buffer, or what is left of it there.
    record: usize,
    /// Up to where the buffer was parsed,
    start: usize,
    /// and filled.
    end: usize,
    /// The number of bytes before those in the buffer.
    gone: usize,
    /// The first quote in or after the current record; the end of the buffer if there is none.
    quote: usize,
    /// Where the current record starts, counted from the start of the initial buffer.
    began: usize,
    /// The start of the current record, if it is too long and part of it was dropped; otherwise empty.
    dropped: Vec<u8>,
    /// The last byte before the buffer.
    last: u8,
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// The lengths of `fields` and `ends` that the current record uses.
    filled: (usize, usize),
    /// Line ends that did not go through the parser.
    other_lines: u64,
    line: u64,
    within: bool,
    /// A carriage return without a line feed precedes the current record.
    follows_lone_cr: bool,
}

/// The next part of the buffer.
pub(super) enum Split {
    /// A record on a line without quotes, with its place in the buffer.
    Line(Range<usize>),
    /// A record that the parser has split.
    Record(Range<usize>),
    /// A line without content.
    Blank,
    /// Nothing, or only a part of a record.
    Empty,
}

impl Splitter {
    pub(super) fn new(buffer: Vec<u8>, delimiter: u8) -> Self {
        let mut new = Self {
            delimiter,
            parser: parser(delimiter),
            record: 0,
            start: 0,
            end: buffer.len(),
            buffer,
            gone: 0,
            quote: 0,
            began: 0,
            dropped: Vec::new(),
            last: 0,
            // Doubling it ends just above the size of the longest record.
            fields: vec![0; (1 << 10) + 1],
            ends: vec![0; 16],
            filled: (0, 0),
            other_lines: 0,
            line: 1,
            within: false,
            follows_lone_cr: false,
        };
        new.find_quote(0);
        new
    }

    pub(super) fn line(&self) -> u64 {
        self.parser.line() + self.other_lines
    }

    /// Adds to the line of all records to come.
    pub(super) fn shift_lines(&mut self, lines: u64) {
        self.other_lines += lines;
        self.line += lines;
    }

    /// Says which byte precedes the first one in the buffer.
    pub(super) fn follow(&mut self, last: u8) {
        self.last = last;
    }

    /// Skips bytes of the buffer, and lines.
    pub(super) fn skip(&mut self, bytes: usize, lines: u64) {
        self.start += bytes;
        self.other_lines += lines;
        self.begin_anew();
    }

    /// The bytes that were read, counted from the start of the initial buffer.
    pub(super) fn consumed(&self) -> usize {
        self.gone + self.start
    }

    /// Whether a part of a record was read.
    pub(super) fn is_within(&self) -> bool {
        self.within
    }

    /// The memory it takes.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.buffer.len() + self.fields.len()
    }

    #[inline]
    pub(super) fn next(&mut self) -> Split {
        if !self.within {
            self.skip_blank_lines();
            if self.start == self.end {
                return Split::Empty;
            }
            self.begin();
            if let Some(raw) = self.split_line() {
                self.within = false;
                return if self.is_blank(raw.clone()) { Split::Blank } else { Split::Line(raw) };
            }
        }
        self.parse_record()
    }

    fn begin(&mut self) {
        self.within = true;
        self.record = self.start;
        self.began = self.gone + self.start;
        self.line = self.line();
        self.follows_lone_cr = self.last_byte() == b'\r';
        self.filled = (0, 0);
        if !self.dropped.is_empty() {
            self.dropped.clear();
        }
    }

    /// Splits a line at its delimiters, if its end is in the buffer, before any quote.
    #[inline]
    fn split_line(&mut self) -> Option<Range<usize>> {
        let ahead = &self.buffer[self.start..self.quote];
        let mut fields = 0;
        for end in memchr::memchr3_iter(self.delimiter, b'\n', b'\r', ahead) {
            if fields == self.ends.len() {
                self.ends.resize(fields * 2, 0);
            }
            self.ends[fields] = end;
            fields += 1;
            let byte = ahead[end];
            if byte != self.delimiter {
                if end > LONGEST_RECORD {
                    return None;
                }
                self.filled.1 = fields;
                self.other_lines += u64::from(byte == b'\n');
                self.start += end + 1;
                return Some(self.record..self.record + end);
            }
        }
        None
    }

    /// Continues with the current record by the parser.
    fn parse_record(&mut self) -> Split {
        while self.start < self.end {
            let (result, read) = parse(
                &mut self.parser,
                &self.buffer[self.start..self.end],
                (&mut self.fields, &mut self.ends),
                &mut self.filled,
            );
            self.start += read;
            match result {
                csv_core::ReadRecordResult::Record => {
                    // The line end is one byte. The second one of `\r\n` precedes the next record.
                    let raw = self.record..self.start - 1;
                    if self.is_blank(raw.clone()) {
                        self.begin_anew();
                        return Split::Blank;
                    }
                    return Split::Record(raw);
                }
                // The record is too long now, so its fields are not needed.
                csv_core::ReadRecordResult::OutputFull if self.fields.len() > LONGEST_RECORD => {
                    self.filled = (0, 0);
                }
                csv_core::ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                csv_core::ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                csv_core::ReadRecordResult::InputEmpty | csv_core::ReadRecordResult::End => {}
            }
        }
        Split::Empty
    }

    /// The parser would skip them too, but it does not report where the record starts.
    fn skip_blank_lines(&mut self) {
        while let Some(end @ (b'\n' | b'\r')) = self.buffer[..self.end].get(self.start) {
            self.other_lines += u64::from(*end == b'\n');
            self.start += 1;
        }
    }

    /// Makes space for this number of bytes after what is left of the current record.
    pub(super) fn make_room(&mut self, most: usize) -> &mut [u8] {
        let left = if self.within { self.record } else { self.start };
        // One more for the line end.
        if self.within && (self.end - left > LONGEST_RECORD + 1 || !self.dropped.is_empty()) {
            self.drop_part();
        } else {
            if let Some(last) = left.checked_sub(1) {
                self.last = self.buffer[last];
            }
            self.buffer.copy_within(left..self.end, 0);
            self.gone += left;
            (self.record, self.start, self.end) = (0, self.start - left, self.end - left);
            self.quote -= left;
        }
        if self.buffer.len() < self.end + most {
            self.buffer.resize(self.end + most, 0);
        }
        &mut self.buffer[self.end..self.end + most]
    }

    /// Adds bytes that were read into this space.
    pub(super) fn extend(&mut self, read: usize) {
        let before = self.end;
        self.end += read;
        if self.quote == before {
            self.find_quote(before);
        }
    }

    /// Drops what was read of a record that is too long, except for its start.
    fn drop_part(&mut self) {
        if self.dropped.is_empty() {
            self.dropped.extend_from_slice(&self.buffer[self.record..self.record + KEPT]);
        }
        self.last = self.buffer[self.end - 1];
        self.gone += self.end;
        (self.record, self.start, self.end, self.quote) = (0, 0, 0, 0);
        self.filled = (0, 0);
        self.buffer.truncate(CHUNK);
        self.buffer.shrink_to_fit();
        self.fields.truncate(CHUNK);
        self.fields.shrink_to_fit();
    }

    fn find_quote(&mut self, from: usize) {
        let found = memchr::memchr(b'"', &self.buffer[from..self.end]);
        self.quote = found.map_or(self.end, |at| from + at);
    }

    /// Ends the last record, which has no line end, or whose line end is part of a quoted field. `None` if it has no
    /// content.
    pub(super) fn finish(&mut self) -> Option<(Range<usize>, Option<SyntaxError>)> {
        let line = self.parser.line();
        let is_open = !self.push(b"\n");
        self.parser.set_line(line);
        if is_open {
            self.push(&[]);
        }
        let raw = self.record..self.end;
        if self.is_blank(raw.clone()) {
            self.begin_anew();
            return None;
        }
        Some((raw, is_open.then_some(SyntaxError::OpenQuote)))
    }

    /// Whether this byte, or the end of the input if there is none, ends the record.
    fn push(&mut self, byte: &[u8]) -> bool {
        loop {
            let (result, _) =
                parse(&mut self.parser, byte, (&mut self.fields, &mut self.ends), &mut self.filled);
            match result {
                csv_core::ReadRecordResult::OutputFull => self.fields.push(0),
                csv_core::ReadRecordResult::OutputEndsFull => self.ends.push(0),
                csv_core::ReadRecordResult::Record => return true,
                csv_core::ReadRecordResult::InputEmpty | csv_core::ReadRecordResult::End => return false,
            }
        }
    }

    /// Whether the current record, which is complete, has no content.
    #[inline]
    fn is_blank(&self, raw: Range<usize>) -> bool {
        let may_start_one =
            |byte: &u8| !byte.is_ascii_graphic() || matches!(*byte, b'"') || *byte == self.delimiter;
        self.buffer[raw.clone()].first().is_none_or(may_start_one) && self.is_blank_throughout(raw)
    }

    #[cold]
    fn is_blank_throughout(&self, raw: Range<usize>) -> bool {
        self.size(&raw) <= LONGEST_RECORD && has_no_content(&self.buffer[raw], self.delimiter)
    }

    /// Continues after the current record, which is complete.
    #[inline]
    fn begin_anew(&mut self) {
        self.within = false;
        if self.quote < self.start {
            self.find_quote(self.start);
        }
    }

    /// The current record, which is one line without quotes.
    #[inline]
    pub(super) fn plain(&self, raw: Range<usize>) -> Record<'_> {
        let raw = &self.buffer[raw];
        Record {
            fields: raw,
            ends: &self.ends[..self.filled.1],
            delimiter_len: 1,
            raw,
            size: raw.len(),
            line: self.line,
            lines: 1,
            syntax_error: None,
            lacks_line_end: false,
            follows_lone_cr: self.follows_lone_cr,
        }
    }

    /// The current record, which the parser has split.
    pub(super) fn parsed(&mut self, raw: Range<usize>, syntax_error: Option<SyntaxError>) -> Record<'_> {
        let (syntax_error, lines, size) = self.look_closer(raw.clone(), syntax_error);
        self.begin_anew();
        let raw = if self.dropped.is_empty() { &self.buffer[raw] } else { &self.dropped };
        Record {
            fields: &self.fields[..self.filled.0],
            ends: &self.ends[..self.filled.1],
            delimiter_len: 0,
            raw: if size > LONGEST_RECORD { &raw[..KEPT] } else { raw },
            size,
            line: self.line,
            lines,
            syntax_error,
            lacks_line_end: false,
            follows_lone_cr: self.follows_lone_cr,
        }
    }

    /// The same for the last record, which has no line end.
    pub(super) fn last(&mut self, raw: Range<usize>, syntax_error: Option<SyntaxError>) -> Record<'_> {
        Record { lacks_line_end: true, ..self.parsed(raw, syntax_error) }
    }

    /// The last byte that was parsed.
    #[inline]
    pub(super) fn last_byte(&self) -> u8 {
        self.start.checked_sub(1).map_or(self.last, |last| self.buffer[last])
    }

    /// The syntax error of the current record, and the numbers of its lines and bytes.
    fn look_closer(
        &self,
        raw: Range<usize>,
        syntax_error: Option<SyntaxError>,
    ) -> (Option<SyntaxError>, u64, usize) {
        let size = self.size(&raw);
        let lines = self.line() - self.line + u64::from(self.last_byte() != b'\n');
        let syntax_error = match syntax_error {
            None if size > LONGEST_RECORD => Some(SyntaxError::TooLong),
            None if has_text_after_quote(&self.buffer[raw], self.delimiter) => {
                Some(SyntaxError::TextAfterQuote)
            }
            syntax_error => syntax_error,
        };
        (syntax_error, lines, size)
    }

    /// The number of bytes of the current record, whose end in the buffer is that of `raw`.
    #[inline]
    fn size(&self, raw: &Range<usize>) -> usize {
        self.gone + raw.end - self.began
    }
}

fn parser(delimiter: u8) -> csv_core::Reader {
    let mut parser = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
    // The parser strips a byte-order mark at its start. The preamble was removed before, and in the middle of a file
    // the same bytes are text. After a line end, the parser strips nothing.
    parser.read_record(b"\n", &mut [0; 1], &mut [0; 1]);
    parser.set_line(1);
    parser
}

#[inline]
fn parse(
    parser: &mut csv_core::Reader,
    input: &[u8],
    (fields, ends): (&mut [u8], &mut [usize]),
    filled: &mut (usize, usize),
) -> (csv_core::ReadRecordResult, usize) {
    let (result, read, wrote, ended) =
        parser.read_record(input, &mut fields[filled.0..], &mut ends[filled.1..]);
    *filled = (filled.0 + wrote, filled.1 + ended);
    (result, read)
}
