//! From batches to answers: the only asynchronous part.
//!
//! [`deliver`] sends a plan through a [`Transport`] and tells what happens in [`Event`]s. Each part of it knows one
//! thing, in a file of its own:
//!
//! - `core`: what to send next, and what follows from an answer. Pure: no waiting, no sending, no clock. It uses
//!   - [`Verdict`]: what an answer means by itself; `hint`: what its words suggest;
//!   - `case`: why a request was refused, and for whom; `search`: finding users; `limits`: finding the largest size;
//!   - `facts`: what answers have shown of the account, its attributes, values and users;
//!   - `outage`: whether the API serves anyone, and which attempts count;
//!   - `read_back`: what the API holds afterwards, for a [`Reservoir`] of rows.
//! - `dispatcher`: the loop that sends what the core decides. It uses
//!   - [`Limiter`]: when the next request may start; `window`: how many requests are in flight.
//! - [`Http`]: the real transport.
//!
//! What happened to a batch is data ([`Outcome`]). The one error is that nobody listens any more.

mod backoff;
mod concurrency;
mod connect_timing;
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
mod read_back;
mod reservoir;
mod search;
mod send_error;
mod server_message;
mod size_limit;
mod suggested_cause;
mod transport;
mod user_set;
mod verdict;

use std::sync::Arc;

use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};

pub use event::{Delivery, End, Event, Outcome, Purpose, Shutdown, Slowed, Status, Stop, Waiting};
pub use http::{Http, HttpError, Target};
pub use limiter::{LimitSignal, Limiter};
pub use options::{Options, Rate};
pub use read_back::{Mismatch, Verified};
pub use reservoir::{PlanRow, Reservoir};
pub use transport::{Delivered, Reply, Request, SendError, SendErrorCause, Transport};
pub use verdict::{AnswerKind, Reason, Verdict};

use crate::plan::Plan;

/// Nobody takes the events any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes the events any more")]
pub struct Disconnected;

/// Sends a plan, and returns when each of its rows is settled or the run is stopped.
///
/// `shutdown_rx` may end it early. `chance` is for jitter. Rows that no [`Event::Finished`] names are unsent.
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
