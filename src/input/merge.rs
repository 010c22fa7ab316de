//! Merges shelves of sorted texts, so that equal ones meet.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::shelf::{Shelf, Walk};

/// Walks along several shelves at once.
#[derive(Debug)]
pub(super) struct Merge {
    /// By shelf.
    walks: Vec<Walk>,
    /// The next text of each shelf.
    next: BinaryHeap<Reverse<(Vec<u8>, Holder)>>,
    /// Who has the latest text.
    holders: Vec<Holder>,
    /// The latest text, as often as it was found: these are filled anew, each from the shelf of a holder.
    found: Vec<Vec<u8>>,
}

/// One text of one shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    pub(super) shelf: usize,
    pub(super) number: u32,
}

impl Merge {
    /// Begins with shelves that are read in buffers of so many bytes.
    pub(super) fn new<'a>(shelves: impl Iterator<Item = &'a Shelf>, buffer_bytes: usize) -> io::Result<Self> {
        let walks = shelves.map(|shelf| shelf.walk(buffer_bytes)).collect();
        let mut new = Self { walks, next: BinaryHeap::new(), holders: Vec::new(), found: Vec::new() };
        for shelf in 0..new.walks.len() {
            new.advance(shelf, Vec::new())?;
        }
        Ok(new)
    }

    /// The next text in the order of bytes, and all who hold it, by shelf; `None` after the last one.
    pub(super) fn try_next(&mut self) -> io::Result<Option<(&[u8], &[Holder])>> {
        while let Some(Holder { shelf, .. }) = self.holders.pop() {
            let text = self.found.pop().unwrap_or_default();
            self.advance(shelf, text)?;
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
    fn advance(&mut self, shelf: usize, mut text: Vec<u8>) -> io::Result<()> {
        if let Some(number) = self.walks[shelf].try_next(&mut text)? {
            self.next.push(Reverse((text, Holder { shelf, number })));
        }
        Ok(())
    }
}
