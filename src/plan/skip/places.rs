//! Finds the users of a column by their numbers.

use std::ops::RangeInclusive;

use hashbrown::HashMap;

use crate::plan::column::Column;

/// Most numbers that can occur for each user, at a bit each: 8 bytes.
const MOST_NUMBERS_PER_USER: u64 = 64;

/// Bytes for a user in a bucket, its place among those that were found, and what it takes to sort them.
const BYTES_PER_USER: u64 = 6;

/// About how many users a bucket has, as a power of two.
const BUCKET_BITS: u32 = 3;

/// Gives each user of a column a place, which no other user has.
#[derive(Debug)]
pub(super) enum UserIndex {
    /// For numbers that lie close together: a place for each number that can occur.
    Dense { smallest: u64, count: usize },
    /// For numbers that lie apart: equal ranges of numbers, each with its users in ascending order.
    Buckets(Buckets),
    /// For numbers so far apart that even their distance within a bucket needs more than 32 bits.
    Scattered(HashMap<u64, usize, foldhash::fast::RandomState>),
}

/// Users by ranges of their numbers.
#[derive(Debug)]
pub(super) struct Buckets {
    smallest: u64,
    /// How many low bits of a number, less the smallest one, don't tell its bucket: at most 32.
    shift: u32,
    /// By bucket, where its users start; and at last, where they end.
    starts: Vec<u32>,
    /// The low bits of each user's number.
    users: Vec<u32>,
}

impl UserIndex {
    /// About how many bytes it takes at most to find so many users with numbers in this range, and to remember which of
    /// them have been found.
    pub(super) fn most_bytes(users: u64, range: &RangeInclusive<u64>) -> u64 {
        let apart = users.saturating_mul(BYTES_PER_USER);
        apart.min((range.end() - range.start()) / 8 + 1)
    }

    /// Of the users of a column whose numbers are in the range.
    pub(super) fn of(column: &Column, range: &RangeInclusive<u64>) -> Self {
        let (mut users, mut smallest, mut largest) = (0_u64, u64::MAX, 0);
        for user in users_in(column, range) {
            (users, smallest, largest) = (users + 1, smallest.min(user), largest.max(user));
        }
        if users == 0 {
            return Self::Dense { smallest: 0, count: 0 };
        }
        let reach = largest - smallest;
        if reach < users.saturating_mul(MOST_NUMBERS_PER_USER) {
            return Self::Dense { smallest, count: index(reach) + 1 };
        }
        let buckets = (users >> BUCKET_BITS).max(1);
        let shift = u64::BITS - (reach / buckets).leading_zeros();
        if shift > u32::BITS {
            return Self::Scattered(users_in(column, range).zip(0..).collect());
        }
        Self::Buckets(Buckets::of(column, range, index(users), smallest, reach, shift))
    }

    /// All places are below this.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Dense { count, .. } => *count,
            Self::Buckets(buckets) => buckets.users.len(),
            Self::Scattered(places) => places.len(),
        }
    }

    /// The place of a user; `None` for one who is not among them, unless nobody looks at that place.
    #[inline]
    pub(super) fn find(&self, user: u64) -> Option<usize> {
        match self {
            Self::Dense { smallest, count } => {
                let place = usize::try_from(user.checked_sub(*smallest)?).ok()?;
                (place < *count).then_some(place)
            }
            Self::Buckets(buckets) => buckets.find(user),
            Self::Scattered(places) => places.get(&user).copied(),
        }
    }
}

impl Buckets {
    fn of(
        column: &Column,
        range: &RangeInclusive<u64>,
        count: usize,
        smallest: u64,
        reach: u64,
        shift: u32,
    ) -> Self {
        let users = || users_in(column, range).map(|user| user - smallest);
        let mut starts = vec![0_u32; index(reach >> shift) + 2];
        for user in users() {
            starts[index(user >> shift) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut sorted = vec![0; count];
        for user in users() {
            let place = &mut next[index(user >> shift)];
            sorted[*place as usize] = low_bits(user, shift);
            *place += 1;
        }
        for range in starts.windows(2) {
            sorted[range[0] as usize..range[1] as usize].sort_unstable();
        }
        Self { smallest, shift, starts, users: sorted }
    }

    #[inline]
    fn find(&self, user: u64) -> Option<usize> {
        let user = user.checked_sub(self.smallest)?;
        let bucket = usize::try_from(user >> self.shift).ok()?;
        let end = *self.starts.get(bucket.checked_add(1)?)? as usize;
        let start = self.starts[bucket] as usize;
        let place = self.users[start..end].binary_search(&low_bits(user, self.shift)).ok()?;
        Some(start + place)
    }
}

/// The users of a column whose numbers are in the range.
fn users_in<'c>(column: &'c Column, range: &'c RangeInclusive<u64>) -> impl Iterator<Item = u64> + 'c {
    column.ids.walk(0..column.ids.len()).filter(|user| range.contains(user))
}

/// The smallest and the largest number.
pub(super) fn bounds(column: &Column) -> Option<(u64, u64)> {
    let ends = (0..column.groups.len()).map(|group| {
        let range = column.groups.range(group);
        (column.ids.get(range.at(0)), column.ids.get(range.at(range.len() - 1)))
    });
    ends.reduce(|(smallest, largest), (first, last)| (smallest.min(first), largest.max(last)))
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most 32 bits are left")]
fn low_bits(number: u64, count: u32) -> u32 {
    (number & ((1 << count) - 1)) as u32
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("what is in memory can be indexed")
}
