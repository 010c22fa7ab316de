//! What is to be sent, and what came of it so far.

use std::fmt;

use tokio::time::Instant;

use super::What;
use crate::deliver::case::Question;
use crate::deliver::event::{Purpose, Reason};
use crate::deliver::outage::Attempts;
use crate::deliver::part::Part;

/// A job, and when to send it at the earliest; of those at one time, the older first.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) number: u64,
    pub(super) job: Job,
}

/// Something to send, and what came of it so far.
#[derive(Clone, Debug)]
pub(super) struct Job {
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
    Update(Part),
    /// What a case asks.
    Ask { case: u64, question: Question },
    /// Whether the API serves anyone: an acknowledged row again, or a user.
    Probe(What),
    /// Whether the account is well: an acknowledged row again.
    Account(Part),
    /// What the API holds of a user.
    ReadBack(usize),
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let update = |f: &mut fmt::Formatter<'_>, users: u32| write!(f, "mass update, users: {users}");
        match self {
            Self::Update(part) => update(f, part.len()),
            Self::Account(part) => write!(f, "check of the account, users: {}", part.len()),
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

impl Job {
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
            Task::Update(_) | Task::Account(_) | Task::Probe(What::Update(_)) => true,
            Task::Ask { question, .. } => matches!(question, Question::Update(_)),
            Task::Probe(_) | Task::ReadBack(_) => false,
        }
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
