//! Users with conflicting values for one attribute.

use std::collections::{BTreeMap, HashSet};
use std::io;

use super::{BUFFER, OnConflict};
use crate::spill::{Column, ColumnReader, TempFile, read_back};

/// Users to remember where conflicts are resolved and not refused: enough for examples.
const EXAMPLES: usize = 5;
/// Values to remember of each of these.
const EXAMPLE_VALUES: usize = 8;

/// The conflicting values of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserConflict {
    pub(super) user: u64,
    /// Distinct, in the order of the input.
    pub(super) values: Vec<u32>,
}

/// Collects the conflicts of one attribute while its rows are resolved. All are counted.
#[derive(Debug)]
pub(super) struct ConflictCollector {
    /// Values that differ only in this number of lowest bits are the same.
    name_bits: u32,
    count: u64,
    remembered: Remembered,
}

#[derive(Debug)]
enum Remembered {
    /// The users with the smallest numbers, and distinct values of each.
    Few(BTreeMap<u64, Vec<u32>>),
    /// Users and values in the order of the input, with repetitions.
    All(Vec<(u64, u32)>),
}

/// Conflicts by user, ascending: for each the user, the number of values, and the values.
#[derive(Debug)]
pub(super) struct ConflictList(Column<u64>);

impl ConflictCollector {
    pub(super) fn new(on_conflict: OnConflict, name_bits: u32) -> Self {
        let remembered = match on_conflict {
            OnConflict::Last | OnConflict::First => Remembered::Few(BTreeMap::new()),
            OnConflict::Error => Remembered::All(Vec::new()),
        };
        Self { name_bits, count: 0, remembered }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether two values of one user conflict.
    pub(super) fn differ(&self, one: u32, other: u32) -> bool {
        (one ^ other) >> self.name_bits != 0
    }

    /// Records a user's first conflict: until now it had only `value`.
    pub(super) fn open(&mut self, user: u64, value: u32) {
        self.count += 1;
        match &mut self.remembered {
            Remembered::All(seen) => seen.push((user, value)),
            Remembered::Few(users) => {
                let full = users.len() == EXAMPLES;
                if full && users.last_key_value().is_some_and(|(largest, _)| *largest < user) {
                    return;
                }
                users.insert(user, vec![value]);
                if full {
                    users.pop_last();
                }
            }
        }
    }

    /// Records another value of a user that has a conflict.
    pub(super) fn add(&mut self, user: u64, value: u32) {
        match &mut self.remembered {
            Remembered::All(seen) => seen.push((user, value)),
            Remembered::Few(users) => {
                if let Some(values) = users.get_mut(&user)
                    && values.len() < EXAMPLE_VALUES
                    && !values.iter().any(|known| (known ^ value) >> self.name_bits == 0)
                {
                    values.push(value);
                }
            }
        }
    }

    /// The conflicts, and how many values they have in all where conflicts are refused.
    pub(super) fn finish(self) -> (ConflictList, u64) {
        let (mut list, mut disputed) = (Vec::new(), 0);
        match self.remembered {
            Remembered::Few(users) => {
                for (user, values) in &users {
                    encode(*user, values, &mut list);
                }
            }
            Remembered::All(mut seen) => {
                seen.sort_by_key(|(user, _)| *user);
                for same in seen.chunk_by(|(left, _), (right, _)| left == right) {
                    let mut distinct = HashSet::new();
                    let values = same.iter().map(|(_, value)| *value);
                    let values: Vec<u32> =
                        values.filter(|value| distinct.insert(*value >> self.name_bits)).collect();
                    disputed += values.len() as u64;
                    encode(same[0].0, &values, &mut list);
                }
            }
        }
        (ConflictList(Column::Memory(list)), disputed)
    }
}

fn encode(user: u64, values: &[u32], list: &mut Vec<u64>) {
    list.extend([user, values.len() as u64]);
    list.extend(values.iter().copied().map(u64::from));
}

impl ConflictList {
    /// The longest list that stays in memory: that of examples.
    const SHORT: usize = EXAMPLES * (2 + EXAMPLE_VALUES);

    pub(super) fn iter(&self) -> impl Iterator<Item = UserConflict> + '_ {
        let mut numbers = self.reader();
        std::iter::from_fn(move || read_back(decode(&mut numbers)))
    }

    /// Several lists as one, in a temporary file.
    pub(super) fn concat<'a>(
        lists: impl Iterator<Item = &'a Self> + Clone,
        file: &TempFile,
    ) -> io::Result<Self> {
        let most = lists.clone().map(|list| list.0.len() as u64).sum();
        let mut all = file.writer(most, BUFFER);
        for list in lists {
            let mut numbers = list.reader();
            while let Some(number) = numbers.try_next()? {
                all.push(number)?;
            }
        }
        Ok(Self(Column::File(all.finish()?)))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    /// Moves the list to a temporary file, unless it is short.
    pub(super) fn move_to(&mut self, file: &TempFile) -> io::Result<()> {
        if self.0.len() > Self::SHORT { self.0.move_to(file) } else { Ok(()) }
    }

    fn reader(&self) -> ColumnReader<'_, u64> {
        self.0.reader(0..self.0.len(), BUFFER)
    }
}

fn decode(numbers: &mut ColumnReader<'_, u64>) -> io::Result<Option<UserConflict>> {
    let Some(user) = numbers.try_next()? else { return Ok(None) };
    let mut next = || numbers.try_next()?.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof));
    let count = next()?;
    let values = (0..count).map(|_| u32::try_from(next()?).map_err(io::Error::other));
    Ok(Some(UserConflict { user, values: values.collect::<io::Result<_>>()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(collector: ConflictCollector) -> (Vec<(u64, Vec<u32>)>, u64) {
        let (list, disputed) = collector.finish();
        (list.iter().map(|conflict| (conflict.user, conflict.values)).collect(), disputed)
    }

    #[test]
    fn examples_are_the_users_with_the_smallest_numbers_and_all_are_counted() {
        let mut collector = ConflictCollector::new(OnConflict::Last, 0);
        for user in [9, 3, 7, 5, 1, 8, 2] {
            collector.open(user, 10);
            collector.add(user, 20);
        }
        collector.add(9, 30);
        collector.add(3, 30);
        assert_eq!(collector.count(), 7);
        let (users, _) = listed(collector);
        let values = |user| if user == 3 { vec![10, 20, 30] } else { vec![10, 20] };
        assert_eq!(users, [1, 2, 3, 5, 7].map(|user| (user, values(user))));
    }

    #[test]
    fn an_example_has_some_distinct_values_in_the_order_of_the_input() {
        let mut collector = ConflictCollector::new(OnConflict::First, 2);
        assert!(collector.differ(0b100, 0b1000) && !collector.differ(0b100, 0b101));
        collector.open(1, 0b100);
        for value in [0b101, 0b1000, 0b100, 0b1001] {
            collector.add(1, value);
        }
        collector.open(2, 400);
        (0..20).for_each(|n| collector.add(2, 200 - 4 * n));
        let (users, _) = listed(collector);
        let eight: Vec<u32> = [400].into_iter().chain((0..7).map(|n| 200 - 4 * n)).collect();
        assert_eq!(users, [(1, vec![0b100, 0b1000]), (2, eight)]);
    }

    #[test]
    fn where_conflicts_are_refused_all_are_listed_and_their_distinct_values_counted() {
        let mut collector = ConflictCollector::new(OnConflict::Error, 2);
        for user in (1..=9).rev() {
            collector.open(user, 4);
        }
        for (user, value) in [(5, 8), (1, 12), (5, 4), (5, 9), (1, 8), (5, 12)] {
            collector.add(user, value);
        }
        assert_eq!(collector.count(), 9);
        let (users, disputed) = listed(collector);
        let values = |user| match user {
            1 => vec![4, 12, 8],
            5 => vec![4, 8, 12],
            _ => vec![4],
        };
        assert_eq!(users, (1..=9).map(|user| (user, values(user))).collect::<Vec<_>>());
        assert_eq!(disputed, 7 + 3 + 3);
    }
}
