//! Finds the users and groups of a plan by the texts that the ledger has of them.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::OnceLock;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::input::{AttributeId, Dictionary};
use crate::plan::groups::ValueGroups;
use crate::plan::id_column::IdColumn;
use crate::plan::users::UserNumbers;
use crate::plan::{SentValue, User, meaning};

/// Finds the number of a user.
#[derive(Debug)]
pub(super) struct UserLookup<'p> {
    users: &'p UserNumbers,
    dictionary: &'p Dictionary,
    hasher: RandomState,
    /// Numbers by the client's own id; built when the first one is looked up.
    numbers: OnceLock<HashTable<u32>>,
}

impl<'p> UserLookup<'p> {
    pub(super) fn new(users: &'p UserNumbers, dictionary: &'p Dictionary) -> Self {
        Self { users, dictionary, hasher: RandomState::default(), numbers: OnceLock::new() }
    }

    /// The user's number. A user that is not in the plan has none, or one that no user of the plan has.
    #[inline]
    pub(super) fn number(&self, user: &User<'_>) -> Option<u64> {
        match (user, self.users) {
            (User::Id(id), UserNumbers::Id) => Some(*id),
            (User::Custom(_), UserNumbers::Custom { .. } | UserNumbers::Ranked(_)) => {
                let equal = |number: &u32| self.users.user((*number).into(), self.dictionary) == *user;
                let numbers = self.numbers.get_or_init(|| self.numbers());
                numbers.find(self.hasher.hash_one(user), equal).copied().map(u64::from)
            }
            _ => None,
        }
    }

    fn numbers(&self) -> HashTable<u32> {
        let count = match self.users {
            UserNumbers::Id => 0,
            UserNumbers::Custom { order, .. } => order.len(),
            UserNumbers::Ranked(count) => *count,
        };
        let hash = |number: &u32| self.hasher.hash_one(self.users.user((*number).into(), self.dictionary));
        let mut numbers = HashTable::with_capacity(count);
        for number in (0..).take(count) {
            numbers.insert_unique(hash(&number), number, hash);
        }
        numbers
    }
}

/// Finds the groups of an attribute by what the values that they send mean.
#[derive(Debug)]
pub(super) struct GroupIndex<'p> {
    dictionary: &'p Dictionary,
    attribute: AttributeId,
    groups: &'p ValueGroups,
    hasher: RandomState,
    /// Built when the first value is looked up.
    index: Option<HashTable<u32>>,
}

impl<'p> GroupIndex<'p> {
    pub(super) fn new(dictionary: &'p Dictionary, attribute: AttributeId, groups: &'p ValueGroups) -> Self {
        Self { dictionary, attribute, groups, hasher: RandomState::default(), index: None }
    }

    /// The groups that send a value that means the same as this one.
    pub(super) fn find(&mut self, value: &SentValue<'_>) -> impl Iterator<Item = u32> {
        let index = self.index.take().unwrap_or_else(|| self.index());
        let index = self.index.insert(index);
        let (dictionary, attribute, groups) = (self.dictionary, self.attribute, self.groups);
        let name = &dictionary.attribute(attribute).name;
        let wanted = meaning(name, value);
        let hash = self.hasher.hash_one(&wanted);
        let equal =
            move |group: &u32| meaning(name, &sent_value(dictionary, attribute, groups, *group)) == wanted;
        index.iter_hash(hash).copied().filter(equal)
    }

    /// Whether the value that a group sends means the same as this one.
    pub(super) fn means(&self, group: u32, value: &SentValue<'_>) -> bool {
        let sent = sent_value(self.dictionary, self.attribute, self.groups, group);
        let name = &self.dictionary.attribute(self.attribute).name;
        sent == *value || meaning(name, &sent) == meaning(name, value)
    }

    fn index(&self) -> HashTable<u32> {
        let name = &self.dictionary.attribute(self.attribute).name;
        let value = |group: u32| sent_value(self.dictionary, self.attribute, self.groups, group);
        let hash = |group: &u32| self.hasher.hash_one(meaning(name, &value(*group)));
        let mut index = HashTable::with_capacity(self.groups.len() as usize);
        for group in 0..self.groups.len() {
            index.insert_unique(hash(&group), group, hash);
        }
        index
    }
}

pub(super) fn sent_value<'p>(
    dictionary: &'p Dictionary,
    attribute: AttributeId,
    groups: &ValueGroups,
    group: u32,
) -> SentValue<'p> {
    let value = groups.value(group);
    SentValue::new(dictionary.attribute_of(attribute, value), dictionary.value(attribute, value))
}

/// Searches a group for users in ascending order.
#[derive(Debug)]
pub(super) struct GroupSearch<'p> {
    ids: &'p IdColumn,
    /// The positions that are left.
    left: Range<usize>,
}

impl<'p> GroupSearch<'p> {
    /// Users ascend in this range of positions.
    pub(super) fn new(ids: &'p IdColumn, left: Range<usize>) -> Self {
        Self { ids, left }
    }

    /// The position of a user, if it is in the group. Users must be asked for in ascending order.
    ///
    /// This is an exponential search: it takes few steps if both groups have many users in common, and long ones if
    /// not.
    #[inline]
    pub(super) fn find(&mut self, user: u64) -> Option<usize> {
        let Range { mut start, end } = self.left;
        let mut stride = 1;
        while start + stride <= end && self.ids.get(start + stride - 1) < user {
            start += stride;
            stride *= 2;
        }
        let (mut low, mut high) = (start, end.min(start + stride - 1));
        while low < high {
            let middle = low.midpoint(high);
            if self.ids.get(middle) < user {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let found = low < end && self.ids.get(low) == user;
        self.left.start = low + usize::from(found);
        found.then_some(low)
    }
}
