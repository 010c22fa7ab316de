//! What one request is sent for.

use tokio::time::Instant;

use super::circuit::Attempts;
use super::event::{Purpose, Reason};
use crate::plan::Batch;

/// A batch, or a part of one, on its way to being settled.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) part: Batch,
    /// What its next request is.
    pub(super) purpose: Purpose,
    /// The planned batch whose search this part belongs to.
    pub(super) search: Option<Batch>,
    /// How many requests carried its users.
    pub(super) sent: u32,
    /// Those that count against the most.
    pub(super) attempts: Attempts,
    /// When the first request for it started.
    pub(super) since: Option<Instant>,
    /// What the last answer said.
    pub(super) last: Option<Reason>,
}

impl Job {
    pub(super) fn new(part: Batch) -> Self {
        Self {
            part,
            purpose: Purpose::First,
            search: None,
            sent: 0,
            attempts: Attempts::default(),
            since: None,
            last: None,
        }
    }
}
