//! What delivery tells while it runs, and how it ends.

use std::time::Duration;

use super::read_back::Verified;
use crate::plan::Batch;

/// What delivery tells, in the order in which it happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request was started.
    Sent(Purpose),
    /// A request came to its end, well or not.
    Answered {
        /// From its start.
        latency: Duration,
        /// What the answer means.
        answer: Answer,
    },
    /// A batch, or a part of one, is done with. Each row of the plan is settled at most once; those that never are
    /// remain unsent.
    Settled {
        /// Whose rows.
        batch: Batch,
        /// What became of them.
        outcome: Outcome,
        /// How many requests carried it.
        attempts: u32,
    },
    /// The state of the pool, twenty times a second.
    Pulse(Pulse),
}

/// Why a request was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A planned batch's first try.
    First,
    /// The same batch, or part, again.
    Retry,
    /// A part of a batch that was refused as a whole, for the first time.
    Split,
    /// Anything else: asking whether a user, the address or the API is there, and reading back.
    Check,
}

/// What an answer means, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200, and the body says ok.
    Acknowledged,
    /// 429, or 503 with `retry-after`.
    Throttled,
    /// Refused for what it says.
    Refused,
    /// Anything that may go better the next time.
    Troubled,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API answered 200 with status ok.
    Acknowledged,
    /// The API refused it for good, or attempts ran out.
    Failed(Reason),
    /// The run stopped before it was settled.
    Unsent(Reason),
}

/// Why a batch is not acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// The last answer's status, if there was an answer.
    pub status: Option<u16>,
    /// The server's words, cleaned and cut, or ours.
    pub error: String,
}

/// The state of the pool.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// Requests in flight.
    pub in_flight: usize,
    /// The pace in force, requests per second.
    pub pace: f64,
    /// Whether that is less than the rate allows, because of throttlings.
    pub slowed: Slowed,
    /// Why nothing starts just now, and for how much longer.
    pub held: Option<(Held, Duration)>,
    /// What the last answer said, while nothing starts.
    pub reason: Option<String>,
}

/// Whether a pace is less than the rate allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slowed {
    /// It is what the rate allows.
    #[default]
    No,
    /// Throttlings have lowered it.
    Yes,
}

/// Why nothing starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The server asked for a pause.
    Pause,
    /// The server answers nobody; the time is until the next probe.
    Outage,
}

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// How it ended.
    pub end: End,
    /// What reading back found, if it was begun.
    pub verified: Option<Verified>,
}

/// How delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every batch is settled.
    Complete,
    /// Rows are left.
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
    /// The API refuses everything in the same words.
    Refused(Reason),
    /// There is no connection, for a reason that stays as it is: a certificate, a protocol, a proxy.
    Unreachable(Reason),
    /// The API served nobody for `max_outage`.
    Outage {
        /// The last answer.
        reason: Reason,
        /// `max_outage`.
        after: Duration,
    },
    /// The API asks for a pause that goes beyond `max_outage`.
    LongPause {
        /// The answer.
        reason: Reason,
        /// What is left of the pause.
        pause: Duration,
        /// `max_outage`.
        most: Duration,
    },
    /// `max_duration`, which is this long, is over.
    OutOfTime(Duration),
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// SIGHUP.
    HungUp,
    /// A report can't be written any more.
    Unwritable,
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
            | Self::LongPause { reason, .. } => Some(reason),
            Self::OutOfTime(_) | Self::Interrupted | Self::Terminated | Self::HungUp | Self::Unwritable => {
                None
            }
        }
    }
}

/// What delivery is told while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    #[default]
    GoOn,
    /// Start no request any more; let those in flight finish.
    Finish(Stop),
    /// Leave at once.
    Quit(Stop),
}
