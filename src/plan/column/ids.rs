//! Users' numbers, in memory or in a temporary file.

use std::io;
use std::ops::Range;
use std::slice;

use super::BUFFER;
use crate::spill::{Paged, Reader, Store, Writer, read_back};

/// Users' numbers.
#[derive(Debug)]
pub(in crate::plan) enum Ids {
    Memory(Numbers<Vec<u32>, Vec<u64>>),
    Stored(Numbers<Paged<u32>, Paged<u64>>),
}

/// Numbers as they are, or in half as many bytes.
#[derive(Debug)]
pub(in crate::plan) enum Numbers<N, W> {
    /// Less this base.
    Narrow(u64, N),
    Wide(W),
}

/// Reads numbers one after the other.
#[derive(Debug)]
pub(in crate::plan) enum NumberReader<'a> {
    Memory(Numbers<slice::Iter<'a, u32>, slice::Iter<'a, u64>>),
    /// Ends after so many.
    Stored(Numbers<Reader<u32>, Reader<u64>>, usize),
}

/// Writes numbers to a temporary file.
pub(in crate::plan) type IdsWriter = Numbers<Writer<u32>, Writer<u64>>;

impl Ids {
    pub(in crate::plan) fn len(&self) -> usize {
        match self {
            Self::Memory(Numbers::Narrow(_, ids)) => ids.len(),
            Self::Memory(Numbers::Wide(ids)) => ids.len(),
            Self::Stored(Numbers::Narrow(_, ids)) => count(ids.column().len()),
            Self::Stored(Numbers::Wide(ids)) => count(ids.column().len()),
        }
    }

    #[inline]
    pub(in crate::plan) fn get(&self, place: usize) -> u64 {
        match self {
            Self::Memory(Numbers::Narrow(base, ids)) => base + u64::from(ids[place]),
            Self::Memory(Numbers::Wide(ids)) => ids[place],
            Self::Stored(Numbers::Narrow(base, ids)) => base + u64::from(read_back(ids.get(place as u64))),
            Self::Stored(Numbers::Wide(ids)) => read_back(ids.get(place as u64)),
        }
    }

    /// The numbers at these places.
    pub(in crate::plan) fn walk(&self, places: Range<usize>) -> NumberReader<'_> {
        self.walk_buffered(places, BUFFER)
    }

    /// The same with a buffer of at most so many bytes, if one is needed.
    pub(in crate::plan) fn walk_buffered(
        &self,
        places: Range<usize>,
        buffer_bytes: usize,
    ) -> NumberReader<'_> {
        let (first, len) = (places.start as u64, places.len());
        let buffer = |width: usize| len.saturating_mul(width).min(buffer_bytes);
        match self {
            Self::Memory(Numbers::Narrow(base, ids)) => {
                NumberReader::Memory(Numbers::Narrow(*base, ids[places].iter()))
            }
            Self::Memory(Numbers::Wide(ids)) => NumberReader::Memory(Numbers::Wide(ids[places].iter())),
            Self::Stored(Numbers::Narrow(base, ids)) => NumberReader::Stored(
                Numbers::Narrow(*base, ids.column().reader(first, buffer(size_of::<u32>()))),
                len,
            ),
            Self::Stored(Numbers::Wide(ids)) => {
                NumberReader::Stored(Numbers::Wide(ids.column().reader(first, buffer(size_of::<u64>()))), len)
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Memory(Numbers::Narrow(_, ids)) => ids.capacity() * size_of::<u32>(),
            Self::Memory(Numbers::Wide(ids)) => ids.capacity() * size_of::<u64>(),
            Self::Stored(_) => 0,
        }
    }

    pub(super) fn store(self, store: &Store) -> io::Result<Self> {
        Ok(Self::Stored(match self {
            Self::Memory(Numbers::Narrow(base, ids)) => Numbers::Narrow(base, Paged::new(store.put(&ids)?)),
            Self::Memory(Numbers::Wide(ids)) => Numbers::Wide(Paged::new(store.put(&ids)?)),
            Self::Stored(stored) => stored,
        }))
    }
}

impl Numbers<Vec<u32>, Vec<u64>> {
    pub(super) fn move_to(&mut self, from: usize, to: usize) {
        match self {
            Self::Narrow(_, ids) => ids[to] = ids[from],
            Self::Wide(ids) => ids[to] = ids[from],
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        match self {
            Self::Narrow(_, ids) => {
                ids.truncate(len);
                ids.shrink_to_fit();
            }
            Self::Wide(ids) => {
                ids.truncate(len);
                ids.shrink_to_fit();
            }
        }
    }
}

impl Numbers<Paged<u32>, Paged<u64>> {
    pub(super) fn store(&self) -> &Store {
        match self {
            Self::Narrow(_, ids) => ids.column().store(),
            Self::Wide(ids) => ids.column().store(),
        }
    }

    /// Begins numbers of the same width, no more of them, in the same file.
    pub(super) fn anew(&self) -> IdsWriter {
        match self {
            Self::Narrow(base, ids) => {
                Numbers::Narrow(*base, self.store().writer(ids.column().len(), BUFFER))
            }
            Self::Wide(ids) => Numbers::Wide(self.store().writer(ids.column().len(), BUFFER)),
        }
    }
}

impl IdsWriter {
    /// Begins at most so many numbers, none of them below the smallest or above the largest.
    pub(in crate::plan) fn new(store: &Store, most: u64, smallest: u64, largest: u64, buffer: usize) -> Self {
        if u32::try_from(largest - smallest).is_ok() {
            Self::Narrow(smallest, store.writer(most, buffer))
        } else {
            Self::Wide(store.writer(most, buffer))
        }
    }

    pub(in crate::plan) fn len(&self) -> u64 {
        match self {
            Self::Narrow(_, ids) => ids.len(),
            Self::Wide(ids) => ids.len(),
        }
    }

    #[inline]
    pub(in crate::plan) fn push(&mut self, number: u64) -> io::Result<()> {
        match self {
            Self::Narrow(base, ids) => {
                ids.push(u32::try_from(number - *base).expect("no number is larger than the largest"))
            }
            Self::Wide(ids) => ids.push(number),
        }
    }

    pub(in crate::plan) fn seal(self) -> io::Result<Ids> {
        Ok(Ids::Stored(match self {
            Self::Narrow(base, ids) => Numbers::Narrow(base, Paged::new(ids.seal()?)),
            Self::Wide(ids) => Numbers::Wide(Paged::new(ids.seal()?)),
        }))
    }
}

impl NumberReader<'_> {
    /// The next number; `None` after the last one. Fails if a temporary file can't be read.
    #[inline]
    pub(in crate::plan) fn try_next(&mut self) -> io::Result<Option<u64>> {
        Ok(match self {
            Self::Memory(Numbers::Narrow(base, ids)) => ids.next().map(|&id| *base + u64::from(id)),
            Self::Memory(Numbers::Wide(ids)) => ids.next().copied(),
            Self::Stored(_, 0) => None,
            Self::Stored(numbers, left) => {
                *left -= 1;
                match numbers {
                    Numbers::Narrow(base, ids) => ids.try_next()?.map(|id| *base + u64::from(id)),
                    Numbers::Wide(ids) => ids.try_next()?,
                }
            }
        })
    }
}

impl Iterator for NumberReader<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        read_back(self.try_next())
    }
}

fn count(len: u64) -> usize {
    usize::try_from(len).expect("places in a column are 32 bits wide")
}
