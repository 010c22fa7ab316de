//! Users whose values disagree, while they are found.

use std::collections::{BTreeMap, HashSet};

use super::OnConflict;
use super::column::UserConflict;

/// Users to remember where conflicts are settled, and not refused.
pub(super) const EXAMPLES: usize = 5;
/// Values to remember of each of these.
const EXAMPLE_VALUES: usize = 8;

/// The conflicts of one attribute, all of them counted.
#[derive(Debug)]
pub(super) struct ConflictCollector {
    /// Values are the same that differ in these lowest bits alone.
    name_bits: u32,
    count: u64,
    remembered: Remembered,
}

#[derive(Debug)]
enum Remembered {
    /// Of the users with the smallest numbers, distinct values.
    Few(BTreeMap<u64, Vec<u32>>),
    /// Users and values in the order of the input, with repetitions.
    All(Vec<(u64, u32)>),
}

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

    /// Whether two values of one user are a conflict: both can't stand.
    pub(super) fn is_one(&self, one: u32, other: u32) -> bool {
        (one ^ other) >> self.name_bits != 0
    }

    /// A user that had `value` until now is about to have another one.
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

    /// A user that has a conflict has this value, too.
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

    /// By user, ascending.
    pub(super) fn finish(self) -> Vec<UserConflict> {
        let mut seen = match self.remembered {
            Remembered::Few(users) => {
                return users.into_iter().map(|(user, values)| UserConflict { user, values }).collect();
            }
            Remembered::All(seen) => seen,
        };
        seen.sort_by_key(|(user, _)| *user);
        let one = |pairs: &[(u64, u32)]| {
            let mut distinct = HashSet::new();
            let values = pairs
                .iter()
                .map(|(_, value)| *value)
                .filter(|value| distinct.insert(*value >> self.name_bits))
                .collect();
            UserConflict { user: pairs[0].0, values }
        };
        seen.chunk_by(|(left, _), (right, _)| left == right).map(one).collect()
    }
}
