//! Which rows of the plan are settled.

use std::collections::BTreeMap;

use crate::plan::Batch;

/// Which rows of the plan are settled, in memory that grows with what is out of order, not with the plan.
///
/// A row's place is its group's number and its place in the group, in one number, so that places ascend in plan order.
/// Finished places are kept as ranges without gaps. The end of a group is the beginning of the next one, so that
/// neighbouring groups merge, too: a run that settled everything holds one range.
#[derive(Clone, Debug, Default)]
pub struct FinishedRows {
    /// From the first place of a range to the place after its last.
    ranges: BTreeMap<u64, u64>,
}

impl FinishedRows {
    /// Marks a batch as settled; `group_len` is how many users its group has. False if any of it already was.
    #[must_use]
    pub fn insert(&mut self, batch: Batch, group_len: u32) -> bool {
        let start = place(batch.group, batch.first);
        let last = batch.first + batch.len;
        let end = if last == group_len { place(batch.group + 1, 0) } else { place(batch.group, last) };

        let before = self.ranges.range(..=start).next_back().map(|(&start, &end)| (start, end));
        let after = self.ranges.range(start..).next().map(|(&start, &end)| (start, end));
        if before.is_some_and(|(_, its_end)| its_end > start)
            || after.is_some_and(|(its_start, _)| its_start < end)
        {
            return false;
        }
        let merged_start =
            before.filter(|&(_, its_end)| its_end == start).map_or(start, |(its_start, _)| its_start);
        let merged_end = match after {
            Some((its_start, its_end)) if its_start == end => {
                self.ranges.remove(&its_start);
                its_end
            }
            _ => end,
        };
        self.ranges.insert(merged_start, merged_end);
        true
    }

    /// What is not settled, in plan order, as batches of any length; `group_lens` are the lengths of all groups.
    pub fn rest<G>(&self, group_lens: G) -> impl Iterator<Item = Batch> + use<'_, G>
    where
        G: IntoIterator<Item = u32>,
    {
        let groups = (0_u32..).zip(group_lens);
        groups.flat_map(|(group, len)| self.gaps(group, len))
    }

    /// How many ranges are kept.
    pub fn ranges(&self) -> usize {
        self.ranges.len()
    }

    fn gaps(&self, group: u32, len: u32) -> impl Iterator<Item = Batch> + use<'_> {
        let (start, end) = (place(group, 0), place(group, len));
        let covered =
            self.ranges.range(..=start).next_back().map_or(start, |(_, &its_end)| its_end.max(start));
        let mut first = covered.min(end);
        let mut later = self.ranges.range(start + 1..end.max(start + 1));
        std::iter::from_fn(move || {
            while first < end {
                let (gap_end, next) = later.next().map_or((end, end), |(&start, &end)| (start, end));
                let gap = gap_end.saturating_sub(first);
                let batch = Batch { group, first: within(first), len: within(gap) };
                first = next;
                if gap > 0 {
                    return Some(batch);
                }
            }
            None
        })
    }
}

fn place(group: u32, first: u32) -> u64 {
    u64::from(group) << 32 | u64::from(first)
}

fn within(place: u64) -> u32 {
    u32::try_from(place & u64::from(u32::MAX)).expect("masked to 32 bits")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Groups, cut into batches in plan order, then settled in any order.
    fn plan() -> impl Strategy<Value = (Vec<u32>, Vec<Batch>)> {
        prop::collection::vec(1_u32..20, 1..8).prop_flat_map(|lens| {
            (Just(lens.clone()), (1_u32..8).prop_map(move |size| cut(&lens, size)).prop_shuffle())
        })
    }

    fn cut(lens: &[u32], size: u32) -> Vec<Batch> {
        let mut batches = Vec::new();
        for (group, &len) in (0..).zip(lens) {
            for first in (0..len).step_by(size as usize) {
                batches.push(Batch { group, first, len: size.min(len - first) });
            }
        }
        batches
    }

    fn rows(batch: Batch) -> impl Iterator<Item = (u32, u32)> {
        (batch.first..batch.first + batch.len).map(move |user| (batch.group, user))
    }

    proptest! {
        #[test]
        fn the_rest_is_what_a_plain_set_says((lens, batches) in plan(), percent in 0_usize..=100) {
            let mut settled = FinishedRows::default();
            let mut left: BTreeSet<_> = cut(&lens, 1).into_iter().flat_map(rows).collect();
            let most = batches.len() * percent / 100;
            for &batch in batches.iter().take(most) {
                prop_assert!(settled.insert(batch, lens[batch.group as usize]));
                prop_assert!(!settled.insert(batch, lens[batch.group as usize]), "a second time");
                rows(batch).for_each(|row| assert!(left.remove(&row)));
            }
            let rest: Vec<_> = settled.rest(lens.iter().copied()).flat_map(rows).collect();
            prop_assert_eq!(rest, left.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn the_rest_has_no_empty_and_no_neighbouring_batches((lens, batches) in plan()) {
            let mut settled = FinishedRows::default();
            for &batch in batches.iter().take(batches.len() / 2) {
                prop_assert!(settled.insert(batch, lens[batch.group as usize]));
            }
            let rest: Vec<_> = settled.rest(lens.iter().copied()).collect();
            prop_assert!(rest.iter().all(|batch| batch.len > 0));
            for pair in rest.windows(2) {
                prop_assert!(pair[0].group < pair[1].group || pair[0].first + pair[0].len < pair[1].first);
            }
        }
    }

    #[test]
    fn memory_grows_with_what_is_out_of_order_alone() {
        let lens = vec![1000; 1000];
        let mut settled = FinishedRows::default();
        let batches = cut(&lens, 100);
        for window in batches.chunks(16) {
            for &batch in window.iter().rev() {
                assert!(settled.insert(batch, 1000));
                assert!(settled.ranges() <= 2);
            }
        }
        assert_eq!(settled.ranges(), 1);
        assert_eq!(settled.rest(lens).count(), 0);
    }

    #[test]
    fn the_last_places_that_there_can_be_are_no_exception() {
        let mut settled = FinishedRows::default();
        assert!(settled.insert(Batch { group: 0, first: 0, len: u32::MAX - 1 }, u32::MAX));
        let rest: Vec<_> = settled.rest([u32::MAX]).collect();
        assert_eq!(rest, [Batch { group: 0, first: u32::MAX - 1, len: 1 }]);
    }
}
