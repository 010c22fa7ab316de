//! Distinct texts that do not fit in memory.
//!
//! While reading, the texts in memory are spilled when they exceed their share: they are written to a temporary file
//! as a sorted run, and numbers start from 0 again. So a text may have several numbers, one in each spill. At the end
//! the runs are merged, which finds equal texts. No step has the texts of more than one spill in memory.

use std::io;

use super::interner::Interner;
use super::sorted_run::{RunEntry, RunMerge, SortedRun, SortedTexts};
use crate::spill::{FileColumn, FileWriter, TempFile};

/// The size of a buffer, for few and for very many runs. Beyond 64 KiB reads get no faster; below 4 KiB, a page, they
/// get much slower.
const LARGEST_BUFFER: usize = 64 << 10;
const SMALLEST_BUFFER: usize = 4 << 10;
/// The buffers of each run in a merge: three to read it, and one to write its new numbers.
const BUFFERS: usize = 4;

/// The texts of one attribute, or the client's ids of users, by spill.
#[derive(Clone, Debug, Default)]
pub(super) struct SpilledTexts {
    /// Spills and their runs, ascending. A spill without texts has no run.
    runs: Vec<(u32, SortedRun)>,
    /// For each run, the new numbers of its texts, by rank. Empty before the merge, and if there is only one run.
    numbers: Vec<FileColumn<u32>>,
    by: NumberedBy,
}

/// How texts are numbered after the merge.
#[derive(Clone, Debug)]
enum NumberedBy {
    /// By their first occurrence. The numbers of a spill follow those of the spill before it; this is where the
    /// numbers of each run start.
    FirstSeen(Vec<u32>),
    /// By their rank in byte order.
    Rank(SortedTexts),
}

impl Default for NumberedBy {
    fn default() -> Self {
        Self::FirstSeen(Vec::new())
    }
}

impl SpilledTexts {
    /// Whether nothing was spilled.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Writes the texts of a spill.
    pub(super) fn spill(&mut self, spill: u32, texts: &Interner, file: &TempFile) -> io::Result<()> {
        if texts.len() > 0 {
            self.runs.push((spill, SortedRun::write(texts, file, LARGEST_BUFFER)?));
        }
        Ok(())
    }

    /// Appends the spills of a fork, which follow `before` others.
    pub(super) fn append(&mut self, before: u32, later: Self) {
        self.runs.extend(later.runs.into_iter().map(|(spill, run)| (before + spill, run)));
    }

    /// The number of numbers after the merge. Some of them have no text.
    pub(super) fn count(&self) -> u64 {
        match &self.by {
            NumberedBy::FirstSeen(_) => self.runs().map(SortedRun::len).sum(),
            NumberedBy::Rank(texts) => texts.len(),
        }
    }

    /// Merges the runs, and numbers each text by its first occurrence.
    pub(super) fn merge_by_first_seen(&mut self, file: &TempFile, memory: u64) -> io::Result<()> {
        let before = self.number_by_first_seen()?;
        if before.len() > 1 {
            self.merge_runs(file, memory, |_, entries| {
                let first = entries.iter().map(|entry| before[entry.run] + entry.number).min();
                Ok(first.expect("each text is in a run"))
            })?;
        }
        Ok(())
    }

    /// Numbers all texts in the order of their occurrence, without merging equal ones. Returns where the numbers of
    /// each run start.
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

    /// Merges the runs, and numbers each text by its rank in byte order.
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

    /// The new numbers of texts, by their numbers in a spill; `None` if they did not change.
    pub(super) fn renumbered(&self, spill: u32) -> io::Result<Option<Vec<u32>>> {
        let Ok(at) = self.runs.binary_search_by_key(&spill, |(spill, _)| *spill) else { return Ok(None) };
        self.numbers.get(at).map(|numbers| self.runs[at].1.by_number(numbers)).transpose()
    }

    /// The text of a number.
    pub(super) fn text(&self, number: u32) -> io::Result<String> {
        match &self.by {
            NumberedBy::Rank(texts) => texts.get(number),
            NumberedBy::FirstSeen(before) => {
                let at = before.partition_point(|before| *before <= number) - 1;
                self.runs[at].1.text(number - before[at])
            }
        }
    }

    /// Merges all runs. `number_of` is called for each distinct text, in byte order, with its entries in the runs.
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
