//! Reads records and builds rows of them, until an input or a byte range ends.

use std::io::{self, Read};

use super::record::{Boundary, NextRecord, SyntaxError};
use super::record_reader::RecordReader;
use super::row_builder::{InputContext, RowBuilder};
use super::source::OpenedInput;
use super::{InputError, ReadOptions, Sink};

/// Why reading stopped.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReadEnd {
    Range(Boundary),
    Input,
}

/// The most lines at the end of an input that may be lost to an open quote. With more, the input is refused: a large
/// part of it could not be read.
const MOST_LINES_LOST: u64 = 100;

/// Builds rows of all records up to the end of the input or of the byte range.
pub(super) fn read_records<S: Sink, R: Read>(
    records: &mut RecordReader<R>,
    context: &InputContext<'_>,
    builder: &mut RowBuilder<S>,
) -> Result<ReadEnd, ReadError> {
    loop {
        match records.next() {
            Ok(NextRecord::Record(record)) => {
                if record.syntax_error == Some(SyntaxError::OpenQuote) && record.lines > MOST_LINES_LOST {
                    return Err(ReadError {
                        line: record.line,
                        kind: ReadErrorKind::OpenQuote { lines: record.lines },
                    });
                }
                let taken = builder.record(context, &record).and_then(|()| builder.check_memory());
                taken.map_err(|cause| ReadError::disk(cause, records))?;
            }
            Ok(NextRecord::InputEnd) => return Ok(ReadEnd::Input),
            Ok(NextRecord::RangeEnd(boundary)) => return Ok(ReadEnd::Range(boundary)),
            Err(cause) => return Err(ReadError { line: records.line(), kind: ReadErrorKind::Input(cause) }),
        }
    }
}

/// Why an input cannot be read on.
#[derive(Debug)]
pub(super) struct ReadError {
    line: u64,
    kind: ReadErrorKind,
}

#[derive(Debug)]
enum ReadErrorKind {
    Input(io::Error),
    OpenQuote { lines: u64 },
    Disk(io::Error),
}

impl ReadError {
    pub(super) fn disk<R: Read>(cause: io::Error, records: &RecordReader<R>) -> Self {
        Self { line: records.line(), kind: ReadErrorKind::Disk(cause) }
    }

    /// Adds to the line.
    pub(super) fn shift_lines(self, lines: u64) -> Self {
        Self { line: self.line + lines, ..self }
    }

    pub(super) fn into_input_error(
        self,
        opened: &OpenedInput,
        rows: u64,
        options: &ReadOptions,
    ) -> InputError {
        let Self { line, kind } = self;
        match kind {
            ReadErrorKind::Input(cause) => opened.read_error(cause, line, rows),
            ReadErrorKind::OpenQuote { lines } => {
                InputError::OpenQuote { input: opened.name.clone(), line, lines }
            }
            ReadErrorKind::Disk(cause) => InputError::disk(options, cause),
        }
    }
}
