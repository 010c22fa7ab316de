//! Sends the plan's batches to the API: the only asynchronous layer.
//!
//! [`deliver`] sends a plan through a [`Transport`] and reports what happens as [`Event`]s. One answer passes through these
//! types:
//!
//! - [`Reply`] or [`SendError`]: what came back from the server, uninterpreted.
//! - [`Verdict`]: what that means by itself, for example "throttled" or "rejected".
//! - [`AnswerKind`]: the verdict without its details, for counting.
//! - [`Outcome`]: how a batch or a part of one ended, which may take many requests to find out.
//!
//! The modules, each with one responsibility:
//!
//! - `core` decides what to send next and what follows from an answer. It is pure: it neither waits nor sends, and is given
//!   the time. It uses
//!   - `verdict` and `suggested_cause`, which interpret one answer: its status, and its message;
//!   - `diagnosis`, which finds out why a request was rejected and for which users, with `search` to find users and
//!     `size_limit` to find the largest request that the API accepts;
//!   - `knowledge`, what answers have shown of the account, its attributes, values and users so far;
//!   - `outage`, which tells a failing request from an API that is down, and `backoff`, how long to wait;
//!   - `canary`, which chooses the users whose rows are sent and read back before all others;
//!   - `read_back`, which compares rows with what the API holds at the end.
//! - `dispatcher` is the loop that sends what the core decides. It uses the [`Limiter`], which says when the next request
//!   may start, and `concurrency`, how many may be in flight.
//! - `http` is the real transport.
//! - `pages` reads the list of all users, and `account_user` what the API shows of a user.
//!
//! A batch that fails is not an error but an [`Outcome`]. The only error is that the receiver of the events is gone.

mod account_user;
mod backoff;
mod canary;
mod concurrency;
mod core;
mod diagnosis;
mod dispatcher;
mod event;
mod http;
mod knowledge;
mod limiter;
#[cfg(test)]
mod model;
mod options;
mod outage;
mod pages;
mod read_back;
mod search;
mod server_message;
mod size_limit;
mod suggested_cause;
mod transport;
mod user_set;
mod verdict;

use std::sync::Arc;

use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};

pub use account_user::{AccountUser, AccountValue};
pub use canary::Canary;
pub use event::{
    CanaryFailure, Delivery, End, Event, Outcome, Purpose, Shutdown, Slowed, Status, Stop, Waiting,
};
#[cfg(feature = "postgres")]
pub(crate) use http::certificate as certificate_error;
pub use http::{Http, HttpError, Target};
#[cfg(feature = "postgres")]
pub(crate) use limiter::{HEADROOM, TOLERANCE};
pub use limiter::{LimitSignal, Limiter, SharedRate};
pub use options::{Options, Rate, Verify};
pub use pages::{Page, PageError, PageReader, PageRequests};
pub use read_back::{Mismatch, PlanRow, ReadingBack, Reservoir, Verified, Way};
pub use transport::{Delivered, Reply, Request, RequestId, SendError, SendErrorCause, Transport};
pub use verdict::{AnswerKind, Reason, Verdict};

use crate::plan::Plan;

/// The receiver of the events is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes the events any more")]
pub struct Disconnected;

/// Sends a plan. Returns when each of its rows is finished or the run is stopped.
///
/// `shutdown_rx` can stop it early. `chance` supplies the jitter. Rows without an [`Event::Finished`] were not sent.
///
/// # Errors
/// When the receiver of the events is gone.
pub async fn deliver<T: Transport>(
    plan: Arc<Plan>,
    transport: Arc<T>,
    options: &Options,
    shutdown_rx: watch::Receiver<Shutdown>,
    events: mpsc::Sender<Event>,
    chance: StdRng,
) -> Result<Delivery, Disconnected> {
    dispatcher::Dispatcher::new(plan, transport, options, events, chance).run(shutdown_rx).await
}
