//! Some hundred to some hundred thousand rows, side by side in two columns that are as narrow as they can be.

use std::io;

use crate::spill::{Store, Stored};

/// A piece of two parallel columns. Values are as wide as the largest one in it.
#[derive(Debug)]
pub(super) struct Block {
    users: UserColumn<Vec<u32>, Vec<u64>>,
    values: ValueColumn<Vec<u8>, Vec<u16>, Vec<u32>>,
    capacity: usize,
}

/// A block in a temporary file.
#[derive(Debug)]
pub(super) struct StoredBlock {
    users: UserColumn<Stored<u32>, Stored<u64>>,
    values: ValueColumn<Stored<u8>, Stored<u16>, Stored<u32>>,
    /// The smallest and the largest user.
    bounds: Option<(u64, u64)>,
}

#[derive(Debug)]
enum UserColumn<N, W> {
    /// The low halves of numbers whose high half is this.
    Narrow(u32, N),
    Wide(W),
}

#[derive(Debug)]
enum ValueColumn<O, T, F> {
    One(O),
    Two(T),
    Four(F),
}

/// How wide a block has to be for some rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// The high half of all users' numbers, if they have it in common.
    high: Option<u32>,
    /// The largest value.
    value: u32,
}

impl Need {
    pub(super) fn of(rows: &[(u64, u32)]) -> Self {
        let first = rows.first().map_or(0, |(user, _)| *user);
        let (mut differing, mut most) = (0, 0);
        for &(user, value) in rows {
            differing |= user ^ first;
            most = most.max(value);
        }
        Self { high: (differing >> 32 == 0).then(|| high_half(first)), value: most }
    }
}

impl Default for Block {
    /// A block that takes nothing.
    fn default() -> Self {
        Self { users: UserColumn::Narrow(0, Vec::new()), values: ValueColumn::One(Vec::new()), capacity: 0 }
    }
}

impl Block {
    pub(super) fn len(&self) -> usize {
        match &self.users {
            UserColumn::Narrow(_, users) => users.len(),
            UserColumn::Wide(users) => users.len(),
        }
    }

    pub(super) fn room(&self) -> usize {
        self.capacity - self.len()
    }

    pub(super) fn meets(&self, need: Need) -> bool {
        let users = match self.users {
            UserColumn::Narrow(high, _) => need.high == Some(high),
            UserColumn::Wide(_) => true,
        };
        let values = match self.values {
            ValueColumn::One(_) => u8::try_from(need.value).is_ok(),
            ValueColumn::Two(_) => u16::try_from(need.value).is_ok(),
            ValueColumn::Four(_) => true,
        };
        users && values
    }

    /// An empty block that is as wide as need be, and at least as wide as this one: a column whose rows alternate
    /// between wide and narrow would otherwise be all blocks and no rows.
    pub(super) fn next(&self, need: Need, capacity: usize) -> Self {
        let users = match (&self.users, need.high) {
            (UserColumn::Narrow(own, _), Some(high)) if *own == high || self.capacity == 0 => {
                UserColumn::Narrow(high, Vec::with_capacity(capacity))
            }
            _ => UserColumn::Wide(Vec::with_capacity(capacity)),
        };
        let values = match self.values {
            ValueColumn::One(_) if u8::try_from(need.value).is_ok() => {
                ValueColumn::One(Vec::with_capacity(capacity))
            }
            ValueColumn::One(_) | ValueColumn::Two(_) if u16::try_from(need.value).is_ok() => {
                ValueColumn::Two(Vec::with_capacity(capacity))
            }
            _ => ValueColumn::Four(Vec::with_capacity(capacity)),
        };
        Self { users, values, capacity }
    }

    /// Takes rows whose need it meets, and for which it has room.
    pub(super) fn extend(&mut self, rows: &[(u64, u32)]) {
        match &mut self.users {
            UserColumn::Narrow(_, users) => users.extend(rows.iter().map(|&(user, _)| low_half(user))),
            UserColumn::Wide(users) => users.extend(rows.iter().map(|&(user, _)| user)),
        }
        match &mut self.values {
            ValueColumn::One(values) => values.extend(rows.iter().map(|&(_, value)| low_byte(value))),
            ValueColumn::Two(values) => values.extend(rows.iter().map(|&(_, value)| low_two_bytes(value))),
            ValueColumn::Four(values) => values.extend(rows.iter().map(|&(_, value)| value)),
        }
    }

    pub(super) fn shrink(&mut self) {
        match &mut self.users {
            UserColumn::Narrow(_, users) => users.shrink_to_fit(),
            UserColumn::Wide(users) => users.shrink_to_fit(),
        }
        match &mut self.values {
            ValueColumn::One(values) => values.shrink_to_fit(),
            ValueColumn::Two(values) => values.shrink_to_fit(),
            ValueColumn::Four(values) => values.shrink_to_fit(),
        }
    }

    /// The smallest and the largest user; `None` without rows.
    pub(super) fn bounds(&self) -> Option<(u64, u64)> {
        match &self.users {
            UserColumn::Narrow(high, users) => {
                let whole = |low: u32| u64::from(*high) << 32 | u64::from(low);
                Some((whole(*users.iter().min()?), whole(*users.iter().max()?)))
            }
            UserColumn::Wide(users) => Some((*users.iter().min()?, *users.iter().max()?)),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let users = match &self.users {
            UserColumn::Narrow(_, users) => users.capacity() * size_of::<u32>(),
            UserColumn::Wide(users) => users.capacity() * size_of::<u64>(),
        };
        let values = match &self.values {
            ValueColumn::One(values) => values.capacity(),
            ValueColumn::Two(values) => values.capacity() * size_of::<u16>(),
            ValueColumn::Four(values) => values.capacity() * size_of::<u32>(),
        };
        users + values
    }

    pub(super) fn store(&self, store: &Store) -> io::Result<StoredBlock> {
        let users = match &self.users {
            UserColumn::Narrow(high, users) => UserColumn::Narrow(*high, store.put(users)?),
            UserColumn::Wide(users) => UserColumn::Wide(store.put(users)?),
        };
        let values = match &self.values {
            ValueColumn::One(values) => ValueColumn::One(store.put(values)?),
            ValueColumn::Two(values) => ValueColumn::Two(store.put(values)?),
            ValueColumn::Four(values) => ValueColumn::Four(store.put(values)?),
        };
        Ok(StoredBlock { users, values, bounds: self.bounds() })
    }

    #[inline]
    pub(super) fn each(&self, row: &mut impl FnMut(u64, u32)) {
        match &self.users {
            UserColumn::Narrow(high, users) => {
                let high = u64::from(*high) << 32;
                self.values.each(users.iter().map(|&low| high | u64::from(low)), row);
            }
            UserColumn::Wide(users) => self.values.each(users.iter().copied(), row),
        }
    }
}

impl ValueColumn<Vec<u8>, Vec<u16>, Vec<u32>> {
    #[inline]
    fn each(&self, users: impl Iterator<Item = u64>, row: &mut impl FnMut(u64, u32)) {
        match self {
            Self::One(values) => users.zip(values).for_each(|(user, &value)| row(user, value.into())),
            Self::Two(values) => users.zip(values).for_each(|(user, &value)| row(user, value.into())),
            Self::Four(values) => users.zip(values).for_each(|(user, &value)| row(user, value)),
        }
    }
}

impl StoredBlock {
    pub(super) fn bounds(&self) -> Option<(u64, u64)> {
        self.bounds
    }

    pub(super) fn load(&self) -> io::Result<Block> {
        let users = match &self.users {
            UserColumn::Narrow(high, users) => UserColumn::Narrow(*high, users.load()?),
            UserColumn::Wide(users) => UserColumn::Wide(users.load()?),
        };
        let values = match &self.values {
            ValueColumn::One(values) => ValueColumn::One(values.load()?),
            ValueColumn::Two(values) => ValueColumn::Two(values.load()?),
            ValueColumn::Four(values) => ValueColumn::Four(values.load()?),
        };
        Ok(Block { users, values, capacity: 0 })
    }
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
