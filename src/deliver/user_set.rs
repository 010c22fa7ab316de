//! The users of one request, as ranges.

use std::ops::Range;

use crate::plan::Batch;

/// Users of one group, by their places in it: a batch, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserSet {
    pub(super) group: u32,
    /// Ascending, not empty, with a gap between any two.
    ranges: Vec<Range<u32>>,
}

impl From<Batch> for UserSet {
    fn from(Batch { group, first, len }: Batch) -> Self {
        Self { group, ranges: std::iter::once(first..first + len).collect() }
    }
}

impl UserSet {
    /// These places of a group, which ascend.
    pub(super) fn of(group: u32, places: impl IntoIterator<Item = u32>) -> Self {
        let mut ranges: Vec<Range<u32>> = Vec::new();
        for place in places {
            match ranges.last_mut() {
                Some(range) if range.end == place => range.end += 1,
                _ => ranges.push(place..place + 1),
            }
        }
        Self { group, ranges }
    }

    /// How many users.
    pub(super) fn len(&self) -> u32 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The place of the first user.
    pub(super) fn first(&self) -> u32 {
        self.ranges.first().map_or(0, |range| range.start)
    }

    /// The places, ascending.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    /// The same users as batches, each without a gap.
    pub(super) fn batches(&self) -> impl Iterator<Item = Batch> + '_ {
        let group = self.group;
        self.ranges.iter().map(move |range| Batch { group, first: range.start, len: range.end - range.start })
    }

    /// Takes out the first `count` users, at most all of them.
    pub(super) fn split_front(&mut self, count: u32) -> Self {
        let (mut front, mut left) = (Vec::new(), count);
        while left > 0 && !self.ranges.is_empty() {
            let range = &mut self.ranges[0];
            let end = range.end.min(range.start.saturating_add(left));
            front.push(range.start..end);
            left -= end - range.start;
            range.start = end;
            if range.start == range.end {
                self.ranges.remove(0);
            }
        }
        Self { group: self.group, ranges: front }
    }

    /// Divides the users into those that are `chosen` and the others.
    pub(super) fn partition(&self, mut chosen: impl FnMut(u32) -> bool) -> (Self, Self) {
        let (yes, no): (Vec<u32>, Vec<u32>) = self.places().partition(|place| chosen(*place));
        (Self::of(self.group, yes), Self::of(self.group, no))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_divided_without_losing_a_place() {
        let whole = UserSet::from(Batch { group: 3, first: 10, len: 10 });
        let (odd, even) = whole.partition(|place| place % 2 == 1);
        assert_eq!((odd.len(), even.len(), odd.batches().count()), (5, 5, 5));
        assert_eq!((whole.len(), odd.first(), even.first()), (10, 11, 10));
        assert!(!whole.is_empty());
        let mut rest = UserSet::of(3, [1, 2, 3, 7, 8, 20]);
        let batch = |first, len| Batch { group: 3, first, len };
        assert_eq!(rest.batches().collect::<Vec<_>>(), [batch(1, 3), batch(7, 2), batch(20, 1)]);
        assert_eq!((rest.len(), rest.first(), rest.places().nth(3)), (6, 1, Some(7)));
        let front = rest.split_front(4);
        assert_eq!(front, UserSet::of(3, [1, 2, 3, 7]));
        assert_eq!(rest, UserSet::of(3, [8, 20]));
        assert_eq!(rest.split_front(9), UserSet::of(3, [8, 20]));
        assert!(rest.is_empty());
    }
}
