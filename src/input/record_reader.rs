//! Reads records from decoded bytes.

use std::io::{self, Read};

use super::record::{Boundary, NextRecord};
use super::splitter::{CHUNK, Split, Splitter};

/// Reads records from an input, up to the end of a byte range. It skips lines without content.
#[derive(Debug)]
pub(super) struct RecordReader<R> {
    input: R,
    /// The bytes to read until the byte range ends.
    remaining: u64,
    split: Splitter,
}

impl<R: Read> RecordReader<R> {
    /// Reads the bytes in `buffer`, and then `input`. A byte-order mark is not stripped.
    pub(super) fn new(input: R, buffer: Vec<u8>, delimiter: u8) -> Self {
        Self { input, remaining: u64::MAX, split: Splitter::new(buffer, delimiter) }
    }

    /// Ends the byte range after this number of further bytes of the input. What is in the buffer belongs to it.
    pub(super) fn read_at_most(&mut self, bytes: u64) {
        self.remaining = bytes;
    }

    /// The current line, from 1.
    pub(super) fn line(&self) -> u64 {
        self.split.line()
    }

    /// Adds to the line of all records to come.
    pub(super) fn shift_lines(&mut self, lines: u64) {
        self.split.shift_lines(lines);
    }

    /// The byte before the next one, 0 if there was none.
    pub(super) fn last_byte(&self) -> u8 {
        self.split.last_byte()
    }

    /// Says which byte precedes the first one.
    pub(super) fn follow(&mut self, last: u8) {
        self.split.follow(last);
    }

    /// Skips bytes of the buffer, and lines.
    pub(super) fn skip(&mut self, bytes: usize, lines: u64) {
        self.split.skip(bytes, lines);
    }

    /// The bytes that were read, counted from the start of the initial buffer.
    pub(super) fn consumed(&self) -> usize {
        self.split.consumed()
    }

    pub(super) fn input(&self) -> &R {
        &self.input
    }

    /// Continues with another input after the bytes in the buffer.
    pub(super) fn attach<I>(self, input: I) -> RecordReader<I> {
        RecordReader { input, remaining: u64::MAX, split: self.split }
    }

    #[inline]
    pub(super) fn next(&mut self) -> io::Result<NextRecord<'_>> {
        loop {
            match self.split.next() {
                Split::Blank => {}
                Split::Line(raw) => return Ok(NextRecord::Record(self.split.plain(raw))),
                Split::Record(raw) => return Ok(NextRecord::Record(self.split.parsed(raw, None))),
                Split::Empty if self.remaining == 0 => {
                    let within = self.split.is_within();
                    return Ok(NextRecord::RangeEnd(if within {
                        Boundary::WithinRecord
                    } else {
                        Boundary::BetweenRecords
                    }));
                }
                Split::Empty if self.refill()? > 0 => {}
                Split::Empty if !self.split.is_within() => return Ok(NextRecord::InputEnd),
                Split::Empty => {
                    if let Some((raw, flaw)) = self.split.finish() {
                        return Ok(NextRecord::Record(self.split.last(raw, flaw)));
                    }
                }
            }
        }
    }

    /// Reads more of the input into the buffer.
    fn refill(&mut self) -> io::Result<usize> {
        let most = usize::try_from(self.remaining).unwrap_or(CHUNK).min(CHUNK);
        let room = self.split.make_room(most);
        let read = loop {
            match self.input.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.split.extend(read);
        self.remaining -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{LONGEST_RECORD, SyntaxError};
    use super::super::splitter::KEPT;
    use super::*;

    /// The lines of each record, and what is wrong with it.
    fn flaws(text: &[u8]) -> Vec<(u64, u64, Option<SyntaxError>)> {
        let mut records = RecordReader::new(text, Vec::new(), b',');
        let mut found = Vec::new();
        while let NextRecord::Record(record) = records.next().expect("memory can be read") {
            found.push((record.line, record.lines, record.syntax_error));
        }
        found
    }

    #[test]
    fn quotes_are_read_strictly() {
        use SyntaxError::{OpenQuote, TextAfterQuote};
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
                assert_eq!(found[0].2, is_open.then_some(SyntaxError::OpenQuote), "{text:?}");
            }
            assert_eq!(flaws(blank.as_bytes()), [], "{blank:?}");
        }
        for text in ["0", ",0", "\u{1a}a", "\u{1a}\u{1a}", "\0", "\"\u{200b}\""] {
            assert_eq!(flaws(text.as_bytes()).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn no_more_is_kept_of_a_record_than_it_may_have() {
        for (more, flaw) in
            [(0, None), (1, Some(SyntaxError::TooLong)), (3 * CHUNK, Some(SyntaxError::TooLong))]
        {
            let long = [b"a,".repeat(LONGEST_RECORD / 2), vec![b'x'; more]].concat();
            for (end, lines) in [(&b""[..], 1), (b"\n", 1), (b"\nb", 2)] {
                let found = flaws(&[&long[..], end].concat());
                assert_eq!((found[0], found.len()), ((1, 1, flaw), lines), "{more} {end:?}");
            }
        }
        let open = [&b"a\n\""[..], &b"xxxxxxx\n".repeat(3 << 20)].concat();
        let mut records = RecordReader::new(&open[..], Vec::new(), b',');
        records.next().expect("memory can be read");
        let Ok(NextRecord::Record(record)) = records.next() else { panic!("there is a record") };
        assert_eq!(
            (record.syntax_error, record.lines, record.raw.len()),
            (Some(SyntaxError::OpenQuote), 3 << 20, KEPT)
        );
        assert_eq!(record.size, open.len() - 2);
        assert!(records.split.memory() <= 4 * CHUNK);
    }
}
