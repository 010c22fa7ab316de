//! Sorted runs of distinct texts in a temporary file, and their merge: the two halves of an external merge sort.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::interner::Interner;
use crate::spill::{FileColumn, FileReader, TempFile};

/// The texts of an [`Interner`] in byte order, and their numbers. Runs are merged by reading each from start to end.
#[derive(Clone, Debug)]
pub(super) struct SortedRun {
    texts: SortedTexts,
    /// By rank, the number of the text.
    numbers: FileColumn<u32>,
    /// By number, the rank of the text.
    places: FileColumn<u32>,
}

/// Sorted texts that lie end to end.
#[derive(Clone, Debug)]
pub(super) struct SortedTexts {
    joined: FileColumn<u8>,
    /// By rank, where the text ends.
    ends: FileColumn<u64>,
}

/// Reads a run in byte order.
#[derive(Debug)]
pub(super) struct RunReader {
    joined: FileReader<u8>,
    ends: FileReader<u64>,
    numbers: FileReader<u32>,
    /// Where the last text ended.
    end: u64,
}

impl SortedRun {
    pub(super) fn write(texts: &Interner, file: &TempFile, buffer_bytes: usize) -> io::Result<Self> {
        let numbers = texts.sorted();
        let mut joined = file.writer(texts.joined_bytes(), buffer_bytes);
        let mut ends = file.writer(numbers.len() as u64, buffer_bytes);
        let mut places = vec![0; numbers.len()];
        for (place, &number) in (0..).zip(&numbers) {
            places[number as usize] = place;
            joined.extend(texts.get(number).as_bytes())?;
            ends.push(joined.len())?;
        }
        let texts = SortedTexts { joined: joined.finish()?, ends: ends.finish()? };
        Ok(Self { texts, numbers: file.write(&numbers)?, places: file.write(&places)? })
    }

    /// The number of texts.
    pub(super) fn len(&self) -> u64 {
        self.numbers.len()
    }

    /// The length of all texts together.
    pub(super) fn joined_bytes(&self) -> u64 {
        self.texts.joined.len()
    }

    pub(super) fn text(&self, number: u32) -> io::Result<String> {
        self.texts.get(self.places.get(number.into())?)
    }

    /// Reorders a column from ranks to numbers.
    pub(super) fn by_number(&self, by_place: &FileColumn<u32>) -> io::Result<Vec<u32>> {
        let by_place = by_place.load()?;
        let mut by_number = self.places.load()?;
        for number in &mut by_number {
            *number = by_place[*number as usize];
        }
        Ok(by_number)
    }

    pub(super) fn reader(&self, buffer_bytes: usize) -> RunReader {
        RunReader {
            joined: self.texts.joined.reader(0..self.texts.joined.len(), buffer_bytes),
            ends: self.texts.ends.reader(0..self.texts.ends.len(), buffer_bytes),
            numbers: self.numbers.reader(0..self.numbers.len(), buffer_bytes),
            end: 0,
        }
    }
}

impl SortedTexts {
    pub(super) fn new(joined: FileColumn<u8>, ends: FileColumn<u64>) -> Self {
        Self { joined, ends }
    }

    pub(super) fn len(&self) -> u64 {
        self.ends.len()
    }

    pub(super) fn get(&self, place: u32) -> io::Result<String> {
        let place = u64::from(place);
        let mut ends = [0; 2];
        if place == 0 {
            ends[1] = self.ends.get(0)?;
        } else {
            self.ends.read(place - 1, &mut ends)?;
        }
        let [start, end] = ends;
        let mut text = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        self.joined.read(start, &mut text)?;
        String::from_utf8(text).map_err(io::Error::other)
    }
}

impl RunReader {
    /// Reads the next text into `text`, and returns its number; `None` after the last one.
    pub(super) fn try_next(&mut self, text: &mut Vec<u8>) -> io::Result<Option<u32>> {
        let (Some(number), Some(end)) = (self.numbers.try_next()?, self.ends.try_next()?) else {
            return Ok(None);
        };
        text.clear();
        self.joined.take(end - self.end, |piece| {
            text.extend_from_slice(piece);
            Ok(())
        })?;
        self.end = end;
        Ok(Some(number))
    }
}

/// Reads several runs at once, in byte order.
#[derive(Debug)]
pub(super) struct RunMerge {
    /// By run.
    readers: Vec<RunReader>,
    /// The next text of each run.
    next: BinaryHeap<Reverse<(Vec<u8>, RunEntry)>>,
    /// The runs that have the last text.
    entries: Vec<RunEntry>,
    /// The last text, once for each of these runs. The buffers are reused for the next texts.
    found: Vec<Vec<u8>>,
}

/// A text of a run, by its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunEntry {
    pub(super) run: usize,
    pub(super) number: u32,
}

impl RunMerge {
    /// Starts to read the runs, each with buffers of this size.
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

    /// The next text in byte order, and its entries in the runs that have it; `None` after the last one.
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

    /// Reads the next text of a run, if there is one.
    fn advance(&mut self, run: usize, mut text: Vec<u8>) -> io::Result<()> {
        if let Some(number) = self.readers[run].try_next(&mut text)? {
            self.next.push(Reverse((text, RunEntry { run, number })));
        }
        Ok(())
    }
}
