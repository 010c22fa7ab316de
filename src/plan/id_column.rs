//! Columns of user numbers, in 32 bits each where their range allows it.

use std::io;
use std::ops::Range;

use crate::spill::{Column, ColumnReader, FileWriter, TempFile, read_back};

/// A range of user numbers, both ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) smallest: u64,
    pub(super) largest: u64,
}

impl Span {
    /// The largest number, less the smallest.
    pub(super) fn reach(self) -> u64 {
        self.largest - self.smallest
    }
}

/// User numbers, as offsets from a base where these fit 32 bits.
#[derive(Debug)]
pub(super) enum IdColumn {
    Narrow { base: u64, offsets: Column<u32> },
    Wide(Column<u64>),
}

/// Reads a range of an [`IdColumn`].
#[derive(Debug)]
pub(super) enum IdReader<'a> {
    Narrow { base: u64, offsets: ColumnReader<'a, u32> },
    Wide(ColumnReader<'a, u64>),
}

/// Writes an [`IdColumn`] to a temporary file.
#[derive(Debug)]
pub(super) enum IdWriter {
    Narrow { base: u64, offsets: FileWriter<u32> },
    Wide(FileWriter<u64>),
}

impl IdColumn {
    pub(super) fn narrow(base: u64, offsets: Vec<u32>) -> Self {
        Self::Narrow { base, offsets: Column::Memory(offsets) }
    }

    pub(super) fn wide(ids: Vec<u64>) -> Self {
        Self::Wide(Column::Memory(ids))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Narrow { offsets, .. } => offsets.len(),
            Self::Wide(ids) => ids.len(),
        }
    }

    #[inline]
    pub(super) fn get(&self, position: usize) -> u64 {
        match self {
            Self::Narrow { base, offsets } => base + u64::from(offsets.get(position)),
            Self::Wide(ids) => ids.get(position),
        }
    }

    /// Reads a range; from a file, with a buffer of at most this size.
    pub(super) fn reader(&self, range: Range<usize>, buffer_bytes: usize) -> IdReader<'_> {
        let buffer = |width: usize| range.len().saturating_mul(width).min(buffer_bytes);
        match self {
            Self::Narrow { base, offsets } => {
                let buffer = buffer(size_of::<u32>());
                IdReader::Narrow { base: *base, offsets: offsets.reader(range, buffer) }
            }
            Self::Wide(ids) => {
                let buffer = buffer(size_of::<u64>());
                IdReader::Wide(ids.reader(range, buffer))
            }
        }
    }

    pub(super) fn move_to(&mut self, file: &TempFile) -> io::Result<()> {
        match self {
            Self::Narrow { offsets, .. } => offsets.move_to(file),
            Self::Wide(ids) => ids.move_to(file),
        }
    }

    pub(super) fn load(&mut self) -> io::Result<()> {
        match self {
            Self::Narrow { offsets, .. } => offsets.load(),
            Self::Wide(ids) => ids.load(),
        }
    }

    /// Removes the numbers at positions for which `keep` returns false. It is called for each position, ascending.
    pub(super) fn retain(&mut self, keep: impl FnMut(usize) -> bool, buffer_bytes: usize) -> io::Result<()> {
        match self {
            Self::Narrow { offsets, .. } => offsets.retain(keep, buffer_bytes),
            Self::Wide(ids) => ids.retain(keep, buffer_bytes),
        }
    }

    /// A copy of the numbers at positions for which `keep` returns true. It is called for each position, ascending.
    pub(super) fn selected(&self, keep: impl FnMut(usize) -> bool, buffer_bytes: usize) -> io::Result<Self> {
        Ok(match self {
            Self::Narrow { base, offsets } => {
                Self::Narrow { base: *base, offsets: offsets.selected(keep, buffer_bytes)? }
            }
            Self::Wide(ids) => Self::Wide(ids.selected(keep, buffer_bytes)?),
        })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Narrow { offsets, .. } => offsets.memory_bytes(),
            Self::Wide(ids) => ids.memory_bytes(),
        }
    }
}

impl IdReader<'_> {
    /// The next number; `None` after the last one. Fails if a temporary file cannot be read.
    #[inline]
    pub(super) fn try_next(&mut self) -> io::Result<Option<u64>> {
        match self {
            Self::Narrow { base, offsets } => Ok(offsets.try_next()?.map(|offset| *base + u64::from(offset))),
            Self::Wide(ids) => ids.try_next(),
        }
    }
}

impl Iterator for IdReader<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        read_back(self.try_next())
    }
}

impl IdWriter {
    /// Starts a column of at most `most` numbers, all of them in the span.
    pub(super) fn new(file: &TempFile, most: u64, span: Span, buffer_bytes: usize) -> Self {
        if u32::try_from(span.reach()).is_ok() {
            Self::Narrow { base: span.smallest, offsets: file.writer(most, buffer_bytes) }
        } else {
            Self::Wide(file.writer(most, buffer_bytes))
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Narrow { offsets, .. } => offsets.len(),
            Self::Wide(ids) => ids.len(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, id: u64) -> io::Result<()> {
        match self {
            Self::Narrow { base, offsets } => {
                offsets.push(u32::try_from(id - *base).expect("all numbers are in the span"))
            }
            Self::Wide(ids) => ids.push(id),
        }
    }

    pub(super) fn finish(self) -> io::Result<IdColumn> {
        Ok(match self {
            Self::Narrow { base, offsets } => {
                IdColumn::Narrow { base, offsets: Column::File(offsets.finish()?) }
            }
            Self::Wide(ids) => IdColumn::Wide(Column::File(ids.finish()?)),
        })
    }
}
