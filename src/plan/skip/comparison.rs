//! Compares the rows of an attribute with what the account is known to hold.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use fixedbitset::FixedBitSet;

use super::user_index::{UserIndex, users_in};
use crate::plan::SentValue;
use crate::plan::attribute_plan::AttributePlan;

/// The most values of an attribute for which the changes between values are counted. Where there are more, as for e-mail
/// addresses, nearly every change is another one.
const MOST_VALUES: u32 = 1 << 12;

/// The most changes between two values that are counted for an attribute.
const MOST_CHANGES: usize = 1 << 14;

/// The most positions for each user that may be spent on finding its value: users with sparse ids would take much memory, …
const MOST_POSITIONS_PER_USER: usize = 8;

/// … unless there are few positions in all.
const FEW_POSITIONS: usize = 1 << 20;

/// From one value to another: what is known, and what the plan sends (a group).
type Change = (SentValue<'static>, u32);

/// What is found out about the users of a range.
#[derive(Debug)]
pub(super) struct Comparison {
    /// By position in the index: users with another value.
    changed: FixedBitSet,
    /// Whether changes between values are counted. They are not if the values are too many.
    is_counted: bool,
    changes: HashMap<Change, u64>,
}

impl Comparison {
    pub(super) fn new(plan: &AttributePlan, index: &UserIndex) -> Self {
        let is_counted = plan.groups.len() <= MOST_VALUES
            && index.len() <= plan.ids.len().saturating_mul(MOST_POSITIONS_PER_USER).max(FEW_POSITIONS);
        Self { changed: FixedBitSet::with_capacity(index.len()), is_counted, changes: HashMap::new() }
    }

    /// A user who is known to have this value, and for whom the plan may have another one, that of `group`.
    pub(super) fn differs(
        &mut self,
        position: usize,
        value: &SentValue<'_>,
        group: impl FnOnce() -> Option<u32>,
    ) {
        self.changed.insert(position);
        if !self.is_counted {
            return;
        }
        // The position may belong to no user of the plan.
        let Some(group) = group() else { return };
        if self.changes.len() < MOST_CHANGES {
            *self.changes.entry((value.clone().into_owned(), group)).or_default() += 1;
        } else if let Some(count) = self.changes.get_mut(&(value.clone().into_owned(), group)) {
            *count += 1;
        }
    }

    /// How many users of the plan have another value, and the changes between values, each with the number of its users.
    pub(super) fn finish(
        self,
        plan: &AttributePlan,
        range: &RangeInclusive<u64>,
        index: &UserIndex,
    ) -> (u64, HashMap<Change, u64>) {
        if self.changed.is_clear() {
            return (0, self.changes);
        }
        let is_changed = |user: &u64| index.find(*user).is_some_and(|at| self.changed.contains(at));
        (users_in(plan, range).filter(is_changed).count() as u64, self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(is_counted: bool) -> Comparison {
        Comparison { changed: FixedBitSet::with_capacity(4), is_counted, changes: HashMap::new() }
    }

    #[test]
    fn so_many_changes_are_counted_and_each_of_those_to_the_end() {
        let mut compared = comparison(true);
        let value = |number: usize| SentValue::Text(number.to_string().into());
        for number in (0..=MOST_CHANGES).chain([0, 0, MOST_CHANGES]) {
            compared.differs(1, &value(number), || Some(3));
        }
        compared.differs(2, &value(0), || None);
        assert_eq!(compared.changes.len(), MOST_CHANGES);
        assert_eq!(compared.changes.get(&(value(0), 3)), Some(&3));
        assert_eq!(compared.changes.get(&(value(1), 3)), Some(&1));
        assert_eq!(compared.changed.ones().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn where_values_are_too_many_only_the_users_are_counted() {
        let mut compared = comparison(false);
        compared.differs(1, &SentValue::Null, || panic!("the value is not needed"));
        assert!(compared.changes.is_empty() && compared.changed.contains(1));
    }
}
