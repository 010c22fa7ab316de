//! The events that delivery sends while it runs, and its result.

use std::time::Duration;

use tokio::time::Instant;

use super::read_back::{ReadingBack, Verified};
use super::verdict::{AnswerKind, Reason};
use crate::plan::Batch;

/// What happens while delivery runs, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request was started.
    Sent {
        /// When.
        at: Instant,
        /// Why.
        purpose: Purpose,
    },
    /// A request ended, with an answer or without one.
    Answered {
        /// When.
        at: Instant,
        /// How long it took, from its start.
        latency: Duration,
        /// What the answer means.
        answer: AnswerKind,
    },
    /// A batch, or a part of one, is finished. Each row of the plan is finished at most once; rows that never are
    /// remain unsent.
    Finished {
        /// The rows.
        batch: Batch,
        /// How it ended for them.
        outcome: Outcome,
        /// How many requests carried them.
        attempts: u32,
    },
    /// The state of delivery, twenty times a second.
    Status(Status),
}

/// Why a request was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The first attempt for a planned batch.
    First,
    /// Another attempt for the same rows.
    Retry,
    /// The first attempt for a part of a batch that was rejected as a whole.
    Split,
    /// A check of a user, the address or the API.
    Check,
    /// A user is read, to compare what it has with what was sent.
    ReadBack,
}

/// How a batch, or a part of one, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API answered 200 with status ok.
    Acknowledged,
    /// The API rejected it for good, or its attempts ran out.
    Failed(Reason),
    /// The run stopped first.
    Unsent(Reason),
}

/// The state of delivery at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// How many requests are in flight.
    pub in_flight: usize,
    /// The rate in use, in requests per second.
    pub rate: f64,
    /// Whether that is less than the configured rate, because the API throttled the run.
    pub slowed: Slowed,
    /// Why no request starts at present, and for how much longer.
    pub waiting: Option<(Waiting, Duration)>,
    /// The last answer, while no request starts.
    pub reason: Option<String>,
    /// When the run gives up unless a request is served, while no request starts.
    pub gives_up: Option<Duration>,
    /// How far reading back is, once it has begun.
    pub reading_back: Option<ReadingBack>,
}

/// Whether the rate in use is less than the configured one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slowed {
    /// It is the configured rate.
    #[default]
    No,
    /// It is less, because the API throttled the run.
    Yes,
}

/// Why no request starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The server asked for a pause.
    Pause,
    /// The API is down; the time is until the next probe.
    Outage,
}

impl Waiting {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Outage => "outage",
        }
    }
}

/// The result of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// How it ended.
    pub end: End,
    /// What reading back found, if it was started.
    pub verified: Option<Verified>,
}

/// How delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every batch is finished.
    Complete,
    /// It stopped early, and rows are left.
    Stopped(Stop),
}

/// Why delivery stopped early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// 401 or 403.
    KeyRefused(Reason),
    /// There is no such operation at this address: a mass update and a GET of it are both not found.
    WrongAddress {
        /// The answer.
        reason: Reason,
        /// Where requests went.
        address: String,
    },
    /// The address answers with a redirect, which is not followed.
    Redirected(Reason),
    /// The API rejects everything with the same message.
    Refused(Reason),
    /// There is no connection, for a permanent reason: a certificate, a protocol, a proxy.
    Unreachable(Reason),
    /// The API served no request for `max_outage`.
    Outage {
        /// The last answer.
        reason: Reason,
        /// `max_outage`.
        after: Duration,
    },
    /// The API asks for a pause that is longer than `max_outage` allows. With a rate that several processes share, it may
    /// have asked another one.
    LongPause {
        /// What is left of the pause.
        pause: Duration,
        /// `max_outage`.
        most: Duration,
    },
    /// `max_duration`, which is this long, is over.
    OutOfTime(Duration),
    /// The rows of the first users, which are sent before all others, are not all there.
    Canary(CanaryFailure),
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// SIGHUP.
    HungUp,
    /// Another run has taken the lease of the ledger.
    LedgerLost,
    /// The ledger's database could not be reached for this long.
    LedgerAway(Duration),
    /// The ledger's database refuses something that it allowed before.
    LedgerRefused,
    /// A report can't be written any more.
    Unwritable,
}

/// What is wrong with the rows of the first users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanaryFailure {
    /// The API did not accept one of them.
    NotAccepted(Reason),
    /// All were acknowledged, and some of those that were read back have another value in the API.
    Differs {
        /// How many.
        differing: u64,
        /// How many were read back.
        checked: u64,
    },
    /// All were acknowledged, and some could not be read back.
    Unread {
        /// How many.
        unread: u64,
        /// Why, if the API gave a reason.
        why: Option<String>,
    },
}

impl Stop {
    /// The answer that stopped it, if one did.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::KeyRefused(reason)
            | Self::WrongAddress { reason, .. }
            | Self::Redirected(reason)
            | Self::Refused(reason)
            | Self::Unreachable(reason)
            | Self::Outage { reason, .. }
            | Self::Canary(CanaryFailure::NotAccepted(reason)) => Some(reason),
            Self::Canary(_)
            | Self::LongPause { .. }
            | Self::OutOfTime(_)
            | Self::Interrupted
            | Self::Terminated
            | Self::HungUp
            | Self::LedgerLost
            | Self::LedgerAway(_)
            | Self::LedgerRefused
            | Self::Unwritable => None,
        }
    }
}

/// Whether delivery is to stop, and how. The caller of [`deliver`](super::deliver()) sets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shutdown {
    /// It goes on.
    #[default]
    No,
    /// It starts no more requests, and waits for those in flight.
    Graceful(Stop),
    /// It returns at once.
    Immediate(Stop),
}
