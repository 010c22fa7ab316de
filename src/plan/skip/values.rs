//! Finds the groups of a column by their values.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::input::{AttributeId, Dictionary};
use crate::plan::SentValue;
use crate::plan::column::Groups;

/// The values of a column's groups, as sent.
#[derive(Debug)]
pub(super) struct GroupIndex<'p> {
    dictionary: &'p Dictionary,
    attribute: AttributeId,
    groups: &'p Groups,
    hasher: RandomState,
    /// Groups by their values; built when it is first asked for.
    index: Option<HashTable<u32>>,
}

impl<'p> GroupIndex<'p> {
    pub(super) fn new(dictionary: &'p Dictionary, attribute: AttributeId, groups: &'p Groups) -> Self {
        Self { dictionary, attribute, groups, hasher: RandomState::default(), index: None }
    }
    /// The groups that send this value: several where the settings map different values of the input to one.
    pub(super) fn find(&mut self, value: &SentValue<'_>) -> impl Iterator<Item = u32> {
        let index = self.index.take().unwrap_or_else(|| self.index());
        let index = self.index.insert(index);
        let (dictionary, attribute, groups) = (self.dictionary, self.attribute, self.groups);
        let equal = move |group: &u32| sent(dictionary, attribute, groups, *group) == *value;
        index.iter_hash(self.hasher.hash_one(value)).copied().filter(equal)
    }

    fn index(&self) -> HashTable<u32> {
        let hash =
            |group: &u32| self.hasher.hash_one(sent(self.dictionary, self.attribute, self.groups, *group));
        let mut index = HashTable::with_capacity(self.groups.len() as usize);
        for group in 0..self.groups.len() {
            index.insert_unique(hash(&group), group, hash);
        }
        index
    }
}

/// What a group sends.
fn sent<'p>(
    dictionary: &'p Dictionary,
    attribute: AttributeId,
    groups: &Groups,
    group: u32,
) -> SentValue<'p> {
    let value = groups.value(group);
    SentValue::of(dictionary.attribute_of(attribute, value), dictionary.value(attribute, value))
}
