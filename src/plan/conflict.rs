//! Users whose values disagree, while they are found.

use std::collections::HashSet;

use super::OnConflict;
use super::column::Disagreement;

/// Users to remember where conflicts are settled, and not refused.
const EXAMPLES: usize = 5;
/// Values to remember of each of these.
const EXAMPLE_VALUES: usize = 8;

/// The conflicts of one attribute: all are counted; the first few are remembered, or all where they are refused.
#[derive(Debug)]
pub(super) struct Conflicts {
    count: u64,
    most: usize,
    /// User and value, in the order of the input. Where all are remembered with repetitions.
    seen: Vec<(u64, u32)>,
}

impl Conflicts {
    pub(super) fn new(on_conflict: OnConflict) -> Self {
        let most = match on_conflict {
            OnConflict::Last | OnConflict::First => EXAMPLES,
            OnConflict::Error => usize::MAX,
        };
        Self { count: 0, most, seen: Vec::new() }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// A user that had `value` until now is about to have another one.
    pub(super) fn open(&mut self, user: u64, value: u32) {
        if self.count < self.most as u64 {
            self.seen.push((user, value));
        }
        self.count += 1;
    }

    /// A user that has a conflict has this value, too.
    pub(super) fn add(&mut self, user: u64, value: u32) {
        let wanted = self.most == usize::MAX || {
            let own = || self.seen.iter().filter(|(seen, _)| *seen == user);
            (1..EXAMPLE_VALUES).contains(&own().count()) && !own().any(|(_, seen)| *seen == value)
        };
        if wanted {
            self.seen.push((user, value));
        }
    }

    /// By user, ascending.
    pub(super) fn into_disagreements(mut self) -> Vec<Disagreement> {
        self.seen.sort_by_key(|(user, _)| *user);
        let one = |pairs: &[(u64, u32)]| {
            let mut distinct = HashSet::new();
            let values =
                pairs.iter().map(|(_, value)| *value).filter(|value| distinct.insert(*value)).collect();
            Disagreement { user: pairs[0].0, values }
        };
        self.seen.chunk_by(|(left, _), (right, _)| left == right).map(one).collect()
    }
}
