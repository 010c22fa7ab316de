//! Which rows of the plan are finished.

use std::iter;

use rangemap::RangeSet;

use crate::plan::Batch;

/// Which rows of the plan are finished. Its memory grows with what is out of order, not with the plan.
///
/// A row's place is the number of its group and its place in the group, in one number, so that places ascend in plan
/// order. The end of a group is the start of the next one, so that neighbouring groups merge, too: once every row is
/// finished, one range is left.
#[derive(Clone, Debug, Default)]
pub struct FinishedRows {
    places: RangeSet<u64>,
}

impl FinishedRows {
    /// Marks a batch as finished; `group_len` is how many users its group has.
    pub fn insert(&mut self, batch: Batch, group_len: u32) {
        let last = batch.first + batch.len;
        let end = if last == group_len { place(batch.group + 1, 0) } else { place(batch.group, last) };
        self.places.insert(place(batch.group, batch.first)..end);
    }

    /// What is not finished, in plan order, as batches of any length; `group_lens` are the lengths of all groups.
    pub fn rest<G>(&self, group_lens: G) -> impl Iterator<Item = Batch> + use<'_, G>
    where
        G: IntoIterator<Item = u32>,
    {
        let mut gaps = self.places.gaps(&(0..u64::MAX)).peekable();
        let mut groups = (0_u32..).zip(group_lens).peekable();
        iter::from_fn(move || {
            loop {
                let (&(group, len), gap) = (groups.peek()?, gaps.peek()?.clone());
                let all = place(group, 0)..place(group, len);
                // Whichever ends first is done with.
                if gap.end < all.end {
                    gaps.next();
                } else {
                    groups.next();
                }
                let (start, end) = (gap.start.max(all.start), gap.end.min(all.end));
                if start < end {
                    return Some(Batch { group, first: within(start), len: within(end - start) });
                }
            }
        })
    }

    /// How many ranges are kept.
    pub fn ranges(&self) -> usize {
        self.places.len()
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

    /// Groups, cut into batches in plan order, then finished in any order.
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
            let mut finished = FinishedRows::default();
            let mut left: BTreeSet<_> = cut(&lens, 1).into_iter().flat_map(rows).collect();
            let most = batches.len() * percent / 100;
            for &batch in batches.iter().take(most) {
                finished.insert(batch, lens[batch.group as usize]);
                // A second time changes nothing.
                finished.insert(batch, lens[batch.group as usize]);
                rows(batch).for_each(|row| assert!(left.remove(&row)));
            }
            let rest: Vec<_> = finished.rest(lens.iter().copied()).flat_map(rows).collect();
            prop_assert_eq!(rest, left.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn the_rest_has_no_empty_and_no_neighbouring_batches((lens, batches) in plan()) {
            let mut finished = FinishedRows::default();
            for &batch in batches.iter().take(batches.len() / 2) {
                finished.insert(batch, lens[batch.group as usize]);
            }
            let rest: Vec<_> = finished.rest(lens.iter().copied()).collect();
            prop_assert!(rest.iter().all(|batch| batch.len > 0));
            for pair in rest.windows(2) {
                prop_assert!(pair[0].group < pair[1].group || pair[0].first + pair[0].len < pair[1].first);
            }
        }
    }

    #[test]
    fn memory_grows_with_what_is_out_of_order_alone() {
        let lens = vec![1000; 1000];
        let mut finished = FinishedRows::default();
        let batches = cut(&lens, 100);
        for window in batches.chunks(16) {
            for &batch in window.iter().rev() {
                finished.insert(batch, 1000);
                assert!(finished.ranges() <= 2);
            }
        }
        assert_eq!(finished.ranges(), 1);
        assert_eq!(finished.rest(lens).count(), 0);
    }

    #[test]
    fn the_last_places_that_there_can_be_are_no_exception() {
        let mut finished = FinishedRows::default();
        finished.insert(Batch { group: 0, first: 0, len: u32::MAX - 1 }, u32::MAX);
        let rest: Vec<_> = finished.rest([u32::MAX]).collect();
        assert_eq!(rest, [Batch { group: 0, first: u32::MAX - 1, len: 1 }]);
    }
}
