//! Merges shelves of sorted texts, so that equal ones meet.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::shelf::{Shelf, Walk};

/// Walks along several shelves at once.
#[derive(Debug)]
pub(super) struct Merge {
    /// By epoch.
    walks: Vec<Option<Walk>>,
    /// The next text of each shelf.
    next: BinaryHeap<Reverse<(Vec<u8>, Holder)>>,
    /// Who has the latest text.
    holders: Vec<Holder>,
    /// The latest text, as often as it was found: these are filled anew, each from the shelf of a holder.
    found: Vec<Vec<u8>>,
}

/// One text of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    pub(super) epoch: usize,
    pub(super) number: u32,
}

impl Merge {
    /// Begins with shelves by epoch, each read in buffers of so many bytes.
    pub(super) fn new(shelves: &[Option<Shelf>], buffer_bytes: usize) -> io::Result<Self> {
        let walks = shelves.iter().map(|shelf| Some(shelf.as_ref()?.walk(buffer_bytes))).collect();
        let mut new = Self { walks, next: BinaryHeap::new(), holders: Vec::new(), found: Vec::new() };
        for epoch in 0..shelves.len() {
            new.advance(epoch, Vec::new())?;
        }
        Ok(new)
    }

    /// The next text in the order of bytes, and all who hold it, by epoch; `None` after the last one.
    pub(super) fn try_next(&mut self) -> io::Result<Option<(&[u8], &[Holder])>> {
        while let Some(Holder { epoch, .. }) = self.holders.pop() {
            let text = self.found.pop().unwrap_or_default();
            self.advance(epoch, text)?;
        }
        while self
            .next
            .peek()
            .is_some_and(|Reverse((text, _))| self.found.is_empty() || self.found[0] == *text)
            && let Some(Reverse((text, holder))) = self.next.pop()
        {
            self.found.push(text);
            self.holders.push(holder);
        }
        Ok(self.found.first().map(|text| (text.as_slice(), self.holders.as_slice())))
    }

    /// Goes to the next text of a shelf, if there is one.
    fn advance(&mut self, epoch: usize, mut text: Vec<u8>) -> io::Result<()> {
        if let Some(walk) = &mut self.walks[epoch]
            && let Some(number) = walk.try_next(&mut text)?
        {
            self.next.push(Reverse((text, Holder { epoch, number })));
        }
        Ok(())
    }
}
