//! From decoded bytes to records.

use std::io::{self, Read};
use std::ops::Range;

use super::record::{Boundary, Flaw, LONGEST_RECORD, Next, Record, has_no_content, has_text_after_quote};

/// How many bytes are asked of the input at once.
const CHUNK: usize = 256 << 10;

/// How many bytes are kept of a record that is longer.
const KEPT: usize = 1 << 10;

/// Reads records with the csv crate's parser, which this feeds itself: it has to know where each record starts and what
/// stood there, stop at the end of a byte range, and notice what the parser puts up with.
///
/// The parser reads on where text follows a closing quote. So a record that has a quote is looked at once more, as it
/// stands. Where the next quote is, is known for a whole buffer at a time: records without one cost nothing.
///
/// Lines without content are left out.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    /// How many bytes may still be read before the byte range is over.
    remaining: u64,
    delimiter: u8,
    parser: csv_core::Reader,
    buffer: Vec<u8>,
    /// Where the current record starts in the buffer, or what is left of it.
    record: usize,
    /// Up to where the buffer was parsed,
    start: usize,
    /// and filled.
    end: usize,
    /// How many bytes went through the buffer before what is in it.
    gone: usize,
    /// The first quote of the current record or behind it; the end where there is none.
    quote: usize,
    /// Where the current record starts, counted from the buffer that this began with.
    began: usize,
    /// The start of a record of which a part was dropped, as it is too long. Empty otherwise.
    dropped: Vec<u8>,
    /// The last byte before the buffer.
    last: u8,
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// How much of `fields` and `ends` the current record has filled.
    filled: (usize, usize),
    /// Line ends between records, which the parser never sees.
    blank_lines: u64,
    line: u64,
    within: bool,
    /// A carriage return stands before the current record, without a line feed.
    follows_return: bool,
}

impl<R: Read> Records<R> {
    /// Goes on with `input` after the bytes in `buffer`. No byte-order mark is stripped.
    pub(super) fn new(input: R, buffer: Vec<u8>, delimiter: u8) -> Self {
        let mut new = Self {
            input,
            remaining: u64::MAX,
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
            // Doubled again and again, it has room for the longest record, and hardly more.
            fields: vec![0; (1 << 10) + 1],
            ends: vec![0; 16],
            filled: (0, 0),
            blank_lines: 0,
            line: 1,
            within: false,
            follows_return: false,
        };
        new.find_quote(0);
        new
    }

    /// Ends the byte range after so many further bytes of the input; those already in the buffer belong to it.
    pub(super) fn read_at_most(&mut self, bytes: u64) {
        self.remaining = bytes;
    }

    /// The line up to which was read, from 1.
    pub(super) fn line(&self) -> u64 {
        self.parser.line() + self.blank_lines
    }

    /// Counts so many more lines above all that was and will be read.
    pub(super) fn move_down(&mut self, lines: u64) {
        self.blank_lines += lines;
        self.line += lines;
    }

    /// Leaves out so many bytes of the buffer, and lines.
    pub(super) fn skip(&mut self, bytes: usize, lines: u64) {
        self.start += bytes;
        self.blank_lines += lines;
        self.begin_anew();
    }

    /// How many bytes of the buffer that it began with were read.
    pub(super) fn consumed(&self) -> usize {
        self.gone + self.start
    }

    pub(super) fn input(&self) -> &R {
        &self.input
    }

    /// Goes on with another input after the bytes in the buffer.
    pub(super) fn attach<I>(self, input: I) -> Records<I> {
        let Self { delimiter, parser, buffer, record, start, end, gone, quote, .. } = self;
        let Self {
            began,
            dropped,
            last,
            fields,
            ends,
            filled,
            blank_lines,
            line,
            within,
            follows_return,
            ..
        } = self;
        let remaining = u64::MAX;
        Records {
            input,
            remaining,
            delimiter,
            parser,
            buffer,
            record,
            start,
            end,
            gone,
            quote,
            began,
            dropped,
            last,
            fields,
            ends,
            filled,
            blank_lines,
            line,
            within,
            follows_return,
        }
    }

    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        loop {
            if !self.within {
                self.skip_blank_lines();
            }
            if self.start == self.end {
                if self.remaining == 0 {
                    let boundary =
                        if self.within { Boundary::WithinRecord } else { Boundary::BetweenRecords };
                    return Ok(Next::RangeEnd(boundary));
                }
                if self.refill()? > 0 {
                    continue;
                }
                if !self.within {
                    return Ok(Next::InputEnd);
                }
                let flaw = self.finish();
                let raw = self.record..self.end;
                if self.is_blank(raw.clone()) {
                    self.begin_anew();
                    continue;
                }
                return Ok(Next::Record(self.record(raw, flaw, End::Input)));
            }
            if !self.within {
                self.within = true;
                self.dropped.clear();
                self.filled = (0, 0);
                self.record = self.start;
                self.began = self.gone + self.start;
                self.line = self.line();
                self.follows_return = self.last_byte() == b'\r';
            }
            let (result, read) = parse(
                &mut self.parser,
                &self.buffer[self.start..self.end],
                (&mut self.fields, &mut self.ends),
                &mut self.filled,
            );
            self.start += read;
            match result {
                csv_core::ReadRecordResult::Record => {
                    // The line end behind it is one byte: of `\r\n`, the second one comes before the next record.
                    let raw = self.record..self.start - 1;
                    if self.is_blank(raw.clone()) {
                        self.begin_anew();
                        continue;
                    }
                    return Ok(Next::Record(self.record(raw, None, End::Line)));
                }
                csv_core::ReadRecordResult::InputEmpty => {}
                // It is too long by then, so that nobody asks for its fields.
                csv_core::ReadRecordResult::OutputFull if self.fields.len() > LONGEST_RECORD => {
                    self.filled = (0, 0);
                }
                csv_core::ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                csv_core::ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                csv_core::ReadRecordResult::End => return Ok(Next::InputEnd),
            }
        }
    }

    /// The parser would take them for the space between records, too, but would not tell where the record starts.
    fn skip_blank_lines(&mut self) {
        while let Some(end @ (b'\n' | b'\r')) = self.buffer[..self.end].get(self.start) {
            self.blank_lines += u64::from(*end == b'\n');
            self.start += 1;
        }
    }

    /// Reads on behind what is left of the current record.
    fn refill(&mut self) -> io::Result<usize> {
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
        let most = usize::try_from(self.remaining).unwrap_or(CHUNK).min(CHUNK);
        if self.buffer.len() < self.end + most {
            self.buffer.resize(self.end + most, 0);
        }
        let read = loop {
            match self.input.read(&mut self.buffer[self.end..self.end + most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let before = self.end;
        self.end += read;
        self.remaining -= read as u64;
        if self.quote == before {
            self.find_quote(before);
        }
        Ok(read)
    }

    /// Lets go of what was read of a record that is too long, but for its start.
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

    /// Ends the last record, behind which there is no line end; or there is one, taken as part of a quoted field.
    fn finish(&mut self) -> Option<Flaw> {
        let line = self.parser.line();
        let is_open = !self.push(b"\n");
        self.parser.set_line(line);
        if is_open {
            self.push(&[]);
        }
        is_open.then_some(Flaw::OpenQuote)
    }

    /// Whether these bytes, of which there is at most one, end the record.
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

    /// Whether the current record, which is whole, has no content: it is a line that spreadsheets and exports leave.
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

    /// Goes on behind the current record, which is whole.
    #[inline]
    fn begin_anew(&mut self) {
        self.within = false;
        if self.quote < self.start {
            self.find_quote(self.start);
        }
    }

    #[inline]
    fn record(&mut self, raw: Range<usize>, flaw: Option<Flaw>, end: End) -> Record<'_> {
        let is_plain = self.quote >= self.start && flaw.is_none() && self.dropped.is_empty();
        let (flaw, lines, size) = if is_plain && raw.len() <= LONGEST_RECORD {
            (None, 1, raw.len())
        } else {
            self.look_closer(raw.clone(), flaw)
        };
        self.begin_anew();
        let raw = if self.dropped.is_empty() { &self.buffer[raw] } else { &self.dropped };
        Record {
            fields: &self.fields[..self.filled.0],
            ends: &self.ends[..self.filled.1],
            raw: if size > LONGEST_RECORD { &raw[..KEPT] } else { raw },
            size,
            line: self.line,
            lines,
            flaw,
            is_cut: matches!(end, End::Input),
            follows_return: self.follows_return,
        }
    }

    #[inline]
    fn last_byte(&self) -> u8 {
        self.start.checked_sub(1).map_or(self.last, |last| self.buffer[last])
    }

    /// What is wrong with the current record, on how many lines it stands, and how many bytes it has.
    #[cold]
    fn look_closer(&self, raw: Range<usize>, flaw: Option<Flaw>) -> (Option<Flaw>, u64, usize) {
        let size = self.size(&raw);
        let lines = self.line() - self.line + u64::from(self.last_byte() != b'\n');
        let flaw = match flaw {
            None if size > LONGEST_RECORD => Some(Flaw::TooLong),
            None if has_text_after_quote(&self.buffer[raw], self.delimiter) => Some(Flaw::TextAfterQuote),
            flaw => flaw,
        };
        (flaw, lines, size)
    }

    /// How many bytes the current record has, which ends where this does.
    #[inline]
    fn size(&self, raw: &Range<usize>) -> usize {
        self.gone + raw.end - self.began
    }
}

/// What ends a record.
#[derive(Clone, Copy)]
enum End {
    Line,
    Input,
}

fn parser(delimiter: u8) -> csv_core::Reader {
    let mut parser = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
    // At its very start the parser strips a byte-order mark. That was seen to already, and in the middle of a file the
    // same bytes are text: a line end lets the start go by.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of each record, and what is wrong with it.
    fn flaws(text: &[u8]) -> Vec<(u64, u64, Option<Flaw>)> {
        let mut records = Records::new(text, Vec::new(), b',');
        let mut found = Vec::new();
        while let Next::Record(record) = records.next().expect("memory can be read") {
            found.push((record.line, record.lines, record.flaw));
        }
        found
    }

    #[test]
    fn quotes_are_read_strictly() {
        use Flaw::{OpenQuote, TextAfterQuote};
        for (text, flaw) in [
            ("a,\"b\"", None),
            ("a,b\"", None),
            ("a, \"b\"", None),
            ("\"a\"\"\",\"\"\"b\"", None),
            ("a,\"b", Some(OpenQuote)),
            ("a,\"b\"\"", Some(OpenQuote)),
            ("a,\"b\"c", Some(TextAfterQuote)),
            ("\"a\" ,b", Some(TextAfterQuote)),
            ("a,\"b \"c\" d\"", Some(TextAfterQuote)),
            ("\"a\"b,\"c", Some(OpenQuote)),
        ] {
            for end in ["", "\n", "\r\n"] {
                if flaw == Some(OpenQuote) && !end.is_empty() {
                    continue;
                }
                assert_eq!(flaws(format!("{text}{end}").as_bytes()), [(1, 1, flaw)], "{text}{end:?}");
            }
        }
    }

    #[test]
    fn a_record_knows_on_how_many_lines_it_stands() {
        for (text, lines) in [
            ("a,b", 1),
            ("a,b\n", 1),
            ("a,b\r", 1),
            ("a,\"b\nc\"", 2),
            ("a,\"b\nc\"\r\n", 2),
            ("a,\"b\n\n", 2),
            ("a,\"b\nc", 2),
        ] {
            assert_eq!(flaws(text.as_bytes())[0].1, lines, "{text:?}");
        }
    }

    #[test]
    fn lines_without_content_are_left_out() {
        for blank in
            ["", "\"", ",,", " , ", "\"\",\"\"", "\u{a0},\u{3000}", "\t", "\u{1a}", ",\u{1a} ", "\"\n\""]
        {
            for text in [format!("{blank}\na"), format!("{blank}\r\na")] {
                let found = flaws(text.as_bytes());
                let is_open = blank == "\"";
                assert_eq!(found.len(), 1, "{text:?}");
                assert_eq!(found[0].2, is_open.then_some(Flaw::OpenQuote), "{text:?}");
            }
            assert_eq!(flaws(blank.as_bytes()), [], "{blank:?}");
        }
        for text in ["0", ",0", "\u{1a}a", "\u{1a}\u{1a}", "\0", "\"\u{200b}\""] {
            assert_eq!(flaws(text.as_bytes()).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn no_more_is_kept_of_a_record_than_it_may_have() {
        for (more, flaw) in [(0, None), (1, Some(Flaw::TooLong)), (3 * CHUNK, Some(Flaw::TooLong))] {
            let long = [b"a,".repeat(LONGEST_RECORD / 2), vec![b'x'; more]].concat();
            for (end, lines) in [(&b""[..], 1), (b"\n", 1), (b"\nb", 2)] {
                let found = flaws(&[&long[..], end].concat());
                assert_eq!((found[0], found.len()), ((1, 1, flaw), lines), "{more} {end:?}");
            }
        }
        let open = [&b"a\n\""[..], &b"xxxxxxx\n".repeat(3 << 20)].concat();
        let mut records = Records::new(&open[..], Vec::new(), b',');
        records.next().expect("memory can be read");
        let Ok(Next::Record(record)) = records.next() else { panic!("there is a record") };
        assert_eq!((record.flaw, record.lines, record.raw.len()), (Some(Flaw::OpenQuote), 3 << 20, KEPT));
        assert_eq!(record.size, open.len() - 2);
        assert!(records.buffer.len() + records.fields.len() <= 4 * CHUNK);
    }
}
