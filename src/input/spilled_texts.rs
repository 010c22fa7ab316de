//! Distinct texts, more of them than memory holds.
//!
//! While reading, what is in memory is put away whenever it has become too much, and numbers start from 0 again: that
//! ends a spill. So one text may have several numbers, one in each spill. When all is read, the spills' texts, which
//! were sorted as they were put away, are merged, and equal ones are found as they meet. No step holds more than one
//! spill's texts in memory.

use std::io;

use super::interner::Interner;
use super::sorted_run::{RunEntry, RunMerge, SortedRun, SortedTexts};
use crate::spill::{FileColumn, FileWriter, TempFile};

/// Bytes of a buffer, where there is but one.
const LARGEST_BUFFER: usize = 64 << 10;
/// And where there are very many.
const SMALLEST_BUFFER: usize = 4 << 10;
/// Buffers that reading and renaming one run takes.
const BUFFERS: usize = 4;

/// The texts of one attribute, or the client's ids of users, by spill.
#[derive(Clone, Debug, Default)]
pub(super) struct SpilledTexts {
    /// With their spills, in the order of these. A spill without texts has none.
    runs: Vec<(u32, SortedRun)>,
    /// By run, what each text is called now, by its place there. Empty until texts are unified, and where one run
    /// has all of them.
    numbers: Vec<FileColumn<u32>>,
    by: NumberedBy,
}

/// What texts are called after unifying.
#[derive(Clone, Debug)]
enum NumberedBy {
    /// By the number of their first coming, where those of a spill follow on those of the one before. By run, how
    /// many are before it.
    FirstSeen(Vec<u32>),
    /// By their place in the order of bytes.
    Rank(SortedTexts),
}

impl Default for NumberedBy {
    fn default() -> Self {
        Self::FirstSeen(Vec::new())
    }
}

impl SpilledTexts {
    /// Whether nothing was put away.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Puts texts away as those of a spill.
    pub(super) fn spill(&mut self, spill: u32, texts: &Interner, file: &TempFile) -> io::Result<()> {
        if texts.len() > 0 {
            self.runs.push((spill, SortedRun::write(texts, file, LARGEST_BUFFER)?));
        }
        Ok(())
    }

    /// Takes over spills, which follow so many of its own.
    pub(super) fn append(&mut self, before: u32, later: Self) {
        self.runs.extend(later.runs.into_iter().map(|(spill, run)| (before + spill, run)));
    }

    /// How many numbers there are, after unifying: some of them nobody has.
    pub(super) fn count(&self) -> u64 {
        match &self.by {
            NumberedBy::FirstSeen(_) => self.runs().map(SortedRun::len).sum(),
            NumberedBy::Rank(texts) => texts.len(),
        }
    }

    /// Calls each text by the number of its first coming: these ascend as texts came for the first time.
    pub(super) fn merge_by_first_seen(&mut self, file: &TempFile, memory: u64) -> io::Result<()> {
        let before = self.number_by_first_seen()?;
        if before.len() > 1 {
            self.merge_runs(file, memory, |_, entries| {
                let first = entries.iter().map(|entry| before[entry.run] + entry.number).min();
                Ok(first.expect("a text is held by somebody"))
            })?;
        }
        Ok(())
    }

    /// Gives all texts numbers in the order in which they came, equal ones different numbers. By run, how many are
    /// before it.
    pub(super) fn number_by_first_seen(&mut self) -> io::Result<Vec<u32>> {
        let mut before = 0_u32;
        let mut count = |run: &SortedRun| {
            let after = u32::try_from(u64::from(before) + run.len()).map_err(|_more| too_many())?;
            Ok(std::mem::replace(&mut before, after))
        };
        let before = self.runs().map(&mut count).collect::<io::Result<Vec<_>>>()?;
        self.by = NumberedBy::FirstSeen(before.clone());
        Ok(before)
    }

    /// Calls each text by its place in the order of bytes.
    pub(super) fn merge_by_rank(&mut self, file: &TempFile, memory: u64) -> io::Result<()> {
        let (count, bytes) =
            self.runs().fold((0, 0), |(count, bytes), run| (count + run.len(), bytes + run.joined_bytes()));
        let mut joined = file.writer::<u8>(bytes, LARGEST_BUFFER);
        let mut ends = file.writer::<u64>(count, LARGEST_BUFFER);
        self.merge_runs(file, memory, |text, _| {
            let rank = u32::try_from(ends.len()).map_err(|_more| too_many())?;
            joined.extend(text)?;
            ends.push(joined.len())?;
            Ok(rank)
        })?;
        self.by = NumberedBy::Rank(SortedTexts::new(joined.finish()?, ends.finish()?));
        Ok(())
    }

    /// By their numbers in a spill, what texts are called now; `None` if each is called by its number.
    pub(super) fn renumbered(&self, spill: u32) -> io::Result<Option<Vec<u32>>> {
        let Ok(at) = self.runs.binary_search_by_key(&spill, |(spill, _)| *spill) else { return Ok(None) };
        self.numbers.get(at).map(|numbers| self.runs[at].1.by_number(numbers)).transpose()
    }

    /// The text of a number.
    pub(super) fn text(&self, number_of: u32) -> io::Result<String> {
        match &self.by {
            NumberedBy::Rank(texts) => texts.get(number_of),
            NumberedBy::FirstSeen(before) => {
                let at = before.partition_point(|before| *before <= number_of) - 1;
                self.runs[at].1.text(number_of - before[at])
            }
        }
    }

    /// Merges all runs. `number_of` is told each text once, in the order of bytes, with all who hold it.
    fn merge_runs(
        &mut self,
        file: &TempFile,
        memory: u64,
        mut number_of: impl FnMut(&[u8], &[RunEntry]) -> io::Result<u32>,
    ) -> io::Result<()> {
        let buffer = usize::try_from(memory).unwrap_or(usize::MAX) / (self.runs.len() * BUFFERS).max(1);
        let buffer = buffer.clamp(SMALLEST_BUFFER, LARGEST_BUFFER);
        let mut numbers: Vec<FileWriter<u32>> =
            self.runs().map(|run| file.writer(run.len(), buffer)).collect();
        let mut merge = RunMerge::new(self.runs(), buffer)?;
        while let Some((text, entries)) = merge.try_next()? {
            let number = number_of(text, entries)?;
            for entry in entries {
                numbers[entry.run].push(number)?;
            }
        }
        self.numbers = numbers.into_iter().map(FileWriter::finish).collect::<io::Result<_>>()?;
        Ok(())
    }

    fn runs(&self) -> impl Iterator<Item = &SortedRun> {
        self.runs.iter().map(|(_, run)| run)
    }
}

fn too_many() -> io::Error {
    io::Error::other("more than 2^32 distinct texts")
}
