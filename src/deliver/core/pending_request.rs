//! A request that is to be sent, with the attempts that were made so far.

use std::fmt;

use tokio::time::Instant;
use tracing::field::{DisplayValue, display};

use super::ApiCall;
use crate::deliver::diagnosis::Question;
use crate::deliver::event::Purpose;
use crate::deliver::outage::Attempts;
use crate::deliver::read_back;
use crate::deliver::transport::RequestId;
use crate::deliver::user_set::UserSet;
use crate::deliver::verdict::Reason;

/// A request that is to be sent, or sent again.
#[derive(Clone, Debug)]
pub(super) struct PendingRequest {
    pub(super) task: Task,
    /// The purpose of the next attempt.
    pub(super) purpose: Purpose,
    /// How many requests carried its users.
    pub(super) carried: u32,
    /// The attempts that failed.
    pub(super) attempts: Attempts,
    /// Requests on connections that the server had closed.
    pub(super) stale: u32,
    /// When its first attempt started.
    pub(super) since: Option<Instant>,
    /// When its last attempt started.
    pub(super) started: Option<Instant>,
    /// The id of its last attempt.
    pub(super) id: Option<RequestId>,
    /// The last answer.
    pub(super) last: Option<Reason>,
}

/// What a request is for.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// A planned batch, or a part of one.
    Update(UserSet),
    /// A question of a diagnosis.
    Ask { diagnosis: u64, question: Question },
    /// A probe: whether the API is up. It sends an acknowledged row again, or asks for a user.
    Probe(ApiCall),
    /// A check of the account: it sends an acknowledged row again.
    Account(UserSet),
    /// Whether the user exists whose row was rejected in a check of the account.
    AccountUser(UserSet),
    /// Reads users back.
    ReadBack(read_back::Question),
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let update = |f: &mut fmt::Formatter<'_>, users: u32| write!(f, "mass update, users: {users}");
        match self {
            Self::Update(users) => update(f, users.len()),
            Self::Account(users) => write!(f, "check of the account, users: {}", users.len()),
            Self::AccountUser(_) => f.write_str("check of a user"),
            Self::Probe(_) => f.write_str("probe"),
            Self::ReadBack(read_back::Question::Page(_)) => f.write_str("page of users read back"),
            Self::ReadBack(read_back::Question::User(_)) => f.write_str("user read back"),
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
            id: None,
            last: None,
        }
    }

    /// The id of its last attempt, for the log.
    pub(super) fn logged_id(&self) -> Option<DisplayValue<&RequestId>> {
        self.id.as_ref().map(display)
    }

    /// Whether it is a mass update, and not a question.
    pub(super) fn is_update(&self) -> bool {
        match &self.task {
            Task::Update(_) | Task::Account(_) | Task::Probe(ApiCall::Update(_)) => true,
            Task::Ask { question, .. } => matches!(question, Question::Update(_)),
            Task::Probe(_) | Task::AccountUser(_) | Task::ReadBack(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_what_a_request_is_for() {
        let users = UserSet::of(0, [3, 4, 9]);
        let ask = |question| Task::Ask { diagnosis: 1, question };
        for (task, shown) in [
            (Task::Update(users.clone()), "mass update, users: 3"),
            (ask(Question::Update(5..12)), "mass update, users: 7"),
            (Task::Account(users.clone()), "check of the account, users: 3"),
            (Task::AccountUser(users), "check of a user"),
            (ask(Question::Exists(5)), "check of a user"),
            (ask(Question::Address), "check of the address"),
            (ask(Question::Key), "check of the key"),
            (Task::Probe(ApiCall::Page(None)), "probe"),
            (Task::ReadBack(read_back::Question::Page(None)), "page of users read back"),
        ] {
            assert_eq!(task.to_string(), shown);
        }
    }
}
