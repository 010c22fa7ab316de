//! Columns of numbers, in memory or in a temporary file.

use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::slice;
use std::sync::{Mutex, PoisonError};

use bytemuck::Pod;

use super::{TempFile, read_back};

/// A column in memory or in a temporary file.
#[derive(Debug)]
pub enum Column<T> {
    /// In memory.
    Memory(Vec<T>),
    /// In a temporary file.
    File(PagedColumn<T>),
}

/// Reads a range of a [`Column`] from its start to its end.
#[derive(Debug)]
pub enum ColumnReader<'a, T> {
    /// From memory.
    Memory(slice::Iter<'a, T>),
    /// From a temporary file.
    File(FileReader<T>),
}

/// Writes a [`Column`] from its start to its end.
#[derive(Debug)]
pub enum ColumnWriter<T> {
    /// To memory.
    Memory(Vec<T>),
    /// To a temporary file.
    File(FileWriter<T>),
}

/// A column of numbers, or of bytes, in a temporary file.
#[derive(Debug)]
pub struct FileColumn<T> {
    file: TempFile,
    /// Where its first byte is.
    place: u64,
    len: u64,
    of: PhantomData<fn() -> T>,
}

/// A column in a file that is asked for one number at a time, usually for one near the last.
#[derive(Debug)]
pub struct PagedColumn<T> {
    column: FileColumn<T>,
    page: Mutex<ColumnPage<T>>,
}

/// The part of a column that was read last.
#[derive(Debug)]
struct ColumnPage<T> {
    first: u64,
    numbers: Vec<T>,
}

/// Writes a column of a file from its start to its end.
#[derive(Debug)]
pub struct FileWriter<T> {
    column: FileColumn<T>,
    /// The most numbers that the column may have.
    most: u64,
    buffer: Vec<T>,
    capacity: usize,
}

/// Reads a range of a column of a file.
#[derive(Debug)]
pub struct FileReader<T> {
    column: FileColumn<T>,
    /// The next number to read from the file.
    next: u64,
    /// The end of the range.
    end: u64,
    buffer: Vec<T>,
    /// The next number to return, in the buffer.
    at: usize,
    capacity: usize,
}

impl<T: Pod> Column<T> {
    /// The number of numbers.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(numbers) => numbers.len(),
            Self::File(paged) => index(paged.column.len),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number at this position. Panics if a temporary file cannot be read.
    #[inline]
    pub fn get(&self, at: usize) -> T {
        match self {
            Self::Memory(numbers) => numbers[at],
            Self::File(paged) => read_back(paged.get(at as u64)),
        }
    }

    /// Reads a range; from a file, with a buffer of at most this size.
    pub fn reader(&self, range: Range<usize>, buffer_bytes: usize) -> ColumnReader<'_, T> {
        match self {
            Self::Memory(numbers) => ColumnReader::Memory(numbers[range].iter()),
            Self::File(paged) => {
                let range = range.start as u64..range.end as u64;
                ColumnReader::File(paged.column.reader(range, buffer_bytes))
            }
        }
    }

    /// A writer for a column of at most as many numbers, in the same place.
    pub fn writer(&self, buffer_bytes: usize) -> ColumnWriter<T> {
        match self {
            Self::Memory(_) => ColumnWriter::Memory(Vec::new()),
            Self::File(PagedColumn { column, .. }) => {
                ColumnWriter::File(column.file.writer(column.len, buffer_bytes))
            }
        }
    }

    /// Moves the column to a file, unless it is in one.
    pub fn move_to(&mut self, file: &TempFile) -> io::Result<()> {
        if let Self::Memory(numbers) = self {
            *self = Self::File(PagedColumn::new(file.write(numbers)?));
        }
        Ok(())
    }

    /// Moves the column to memory, unless it is there.
    pub fn load(&mut self) -> io::Result<()> {
        if let Self::File(paged) = self {
            *self = Self::Memory(paged.column.load()?);
        }
        Ok(())
    }

    /// Removes the numbers at positions for which `keep` returns false. It is called for each position, ascending.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool, buffer_bytes: usize) -> io::Result<()> {
        let mut positions = 0..;
        let mut keep = || positions.next().is_some_and(&mut keep);
        match self {
            Self::Memory(numbers) => {
                numbers.retain(|_| keep());
                numbers.shrink_to_fit();
            }
            Self::File(_) => {
                let mut kept = self.writer(buffer_bytes);
                let mut numbers = self.reader(0..self.len(), buffer_bytes);
                while let Some(number) = numbers.try_next()? {
                    if keep() {
                        kept.push(number)?;
                    }
                }
                *self = kept.finish()?;
            }
        }
        Ok(())
    }

    /// The numbers. Panics unless the column is in memory.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::Memory(numbers) => numbers,
            Self::File(_) => panic!("the column was moved to a file"),
        }
    }

    /// The numbers, to append to. Panics unless the column is in memory.
    #[inline]
    pub fn as_vec(&mut self) -> &mut Vec<T> {
        match self {
            Self::Memory(numbers) => numbers,
            Self::File(_) => panic!("the column was moved to a file"),
        }
    }

    /// How much memory it takes.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Memory(numbers) => numbers.capacity() * size_of::<T>(),
            Self::File(_) => 0,
        }
    }
}

impl<T: Pod> ColumnReader<'_, T> {
    /// The next number; `None` after the last one. Fails if a temporary file cannot be read.
    #[inline]
    pub fn try_next(&mut self) -> io::Result<Option<T>> {
        match self {
            Self::Memory(numbers) => Ok(numbers.next().copied()),
            Self::File(numbers) => numbers.try_next(),
        }
    }
}

impl<T: Pod> ColumnWriter<T> {
    /// The number of numbers so far.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(numbers) => numbers.len() as u64,
            Self::File(numbers) => numbers.len(),
        }
    }

    /// Whether there is none so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a number.
    #[inline]
    pub fn push(&mut self, number: T) -> io::Result<()> {
        match self {
            Self::Memory(numbers) => {
                numbers.push(number);
                Ok(())
            }
            Self::File(numbers) => numbers.push(number),
        }
    }

    /// The whole column.
    pub fn finish(self) -> io::Result<Column<T>> {
        Ok(match self {
            Self::Memory(mut numbers) => {
                numbers.shrink_to_fit();
                Column::Memory(numbers)
            }
            Self::File(numbers) => Column::File(PagedColumn::new(numbers.finish()?)),
        })
    }
}

impl<T> Clone for FileColumn<T> {
    fn clone(&self) -> Self {
        Self { file: self.file.clone(), ..*self }
    }
}

impl<T> FileColumn<T> {
    pub(super) fn reserve(file: &TempFile, len: u64) -> Self {
        let place = file.reserve(len * size_of::<T>() as u64);
        Self { file: file.clone(), place, len, of: PhantomData }
    }
}

impl<T: Pod> FileColumn<T> {
    /// The number of numbers.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `into` with the numbers from `first` on. It is an error if there are fewer.
    pub fn read(&self, first: u64, into: &mut [T]) -> io::Result<()> {
        if first + into.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_at(bytemuck::cast_slice_mut(into), self.place + first * size_of::<T>() as u64)
    }

    /// The number at this position.
    pub fn get(&self, at: u64) -> io::Result<T> {
        let mut number = [T::zeroed()];
        self.read(at, &mut number)?;
        Ok(number[0])
    }

    /// All numbers.
    pub fn load(&self) -> io::Result<Vec<T>> {
        let len = usize::try_from(self.len).map_err(io::Error::other)?;
        let mut numbers = vec![T::zeroed(); len];
        self.read(0, &mut numbers)?;
        Ok(numbers)
    }

    /// Reads a range, with a buffer of at most this size.
    pub fn reader(&self, range: Range<u64>, buffer_bytes: usize) -> FileReader<T> {
        let capacity = (buffer_bytes / size_of::<T>()).max(1);
        let Range { start: next, end } = range;
        FileReader { column: self.clone(), next, end, buffer: Vec::new(), at: 0, capacity }
    }

    pub(super) fn write_at(&self, first: u64, numbers: &[T]) -> io::Result<()> {
        self.file.write_at(bytemuck::cast_slice(numbers), self.place + first * size_of::<T>() as u64)
    }
}

impl<T: Pod> PagedColumn<T> {
    /// Bytes that are read at a time: a page of the file system.
    const BYTES: usize = 4096;

    /// Reads a column by pages.
    pub fn new(column: FileColumn<T>) -> Self {
        Self { column, page: Mutex::new(ColumnPage { first: 0, numbers: Vec::new() }) }
    }

    /// The column itself.
    pub fn column(&self) -> &FileColumn<T> {
        &self.column
    }

    /// The number at this position.
    pub fn get(&self, at: u64) -> io::Result<T> {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = page.get(at) {
            return Ok(number);
        }
        let len = (Self::BYTES / size_of::<T>()).max(1) as u64;
        let first = at - at % len;
        let count = len.min(self.column.len().saturating_sub(first));
        let mut numbers = std::mem::take(&mut page.numbers);
        numbers.resize(usize::try_from(count).map_err(io::Error::other)?, T::zeroed());
        self.column.read(first, &mut numbers)?;
        *page = ColumnPage { first, numbers };
        page.get(at).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl<T: Copy> ColumnPage<T> {
    fn get(&self, at: u64) -> Option<T> {
        let position = usize::try_from(at.checked_sub(self.first)?).ok()?;
        self.numbers.get(position).copied()
    }
}

impl<T: Pod> Clone for PagedColumn<T> {
    fn clone(&self) -> Self {
        Self::new(self.column.clone())
    }
}

impl<T: Pod> FileWriter<T> {
    pub(super) fn new(file: &TempFile, most: u64, buffer_bytes: usize) -> Self {
        let column = FileColumn { len: 0, ..FileColumn::reserve(file, most) };
        let capacity = (buffer_bytes / size_of::<T>()).max(1);
        Self { column, most, buffer: Vec::new(), capacity }
    }

    /// The number of numbers so far.
    pub fn len(&self) -> u64 {
        self.column.len + self.buffer.len() as u64
    }

    /// Whether there is none so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a number. Panics if the column was started for fewer.
    #[inline]
    pub fn push(&mut self, number: T) -> io::Result<()> {
        if self.buffer.len() == self.capacity {
            self.flush()?;
        }
        self.buffer.push(number);
        Ok(())
    }

    /// Appends numbers. Panics if the column was started for fewer.
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
    pub fn finish(mut self) -> io::Result<FileColumn<T>> {
        self.flush()?;
        Ok(self.column)
    }

    fn flush(&mut self) -> io::Result<()> {
        assert!(self.len() <= self.most, "a column grows beyond what was reserved for it");
        self.column.write_at(self.column.len, &self.buffer)?;
        self.column.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl<T: Pod> FileReader<T> {
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

    /// Passes the next `count` numbers to `piece`, in pieces. It is an error if there are fewer.
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
        let left = self.end - self.next.min(self.end);
        let len = usize::try_from(left).map_or(self.capacity, |left| left.min(self.capacity));
        self.buffer.resize(len, T::zeroed());
        self.at = 0;
        self.column.read(self.next, &mut self.buffer)?;
        self.next += len as u64;
        Ok(())
    }
}

fn index(len: u64) -> usize {
    usize::try_from(len).expect("positions in a column fit in 32 bits")
}
