//! The rows of one attribute, in the order of the input, as narrow as they can be.

mod block;

use std::io;
use std::sync::Arc;

use block::{Block, Need, StoredBlock};

use crate::spill::Store;

/// Rows in the largest block. One of 32-bit ids takes 1 MiB: large enough for the allocator to map it by itself, and
/// so to give it back as soon as it is drained.
const LARGEST_BLOCK: usize = 1 << 18;

/// Rows that wait until it is clear how narrow they are. Eight attributes' worth of them stay in the innermost cache.
const STAGED: usize = 1 << 8;

/// The rows of one attribute, in the order of the input. Appending never moves a row that lies in a block.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// What was here before forks joined or texts were put away, and what the forks took.
    earlier: Vec<Segment>,
    full: Vec<Piece>,
    open: Block,
    /// The latest rows. A row goes here whatever its width: which one it is would be no pattern, in an input that goes
    /// from attribute to attribute, that a processor could predict.
    staged: Vec<(u64, u32)>,
    /// In all blocks.
    stored: u64,
    /// In those of these blocks that were begun since the last ones went to a temporary file.
    held: usize,
    /// Memory that blocks take, but for the open one.
    full_bytes: usize,
}

/// A block, wherever it is.
#[derive(Debug)]
enum Piece {
    Memory(Block),
    Stored(StoredBlock),
}

/// Blocks that were filled by one sink, and what their numbers are called now.
#[derive(Debug)]
struct Segment {
    pieces: Vec<Piece>,
    /// By value number in the blocks; `None` where the numbers stand for themselves.
    values: Option<Arc<[u32]>>,
    /// By user number in the blocks; likewise.
    users: Option<Arc<[u64]>>,
    /// The spill of the dictionary in which the numbers were given, if it is over.
    spill: Option<u32>,
}

/// What a spill's numbers are called in the plan; `None` where they stand for themselves.
#[derive(Debug, Default)]
pub(super) struct Renumbered {
    pub(super) values: Option<Arc<[u32]>>,
    pub(super) users: Option<Arc<[u64]>>,
}

impl Rows {
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
        let need = Need::of(&self.staged);
        if self.open.room() < self.staged.len() || !self.open.meets(need) {
            let next = self.open.next(need, self.held.clamp(STAGED, LARGEST_BLOCK));
            self.seal(next);
        }
        self.open.extend(&self.staged);
        self.stored += self.staged.len() as u64;
        self.held += self.staged.len();
        self.staged.clear();
    }

    fn seal(&mut self, next: Block) {
        let mut full = std::mem::replace(&mut self.open, next);
        if full.len() > 0 {
            full.shrink();
            self.full_bytes += full.memory_bytes();
            self.full.push(Piece::Memory(full));
        }
    }

    fn seal_segment(&mut self) {
        self.store_staged();
        self.seal(Block::default());
        if !self.full.is_empty() {
            let pieces = std::mem::take(&mut self.full);
            self.earlier.push(Segment { pieces, values: None, users: None, spill: None });
        }
    }

    /// Appends later rows, whose numbers are to be replaced: values by `values`, users by `users` if it says so. No
    /// row is touched; the replacement is made as they are drained.
    pub(super) fn append(&mut self, mut later: Self, values: &[u32], users: Option<&Arc<[u64]>>) {
        self.seal_segment();
        later.seal_segment();
        self.stored += later.stored;
        self.full_bytes += later.full_bytes;
        for mut segment in later.earlier {
            segment.renumber(values, users);
            self.earlier.push(segment);
        }
    }

    /// Appends later rows, all of which are of spills that follow so many others.
    pub(super) fn appdictionary_spilleds(&mut self, mut later: Self, before: u32) {
        self.seal_segment();
        later.seal_segment();
        self.stored += later.stored;
        self.full_bytes += later.full_bytes;
        self.earlier.extend(
            later
                .earlier
                .into_iter()
                .map(|segment| Segment { spill: segment.spill.map(|spill| before + spill), ..segment }),
        );
    }

    /// Says that the rows since the last spill's end are of this one, which is over.
    pub(super) fn dictionary_spilled(&mut self, spill: u32) {
        self.seal_segment();
        let open = self.earlier.iter_mut().rev().take_while(|segment| segment.spill.is_none());
        open.for_each(|segment| segment.spill = Some(spill));
    }

    /// Moves all rows that are in memory to a temporary file.
    pub(super) fn spill(&mut self, store: &Store) -> io::Result<()> {
        self.store_staged();
        let empty = self.open.next(Need::of(&[]), 0);
        self.seal(empty);
        self.staged = Vec::new();
        self.held = 0;
        let pieces = self.earlier.iter_mut().flat_map(|segment| &mut segment.pieces).chain(&mut self.full);
        for piece in pieces {
            if let Piece::Memory(block) = piece {
                *piece = Piece::Stored(block.store(store)?);
            }
        }
        self.full_bytes = 0;
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.full_bytes + self.open.memory_bytes() + self.staged.capacity() * size_of::<(u64, u32)>()
    }

    /// The smallest and the largest user number, as they were pushed; `None` without rows.
    pub(super) fn bounds(&self) -> Option<(u64, u64)> {
        let of = |piece: &Piece| match piece {
            Piece::Memory(block) => block.bounds(),
            Piece::Stored(block) => block.bounds(),
        };
        self.pieces()
            .filter_map(of)
            .chain(self.open.bounds())
            .chain(self.staged.iter().map(|&(user, _)| (user, user)))
            .reduce(|(low, high), (min, max)| (low.min(min), high.max(max)))
    }

    /// Hands each row over, in the order of the input, and frees blocks as they are done with. `renumbered` says what the
    /// numbers of a spill are called.
    pub(super) fn drain(
        mut self,
        renumbered: impl Fn(u32) -> io::Result<Renumbered>,
        mut row: impl FnMut(u64, u32),
    ) -> io::Result<()> {
        self.seal_segment();
        for Segment { pieces, values, users, spill } in self.earlier {
            let renumbered = spill.map(&renumbered).transpose()?.unwrap_or_default();
            let values = in_turn(values, renumbered.values, |value| value as usize);
            let users = in_turn(users, renumbered.users, index);
            for piece in pieces {
                let block = match piece {
                    Piece::Memory(block) => block,
                    Piece::Stored(block) => block.load()?,
                };
                match (&values, &users) {
                    (None, None) => block.each(&mut row),
                    (Some(values), None) => block.each(&mut |user, value| row(user, values[value as usize])),
                    (values, Some(users)) => block.each(&mut |user, value| {
                        let value = values.as_ref().map_or(value, |values| values[value as usize]);
                        row(users[index(user)], value);
                    }),
                }
            }
        }
        Ok(())
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.earlier.iter().flat_map(|segment| &segment.pieces).chain(&self.full)
    }
}

/// What numbers are called that are first replaced by one list and then by another.
fn in_turn<T: Copy>(
    first: Option<Arc<[T]>>,
    then: Option<Arc<[T]>>,
    place: impl Fn(T) -> usize,
) -> Option<Arc<[T]>> {
    match (first, then) {
        (Some(first), Some(then)) => Some(first.iter().map(|&number| then[place(number)]).collect()),
        (first, then) => first.or(then),
    }
}

impl Segment {
    fn renumber(&mut self, values: &[u32], users: Option<&Arc<[u64]>>) {
        self.values = in_turn(self.values.take(), Some(values.into()), |value| value as usize);
        self.users = in_turn(self.users.take(), users.cloned(), index);
    }
}

/// A number as an index into what is in memory.
#[inline]
pub(super) fn index(user: u64) -> usize {
    usize::try_from(user).expect("a number that stands for a text in memory fits memory")
}
