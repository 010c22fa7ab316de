//! Walks along a group to look for users in ascending order.

use std::ops::Range;

use crate::plan::column::Ids;

/// What is left of a group.
#[derive(Debug)]
pub(super) struct GroupSearch<'p> {
    ids: &'p Ids,
    left: Range<usize>,
}

impl<'p> GroupSearch<'p> {
    /// Over the users at these places of a column, who ascend.
    pub(super) fn new(ids: &'p Ids, places: Range<usize>) -> Self {
        Self { ids, left: places }
    }

    /// The place of a user, if it is in the group; users are to be asked for in ascending order.
    ///
    /// Goes in strides that double until they go too far: short where both groups have much in common, long where not.
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
