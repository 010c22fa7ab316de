//! A few hundred to a few hundred thousand rows in two parallel columns, each as narrow as its numbers allow.

use std::io;

use super::id_column::IdColumn;
use crate::spill::{Column, TempFile};

/// Rows in two parallel columns, in memory or in a temporary file.
#[derive(Debug)]
pub(super) struct Block {
    /// If narrow, the base is the upper half of all numbers.
    users: IdColumn,
    values: ValueColumn,
    capacity: usize,
    /// The smallest and the largest user, once the block is in a file.
    bounds: Option<(u64, u64)>,
}

/// Value numbers in one, two or four bytes, as the largest one needs.
#[derive(Debug)]
enum ValueColumn {
    One(Column<u8>),
    Two(Column<u16>),
    Four(Column<u32>),
}

/// Evaluates an expression for the column of any width.
macro_rules! any_width {
    ($column:expr, $values:ident => $result:expr) => {
        match $column {
            ValueColumn::One($values) => $result,
            ValueColumn::Two($values) => $result,
            ValueColumn::Four($values) => $result,
        }
    };
}

/// How wide a block must be to hold some rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequiredWidth {
    /// The upper half of all users' numbers, if it is the same for all.
    upper_half: Option<u64>,
    /// The largest value.
    value: u32,
}

impl RequiredWidth {
    pub(super) fn of(rows: &[(u64, u32)]) -> Self {
        let first = rows.first().map_or(0, |(user, _)| *user);
        let (mut differing, mut most) = (0, 0);
        for &(user, value) in rows {
            differing |= user ^ first;
            most = most.max(value);
        }
        Self { upper_half: (differing >> 32 == 0).then_some(first >> 32 << 32), value: most }
    }
}

impl Default for Block {
    /// A block without capacity.
    fn default() -> Self {
        Self {
            users: IdColumn::narrow(0, Vec::new()),
            values: ValueColumn::One(Column::Memory(Vec::new())),
            capacity: 0,
            bounds: None,
        }
    }
}

impl Block {
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// How many more rows fit.
    pub(super) fn free(&self) -> usize {
        self.capacity - self.len()
    }

    pub(super) fn is_wide_enough(&self, required: RequiredWidth) -> bool {
        let users = match self.users {
            IdColumn::Narrow { base, .. } => required.upper_half == Some(base),
            IdColumn::Wide(_) => true,
        };
        let values = match self.values {
            ValueColumn::One(_) => u8::try_from(required.value).is_ok(),
            ValueColumn::Two(_) => u16::try_from(required.value).is_ok(),
            ValueColumn::Four(_) => true,
        };
        users && values
    }

    /// An empty block that is as wide as required, and at least as wide as this one. Otherwise rows that alternate
    /// between wide and narrow would get a block each.
    pub(super) fn next(&self, required: RequiredWidth, capacity: usize) -> Self {
        let users = match (&self.users, required.upper_half) {
            (IdColumn::Narrow { base, .. }, Some(upper)) if *base == upper || self.capacity == 0 => {
                IdColumn::narrow(upper, Vec::with_capacity(capacity))
            }
            _ => IdColumn::wide(Vec::with_capacity(capacity)),
        };
        let values = match self.values {
            ValueColumn::One(_) if u8::try_from(required.value).is_ok() => {
                ValueColumn::One(Column::Memory(Vec::with_capacity(capacity)))
            }
            ValueColumn::One(_) | ValueColumn::Two(_) if u16::try_from(required.value).is_ok() => {
                ValueColumn::Two(Column::Memory(Vec::with_capacity(capacity)))
            }
            _ => ValueColumn::Four(Column::Memory(Vec::with_capacity(capacity))),
        };
        Self { users, values, capacity, bounds: None }
    }

    /// Appends rows for which the block is wide enough and has space.
    pub(super) fn extend(&mut self, rows: &[(u64, u32)]) {
        match &mut self.users {
            IdColumn::Narrow { offsets, .. } => {
                offsets.as_vec().extend(rows.iter().map(|&(user, _)| lower_half(user)));
            }
            IdColumn::Wide(ids) => ids.as_vec().extend(rows.iter().map(|&(user, _)| user)),
        }
        match &mut self.values {
            ValueColumn::One(values) => {
                values.as_vec().extend(rows.iter().map(|&(_, value)| one_byte(value)));
            }
            ValueColumn::Two(values) => {
                values.as_vec().extend(rows.iter().map(|&(_, value)| two_bytes(value)));
            }
            ValueColumn::Four(values) => values.as_vec().extend(rows.iter().map(|&(_, value)| value)),
        }
    }

    pub(super) fn shrink(&mut self) {
        match &mut self.users {
            IdColumn::Narrow { offsets, .. } => offsets.as_vec().shrink_to_fit(),
            IdColumn::Wide(ids) => ids.as_vec().shrink_to_fit(),
        }
        any_width!(&mut self.values, values => values.as_vec().shrink_to_fit());
    }

    /// The smallest and the largest user; `None` without rows.
    pub(super) fn bounds(&self) -> Option<(u64, u64)> {
        match &self.users {
            IdColumn::Narrow { offsets: Column::File(_), .. } | IdColumn::Wide(Column::File(_)) => {
                self.bounds
            }
            IdColumn::Narrow { base, offsets: Column::Memory(offsets) } => {
                let whole = |offset: u32| base + u64::from(offset);
                Some((whole(*offsets.iter().min()?), whole(*offsets.iter().max()?)))
            }
            IdColumn::Wide(Column::Memory(ids)) => Some((*ids.iter().min()?, *ids.iter().max()?)),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.users.memory_bytes() + any_width!(&self.values, values => values.memory_bytes())
    }

    /// Moves the rows to a file, unless they are in one.
    pub(super) fn move_to(&mut self, file: &TempFile) -> io::Result<()> {
        self.bounds = self.bounds();
        self.users.move_to(file)?;
        any_width!(&mut self.values, values => values.move_to(file))
    }

    /// Moves the rows to memory, unless they are there.
    pub(super) fn load(&mut self) -> io::Result<()> {
        self.users.load()?;
        any_width!(&mut self.values, values => values.load())
    }

    /// Passes each row to `row`. The block must be in memory.
    #[inline]
    pub(super) fn for_each(&self, row: &mut impl FnMut(u64, u32)) {
        match &self.users {
            IdColumn::Narrow { base, offsets } => {
                self.values.for_each(offsets.as_slice().iter().map(|&offset| base | u64::from(offset)), row);
            }
            IdColumn::Wide(ids) => self.values.for_each(ids.as_slice().iter().copied(), row),
        }
    }
}

impl ValueColumn {
    #[inline]
    fn for_each(&self, users: impl Iterator<Item = u64>, row: &mut impl FnMut(u64, u32)) {
        match self {
            Self::One(values) => {
                users.zip(values.as_slice()).for_each(|(user, &value)| row(user, value.into()));
            }
            Self::Two(values) => {
                users.zip(values.as_slice()).for_each(|(user, &value)| row(user, value.into()));
            }
            Self::Four(values) => {
                users.zip(values.as_slice()).for_each(|(user, &value)| row(user, value));
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the base has the upper half")]
fn lower_half(user: u64) -> u32 {
    user as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the block is wide enough for the value")]
fn one_byte(value: u32) -> u8 {
    value as u8
}

#[expect(clippy::cast_possible_truncation, reason = "the block is wide enough for the value")]
fn two_bytes(value: u32) -> u16 {
    value as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spill::TempFiles;

    const UPPER: u64 = 5 << 32;
    const OTHER: u64 = 9 << 32;

    fn filled(before: &Block, rows: &[(u64, u32)]) -> Block {
        let required = RequiredWidth::of(rows);
        let mut block = before.next(required, rows.len() + 1);
        assert!(block.is_wide_enough(required), "{rows:?}");
        assert_eq!(block.free(), rows.len() + 1);
        block.extend(rows);
        assert_eq!((block.len(), block.free()), (rows.len(), 1));
        block
    }

    fn read(block: &Block) -> Vec<(u64, u32)> {
        let mut rows = Vec::new();
        block.for_each(&mut |user, value| rows.push((user, value)));
        rows
    }

    #[test]
    fn a_block_is_as_narrow_as_its_numbers_and_the_block_before_it_allow() {
        let narrow = [(UPPER + 7, 3), (UPPER + 9, 255)];
        let (elsewhere, apart) = ([(OTHER, 0), (OTHER + 1, 0)], [(UPPER, 0), (OTHER + 3, 0)]);
        let (medium, large) = ([(UPPER, 256), (UPPER, 65_535)], [(UPPER, 65_536), (UPPER, 0)]);
        for (rows, bytes) in [
            (vec![&narrow], vec![5]),
            (vec![&elsewhere], vec![5]),
            (vec![&apart], vec![9]),
            (vec![&medium], vec![6]),
            (vec![&large], vec![8]),
            // What the first one is too narrow for, and then a block that is no narrower again.
            (vec![&narrow, &narrow], vec![5, 5]),
            (vec![&narrow, &elsewhere, &elsewhere], vec![5, 9, 9]),
            (vec![&narrow, &medium, &narrow], vec![5, 6, 6]),
            (vec![&medium, &large, &medium], vec![6, 8, 8]),
        ] {
            let mut block = Block::default();
            for (rows, bytes) in rows.iter().zip(bytes) {
                block = filled(&block, *rows);
                assert_eq!(read(&block), **rows);
                block.shrink();
                assert_eq!(block.memory_bytes(), rows.len() * bytes, "{rows:?}");
            }
        }
    }

    #[test]
    fn a_block_tells_for_which_rows_it_is_too_narrow() {
        let narrow = filled(&Block::default(), &[(UPPER, 7)]);
        let medium = filled(&Block::default(), &[(UPPER, 256)]);
        let wide = filled(&Block::default(), &[(UPPER, 0), (OTHER, 65_536)]);
        for (row, fits) in [
            ((UPPER + 1, 255), [true, true, true]),
            ((OTHER, 0), [false, false, true]),
            ((UPPER, 256), [false, true, true]),
            ((OTHER, 256), [false, false, true]),
            ((UPPER, 65_536), [false, false, true]),
        ] {
            let required = RequiredWidth::of(&[row]);
            assert_eq!(
                [&narrow, &medium, &wide].map(|block| block.is_wide_enough(required)),
                fits,
                "{row:?}"
            );
        }
    }

    #[test]
    fn a_block_in_a_file_takes_no_memory_and_keeps_its_bounds() {
        let file = TempFiles::default().create().expect("there is room");
        for rows in
            [[(UPPER + 9, 4), (UPPER + 7, 3), (UPPER + 8, 5)], [(OTHER, 4), (UPPER, 3), (OTHER - 1, 5)]]
        {
            let mut block = filled(&Block::default(), &rows);
            let bounds = Some((rows[1].0, rows[0].0));
            assert_eq!(block.bounds(), bounds);
            block.move_to(&file).expect("there is room");
            assert_eq!((block.memory_bytes(), block.bounds(), block.len()), (0, bounds, 3));
            block.load().expect("it is there");
            assert_eq!(read(&block), rows);
            assert!(block.memory_bytes() > 0);
        }
    }
}
