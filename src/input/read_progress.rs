//! Counts what is read, so that it can be shown while reading goes on.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Source;

/// How much has been read so far. One thread can look at it while others read.
///
/// Readers count blocks of bytes and thousands of rows at a time, so that counting takes no time that could be measured.
#[derive(Debug, Default)]
pub struct ReadProgress {
    bytes: AtomicU64,
    /// 0 if it is not known.
    bytes_total: AtomicU64,
    rows: AtomicU64,
    has_ended: AtomicBool,
}

/// What [`ReadProgress`] has counted at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadSoFar {
    /// Bytes of the inputs, before decompression.
    pub bytes: u64,
    /// The size of all inputs; `None` if one of them is not a regular file.
    pub bytes_total: Option<u64>,
    /// Rows, whatever becomes of them.
    pub rows: u64,
    /// Whether that is all.
    pub has_ended: bool,
}

impl ReadProgress {
    /// What was read so far.
    pub fn so_far(&self) -> ReadSoFar {
        let total = self.bytes_total.load(Ordering::Relaxed);
        ReadSoFar {
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_total: (total > 0).then_some(total),
            rows: self.rows.load(Ordering::Relaxed),
            has_ended: self.has_ended.load(Ordering::Relaxed),
        }
    }

    pub(super) fn expect(&self, sources: &[Source]) {
        let total: Option<u64> = sources.iter().map(size).sum();
        self.bytes_total.store(total.unwrap_or_default(), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Takes back what was counted and will be read again.
    pub(super) fn take_back(&self, bytes: u64, rows: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.rows.fetch_sub(rows, Ordering::Relaxed);
    }
}

/// The size of a source, if it is a regular file.
fn size(source: &Source) -> Option<u64> {
    let metadata = match source {
        Source::File(path) => fs::metadata(path).ok()?,
        Source::Stdin => File::from(io::stdin().as_fd().try_clone_to_owned().ok()?).metadata().ok()?,
    };
    metadata.is_file().then_some(metadata.len())
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU64, NonZeroUsize};

    use super::super::{ReadOptions, Renumber, Row, Sink, read};
    use super::*;
    use crate::spill::Resources;

    #[derive(Debug)]
    struct Nowhere;

    impl Sink for Nowhere {
        fn accept(&mut self, _: Row) {}
        fn dictionary_spilled(&mut self, _: u32) {}
        fn fork(&self) -> Self {
            Self
        }
        fn join(&mut self, _: Self, _: &Renumber) {}
    }

    /// What is counted when these inputs are read, one after the other.
    fn counted(inputs: &[&[u8]], threads: usize) -> (ReadSoFar, u64) {
        let directory = tempfile::tempdir().unwrap();
        let path = |number: usize| directory.path().join(number.to_string());
        let sources: Vec<_> = (0..inputs.len()).map(|number| Source::File(path(number))).collect();
        for (number, input) in inputs.iter().enumerate() {
            fs::write(path(number), input).unwrap();
        }
        let threads = NonZeroUsize::new(threads).unwrap();
        let options = ReadOptions {
            bytes_per_thread: NonZeroU64::MIN,
            resources: Resources { threads, ..Resources::default() },
            ..ReadOptions::default()
        };
        let reading = read(&sources, &options, Nowhere).unwrap();
        (options.progress.so_far(), reading.counts.read)
    }

    fn rows(lines: usize, value: &str) -> Vec<u8> {
        format!("user_id,attribute,value\n{}", format!("1,city,{value}\n").repeat(lines)).into_bytes()
    }

    #[test]
    fn in_the_end_all_bytes_and_rows_are_counted_once() {
        // Line ends in quotes: ranges that were read on a wrong assumption are read again.
        let quoted = rows(20_000, "\"a\n1,city,b\nc\"");
        let plain = rows(30_000, "Oslo");
        for threads in 1..4 {
            for inputs in [&[&plain[..], b"user_id,city\n"][..], &[&plain, &quoted], &[&quoted]] {
                let (so_far, read) = counted(inputs, threads);
                let bytes = inputs.iter().map(|input| input.len() as u64).sum();
                let expected = ReadSoFar { bytes, bytes_total: Some(bytes), rows: read, has_ended: true };
                assert_eq!(so_far, expected, "{threads} threads");
            }
        }
    }

    #[test]
    fn compressed_bytes_are_counted_as_they_are_in_the_file() {
        let compressed = zstd::encode_all(&rows(100_000, "Oslo")[..], 0).unwrap();
        let (so_far, read) = counted(&[&compressed], 2);
        let bytes = compressed.len() as u64;
        assert_eq!((so_far.bytes, so_far.bytes_total), (bytes, Some(bytes)));
        assert_eq!((so_far.rows, read), (100_000, 100_000));
    }
}
