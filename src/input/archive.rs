//! Distinct texts, more of them than memory holds.
//!
//! While reading, what is in memory is put away whenever it has become too much, and numbers start from 0 again: that
//! ends an epoch. So one text may have several numbers, one in each epoch. When all is read, the epochs' texts, which
//! were sorted as they were put away, are merged, and equal ones are found as they meet. No step holds more than one
//! epoch's texts in memory.

use std::io;

use super::merge::{Holder, Merge};
use super::shelf::{Shelf, SortedTexts};
use super::texts::Texts;
use crate::spill::{Store, Stored, Writer};

/// Bytes of a buffer, where there is but one.
const LARGEST_BUFFER: usize = 64 << 10;
/// And where there are very many.
const SMALLEST_BUFFER: usize = 4 << 10;
/// Buffers that reading and renaming one shelf takes.
const BUFFERS: usize = 4;

/// The texts of one attribute, or the client's ids of users, by epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Archive {
    /// With their epochs, in the order of these. An epoch without texts has none.
    shelves: Vec<(u32, Shelf)>,
    /// By shelf, what each text is called now, by its place there. Empty until texts are unified, and where one shelf
    /// has all of them.
    names: Vec<Stored<u32>>,
    by: By,
}

/// What texts are called after unifying.
#[derive(Clone, Debug)]
enum By {
    /// By the number of their first coming, where those of an epoch follow on those of the one before. By shelf, how
    /// many are before it.
    Coming(Vec<u32>),
    /// By their place in the order of bytes.
    Rank(SortedTexts),
}

impl Default for By {
    fn default() -> Self {
        Self::Coming(Vec::new())
    }
}

impl Archive {
    /// Whether nothing was put away.
    pub(super) fn is_empty(&self) -> bool {
        self.shelves.is_empty()
    }

    /// Puts texts away as those of an epoch.
    pub(super) fn put(&mut self, epoch: u32, texts: &Texts, store: &Store) -> io::Result<()> {
        if texts.len() > 0 {
            self.shelves.push((epoch, Shelf::put(texts, store, LARGEST_BUFFER)?));
        }
        Ok(())
    }

    /// Takes over epochs, which follow so many of its own.
    pub(super) fn append(&mut self, before: u32, later: Self) {
        self.shelves.extend(later.shelves.into_iter().map(|(epoch, shelf)| (before + epoch, shelf)));
    }

    /// How many names there are, after unifying: some of them nobody has.
    pub(super) fn names(&self) -> u64 {
        match &self.by {
            By::Coming(_) => self.shelves().map(Shelf::len).sum(),
            By::Rank(texts) => texts.len(),
        }
    }

    /// Calls each text by the number of its first coming: these ascend as texts came for the first time.
    pub(super) fn unify_by_coming(&mut self, store: &Store, memory: u64) -> io::Result<()> {
        let before = self.number_by_coming()?;
        if before.len() > 1 {
            self.unify(store, memory, |_, holders| {
                let first = holders.iter().map(|holder| before[holder.shelf] + holder.number).min();
                Ok(first.expect("a text is held by somebody"))
            })?;
        }
        Ok(())
    }

    /// Gives all texts numbers in the order in which they came, equal ones different numbers. By shelf, how many are
    /// before it.
    pub(super) fn number_by_coming(&mut self) -> io::Result<Vec<u32>> {
        let mut before = 0_u32;
        let mut count = |shelf: &Shelf| {
            let after = u32::try_from(u64::from(before) + shelf.len()).map_err(|_more| too_many())?;
            Ok(std::mem::replace(&mut before, after))
        };
        let before = self.shelves().map(&mut count).collect::<io::Result<Vec<_>>>()?;
        self.by = By::Coming(before.clone());
        Ok(before)
    }

    /// Calls each text by its place in the order of bytes.
    pub(super) fn unify_by_rank(&mut self, store: &Store, memory: u64) -> io::Result<()> {
        let (count, bytes) = self
            .shelves()
            .fold((0, 0), |(count, bytes), shelf| (count + shelf.len(), bytes + shelf.joined_bytes()));
        let mut joined = store.writer::<u8>(bytes, LARGEST_BUFFER);
        let mut ends = store.writer::<u64>(count, LARGEST_BUFFER);
        self.unify(store, memory, |text, _| {
            let rank = u32::try_from(ends.len()).map_err(|_more| too_many())?;
            joined.extend(text)?;
            ends.push(joined.len())?;
            Ok(rank)
        })?;
        self.by = By::Rank(SortedTexts::new(joined.seal()?, ends.seal()?));
        Ok(())
    }

    /// By their numbers in an epoch, what texts are called now; `None` if each is called by its number.
    pub(super) fn renamed(&self, epoch: u32) -> io::Result<Option<Vec<u32>>> {
        let Ok(at) = self.shelves.binary_search_by_key(&epoch, |(epoch, _)| *epoch) else { return Ok(None) };
        self.names.get(at).map(|names| self.shelves[at].1.by_number(names)).transpose()
    }

    /// The text that has this name.
    pub(super) fn text(&self, name: u32) -> io::Result<String> {
        match &self.by {
            By::Rank(texts) => texts.get(name),
            By::Coming(before) => {
                let at = before.partition_point(|before| *before <= name) - 1;
                self.shelves[at].1.text(name - before[at])
            }
        }
    }

    /// Merges all shelves. `name` is told each text once, in the order of bytes, with all who hold it.
    fn unify(
        &mut self,
        store: &Store,
        memory: u64,
        mut name: impl FnMut(&[u8], &[Holder]) -> io::Result<u32>,
    ) -> io::Result<()> {
        let buffer = usize::try_from(memory).unwrap_or(usize::MAX) / (self.shelves.len() * BUFFERS).max(1);
        let buffer = buffer.clamp(SMALLEST_BUFFER, LARGEST_BUFFER);
        let mut names: Vec<Writer<u32>> =
            self.shelves().map(|shelf| store.writer(shelf.len(), buffer)).collect();
        let mut merge = Merge::new(self.shelves(), buffer)?;
        while let Some((text, holders)) = merge.try_next()? {
            let named = name(text, holders)?;
            for holder in holders {
                names[holder.shelf].push(named)?;
            }
        }
        self.names = names.into_iter().map(Writer::seal).collect::<io::Result<_>>()?;
        Ok(())
    }

    fn shelves(&self) -> impl Iterator<Item = &Shelf> {
        self.shelves.iter().map(|(_, shelf)| shelf)
    }
}

fn too_many() -> io::Error {
    io::Error::other("more than 2^32 distinct texts")
}
