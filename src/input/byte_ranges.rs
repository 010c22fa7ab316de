//! Reads a file in several threads, each of which reads a range of its bytes.
//!
//! A line end may be part of a quoted value, so it is only certain where a record starts once everything before it
//! has been read. Ranges after the first are read on the assumption that they start with a record. The result is used
//! if the range before it ends between two records. If not, it is dropped, and the range before it is read on through
//! this one.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;

use super::read_records::{ReadEnd, ReadError, read_records};
use super::record::Boundary;
use super::record_reader::RecordReader;
use super::row_builder::{InputContext, RowBuilder};
use super::{ReadOptions, ReadProgress, Sink};

/// How far to search for a line end. A file with longer lines is divided into fewer ranges.
const LONGEST_SEARCH: u64 = 1 << 20;

/// Reads a file from a position of its own, so that several threads can read it at the same time.
#[derive(Clone, Debug)]
pub(super) struct FileRange {
    file: Arc<File>,
    /// The position of the next byte.
    pub(super) at: u64,
    progress: Arc<ReadProgress>,
}

impl Read for FileRange {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        self.progress.add_bytes(read as u64);
        Ok(read)
    }
}

/// A file that is divided into ranges.
#[derive(Debug)]
pub(super) struct ByteRanges {
    file: Arc<File>,
    /// Where the ranges start, ascending. There are at least two.
    starts: Vec<u64>,
    progress: Arc<ReadProgress>,
}

impl ByteRanges {
    /// Divides a file from `start` to `size` at line ends; `None` if it is too small.
    pub(super) fn divide(
        file: File,
        start: u64,
        size: u64,
        options: &ReadOptions,
    ) -> io::Result<Option<Self>> {
        let file = Arc::new(file);
        let count = count(
            size.saturating_sub(start),
            options.bytes_per_thread,
            options.resources.threads.get() as u64,
        );
        let mut starts = vec![start];
        for number in 1..count {
            let about = start + (size - start) / count * number;
            let Some(line) = line_after(&file, about)? else { continue };
            if starts.last().is_some_and(|last| *last < line) && line < size {
                starts.push(line);
            }
        }
        Ok((starts.len() > 1).then(|| Self { file, starts, progress: Arc::clone(&options.progress) }))
    }

    /// Reads all ranges, the first of which starts on this line, after this byte. Returns the reader at the end of the file.
    pub(super) fn read<S: Sink>(
        &self,
        line: u64,
        last: u8,
        context: &InputContext<'_>,
        builder: &mut RowBuilder<S>,
    ) -> Result<RecordReader<FileRange>, ReadError> {
        thread::scope(|scope| {
            let later = (1..self.starts.len()).map(|number| {
                let mut fork = builder.fork();
                let mut records = self.records(number, context.delimiter);
                scope.spawn(move || {
                    let ending = read_records(&mut records, context, &mut fork);
                    (fork, records, ending)
                })
            });
            let later: Vec<_> = later.collect();
            let mut records = self.records(0, context.delimiter);
            records.shift_lines(line - 1);
            records.follow(last);
            let mut ending = read_records(&mut records, context, builder)?;
            for (number, thread) in (1..).zip(later) {
                let guessed = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                match ending {
                    ReadEnd::Range(Boundary::BetweenRecords)
                        if builder.dictionary.has_room_for(&guessed.0.dictionary) =>
                    {
                        let above = records.line() - 1;
                        let (fork, next, end) = guessed;
                        records = next;
                        records.shift_lines(above);
                        builder.join(fork, above).map_err(|cause| ReadError::disk(cause, &records))?;
                        ending = end.map_err(|trouble| trouble.shift_lines(above))?;
                    }
                    ReadEnd::Range(_) => {
                        let (fork, range, _) = guessed;
                        self.progress
                            .take_back(range.input().at - self.starts[number], fork.published_rows());
                        drop((fork, range));
                        records.read_at_most(self.len(number));
                        ending = read_records(&mut records, context, builder)?;
                    }
                    ReadEnd::Input => break,
                }
            }
            Ok(records)
        })
    }

    fn records(&self, number: usize, delimiter: u8) -> RecordReader<FileRange> {
        let range = FileRange {
            file: Arc::clone(&self.file),
            at: self.starts[number],
            progress: Arc::clone(&self.progress),
        };
        let mut records = RecordReader::new(range, Vec::new(), delimiter);
        records.read_at_most(self.len(number));
        records
    }

    /// The bytes of a range. The last one has no bound, so that it includes what is appended in the meantime.
    fn len(&self, number: usize) -> u64 {
        self.starts.get(number + 1).map_or(u64::MAX, |end| end - self.starts[number])
    }
}

fn count(bytes: u64, worth: NonZeroU64, threads: u64) -> u64 {
    (bytes / worth).min(threads)
}

/// The position after the first line end at or after this one.
fn line_after(file: &Arc<File>, place: u64) -> io::Result<Option<u64>> {
    // What is searched is read again.
    let range = FileRange { file: Arc::clone(file), at: place, progress: Arc::default() };
    let mut search = range.take(LONGEST_SEARCH);
    let mut chunk = [0; 4 << 10];
    let mut at = place;
    loop {
        let read = search.read(&mut chunk)?;
        if read == 0 {
            return Ok(None);
        }
        if let Some(end) = memchr::memchr(b'\n', &chunk[..read]) {
            return Ok(Some(at + end as u64 + 1));
        }
        at += read as u64;
    }
}
