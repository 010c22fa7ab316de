//! The rows of one attribute, in the order of the input, as narrow as they can be.

use std::sync::Arc;

/// Rows in the largest block. One of 32-bit ids takes 1 MiB: large enough for the allocator to map it by itself, and
/// so to give it back as soon as it is drained.
const LARGEST_BLOCK: usize = 1 << 18;

/// Rows that wait until it is clear how narrow they are. Eight attributes' worth of them stay in the innermost cache.
const STAGED: usize = 1 << 8;

/// The rows of one attribute, in the order of the input. Appending never moves a row that lies in a block.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// What was here before forks joined, and what these took.
    earlier: Vec<Segment>,
    full: Vec<Block>,
    open: Block,
    /// The latest rows. A row goes here whatever its width: which one it is would be no pattern, in an input that goes
    /// from attribute to attribute, that a processor could predict.
    staged: Vec<(u64, u32)>,
    /// In all blocks.
    stored: u64,
}

/// Blocks that were filled by one sink, and what their numbers are called now.
#[derive(Debug)]
struct Segment {
    blocks: Vec<Block>,
    /// By value number in the blocks; `None` where the numbers stand for themselves.
    values: Option<Box<[u32]>>,
    /// By user number in the blocks; likewise.
    users: Option<Arc<[u64]>>,
}

/// A piece of two parallel columns. Values are as wide as the largest one in it.
#[derive(Debug)]
struct Block {
    users: Users,
    values: Values,
    capacity: usize,
}

#[derive(Debug)]
enum Users {
    /// The low halves of numbers whose high half is this.
    Narrow(u32, Vec<u32>),
    Wide(Vec<u64>),
}

#[derive(Debug)]
enum Values {
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
}

/// How wide a block has to be for some rows.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// The high half of all users' numbers, if they have it in common.
    high: Option<u32>,
    /// The largest value.
    value: u32,
}

impl Need {
    fn of(rows: &[(u64, u32)]) -> Self {
        let first = rows.first().map_or(0, |(user, _)| *user);
        let (mut differing, mut most) = (0, 0);
        for &(user, value) in rows {
            differing |= user ^ first;
            most = most.max(value);
        }
        Self { high: (differing >> 32 == 0).then(|| high_half(first)), value: most }
    }
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
            let capacity = usize::try_from(self.stored).unwrap_or(LARGEST_BLOCK).clamp(STAGED, LARGEST_BLOCK);
            let next = self.open.next(need, capacity);
            self.seal(next);
        }
        self.open.extend(&self.staged);
        self.stored += self.staged.len() as u64;
        self.staged.clear();
    }

    fn seal(&mut self, next: Block) {
        let mut full = std::mem::replace(&mut self.open, next);
        if full.len() > 0 {
            full.shrink();
            self.full.push(full);
        }
    }

    fn seal_segment(&mut self) {
        self.store_staged();
        self.seal(Block::default());
        if !self.full.is_empty() {
            let blocks = std::mem::take(&mut self.full);
            self.earlier.push(Segment { blocks, values: None, users: None });
        }
    }

    /// Appends later rows, whose numbers are to be replaced: values by `values`, users by `users` if it says so. No
    /// row is touched; the replacement is made as they are drained.
    pub(super) fn append(&mut self, mut later: Self, values: &[u32], users: Option<&Arc<[u64]>>) {
        self.seal_segment();
        later.seal_segment();
        self.stored += later.stored;
        for mut segment in later.earlier {
            segment.renumber(values, users);
            self.earlier.push(segment);
        }
    }

    /// The smallest and the largest user number, as they were pushed; `None` without rows.
    pub(super) fn bounds(&self) -> Option<(u64, u64)> {
        let staged = self.staged.iter().map(|&(user, _)| (user, user));
        let earlier = self.earlier.iter().flat_map(|segment| &segment.blocks);
        earlier
            .chain(&self.full)
            .chain([&self.open])
            .filter_map(Block::bounds)
            .chain(staged)
            .reduce(|(low, high), (min, max)| (low.min(min), high.max(max)))
    }

    /// Hands each row over, in the order of the input, and frees blocks as they are done with.
    pub(super) fn drain(mut self, mut row: impl FnMut(u64, u32)) {
        self.seal_segment();
        for Segment { blocks, values, users } in self.earlier {
            for block in blocks {
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
    }
}

impl Segment {
    fn renumber(&mut self, values: &[u32], users: Option<&Arc<[u64]>>) {
        self.values = Some(match self.values.take() {
            None => values.into(),
            Some(old) => old.iter().map(|&value| values[value as usize]).collect(),
        });
        if let Some(users) = users {
            self.users = Some(match self.users.take() {
                None => Arc::clone(users),
                Some(old) => old.iter().map(|&user| users[index(user)]).collect(),
            });
        }
    }
}

impl Default for Block {
    /// A block that takes nothing.
    fn default() -> Self {
        Self { users: Users::Narrow(0, Vec::new()), values: Values::One(Vec::new()), capacity: 0 }
    }
}

impl Block {
    fn len(&self) -> usize {
        match &self.users {
            Users::Narrow(_, users) => users.len(),
            Users::Wide(users) => users.len(),
        }
    }

    fn room(&self) -> usize {
        self.capacity - self.len()
    }

    fn meets(&self, need: Need) -> bool {
        let users = match self.users {
            Users::Narrow(high, _) => need.high == Some(high),
            Users::Wide(_) => true,
        };
        let values = match self.values {
            Values::One(_) => u8::try_from(need.value).is_ok(),
            Values::Two(_) => u16::try_from(need.value).is_ok(),
            Values::Four(_) => true,
        };
        users && values
    }

    /// An empty block that is as wide as need be, and at least as wide as this one: a column whose rows alternate
    /// between wide and narrow would otherwise be all blocks and no rows.
    fn next(&self, need: Need, capacity: usize) -> Self {
        let users = match (&self.users, need.high) {
            (Users::Narrow(own, _), Some(high)) if *own == high || self.capacity == 0 => {
                Users::Narrow(high, Vec::with_capacity(capacity))
            }
            _ => Users::Wide(Vec::with_capacity(capacity)),
        };
        let values = match self.values {
            Values::One(_) if u8::try_from(need.value).is_ok() => Values::One(Vec::with_capacity(capacity)),
            Values::One(_) | Values::Two(_) if u16::try_from(need.value).is_ok() => {
                Values::Two(Vec::with_capacity(capacity))
            }
            _ => Values::Four(Vec::with_capacity(capacity)),
        };
        Self { users, values, capacity }
    }

    /// Takes rows whose need it meets, and for which it has room.
    fn extend(&mut self, rows: &[(u64, u32)]) {
        match &mut self.users {
            Users::Narrow(_, users) => users.extend(rows.iter().map(|&(user, _)| low_half(user))),
            Users::Wide(users) => users.extend(rows.iter().map(|&(user, _)| user)),
        }
        match &mut self.values {
            Values::One(values) => values.extend(rows.iter().map(|&(_, value)| low_byte(value))),
            Values::Two(values) => values.extend(rows.iter().map(|&(_, value)| low_two_bytes(value))),
            Values::Four(values) => values.extend(rows.iter().map(|&(_, value)| value)),
        }
    }

    fn shrink(&mut self) {
        match &mut self.users {
            Users::Narrow(_, users) => users.shrink_to_fit(),
            Users::Wide(users) => users.shrink_to_fit(),
        }
        match &mut self.values {
            Values::One(values) => values.shrink_to_fit(),
            Values::Two(values) => values.shrink_to_fit(),
            Values::Four(values) => values.shrink_to_fit(),
        }
    }

    fn bounds(&self) -> Option<(u64, u64)> {
        match &self.users {
            Users::Narrow(high, users) => {
                let whole = |low: u32| u64::from(*high) << 32 | u64::from(low);
                Some((whole(*users.iter().min()?), whole(*users.iter().max()?)))
            }
            Users::Wide(users) => Some((*users.iter().min()?, *users.iter().max()?)),
        }
    }

    #[inline]
    fn each(&self, row: &mut impl FnMut(u64, u32)) {
        match &self.users {
            Users::Narrow(high, users) => {
                let high = u64::from(*high) << 32;
                self.values.each(users.iter().map(|&low| high | u64::from(low)), row);
            }
            Users::Wide(users) => self.values.each(users.iter().copied(), row),
        }
    }
}

impl Values {
    #[inline]
    fn each(&self, users: impl Iterator<Item = u64>, row: &mut impl FnMut(u64, u32)) {
        match self {
            Self::One(values) => users.zip(values).for_each(|(user, &value)| row(user, value.into())),
            Self::Two(values) => users.zip(values).for_each(|(user, &value)| row(user, value.into())),
            Self::Four(values) => users.zip(values).for_each(|(user, &value)| row(user, value)),
        }
    }
}

/// A number as an index into what is in memory.
#[inline]
pub(super) fn index(user: u64) -> usize {
    usize::try_from(user).expect("a number that stands for a text in memory fits memory")
}

fn high_half(user: u64) -> u32 {
    u32::try_from(user >> 32).expect("32 of 64 bits are left")
}

#[expect(clippy::cast_possible_truncation, reason = "the high half is kept elsewhere")]
fn low_half(user: u64) -> u32 {
    user as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the caller has made sure that the rest is 0")]
fn low_byte(value: u32) -> u8 {
    value as u8
}

#[expect(clippy::cast_possible_truncation, reason = "the caller has made sure that the rest is 0")]
fn low_two_bytes(value: u32) -> u16 {
    value as u16
}
