//! The figures of a plan.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::Serialize;

use super::plan::NumberedAttribute;
use super::{Conflict, Phase, Plan};

/// Batches with fewer users than this on average gain nothing,
const FEW_USERS: f64 = 2.0;
/// which matters with more requests than this.
const MANY_REQUESTS: u64 = 1_000;
/// Conflicts, and shared values, to show of an attribute.
const EXAMPLES: usize = 5;

/// The figures of a plan, for people who want to know what a run would do. Texts are borrowed from the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanSummary<'p> {
    /// Over all attributes.
    pub totals: PlanTotals,
    /// Each attribute that has rows, in the order of sending.
    pub attributes: Vec<AttributeSummary<'p>>,
    /// Names of attributes, the one with the most requests first.
    pub costliest: Vec<&'p str>,
    /// The largest groups, the largest first.
    pub largest: Vec<GroupSummary<'p>>,
    /// The first few conflicts of each attribute, by user.
    pub conflicts: Vec<Conflict<'p>>,
    /// Attributes that should be one user's alone, and have a value that several users would get.
    pub shared: Vec<SharedValues<'p>>,
}

/// Sums over all attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlanTotals {
    /// Valid rows, as read.
    pub rows: u64,
    /// Rows that stand: one per user and attribute.
    pub standing: u64,
    /// Rows that lost to another one of the same user and attribute.
    pub superseded: u64,
    /// Pairs of user and attribute that had values which disagree.
    pub conflicts: u64,
    /// Pairs of attribute and value that have users.
    pub groups: u64,
    /// Requests, if all goes well.
    pub requests: u64,
}

/// One attribute in figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AttributeSummary<'p> {
    /// Its name.
    pub name: &'p str,
    /// Valid rows, as read.
    pub rows: u64,
    /// Users that get a value: one standing row each.
    pub users: u64,
    /// Distinct values that users get.
    pub values: u64,
    /// Requests, if all goes well.
    pub requests: u64,
    /// On average; 0 without requests.
    pub users_per_request: f64,
    /// Rows that lost to another one of the same user.
    pub superseded: u64,
    /// Users that had values which disagree.
    pub conflicts: u64,
    /// Nearly every user has a value of its own, so that it takes about as many requests as users, and many of them.
    pub uncoalesced: bool,
}

/// One group in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupSummary<'p> {
    /// The attribute's name.
    pub attribute: &'p str,
    /// The value, as the input has it; `None` clears the attribute.
    pub value: Option<Cow<'p, str>>,
    /// How many users get it.
    pub users: u32,
    /// In how many requests.
    pub requests: u32,
}

/// Values of one attribute that several users would get, though they should be one user's alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedValues<'p> {
    /// The attribute's name.
    pub attribute: &'p str,
    /// How many values are shared.
    pub values: u64,
    /// The first few of them.
    pub examples: Vec<GroupSummary<'p>>,
}

impl Plan {
    /// The plan in figures, with the `top` largest groups. Takes a few nanoseconds a group.
    pub fn summary(&self, top: usize) -> PlanSummary<'_> {
        let attributes = self.attributes();
        PlanSummary {
            largest: self.largest(top),
            conflicts: attributes
                .iter()
                .flat_map(|attribute| self.conflicts(attribute).take(EXAMPLES))
                .collect(),
            shared: attributes.iter().filter_map(|attribute| self.shared(attribute)).collect(),
            ..PlanSummary::of(attributes.iter().map(|attribute| self.summarise(attribute)).collect())
        }
    }

    fn summarise(&self, attribute: &NumberedAttribute) -> AttributeSummary<'_> {
        let plan = &attribute.plan;
        AttributeSummary {
            name: self.attribute_name(attribute),
            rows: plan.rows,
            users: plan.users(),
            values: plan.groups.len().into(),
            requests: attribute.requests,
            users_per_request: 0.0,
            superseded: plan.superseded(),
            conflicts: plan.conflicts,
            uncoalesced: false,
        }
        .with_average()
    }

    fn largest(&self, top: usize) -> Vec<GroupSummary<'_>> {
        let mut largest = BinaryHeap::new();
        for attribute in self.attributes() {
            for (group, users) in (attribute.first_group..).zip(attribute.plan.groups.sizes()) {
                let candidate = Reverse((users, Reverse(group)));
                if largest.len() < top {
                    largest.push(candidate);
                } else if let Some(mut smallest) =
                    largest.peek_mut().filter(|smallest| candidate < **smallest)
                {
                    *smallest = candidate;
                }
            }
        }
        largest
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse((_, Reverse(group)))| self.group_summary(group))
            .collect()
    }

    fn shared(&self, attribute: &NumberedAttribute) -> Option<SharedValues<'_>> {
        if attribute.phase == Phase::Ordinary {
            return None;
        }
        let sizes = (attribute.first_group..).zip(attribute.plan.groups.sizes());
        let mut shared = sizes.filter(|(_, users)| *users > 1).map(|(group, _)| group);
        let examples: Vec<_> =
            shared.by_ref().take(EXAMPLES).map(|group| self.group_summary(group)).collect();
        let values = examples.len() as u64 + shared.count() as u64;
        (values > 0).then(|| SharedValues { attribute: self.attribute_name(attribute), values, examples })
    }

    fn group_summary(&self, group: u32) -> GroupSummary<'_> {
        let users = self.group_len(group);
        GroupSummary {
            attribute: &self.attribute(group).name,
            value: self.value(group),
            users,
            requests: users.div_ceil(self.batch_size().get()),
        }
    }
}

impl<'p> PlanSummary<'p> {
    /// The figures of these attributes, without examples.
    pub(super) fn of(attributes: Vec<AttributeSummary<'p>>) -> Self {
        let mut costliest: Vec<_> = attributes.iter().collect();
        costliest.sort_by_key(|attribute| Reverse(attribute.requests));
        Self {
            totals: attributes.iter().fold(PlanTotals::default(), PlanTotals::and),
            costliest: costliest.into_iter().map(|attribute| attribute.name).collect(),
            attributes,
            largest: Vec::new(),
            conflicts: Vec::new(),
            shared: Vec::new(),
        }
    }
}

impl AttributeSummary<'_> {
    /// The same, with the figures that follow from the others.
    pub(super) fn with_average(self) -> Self {
        let Self { users, requests, .. } = self;
        #[expect(clippy::cast_precision_loss, reason = "an average for people")]
        let users_per_request = if requests == 0 { 0.0 } else { users as f64 / requests as f64 };
        let uncoalesced = requests > MANY_REQUESTS && users_per_request < FEW_USERS;
        Self { users_per_request, uncoalesced, ..self }
    }
}

impl PlanTotals {
    fn and(self, attribute: &AttributeSummary<'_>) -> Self {
        Self {
            rows: self.rows + attribute.rows,
            standing: self.standing + attribute.users,
            superseded: self.superseded + attribute.superseded,
            conflicts: self.conflicts + attribute.conflicts,
            groups: self.groups + attribute.values,
            requests: self.requests + attribute.requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_requests_for_hardly_any_users_each_are_noticed() {
        let of = |users, requests| {
            let summary = AttributeSummary {
                name: "score",
                rows: users,
                users,
                values: requests,
                requests,
                users_per_request: 0.0,
                superseded: 0,
                conflicts: 0,
                uncoalesced: false,
            };
            let AttributeSummary { users_per_request, uncoalesced, .. } = summary.with_average();
            (users_per_request, uncoalesced)
        };
        assert_eq!(of(0, 0), (0.0, false));
        assert_eq!(of(1_000, 1_000), (1.0, false));
        assert!(of(1_500, 1_001).1);
        assert_eq!(of(2_002, 1_001), (2.0, false));
    }

    #[test]
    fn totals_are_the_sums_of_all_attributes() {
        let one = AttributeSummary {
            name: "score",
            rows: 101,
            users: 73,
            values: 11,
            requests: 13,
            users_per_request: 5.6,
            superseded: 23,
            conflicts: 5,
            uncoalesced: false,
        };
        let other = AttributeSummary {
            name: "city",
            rows: 202,
            users: 140,
            values: 17,
            requests: 19,
            users_per_request: 7.4,
            superseded: 53,
            conflicts: 9,
            uncoalesced: false,
        };
        let PlanTotals { rows, standing, superseded, conflicts, groups, requests } =
            PlanTotals::default().and(&one).and(&other);
        assert_eq!([rows, standing, superseded, conflicts, groups, requests], [303, 213, 76, 14, 28, 32]);
    }
}
