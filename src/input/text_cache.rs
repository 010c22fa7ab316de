//! A cache of recent short texts, in front of the hash table of an interner.

/// The most entries. They take 256 KiB, which leaves space for other data in the processor's second-level cache.
const MOST: usize = 8192;

/// The numbers of recent short texts.
///
/// An entry holds its whole text, so that a lookup reads one place in memory. The hash table reads four. This halves
/// the time of reading an input.
#[derive(Clone, Debug, Default)]
pub(super) struct TextCache {
    /// Empty, or a power of two.
    entries: Vec<Option<CacheEntry>>,
}

#[derive(Clone, Copy, Debug)]
struct CacheEntry {
    key: CacheKey,
    number: u32,
}

/// A text of at most 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheKey {
    low: u64,
    high: u64,
    len: u32,
}

impl CacheKey {
    /// The first and the last eight bytes, which may overlap, and the length identify the text. Nothing is copied.
    #[inline]
    pub(super) fn new(text: &[u8]) -> Option<Self> {
        let len = u32::try_from(text.len()).ok()?;
        let (low, high) = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            (Some(first), Some(last)) if len <= 16 => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            (Some(_), _) => return None,
            _ => match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
                }
                _ => (text.iter().fold(0, |packed, byte| packed << 8 | u64::from(*byte)), 0),
            },
        };
        Some(Self { low, high, len })
    }

    #[inline]
    fn place(self, places: usize) -> usize {
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (self.low ^ self.high.rotate_left(29) ^ u64::from(self.len)).wrapping_mul(SPREAD);
        (mixed >> 40) as usize & (places - 1)
    }
}

impl TextCache {
    #[inline]
    pub(super) fn find(&self, key: CacheKey) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries[key.place(self.entries.len())].filter(|entry| entry.key == key).map(|entry| entry.number)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Option<CacheEntry>>()
    }

    /// Adds one of `of` numbers. With very many, few come again soon, and the cache is switched off.
    pub(super) fn insert(&mut self, key: CacheKey, number: u32, of: usize) {
        if of > MOST * 4 {
            self.entries = Vec::new();
            return;
        }
        let wanted = (of * 2).next_power_of_two().clamp(4, MOST);
        if self.entries.len() < wanted {
            self.entries = vec![None; wanted];
        }
        let place = key.place(wanted);
        self.entries[place] = Some(CacheEntry { key, number });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_equal_where_texts_are(a in prop::collection::vec(0..3_u8, 0..20), b in prop::collection::vec(0..3_u8, 0..20)) {
            match (CacheKey::new(&a), CacheKey::new(&b)) {
                (Some(one), Some(other)) => prop_assert_eq!(one == other, a == b),
                _ => prop_assert!(a.len() > 16 || b.len() > 16),
            }
        }
    }
}
