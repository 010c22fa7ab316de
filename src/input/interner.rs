//! Gives numbers to distinct texts.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::text_cache::{CacheKey, TextCache};

/// Numbers distinct texts from 0, in the order in which they were added.
///
/// The texts lie end to end in one string, so that a million of them take three allocations.
#[derive(Clone, Debug, Default)]
pub(super) struct Interner {
    joined: String,
    ends: Vec<usize>,
    slots: HashTable<TableEntry>,
    state: RandomState,
    cache: TextCache,
}

/// A number and part of the hash of its text. With the hash, the table can grow, and most texts can be told apart,
/// without reading a text.
#[derive(Clone, Copy, Debug)]
struct TableEntry {
    hash: u32,
    number: u32,
}

impl TableEntry {
    /// The table uses some of the highest and some of the lowest bits, so both must vary.
    fn spread(self) -> u64 {
        spread(self.hash)
    }
}

fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Interner {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a number. Panics if there is none.
    pub(super) fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.joined.get(start..self.ends[number]).expect("texts are joined whole")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..).zip(&self.ends).map(|(number, _)| self.get(number))
    }

    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        let hash = self.hash(text);
        let found = self.slots.find(spread(hash), |slot| slot.hash == hash && self.holds(slot.number, text));
        found.map(|slot| slot.number)
    }

    /// The same as `find`, but faster for a recent text.
    #[inline]
    pub(super) fn find_cached(&mut self, text: &[u8]) -> Option<u32> {
        let Some(key) = CacheKey::new(text) else { return self.find(text) };
        match self.cache.find(key) {
            Some(number) => Some(number),
            None => self.find_and_cache(text, key),
        }
    }

    #[inline(never)]
    fn find_and_cache(&mut self, text: &[u8], key: CacheKey) -> Option<u32> {
        let number = self.find(text)?;
        self.cache.insert(key, number, self.ends.len());
        Some(number)
    }

    /// The number of a text, which is added if it is new.
    pub(super) fn intern(&mut self, text: &str) -> u32 {
        match self.find(text.as_bytes()) {
            Some(number) => number,
            None => self.insert(text),
        }
    }

    /// Adds a text that is not there yet.
    pub(super) fn insert(&mut self, text: &str) -> u32 {
        let number = u32::try_from(self.ends.len()).expect("memory ends before four billion distinct texts");
        self.joined.push_str(text);
        self.ends.push(self.joined.len());
        let slot = TableEntry { hash: self.hash(text.as_bytes()), number };
        self.slots.insert_unique(slot.spread(), slot, |slot| slot.spread());
        number
    }

    /// All numbers, in the byte order of their texts.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let texts = (0..).zip(self.iter());
        let mut keyed: Vec<(u64, u32)> = texts.map(|(number, text)| (prefix(text), number)).collect();
        keyed.sort_unstable_by(|(left, one), (right, other)| {
            left.cmp(right).then_with(|| self.get(*one).cmp(self.get(*other)))
        });
        keyed.into_iter().map(|(_, number)| number).collect()
    }

    /// The length of all texts together.
    pub(super) fn joined_bytes(&self) -> u64 {
        self.joined.len() as u64
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.joined.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.slots.allocation_size()
            + self.cache.memory_bytes()
    }

    fn holds(&self, number: u32, text: &[u8]) -> bool {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        self.joined.as_bytes()[start..self.ends[number]] == *text
    }

    fn hash(&self, text: &[u8]) -> u32 {
        let mut hasher = self.state.build_hasher();
        hasher.write(text);
        let hash = hasher.finish();
        #[expect(clippy::cast_possible_truncation, reason = "a part of the hash is meant")]
        let part = (hash >> 32) as u32 ^ hash as u32;
        part
    }
}

/// The first eight bytes as a number with the same order. Most texts can be sorted by it without reading them.
fn prefix(text: &str) -> u64 {
    let mut first = [0; 8];
    let len = text.len().min(first.len());
    first[..len].copy_from_slice(&text.as_bytes()[..len]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_keeps_the_number_of_its_first_coming(texts in prop::collection::vec("[ab]{0,4}", 0..200)) {
            let mut interned = Interner::default();
            let mut seen: Vec<&str> = Vec::new();
            for text in &texts {
                if !seen.contains(&text.as_str()) {
                    seen.push(text);
                }
                let number = interned.intern(text) as usize;
                prop_assert_eq!(seen[number], text.as_str());
            }
            prop_assert_eq!(interned.iter().collect::<Vec<_>>(), seen);
        }
    }
}
