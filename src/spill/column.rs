//! Columns of numbers, in memory or in a temporary file.

use std::io;
use std::ops::Range;
use std::slice;
use std::sync::{Mutex, PoisonError};

use bytemuck::Pod;

use super::{TempFile, read_back};

/// A column in memory or in a temporary file.
#[derive(Debug)]
pub(crate) enum Column<T> {
    /// In memory.
    Memory(Vec<T>),
    /// In a temporary file.
    File(FileColumn<T>),
}

/// Reads a range of a [`Column`] from its start to its end.
#[derive(Debug)]
pub(crate) enum ColumnReader<'a, T> {
    /// From memory.
    Memory(slice::Iter<'a, T>),
    /// From a temporary file.
    File(FileReader<T>),
}

/// Writes a [`Column`] from its start to its end.
#[derive(Debug)]
pub(crate) enum ColumnWriter<T> {
    /// To memory.
    Memory(Vec<T>),
    /// To a temporary file.
    File(FileWriter<T>),
}

/// A column of numbers, or of bytes, in a temporary file.
#[derive(Debug)]
pub(crate) struct FileColumn<T> {
    file: TempFile,
    /// Where its first byte is.
    place: u64,
    len: u64,
    /// What was read last by [`get`](Self::get): the next number is usually near.
    page: Mutex<ColumnPage<T>>,
}

/// A part of a column.
#[derive(Debug)]
struct ColumnPage<T> {
    first: u64,
    numbers: Vec<T>,
}

/// Writes a column of a file from its start to its end.
#[derive(Debug)]
pub(crate) struct FileWriter<T> {
    column: FileColumn<T>,
    /// The most numbers that the column may have.
    most: u64,
    buffer: Vec<T>,
    capacity: usize,
}

/// Reads a range of a column of a file.
#[derive(Debug)]
pub(crate) struct FileReader<T> {
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
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(numbers) => numbers.len(),
            Self::File(column) => index(column.len),
        }
    }

    /// The number at this position. Panics if a temporary file cannot be read.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> T {
        match self {
            Self::Memory(numbers) => numbers[at],
            Self::File(column) => read_back(column.get(at as u64)),
        }
    }

    /// Reads a range; from a file, with a buffer of at most this size.
    pub(crate) fn reader(&self, range: Range<usize>, buffer_bytes: usize) -> ColumnReader<'_, T> {
        match self {
            Self::Memory(numbers) => ColumnReader::Memory(numbers[range].iter()),
            Self::File(column) => {
                let range = range.start as u64..range.end as u64;
                ColumnReader::File(column.reader(range, buffer_bytes))
            }
        }
    }

    /// A writer for a column of at most as many numbers, in the same place.
    pub(crate) fn writer(&self, buffer_bytes: usize) -> ColumnWriter<T> {
        match self {
            Self::Memory(_) => ColumnWriter::Memory(Vec::new()),
            Self::File(column) => ColumnWriter::File(column.file.writer(column.len, buffer_bytes)),
        }
    }

    /// Moves the column to a file, unless it is in one.
    pub(crate) fn move_to(&mut self, file: &TempFile) -> io::Result<()> {
        if let Self::Memory(numbers) = self {
            *self = Self::File(file.write(numbers)?);
        }
        Ok(())
    }

    /// Moves the column to memory, unless it is there.
    pub(crate) fn load(&mut self) -> io::Result<()> {
        if let Self::File(column) = self {
            *self = Self::Memory(column.load()?);
        }
        Ok(())
    }

    /// A copy of the numbers at positions for which `keep` returns true. It is called for each position, ascending.
    pub(crate) fn selected(
        &self,
        mut keep: impl FnMut(usize) -> bool,
        buffer_bytes: usize,
    ) -> io::Result<Self> {
        let (mut kept, mut numbers) = (self.writer(buffer_bytes), self.reader(0..self.len(), buffer_bytes));
        let mut positions = 0..;
        while let Some(number) = numbers.try_next()? {
            if positions.next().is_some_and(&mut keep) {
                kept.push(number)?;
            }
        }
        kept.finish()
    }

    /// Removes the numbers at positions for which `keep` returns false. It is called for each position, ascending.
    pub(crate) fn retain(
        &mut self,
        mut keep: impl FnMut(usize) -> bool,
        buffer_bytes: usize,
    ) -> io::Result<()> {
        let mut positions = 0..;
        let mut keep = || positions.next().is_some_and(&mut keep);
        match self {
            Self::Memory(numbers) => {
                numbers.retain(|_| keep());
                numbers.shrink_to_fit();
            }
            Self::File(_) => {
                *self = self.selected(|_| keep(), buffer_bytes)?;
            }
        }
        Ok(())
    }

    /// The numbers. Panics unless the column is in memory.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::Memory(numbers) => numbers,
            Self::File(_) => panic!("the column was moved to a file"),
        }
    }

    /// The numbers, to append to. Panics unless the column is in memory.
    #[inline]
    pub(crate) fn as_vec(&mut self) -> &mut Vec<T> {
        match self {
            Self::Memory(numbers) => numbers,
            Self::File(_) => panic!("the column was moved to a file"),
        }
    }

    /// How much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Memory(numbers) => numbers.capacity() * size_of::<T>(),
            Self::File(_) => 0,
        }
    }
}

impl<T: Pod> ColumnReader<'_, T> {
    /// The next number; `None` after the last one. Fails if a temporary file cannot be read.
    #[inline]
    pub(crate) fn try_next(&mut self) -> io::Result<Option<T>> {
        match self {
            Self::Memory(numbers) => Ok(numbers.next().copied()),
            Self::File(numbers) => numbers.try_next(),
        }
    }
}

impl<T: Pod> ColumnWriter<T> {
    /// The number of numbers so far.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(numbers) => numbers.len() as u64,
            Self::File(numbers) => numbers.len(),
        }
    }

    /// Appends a number.
    #[inline]
    pub(crate) fn push(&mut self, number: T) -> io::Result<()> {
        match self {
            Self::Memory(numbers) => {
                numbers.push(number);
                Ok(())
            }
            Self::File(numbers) => numbers.push(number),
        }
    }

    /// The whole column.
    pub(crate) fn finish(self) -> io::Result<Column<T>> {
        Ok(match self {
            Self::Memory(mut numbers) => {
                numbers.shrink_to_fit();
                Column::Memory(numbers)
            }
            Self::File(numbers) => Column::File(numbers.finish()?),
        })
    }
}

impl<T> Clone for FileColumn<T> {
    fn clone(&self) -> Self {
        Self { file: self.file.clone(), place: self.place, len: self.len, page: Mutex::default() }
    }
}

impl<T> FileColumn<T> {
    pub(super) fn reserve(file: &TempFile, len: u64) -> Self {
        let place = file.reserve(len * size_of::<T>() as u64);
        Self { file: file.clone(), place, len, page: Mutex::default() }
    }
}

impl<T: Pod> FileColumn<T> {
    /// The bytes of a page: a page of the file system.
    const PAGE_BYTES: usize = 4096;

    /// The number of numbers.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `into` with the numbers from `first` on. It is an error if there are fewer.
    pub(crate) fn read(&self, first: u64, into: &mut [T]) -> io::Result<()> {
        if first + into.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_at(bytemuck::cast_slice_mut(into), self.place + first * size_of::<T>() as u64)
    }

    /// The number at this position. Reads a page around it, unless that was read last.
    pub(crate) fn get(&self, at: u64) -> io::Result<T> {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = page.get(at) {
            return Ok(number);
        }
        let len = (Self::PAGE_BYTES / size_of::<T>()).max(1) as u64;
        let first = at - at % len;
        let count = len.min(self.len.saturating_sub(first));
        let mut numbers = std::mem::take(&mut page.numbers);
        numbers.resize(usize::try_from(count).map_err(io::Error::other)?, T::zeroed());
        self.read(first, &mut numbers)?;
        *page = ColumnPage { first, numbers };
        page.get(at).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// All numbers.
    pub(crate) fn load(&self) -> io::Result<Vec<T>> {
        let len = usize::try_from(self.len).map_err(io::Error::other)?;
        let mut numbers = vec![T::zeroed(); len];
        self.read(0, &mut numbers)?;
        Ok(numbers)
    }

    /// Reads a range, with a buffer of at most this size.
    pub(crate) fn reader(&self, range: Range<u64>, buffer_bytes: usize) -> FileReader<T> {
        let capacity = (buffer_bytes / size_of::<T>()).max(1);
        let Range { start: next, end } = range;
        FileReader { column: self.clone(), next, end, buffer: Vec::new(), at: 0, capacity }
    }

    pub(super) fn write_at(&self, first: u64, numbers: &[T]) -> io::Result<()> {
        self.file.write_at(bytemuck::cast_slice(numbers), self.place + first * size_of::<T>() as u64)
    }
}

impl<T> Default for ColumnPage<T> {
    fn default() -> Self {
        Self { first: 0, numbers: Vec::new() }
    }
}

impl<T: Copy> ColumnPage<T> {
    fn get(&self, at: u64) -> Option<T> {
        let position = usize::try_from(at.checked_sub(self.first)?).ok()?;
        self.numbers.get(position).copied()
    }
}

impl<T: Pod> FileWriter<T> {
    pub(super) fn new(file: &TempFile, most: u64, buffer_bytes: usize) -> Self {
        let column = FileColumn { len: 0, ..FileColumn::reserve(file, most) };
        let capacity = (buffer_bytes / size_of::<T>()).max(1);
        Self { column, most, buffer: Vec::new(), capacity }
    }

    /// The number of numbers so far.
    pub(crate) fn len(&self) -> u64 {
        self.column.len + self.buffer.len() as u64
    }

    /// Appends a number. Panics if the column was started for fewer.
    #[inline]
    pub(crate) fn push(&mut self, number: T) -> io::Result<()> {
        if self.buffer.len() == self.capacity {
            self.flush()?;
        }
        self.buffer.push(number);
        Ok(())
    }

    /// Appends numbers. Panics if the column was started for fewer.
    pub(crate) fn extend(&mut self, mut numbers: &[T]) -> io::Result<()> {
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
    pub(crate) fn finish(mut self) -> io::Result<FileColumn<T>> {
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
    pub(crate) fn try_next(&mut self) -> io::Result<Option<T>> {
        if self.at == self.buffer.len() {
            self.fill()?;
        }
        let number = self.buffer.get(self.at).copied();
        self.at += usize::from(number.is_some());
        Ok(number)
    }

    /// Passes the next `count` numbers to `piece`, in pieces. It is an error if there are fewer.
    pub(crate) fn take(
        &mut self,
        mut count: u64,
        mut piece: impl FnMut(&[T]) -> io::Result<()>,
    ) -> io::Result<()> {
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
