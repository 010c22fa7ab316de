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
    /// By epoch. Those after the last one have no texts either.
    shelves: Vec<Option<Shelf>>,
    /// By epoch, what each text is called now, by its place on the shelf. Empty until texts are unified, and where one
    /// epoch has all of them.
    names: Vec<Option<Stored<u32>>>,
    by: By,
}

/// What texts are called after unifying.
#[derive(Clone, Debug)]
enum By {
    /// By the number of their first coming, where those of an epoch follow on those of the one before. By epoch, how
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
            self.shelves.resize(epoch as usize, None);
            self.shelves.push(Some(Shelf::put(texts, store, LARGEST_BUFFER)?));
        }
        Ok(())
    }

    /// Takes over epochs, which follow so many of its own.
    pub(super) fn append(&mut self, before: u32, later: Self) {
        if !later.is_empty() {
            self.shelves.resize(before as usize, None);
            self.shelves.extend(later.shelves);
        }
    }

    /// How many names there are, after unifying: some of them nobody has.
    pub(super) fn names(&self) -> u64 {
        match &self.by {
            By::Coming(_) => self.shelves.iter().flatten().map(Shelf::len).sum(),
            By::Rank(texts) => texts.len(),
        }
    }

    /// Calls each text by the number of its first coming: these ascend as texts came for the first time.
    pub(super) fn unify_by_coming(&mut self, store: &Store, memory: u64) -> io::Result<()> {
        let mut before = 0_u32;
        let mut count = |shelf: &Option<Shelf>| {
            let len = shelf.as_ref().map_or(0, Shelf::len);
            let after = u32::try_from(u64::from(before) + len).map_err(|_more| too_many())?;
            Ok(std::mem::replace(&mut before, after))
        };
        let before = self.shelves.iter().map(&mut count).collect::<io::Result<Vec<_>>>()?;
        if self.shelves.iter().flatten().nth(1).is_some() {
            self.unify(store, memory, |_, holders| {
                let first = holders.iter().map(|holder| before[holder.epoch] + holder.number).min();
                Ok(first.expect("a text is held by somebody"))
            })?;
        }
        self.by = By::Coming(before);
        Ok(())
    }

    /// Calls each text by its place in the order of bytes.
    pub(super) fn unify_by_rank(&mut self, store: &Store, memory: u64) -> io::Result<()> {
        let (count, bytes) = self
            .shelves
            .iter()
            .flatten()
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
        let epoch = epoch as usize;
        match (self.shelves.get(epoch), self.names.get(epoch)) {
            (Some(Some(shelf)), Some(Some(names))) => shelf.by_number(names).map(Some),
            _ => Ok(None),
        }
    }

    /// The text that has this name.
    pub(super) fn text(&self, name: u32) -> io::Result<String> {
        match &self.by {
            By::Rank(texts) => texts.get(name),
            By::Coming(before) => {
                let epoch = before.partition_point(|before| *before <= name) - 1;
                let shelf = self.shelves[epoch].as_ref().expect("names are those of texts");
                shelf.text(name - before[epoch])
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
        let open = self.shelves.iter().flatten().count();
        let buffer = usize::try_from(memory).unwrap_or(usize::MAX) / (open * BUFFERS).max(1);
        let buffer = buffer.clamp(SMALLEST_BUFFER, LARGEST_BUFFER);
        let begin = |shelf: &Option<Shelf>| shelf.as_ref().map(|shelf| store.writer(shelf.len(), buffer));
        let mut names: Vec<Option<Writer<u32>>> = self.shelves.iter().map(begin).collect();
        let mut merge = Merge::new(&self.shelves, buffer)?;
        while let Some((text, holders)) = merge.try_next()? {
            let named = name(text, holders)?;
            for holder in holders {
                names[holder.epoch].as_mut().map_or(Ok(()), |names| names.push(named))?;
            }
        }
        let seal = |names: Option<Writer<u32>>| names.map(Writer::seal).transpose();
        self.names = names.into_iter().map(seal).collect::<io::Result<_>>()?;
        Ok(())
    }
}

fn too_many() -> io::Error {
    io::Error::other("more than 2^32 distinct texts")
}
