//! Finds the group of a user.

use std::cell::OnceCell;
use std::ops::RangeInclusive;

use super::user_index::UserIndex;
use crate::plan::BUFFER;
use crate::plan::attribute_plan::AttributePlan;

/// The groups of the users of a range. They are read when the first one is looked up.
#[derive(Debug, Default)]
pub(super) struct UserGroups {
    /// By position in the index: the group of each user, from 1; 0 where no user is.
    groups: OnceCell<Vec<u32>>,
}

impl UserGroups {
    /// The group of the user at a position of the index.
    pub(super) fn of(
        &self,
        position: usize,
        plan: &AttributePlan,
        range: &RangeInclusive<u64>,
        index: &UserIndex,
    ) -> Option<u32> {
        let groups = self.groups.get_or_init(|| read(plan, range, index));
        groups[position].checked_sub(1)
    }
}

fn read(plan: &AttributePlan, range: &RangeInclusive<u64>, index: &UserIndex) -> Vec<u32> {
    let mut groups = vec![0; index.len()];
    let mut users = plan.ids.reader(0..plan.ids.len(), BUFFER);
    for (group, len) in (1..).zip(plan.groups.sizes()) {
        for user in users.by_ref().take(len as usize).filter(|user| range.contains(user)) {
            if let Some(position) = index.find(user) {
                groups[position] = group;
            }
        }
    }
    groups
}
