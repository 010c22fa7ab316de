//! The valid rows of one attribute, in the order of the input, in as few bytes as possible.

use std::io;
use std::sync::Arc;

use super::block::{Block, RequiredWidth};
use super::index;
use crate::spill::TempFile;

/// Rows in the largest block. With 32-bit ids it takes 1 MiB. The allocator maps a block of this size by itself, so the
/// memory goes back to the system as soon as the block is drained.
const LARGEST_BLOCK: usize = 1 << 18;

/// Rows that are collected before they go to a block. Those of eight attributes fit the innermost cache.
const STAGED: usize = 1 << 8;

/// The rows of one attribute, in the order of the input. Rows in a block never move.
#[derive(Debug, Default)]
pub(super) struct AttributeRows {
    /// Rows whose numbers are complete: those before the last join or spill of the dictionary, and those of forks.
    segments: Vec<Segment>,
    full: Vec<Block>,
    open: Block,
    /// The latest rows, whatever their width. In an input that alternates between attributes, a processor could not
    /// predict which width comes next.
    staged: Vec<(u64, u32)>,
    /// Rows in all blocks.
    stored: u64,
    /// Rows in blocks that were started since the last move to a file.
    in_memory: usize,
    /// The memory of all blocks except the open one.
    full_bytes: usize,
}

/// Blocks that were filled by one sink, and the new numbers of its values and users.
#[derive(Debug)]
struct Segment {
    blocks: Vec<Block>,
    /// By value number in the blocks; `None` if the numbers did not change.
    values: Option<Arc<[u32]>>,
    /// By user number in the blocks; `None` if the numbers did not change.
    users: Option<Arc<[u64]>>,
    /// The spill of the dictionary that has the texts of these numbers.
    spill: Option<u32>,
}

/// The numbers in the plan of those in a spill; `None` if they did not change.
#[derive(Debug, Default)]
pub(super) struct Renumbered {
    pub(super) values: Option<Arc<[u32]>>,
    pub(super) users: Option<Arc<[u64]>>,
}

impl AttributeRows {
    pub(super) fn len(&self) -> u64 {
        self.stored + self.staged.len() as u64
    }

    #[inline]
    pub(super) fn push(&mut self, user: u64, value: u32) {
        if self.staged.len() == STAGED {
            self.store_staged();
        }
        self.staged.push((user, value));
    }

    #[inline(never)]
    fn store_staged(&mut self) {
        let required = RequiredWidth::of(&self.staged);
        if self.open.free() < self.staged.len() || !self.open.is_wide_enough(required) {
            let next = self.open.next(required, self.in_memory.clamp(STAGED, LARGEST_BLOCK));
            self.close_block(next);
        }
        self.open.extend(&self.staged);
        self.stored += self.staged.len() as u64;
        self.in_memory += self.staged.len();
        self.staged.clear();
    }

    fn close_block(&mut self, next: Block) {
        let mut full = std::mem::replace(&mut self.open, next);
        if full.len() > 0 {
            full.shrink();
            self.full_bytes += full.memory_bytes();
            self.full.push(full);
        }
    }

    fn close_segment(&mut self) {
        self.store_staged();
        self.close_block(Block::default());
        if !self.full.is_empty() {
            let blocks = std::mem::take(&mut self.full);
            self.segments.push(Segment { blocks, values: None, users: None, spill: None });
        }
    }

    /// Appends the rows of a fork, and replaces their numbers: values by `values`, and users by `users` if given. No
    /// row is changed now; numbers are replaced when the rows are drained.
    pub(super) fn append(&mut self, later: Self, values: &[u32], users: Option<&Arc<[u64]>>) {
        self.append_segments(later, |mut segment| {
            segment.renumber(values, users);
            segment
        });
    }

    /// Appends the rows of a fork, all of which are in spills. `before` spills precede those of the fork.
    pub(super) fn append_spilled(&mut self, later: Self, before: u32) {
        self.append_segments(later, |segment| Segment {
            spill: segment.spill.map(|spill| before + spill),
            ..segment
        });
    }

    fn append_segments(&mut self, mut later: Self, change: impl Fn(Segment) -> Segment) {
        self.close_segment();
        later.close_segment();
        self.stored += later.stored;
        self.full_bytes += later.full_bytes;
        self.segments.extend(later.segments.into_iter().map(change));
    }

    /// Records that the texts of all rows since the last spill are in this one.
    pub(super) fn dictionary_spilled(&mut self, spill: u32) {
        self.close_segment();
        let since = self.segments.iter_mut().rev().take_while(|segment| segment.spill.is_none());
        since.for_each(|segment| segment.spill = Some(spill));
    }

    /// Moves all rows to a temporary file.
    pub(super) fn move_to(&mut self, file: &TempFile) -> io::Result<()> {
        self.store_staged();
        let empty = self.open.next(RequiredWidth::of(&[]), 0);
        self.close_block(empty);
        self.staged = Vec::new();
        self.in_memory = 0;
        let blocks = self.segments.iter_mut().flat_map(|segment| &mut segment.blocks).chain(&mut self.full);
        for block in blocks {
            block.move_to(file)?;
        }
        self.full_bytes = 0;
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.full_bytes + self.open.memory_bytes() + self.staged.capacity() * size_of::<(u64, u32)>()
    }

    /// The smallest and the largest user number, as they were pushed; `None` without rows.
    pub(super) fn bounds(&self) -> Option<(u64, u64)> {
        let blocks = self.segments.iter().flat_map(|segment| &segment.blocks).chain(&self.full);
        blocks
            .filter_map(Block::bounds)
            .chain(self.open.bounds())
            .chain(self.staged.iter().map(|&(user, _)| (user, user)))
            .reduce(|(low, high), (min, max)| (low.min(min), high.max(max)))
    }

    /// Passes each row to `row`, in the order of the input, and frees each block after its last row. `renumbered`
    /// returns the new numbers of a spill.
    pub(super) fn drain(
        mut self,
        renumbered: impl Fn(u32) -> io::Result<Renumbered>,
        mut row: impl FnMut(u64, u32),
    ) -> io::Result<()> {
        self.close_segment();
        for Segment { blocks, values, users, spill } in self.segments {
            let renumbered = spill.map(&renumbered).transpose()?.unwrap_or_default();
            let values = compose(values, renumbered.values, |value| value as usize);
            let users = compose(users, renumbered.users, index);
            for mut block in blocks {
                block.load()?;
                match (&values, &users) {
                    (None, None) => block.for_each(&mut row),
                    (Some(values), None) => {
                        block.for_each(&mut |user, value| row(user, values[value as usize]));
                    }
                    (values, Some(users)) => block.for_each(&mut |user, value| {
                        let value = values.as_ref().map_or(value, |values| values[value as usize]);
                        row(users[index(user)], value);
                    }),
                }
            }
        }
        Ok(())
    }
}

/// One list of new numbers for two that are applied one after the other.
fn compose<T: Copy>(
    first: Option<Arc<[T]>>,
    then: Option<Arc<[T]>>,
    index: impl Fn(T) -> usize,
) -> Option<Arc<[T]>> {
    match (first, then) {
        (Some(first), Some(then)) => Some(first.iter().map(|&number| then[index(number)]).collect()),
        (first, then) => first.or(then),
    }
}

impl Segment {
    fn renumber(&mut self, values: &[u32], users: Option<&Arc<[u64]>>) {
        self.values = compose(self.values.take(), Some(values.into()), |value| value as usize);
        self.users = compose(self.users.take(), users.cloned(), index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spill::TempFiles;

    fn filled(rows: u64) -> AttributeRows {
        let mut all = AttributeRows::default();
        (0..rows).for_each(|user| all.push(user, 1));
        all
    }

    fn drained(rows: AttributeRows) -> Vec<(u64, u32)> {
        let mut all = Vec::new();
        let drained = rows.drain(|_| Ok(Renumbered::default()), |user, value| all.push((user, value)));
        drained.expect("nothing is in a file that is not there");
        all
    }

    #[test]
    fn the_memory_of_all_rows_is_counted_until_they_are_in_a_file() {
        // A row takes five bytes. The last block may have as much space again.
        let (count, file) = (40_000, TempFiles::default().create().expect("there is room"));
        let bytes = |rows: &AttributeRows| u64::try_from(rows.memory_bytes()).expect("it fits");
        let mut rows = filled(count);
        assert!((5 * count..11 * count).contains(&bytes(&rows)), "{}", bytes(&rows));
        rows.append(filled(count), &[0, 2], None);
        assert!((10 * count..22 * count).contains(&bytes(&rows)), "{}", bytes(&rows));
        rows.move_to(&file).expect("there is room");
        assert_eq!((bytes(&rows), rows.len(), rows.bounds()), (0, 2 * count, Some((0, count - 1))));
        rows.push(7, 3);
        assert!(bytes(&rows) < 10_000);
        let expected = (0..count).map(|user| (user, 1)).chain((0..count).map(|user| (user, 2)));
        assert!(drained(rows).into_iter().eq(expected.chain([(7, 3)])));
    }

    #[test]
    fn blocks_grow_with_the_rows() {
        let rows = filled(40_000);
        assert!(rows.full.len() < 20, "{} blocks", rows.full.len());
    }
}
