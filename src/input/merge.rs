//! Merges runs of sorted texts, so that equal ones meet.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::sorted_run::{RunReader, SortedRun};

/// Walks along several runs at once.
#[derive(Debug)]
pub(super) struct RunMerge {
    /// By run.
    readers: Vec<RunReader>,
    /// The next text of each run.
    next: BinaryHeap<Reverse<(Vec<u8>, RunEntry)>>,
    /// Who has the latest text.
    entries: Vec<RunEntry>,
    /// The latest text, as often as it was found: these are filled anew, each from the run of a entry.
    found: Vec<Vec<u8>>,
}

/// One text of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunEntry {
    pub(super) run: usize,
    pub(super) number: u32,
}

impl RunMerge {
    /// Begins with runs that are read in buffers of so many bytes.
    pub(super) fn new<'a>(
        runs: impl Iterator<Item = &'a SortedRun>,
        buffer_bytes: usize,
    ) -> io::Result<Self> {
        let readers = runs.map(|run| run.reader(buffer_bytes)).collect();
        let mut new = Self { readers, next: BinaryHeap::new(), entries: Vec::new(), found: Vec::new() };
        for run in 0..new.readers.len() {
            new.advance(run, Vec::new())?;
        }
        Ok(new)
    }

    /// The next text in the order of bytes, and all who hold it, by run; `None` after the last one.
    pub(super) fn try_next(&mut self) -> io::Result<Option<(&[u8], &[RunEntry])>> {
        while let Some(RunEntry { run, .. }) = self.entries.pop() {
            let text = self.found.pop().unwrap_or_default();
            self.advance(run, text)?;
        }
        while self
            .next
            .peek()
            .is_some_and(|Reverse((text, _))| self.found.is_empty() || self.found[0] == *text)
            && let Some(Reverse((text, entry))) = self.next.pop()
        {
            self.found.push(text);
            self.entries.push(entry);
        }
        Ok(self.found.first().map(|text| (text.as_slice(), self.entries.as_slice())))
    }

    /// Goes to the next text of a run, if there is one.
    fn advance(&mut self, run: usize, mut text: Vec<u8>) -> io::Result<()> {
        if let Some(number) = self.readers[run].try_next(&mut text)? {
            self.next.push(Reverse((text, RunEntry { run, number })));
        }
        Ok(())
    }
}
