//! What is to be sent, and what came of it so far.

use std::fmt;

use tokio::time::Instant;

use super::ApiCall;
use crate::deliver::diagnosis::Question;
use crate::deliver::event::Purpose;
use crate::deliver::outage::Attempts;
use crate::deliver::user_set::UserSet;
use crate::deliver::verdict::Reason;

/// A request, and when to send it at the earliest; of those at one time, the older first.
#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) at: Instant,
    pub(super) number: u64,
    pub(super) request: PendingRequest,
}

/// Something to send, and what came of it so far.
#[derive(Clone, Debug)]
pub(super) struct PendingRequest {
    pub(super) task: Task,
    /// What its next request is.
    pub(super) purpose: Purpose,
    /// How many requests carried its users.
    pub(super) carried: u32,
    /// Those that ended in trouble.
    pub(super) attempts: Attempts,
    /// Requests on connections that the server had closed.
    pub(super) stale: u32,
    /// When the first request for it started.
    pub(super) since: Option<Instant>,
    /// When the last one did.
    pub(super) started: Option<Instant>,
    /// What the last answer said.
    pub(super) last: Option<Reason>,
}

/// What a request is sent for.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// A planned batch, or a part of one.
    Update(UserSet),
    /// What a diagnosis asks.
    Ask { diagnosis: u64, question: Question },
    /// Whether the API serves anyone: an acknowledged row again, or a user.
    Probe(ApiCall),
    /// Whether the account is well: an acknowledged row again.
    Account(UserSet),
    /// What the API holds of a user.
    ReadBack(usize),
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let update = |f: &mut fmt::Formatter<'_>, users: u32| write!(f, "mass update, users: {users}");
        match self {
            Self::Update(users) => update(f, users.len()),
            Self::Account(users) => write!(f, "check of the account, users: {}", users.len()),
            Self::Probe(_) => f.write_str("probe"),
            Self::ReadBack(_) => f.write_str("user read back"),
            Self::Ask { question, .. } => match question {
                Question::Address => f.write_str("check of the address"),
                Question::Key => f.write_str("check of the key"),
                Question::Update(places) => update(f, places.end - places.start),
                Question::Exists(_) => f.write_str("check of a user"),
            },
        }
    }
}

impl PendingRequest {
    pub(super) fn new(task: Task, purpose: Purpose) -> Self {
        Self {
            task,
            purpose,
            carried: 0,
            attempts: Attempts::default(),
            stale: 0,
            since: None,
            started: None,
            last: None,
        }
    }

    /// Whether it is a mass update, and not a question.
    pub(super) fn is_update(&self) -> bool {
        match &self.task {
            Task::Update(_) | Task::Account(_) | Task::Probe(ApiCall::Update(_)) => true,
            Task::Ask { question, .. } => matches!(question, Question::Update(_)),
            Task::Probe(_) | Task::ReadBack(_) => false,
        }
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
