//! Temporary files for what does not fit in memory, and the bounds that say when this is so.
//!
//! The files have no names, so they disappear with the process, however it ends, and only their owner can read them.
//! They hold columns of numbers, laid out as in memory. No other program reads them, so they carry neither a version
//! nor a byte order.

mod column;

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Pod;

pub(crate) use column::{Column, ColumnReader, ColumnWriter, FileColumn, FileReader, FileWriter};

/// What reading, planning and the ledger may use of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// The most threads.
    pub threads: NonZeroUsize,
    /// About how many bytes of memory, whatever the size of the inputs; the rest goes to temporary files. The fixed
    /// size of the program, some ten megabytes, is not counted.
    pub memory: u64,
    /// The directory of temporary files; `None` for the system's.
    pub temp_dir: Option<PathBuf>,
}

impl Default for Resources {
    /// One thread, and no bound on memory.
    fn default() -> Self {
        Self { threads: NonZeroUsize::MIN, memory: u64::MAX, temp_dir: None }
    }
}

/// Creates temporary files in one directory, and counts the bytes written to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct TempFiles {
    directory: Option<PathBuf>,
    written: Arc<AtomicU64>,
}

/// A temporary file. Copies share it, and it lasts as long as any of them. Several threads may use it at the same time.
#[derive(Clone, Debug)]
pub(crate) struct TempFile(Arc<SharedFile>);

#[derive(Debug)]
struct SharedFile {
    file: File,
    /// Where the next column starts.
    end: AtomicU64,
    written: Arc<AtomicU64>,
}

impl TempFiles {
    /// Files in this directory; with `None`, in the system's.
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        Self { directory, written: Arc::default() }
    }

    /// Creates a file.
    pub(crate) fn create(&self) -> io::Result<TempFile> {
        let file = match &self.directory {
            Some(directory) => tempfile::tempfile_in(directory)?,
            None => tempfile::tempfile()?,
        };
        let written = Arc::clone(&self.written);
        Ok(TempFile(Arc::new(SharedFile { file, end: AtomicU64::default(), written })))
    }

    /// The file in `slot`, which is created when it is first needed.
    pub(crate) fn get_or_create(&self, slot: &mut Option<TempFile>) -> io::Result<TempFile> {
        let file = match slot.take() {
            Some(file) => file,
            None => self.create()?,
        };
        Ok(slot.insert(file).clone())
    }

    /// The bytes written to all files so far, including those that are gone.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl TempFile {
    /// Writes a column.
    pub(crate) fn write<T: Pod>(&self, numbers: &[T]) -> io::Result<FileColumn<T>> {
        let column = FileColumn::reserve(self, numbers.len() as u64);
        column.write_at(0, numbers)?;
        Ok(column)
    }

    /// Starts a column of at most `most` numbers. It can be read once it is finished.
    pub(crate) fn writer<T: Pod>(&self, most: u64, buffer_bytes: usize) -> FileWriter<T> {
        FileWriter::new(self, most, buffer_bytes)
    }

    /// Reserves space for a column, and returns where it starts.
    fn reserve(&self, bytes: u64) -> u64 {
        // Aligned, for the file system's sake alone.
        self.0.end.fetch_add(bytes.next_multiple_of(8), Ordering::Relaxed)
    }

    fn read_at(&self, into: &mut [u8], place: u64) -> io::Result<()> {
        self.0.file.read_exact_at(into, place)
    }

    fn write_at(&self, bytes: &[u8], place: u64) -> io::Result<()> {
        self.0.file.write_all_at(bytes, place)?;
        self.0.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// The fewest bytes that are worth moving to a file at a time, for this number of attributes. Each move leaves a record
/// of its places in memory for each attribute. With very many attributes, small moves would cost more than they save.
pub(crate) fn least_worth(attributes: usize) -> u64 {
    const FEW_ATTRIBUTES: usize = 1 << 10;
    const BYTES_PER_ATTRIBUTE: u64 = 2 << 10;
    attributes.saturating_sub(FEW_ATTRIBUTES) as u64 * BYTES_PER_ATTRIBUTE
}

/// The result of reading a temporary file, for callers that cannot fail. Panics if the file cannot be read: it stands
/// in for memory, and the program cannot go on without that either.
pub(crate) fn read_back<T>(read: io::Result<T>) -> T {
    read.unwrap_or_else(|error| panic!("a temporary file cannot be read back: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn columns_come_back_as_they_were_written(
            columns in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..3000), 0..6),
            buffer in 1..40_usize,
        ) {
            let files = TempFiles::default();
            let file = files.create().unwrap();
            let mut written: Vec<FileWriter<u32>> =
                columns.iter().map(|column| file.writer(column.len() as u64, buffer)).collect();
            for (column, writer) in columns.iter().zip(&mut written) {
                let (pushed, extended) = column.split_at(column.len() / 2);
                for &number in pushed {
                    writer.push(number).unwrap();
                }
                writer.extend(extended).unwrap();
            }
            for (column, writer) in columns.iter().zip(written) {
                let stored = writer.finish().unwrap();
                prop_assert_eq!(&stored.load().unwrap(), column);
                let first = column.len() / 3;
                let mut reader = stored.reader(first as u64..stored.len(), buffer);
                for &number in &column[first..] {
                    prop_assert_eq!(reader.try_next().unwrap(), Some(number));
                }
                prop_assert_eq!(reader.try_next().unwrap(), None);
                for (at, &number) in column.iter().enumerate().rev().chain(column.iter().enumerate().step_by(7)) {
                    prop_assert_eq!(stored.get(at as u64).unwrap(), number);
                }
                prop_assert!(stored.get(column.len() as u64).is_err());
                let (mut reader, mut taken) = (stored.reader(0..stored.len(), buffer), Vec::new());
                reader.take(stored.len(), |piece| { taken.extend_from_slice(piece); Ok(()) }).unwrap();
                prop_assert_eq!(&taken, column);
            }
            prop_assert_eq!(files.written_bytes(), columns.concat().len() as u64 * 4);
        }
    }

    #[test]
    fn what_was_cut_off_is_an_error() {
        let file = TempFiles::default().create().unwrap();
        let stored = file.write(&[1_u64, 2, 3]).unwrap();
        let read = |at| {
            let mut number = [0];
            stored.read(at, &mut number).map(|()| number[0])
        };
        assert!(read(3).is_err());
        file.0.file.set_len(16).unwrap();
        assert_eq!(read(1).unwrap(), 2);
        assert_eq!(read(2).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn no_directory_is_an_error() {
        let missing = tempfile::tempdir().unwrap().path().join("missing");
        assert!(TempFiles::new(Some(missing)).create().is_err());
    }
}
