//! Walks through the batches of a plan in the order of sending.

use super::{Batch, Plan};

/// A position between two batches of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    group: u32,
    first: u32,
}

impl Cursor {
    /// The next batch, in the order of sending; `None` after the last one.
    pub fn next(&mut self, plan: &Plan) -> Option<Batch> {
        if self.group == plan.groups() {
            return None;
        }
        let Self { group, first } = *self;
        let left = plan.group_len(group) - first;
        let len = left.min(plan.batch_size().get());
        *self = if len == left {
            Self { group: group + 1, first: 0 }
        } else {
            Self { group, first: first + len }
        };
        Some(Batch { group, first, len })
    }
}

/// All batches of a plan, in the order of sending.
#[derive(Clone, Debug)]
pub struct Batches<'p> {
    plan: &'p Plan,
    cursor: Cursor,
}

impl<'p> Batches<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        Self { plan, cursor: plan.cursor() }
    }
}

impl Iterator for Batches<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        self.cursor.next(self.plan)
    }
}
