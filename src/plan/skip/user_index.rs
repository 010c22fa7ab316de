//! Finds the users of an attribute by their numbers, in as little memory as possible.

use std::ops::RangeInclusive;

use hashbrown::HashMap;

use crate::plan::BUFFER;
use crate::plan::attribute_plan::AttributePlan;
use crate::plan::index;

/// A dense index takes a bit for each number that can occur. It is used up to this many numbers for each user, which is
/// 8 bytes, about what the other forms take.
const MOST_NUMBERS_PER_USER: u64 = 64;

/// What a user takes in a bucket, with the bit that marks it and the space to sort it.
const BYTES_PER_USER: u64 = 6;

/// About how many users a bucket has, as a power of two. They are found by a binary search, in one cache line.
const BUCKET_BITS: u32 = 3;

/// Into how many equal ranges a range of numbers is divided at a time.
const PARTS: usize = 1 << 10;

/// Gives each user of an attribute, within a range of numbers, a position of its own.
#[derive(Debug)]
pub(super) enum UserIndex {
    /// For numbers that lie close together: a position for each number that can occur.
    Dense { smallest: u64, len: usize },
    /// For numbers that lie apart: equal ranges of numbers, each with its users in ascending order.
    Buckets(Buckets),
    /// For numbers so far apart that even within a bucket they differ in more than 32 bits.
    Scattered(HashMap<u64, usize, foldhash::fast::RandomState>),
}

/// Users by ranges of their numbers.
#[derive(Debug)]
pub(super) struct Buckets {
    smallest: u64,
    /// How many low bits of a number, less the smallest one, do not select its bucket: at most 32.
    shift: u32,
    /// By bucket, the position where its users start; and at the end, where the last ones end.
    starts: Vec<u32>,
    /// The low bits of each user's number.
    users: Vec<u32>,
}

impl UserIndex {
    /// About the most bytes that an index of this number of users in this range takes, with the bits that mark them.
    fn most_bytes(users: u64, range: &RangeInclusive<u64>) -> u64 {
        let apart = users.saturating_mul(BYTES_PER_USER);
        apart.min((range.end() - range.start()) / 8 + 1)
    }

    /// An index of the users whose numbers are in the range.
    pub(super) fn new(plan: &AttributePlan, range: &RangeInclusive<u64>) -> Self {
        let (mut users, mut smallest, mut largest) = (0_u64, u64::MAX, 0);
        for user in users_in(plan, range) {
            (users, smallest, largest) = (users + 1, smallest.min(user), largest.max(user));
        }
        if users == 0 {
            return Self::Dense { smallest: 0, len: 0 };
        }
        let reach = largest - smallest;
        if reach < users.saturating_mul(MOST_NUMBERS_PER_USER) {
            return Self::Dense { smallest, len: index(reach) + 1 };
        }
        let buckets = (users >> BUCKET_BITS).max(1);
        let shift = u64::BITS - (reach / buckets).leading_zeros();
        if shift > u32::BITS {
            return Self::Scattered(users_in(plan, range).zip(0..).collect());
        }
        Self::Buckets(Buckets::new(plan, range, index(users), smallest, reach, shift))
    }

    /// All positions are below this.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Dense { len, .. } => *len,
            Self::Buckets(buckets) => buckets.users.len(),
            Self::Scattered(positions) => positions.len(),
        }
    }

    /// The position of a user. For a user that is not in the index it is `None`, or a position that belongs to no user.
    #[inline]
    pub(super) fn find(&self, user: u64) -> Option<usize> {
        match self {
            Self::Dense { smallest, len } => {
                let position = usize::try_from(user.checked_sub(*smallest)?).ok()?;
                (position < *len).then_some(position)
            }
            Self::Buckets(buckets) => buckets.find(user),
            Self::Scattered(positions) => positions.get(&user).copied(),
        }
    }
}

impl Buckets {
    fn new(
        plan: &AttributePlan,
        range: &RangeInclusive<u64>,
        count: usize,
        smallest: u64,
        reach: u64,
        shift: u32,
    ) -> Self {
        let users = || users_in(plan, range).map(|user| user - smallest);
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
            let position = &mut next[index(user >> shift)];
            sorted[*position as usize] = low_bits(user, shift);
            *position += 1;
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
        let position = self.users[start..end].binary_search(&low_bits(user, self.shift)).ok()?;
        Some(start + position)
    }
}

/// Divides the users of an attribute into ascending ranges of numbers, so that an index of each range takes at most
/// about this number of bytes.
pub(super) fn ranges(plan: &AttributePlan, budget: u64) -> Vec<RangeInclusive<u64>> {
    let Some((smallest, largest)) = bounds(plan) else { return Vec::new() };
    let all = smallest..=largest;
    if UserIndex::most_bytes(plan.users(), &all) <= budget {
        return vec![all];
    }
    let mut ranges = Vec::new();
    divide(plan, all, budget, &mut ranges);
    ranges
}

/// Reads all users once for each range that is divided. A part is divided again only if most users have nearly the same
/// number.
fn divide(
    plan: &AttributePlan,
    range: RangeInclusive<u64>,
    budget: u64,
    ranges: &mut Vec<RangeInclusive<u64>>,
) {
    let (smallest, largest) = (*range.start(), *range.end());
    let width = (largest - smallest) / PARTS as u64 + 1;
    let mut counts = vec![0_u64; PARTS];
    for user in users_in(plan, &range) {
        counts[index((user - smallest) / width)] += 1;
    }
    let end_of = |start: u64| start.checked_add(width - 1).map_or(largest, |end| end.min(largest));
    let (mut first, mut users) = (smallest, 0);
    let mut start = smallest;
    for count in counts {
        let end = end_of(start);
        if users > 0 && UserIndex::most_bytes(users + count, &(first..=end)) > budget {
            ranges.push(first..=start - 1);
            (first, users) = (start, 0);
        }
        if width > 1 && UserIndex::most_bytes(count, &(start..=end)) > budget {
            divide(plan, start..=end, budget, ranges);
            (first, users) = (end.saturating_add(1), 0);
        } else {
            users += count;
        }
        if end == largest {
            break;
        }
        start = end + 1;
    }
    if users > 0 {
        ranges.push(first..=largest);
    }
}

/// The users whose numbers are in the range.
pub(super) fn users_in<'c>(
    plan: &'c AttributePlan,
    range: &'c RangeInclusive<u64>,
) -> impl Iterator<Item = u64> + 'c {
    plan.ids.reader(0..plan.ids.len(), BUFFER).filter(|user| range.contains(user))
}

/// The smallest and the largest number.
fn bounds(plan: &AttributePlan) -> Option<(u64, u64)> {
    let ends = (0..plan.groups.len()).map(|group| {
        let range = plan.groups.range(group);
        (plan.ids.get(range.at(0)), plan.ids.get(range.at(range.len() - 1)))
    });
    ends.reduce(|(smallest, largest), (first, last)| (smallest.min(first), largest.max(last)))
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most 32 bits are left")]
fn low_bits(number: u64, count: u32) -> u32 {
    (number & ((1 << count) - 1)) as u32
}
