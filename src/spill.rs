//! Memory's overflow: temporary files that hold what would be too much for it.
//!
//! They have no names, so that they are gone with the process, however it ends; and only their owner can read them.
//! Columns of numbers lie in them as in memory. Nothing else ever reads them, so they carry neither versions nor byte
//! orders.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::Pod;

/// Where temporary files are made, and how much was written to them.
#[derive(Clone, Debug, Default)]
pub struct Space {
    directory: Option<PathBuf>,
    written: Arc<AtomicU64>,
}

/// A temporary file. Copies share it; it lasts as long as any of them. Several threads may use it at the same time.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: File,
    /// Where nothing was written or reserved yet.
    end: AtomicU64,
    written: Arc<AtomicU64>,
}

/// A column of numbers, or of bytes, in a temporary file.
#[derive(Debug)]
pub struct Stored<T> {
    store: Store,
    /// Of its first byte.
    place: u64,
    len: u64,
    of: PhantomData<fn() -> T>,
}

/// A column that is asked for one number at a time, most often for one that lies near the last.
#[derive(Debug)]
pub struct Paged<T> {
    column: Stored<T>,
    page: Mutex<Page<T>>,
}

/// Numbers that lie side by side.
#[derive(Debug)]
struct Page<T> {
    first: u64,
    numbers: Vec<T>,
}

/// Writes a column from its start to its end.
#[derive(Debug)]
pub struct Writer<T> {
    column: Stored<T>,
    /// How much the column may grow to.
    room: u64,
    buffer: Vec<T>,
    capacity: usize,
}

/// Reads a column from some place on.
#[derive(Debug)]
pub struct Reader<T> {
    column: Stored<T>,
    /// The number that is read next from the file.
    next: u64,
    buffer: Vec<T>,
    /// The number that is handed out next, in the buffer.
    at: usize,
    capacity: usize,
}

impl Space {
    /// Makes files in this directory; with `None`, where the system has them.
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self { directory, written: Arc::default() }
    }

    /// Makes a file.
    pub fn store(&self) -> io::Result<Store> {
        let file = match &self.directory {
            Some(directory) => tempfile::tempfile_in(directory)?,
            None => tempfile::tempfile()?,
        };
        let written = Arc::clone(&self.written);
        Ok(Store(Arc::new(Shared { file, end: AtomicU64::default(), written })))
    }

    /// How many bytes were written to all of its files, those included that are gone.
    pub fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Store {
    /// Writes a column.
    pub fn put<T: Pod>(&self, numbers: &[T]) -> io::Result<Stored<T>> {
        let column = self.reserve(numbers.len() as u64);
        column.write(0, numbers)?;
        Ok(column)
    }

    /// Begins a column of at most so many numbers. Until it is sealed nobody can read it.
    pub fn writer<T: Pod>(&self, most: u64, buffer_bytes: usize) -> Writer<T> {
        let column = Stored { len: 0, ..self.reserve(most) };
        let capacity = (buffer_bytes / size_of::<T>()).max(1);
        Writer { column, room: most, buffer: Vec::new(), capacity }
    }

    fn reserve<T>(&self, len: u64) -> Stored<T> {
        // Numbers are aligned, for the file system's sake alone.
        let bytes = (len * size_of::<T>() as u64).next_multiple_of(8);
        let place = self.0.end.fetch_add(bytes, Ordering::Relaxed);
        Stored { store: self.clone(), place, len, of: PhantomData }
    }
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), ..*self }
    }
}

impl<T: Pod> Stored<T> {
    /// How many numbers it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The file that it is in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// As many numbers as there is room for, from this one on. It is an error if there are fewer.
    pub fn read(&self, first: u64, into: &mut [T]) -> io::Result<()> {
        if first + into.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let place = self.place + first * size_of::<T>() as u64;
        read_exact_at(&self.store.0.file, bytemuck::cast_slice_mut(into), place)
    }

    /// The number at this place.
    pub fn get(&self, at: u64) -> io::Result<T> {
        let mut number = [T::zeroed()];
        self.read(at, &mut number)?;
        Ok(number[0])
    }

    /// All of it.
    pub fn load(&self) -> io::Result<Vec<T>> {
        let len = usize::try_from(self.len).map_err(io::Error::other)?;
        let mut numbers = vec![T::zeroed(); len];
        self.read(0, &mut numbers)?;
        Ok(numbers)
    }

    /// Reads from this number on.
    pub fn reader(&self, first: u64, buffer_bytes: usize) -> Reader<T> {
        let capacity = (buffer_bytes / size_of::<T>()).max(1);
        Reader { column: self.clone(), next: first, buffer: Vec::new(), at: 0, capacity }
    }

    fn write(&self, first: u64, numbers: &[T]) -> io::Result<()> {
        let place = self.place + first * size_of::<T>() as u64;
        write_all_at(&self.store.0.file, bytemuck::cast_slice(numbers), place)?;
        self.store.0.written.fetch_add(size_of_val(numbers) as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl<T: Pod> Paged<T> {
    /// How many bytes are read at a time.
    const BYTES: usize = 4096;

    /// Of a column.
    pub fn new(column: Stored<T>) -> Self {
        Self { column, page: Mutex::new(Page { first: 0, numbers: Vec::new() }) }
    }

    /// The column itself.
    pub fn column(&self) -> &Stored<T> {
        &self.column
    }

    /// The number at this place.
    pub fn get(&self, at: u64) -> io::Result<T> {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = page.get(at) {
            return Ok(number);
        }
        let places = (Self::BYTES / size_of::<T>()).max(1) as u64;
        let first = at - at % places;
        let count = places.min(self.column.len().saturating_sub(first));
        let mut numbers = std::mem::take(&mut page.numbers);
        numbers.resize(usize::try_from(count).map_err(io::Error::other)?, T::zeroed());
        self.column.read(first, &mut numbers)?;
        *page = Page { first, numbers };
        page.get(at).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl<T: Copy> Page<T> {
    fn get(&self, at: u64) -> Option<T> {
        let place = usize::try_from(at.checked_sub(self.first)?).ok()?;
        self.numbers.get(place).copied()
    }
}

impl<T> Clone for Paged<T> {
    fn clone(&self) -> Self {
        let page = Mutex::new(Page { first: 0, numbers: Vec::new() });
        Self { column: self.column.clone(), page }
    }
}

impl<T: Pod> Writer<T> {
    /// How many numbers there are so far.
    pub fn len(&self) -> u64 {
        self.column.len + self.buffer.len() as u64
    }

    /// Whether there is none so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a number. Panics if the column was begun for fewer.
    #[inline]
    pub fn push(&mut self, number: T) -> io::Result<()> {
        if self.buffer.len() == self.capacity {
            self.flush()?;
        }
        self.buffer.push(number);
        Ok(())
    }

    /// Appends numbers. Panics if the column was begun for fewer.
    pub fn extend(&mut self, mut numbers: &[T]) -> io::Result<()> {
        while !numbers.is_empty() {
            if self.buffer.len() == self.capacity {
                self.flush()?;
            }
            let (now, later) = numbers.split_at(numbers.len().min(self.capacity - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            numbers = later;
        }
        Ok(())
    }

    /// The whole column.
    pub fn seal(mut self) -> io::Result<Stored<T>> {
        self.flush()?;
        Ok(self.column)
    }

    fn flush(&mut self) -> io::Result<()> {
        assert!(self.len() <= self.room, "a column grows beyond what was reserved for it");
        self.column.write(self.column.len, &self.buffer)?;
        self.column.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl<T: Pod> Reader<T> {
    /// The next number; `None` after the last one.
    #[inline]
    pub fn try_next(&mut self) -> io::Result<Option<T>> {
        if self.at == self.buffer.len() {
            self.fill()?;
        }
        let number = self.buffer.get(self.at).copied();
        self.at += usize::from(number.is_some());
        Ok(number)
    }

    /// Hands over the next so many numbers, in pieces. It is an error if there are fewer.
    pub fn take(&mut self, mut count: u64, mut piece: impl FnMut(&[T]) -> io::Result<()>) -> io::Result<()> {
        while count > 0 {
            if self.at == self.buffer.len() {
                self.fill()?;
            }
            let there = &self.buffer[self.at..];
            if there.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let len = usize::try_from(count).map_or(there.len(), |count| count.min(there.len()));
            piece(&there[..len])?;
            self.at += len;
            count -= len as u64;
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        let left = self.column.len - self.next.min(self.column.len);
        let len = usize::try_from(left).map_or(self.capacity, |left| left.min(self.capacity));
        self.buffer.resize(len, T::zeroed());
        self.at = 0;
        self.column.read(self.next, &mut self.buffer)?;
        self.next += len as u64;
        Ok(())
    }
}

/// The fewest bytes of so many attributes that are worth moving to a file at a time. Finding again what was moved takes
/// some memory of each attribute; of very many it would take more than was saved.
pub fn least_worth(attributes: usize) -> u64 {
    const FEW_ATTRIBUTES: usize = 1 << 10;
    const BYTES_PER_ATTRIBUTE: u64 = 2 << 10;
    attributes.saturating_sub(FEW_ATTRIBUTES) as u64 * BYTES_PER_ATTRIBUTE
}

/// What was read of a temporary file by one who has no other way to get at it. Panics if it can't be read: it stands in
/// for memory, and nothing can go on if memory fails.
pub fn read_back<T>(read: io::Result<T>) -> T {
    read.unwrap_or_else(|error| panic!("a temporary file cannot be read back: {error}"))
}

/// Reads some bytes from this place on, whatever other threads read: fewer than asked for, and 0 at the end.
pub fn read_at(file: &File, into: &mut [u8], place: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, into, place);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, into, place);
}

fn read_exact_at(file: &File, mut into: &mut [u8], mut place: u64) -> io::Result<()> {
    while !into.is_empty() {
        match read_at(file, into, place) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                into = &mut into[read..];
                place += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_all_at(file: &File, mut bytes: &[u8], mut place: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        #[cfg(unix)]
        let written = std::os::unix::fs::FileExt::write_at(file, bytes, place);
        #[cfg(windows)]
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, place);
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                place += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
            let space = Space::default();
            let store = space.store().unwrap();
            let mut written: Vec<Writer<u32>> =
                columns.iter().map(|column| store.writer(column.len() as u64, buffer)).collect();
            for (column, writer) in columns.iter().zip(&mut written) {
                let (pushed, extended) = column.split_at(column.len() / 2);
                for &number in pushed {
                    writer.push(number).unwrap();
                }
                writer.extend(extended).unwrap();
            }
            for (column, writer) in columns.iter().zip(written) {
                let stored = writer.seal().unwrap();
                prop_assert_eq!(&stored.load().unwrap(), column);
                let first = column.len() / 3;
                let mut reader = stored.reader(first as u64, buffer);
                for &number in &column[first..] {
                    prop_assert_eq!(reader.try_next().unwrap(), Some(number));
                }
                prop_assert_eq!(reader.try_next().unwrap(), None);
                let paged = Paged::new(stored.clone());
                for (at, &number) in column.iter().enumerate().rev().chain(column.iter().enumerate().step_by(7)) {
                    prop_assert_eq!(paged.get(at as u64).unwrap(), number);
                }
                prop_assert!(paged.get(column.len() as u64).is_err());
                let (mut reader, mut taken) = (stored.reader(0, buffer), Vec::new());
                reader.take(stored.len(), |piece| { taken.extend_from_slice(piece); Ok(()) }).unwrap();
                prop_assert_eq!(&taken, column);
            }
            prop_assert_eq!(space.written_bytes(), columns.concat().len() as u64 * 4);
        }
    }

    #[test]
    fn what_was_cut_off_is_an_error() {
        let stored = Space::default().store().unwrap().put(&[1_u64, 2, 3]).unwrap();
        assert!(stored.get(3).is_err());
        stored.store.0.file.set_len(16).unwrap();
        assert_eq!(stored.get(1).unwrap(), 2);
        assert_eq!(stored.get(2).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn no_directory_is_an_error() {
        let missing = tempfile::tempdir().unwrap().path().join("missing");
        assert!(Space::new(Some(missing)).store().is_err());
    }
}
