//! Users whose values disagree, in memory or in a temporary file.

use std::io;

use super::BUFFER;
use crate::plan::conflict::EXAMPLES;
use crate::spill::{Reader, Store, Stored, Writer, read_back};

/// Values of one user that disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct UserConflict {
    pub(in crate::plan) user: u64,
    /// Distinct, in the order of the input.
    pub(in crate::plan) values: Vec<u32>,
}

/// Conflicts of one attribute, by user.
#[derive(Debug)]
pub(in crate::plan) enum ColumnConflicts {
    Memory(Vec<UserConflict>),
    /// Of each its user, how many values there are, and these.
    Stored(Stored<u64>),
}

/// Reads conflicts one after the other.
#[derive(Debug)]
enum ConflictReader<'a> {
    Memory(std::slice::Iter<'a, UserConflict>),
    Stored(Reader<u64>),
}

impl ColumnConflicts {
    pub(in crate::plan) fn iter(&self) -> impl Iterator<Item = UserConflict> + '_ {
        let mut walk = self.walk();
        std::iter::from_fn(move || read_back(walk.try_next()))
    }

    /// All of several columns that follow each other, in a temporary file.
    pub(in crate::plan) fn join<'a>(
        parts: impl Iterator<Item = &'a Self> + Clone,
        store: &Store,
    ) -> io::Result<Self> {
        let most = parts.clone().map(Self::numbers).sum();
        let mut writer = store.writer(most, BUFFER);
        for part in parts {
            let mut walk = part.walk();
            while let Some(conflict) = walk.try_next()? {
                write(&conflict, &mut writer)?;
            }
        }
        writer.seal().map(Self::Stored)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let bytes = |conflict: &UserConflict| {
            size_of::<UserConflict>() + conflict.values.capacity() * size_of::<u32>()
        };
        match self {
            Self::Memory(all) => all.iter().map(bytes).sum(),
            Self::Stored(_) => 0,
        }
    }

    /// The same in a temporary file, unless they are few.
    pub(super) fn store(self, store: &Store) -> io::Result<Self> {
        match &self {
            Self::Memory(all) if all.len() > EXAMPLES => Self::join(std::iter::once(&self), store),
            _ => Ok(self),
        }
    }

    fn walk(&self) -> ConflictReader<'_> {
        match self {
            Self::Memory(all) => ConflictReader::Memory(all.iter()),
            Self::Stored(all) => ConflictReader::Stored(all.reader(0, BUFFER)),
        }
    }

    /// How many numbers it takes to store them.
    fn numbers(&self) -> u64 {
        match self {
            Self::Memory(all) => all.iter().map(|conflict| 2 + conflict.values.len() as u64).sum(),
            Self::Stored(all) => all.len(),
        }
    }
}

impl ConflictReader<'_> {
    fn try_next(&mut self) -> io::Result<Option<UserConflict>> {
        let numbers = match self {
            Self::Memory(all) => return Ok(all.next().cloned()),
            Self::Stored(numbers) => numbers,
        };
        let Some(user) = numbers.try_next()? else { return Ok(None) };
        let mut next = || numbers.try_next()?.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof));
        let count = next()?;
        let values = (0..count).map(|_| u32::try_from(next()?).map_err(io::Error::other));
        Ok(Some(UserConflict { user, values: values.collect::<io::Result<_>>()? }))
    }
}

fn write(conflict: &UserConflict, to: &mut Writer<u64>) -> io::Result<()> {
    let UserConflict { user, values } = conflict;
    to.push(*user)?;
    to.push(values.len() as u64)?;
    values.iter().try_for_each(|&value| to.push(value.into()))
}
