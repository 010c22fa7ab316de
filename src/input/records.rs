//! From decoded bytes to records.

use std::io::{self, Read};

/// How many bytes are asked of the input at once.
const CHUNK: usize = 256 << 10;

/// The most bytes of one record. A quote that is never closed takes in all that follows; it must not take all memory.
pub(super) const LONGEST_RECORD: usize = 512 << 20;

/// The fields of one record, unquoted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    fields: &'a [u8],
    ends: &'a [usize],
    /// The line where it starts, from 1.
    pub(super) line: u64,
    /// The input ended inside a quoted field.
    pub(super) torn: bool,
}

impl<'a> Record<'a> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes all fields have.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.fields.len()
    }

    /// The field of this number. Panics if there are not so many.
    #[inline]
    pub(super) fn get(&self, number: usize) -> &'a [u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.fields[start..self.ends[number]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'_, 'a> {
        (0..self.len()).map(|number| self.get(number))
    }
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next<'a> {
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

/// Why there is no next record.
#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    Endless,
}

/// Reads records with the csv crate's parser, which this feeds itself: it has to know the line where each record really
/// starts, stop at the end of a byte range, and notice a quote that is never closed.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    /// How many bytes may still be read before the byte range is over.
    remaining: u64,
    parser: csv_core::Reader,
    buffer: Vec<u8>,
    start: usize,
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// How much of `fields` and `ends` the current record has filled.
    filled: (usize, usize),
    /// Line ends between records, which the parser never sees.
    blank_lines: u64,
    line: u64,
    within: bool,
}

impl<R: Read> Records<R> {
    /// Goes on with `input` after the bytes in `buffer`. No byte-order mark is stripped.
    pub(super) fn new(input: R, buffer: Vec<u8>, delimiter: u8) -> Self {
        Self {
            input,
            remaining: u64::MAX,
            parser: parser(delimiter),
            buffer,
            start: 0,
            fields: vec![0; 1 << 10],
            ends: vec![0; 16],
            filled: (0, 0),
            blank_lines: 0,
            line: 1,
            within: false,
        }
    }

    /// Ends the byte range after so many further bytes of the input; those already in the buffer belong to it.
    pub(super) fn read_at_most(&mut self, bytes: u64) {
        self.remaining = bytes;
    }

    /// The line up to which was read, from 1.
    pub(super) fn line(&self) -> u64 {
        self.parser.line() + self.blank_lines
    }

    /// The line where the current record starts, from 1.
    pub(super) fn record_line(&self) -> u64 {
        self.line
    }

    /// Counts so many more lines above all that was and will be read.
    pub(super) fn move_down(&mut self, lines: u64) {
        self.blank_lines += lines;
        self.line += lines;
    }

    /// How many bytes of the buffer were read.
    pub(super) fn consumed(&self) -> usize {
        self.start
    }

    pub(super) fn input(&self) -> &R {
        &self.input
    }

    /// Goes on with another input after the bytes in the buffer.
    pub(super) fn attach<I>(self, input: I) -> Records<I> {
        let Self { parser, buffer, start, fields, ends, filled, blank_lines, line, within, .. } = self;
        let remaining = u64::MAX;
        Records { input, remaining, parser, buffer, start, fields, ends, filled, blank_lines, line, within }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<Next<'_>, Broken> {
        if !self.within {
            self.filled = (0, 0);
        }
        loop {
            if !self.within {
                self.skip_blank_lines();
            }
            if self.start == self.buffer.len() {
                if self.remaining == 0 {
                    let boundary =
                        if self.within { Boundary::WithinRecord } else { Boundary::BetweenRecords };
                    return Ok(Next::RangeEnd(boundary));
                }
                if self.refill().map_err(Broken::Io)? == 0 {
                    return Ok(self.finish());
                }
                continue;
            }
            if !self.within {
                self.within = true;
                self.line = self.line();
            }
            let (result, read) = parse(
                &mut self.parser,
                &self.buffer[self.start..],
                (&mut self.fields, &mut self.ends),
                &mut self.filled,
            );
            self.start += read;
            match result {
                csv_core::ReadRecordResult::Record => return Ok(Next::Record(self.record(Torn::No))),
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::OutputFull if self.fields.len() >= LONGEST_RECORD => {
                    return Err(Broken::Endless);
                }
                csv_core::ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                csv_core::ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                csv_core::ReadRecordResult::End => return Ok(Next::InputEnd),
            }
        }
    }

    /// The parser would take them for the space between records, too, but would not tell where the record starts.
    fn skip_blank_lines(&mut self) {
        while let Some(end @ (b'\n' | b'\r')) = self.buffer.get(self.start) {
            self.blank_lines += u64::from(*end == b'\n');
            self.start += 1;
        }
    }

    fn refill(&mut self) -> io::Result<usize> {
        let most = usize::try_from(self.remaining).unwrap_or(CHUNK).min(CHUNK);
        self.buffer.resize(most, 0);
        self.start = 0;
        let read = loop {
            match self.input.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(read.as_ref().copied().unwrap_or(0));
        self.remaining -= self.buffer.len() as u64;
        read
    }

    /// A line end ends the record, unless it is taken as part of a quoted field.
    fn finish(&mut self) -> Next<'_> {
        if !self.within {
            return Next::InputEnd;
        }
        let line = self.parser.line();
        let torn = if self.push(b"\n") { Torn::No } else { Torn::Yes };
        self.parser.set_line(line);
        if matches!(torn, Torn::Yes) {
            self.push(&[]);
            self.filled.0 -= 1;
            self.ends[self.filled.1 - 1] -= 1;
        }
        Next::Record(self.record(torn))
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

    fn record(&mut self, torn: Torn) -> Record<'_> {
        self.within = false;
        Record {
            fields: &self.fields[..self.filled.0],
            ends: &self.ends[..self.filled.1],
            line: self.line,
            torn: matches!(torn, Torn::Yes),
        }
    }
}

#[derive(Clone, Copy)]
enum Torn {
    Yes,
    No,
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

/// The record as one line of text, as the csv crate would write it.
pub(super) fn raw(record: &Record<'_>, delimiter: u8) -> Vec<u8> {
    line_of(record.iter(), delimiter)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_that_is_open_at_the_end_is_noticed() {
        for (text, torn) in
            [("a,\"b", true), ("a,\"b\"", false), ("a,b\"", false), ("\"", true), ("a,\"b\"\"", true)]
        {
            let mut records = Records::new(text.as_bytes(), Vec::new(), b',');
            let Ok(Next::Record(record)) = records.next() else { panic!("{text}: no record") };
            assert_eq!(record.torn, torn, "{text}");
        }
    }
}
