//! From batches to answers: the only asynchronous part.
//!
//! [`deliver`] sends a plan through a [`Transport`] and tells what happens in [`Event`]s. Each part of it knows one
//! thing, in a file of its own:
//!
//! - `dispatcher`: who sends what when. All others are called from there, and none of them waits or sends.
//! - [`Limiter`]: when the next request may start; `window`: how many requests are in flight; `circuit`: whether the API serves anybody.
//! - [`Verdict`]: what an answer means; [`decide`]: what to do about it; `blame`, `split` and `refusals`: whom a refusal
//!   is for; `address`: whether there is such an operation at all.
//! - [`Http`]: the real transport. [`verify()`]: what the API holds afterwards, for a [`Sample`] of rows.
//!
//! What happened to a batch is data ([`Outcome`]). The one error is that nobody listens any more.

mod address;
mod blame;
mod circuit;
mod connecting;
mod dispatcher;
mod event;
mod flights;
mod http;
mod job;
mod limiter;
mod lost;
mod options;
mod refusals;
mod retry;
mod sample;
mod split;
mod transport;
mod verdict;
mod verify;
mod window;
mod words;

use std::sync::Arc;

use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};

pub use event::{Answer, End, Event, Held, Order, Outcome, Pulse, Purpose, Reason, Slowed, Stop};
pub use http::{Http, HttpError, Target};
pub use limiter::{Limiter, Told};
pub use options::{Options, Rate};
pub use retry::{Decision, History, decide};
pub use sample::{Pick, Sample};
pub use transport::{Lost, LostCause, Reach, Reply, Request, Transport};
pub use verdict::Verdict;
pub use verify::{Mismatch, Verified, verify};

use crate::plan::Plan;

/// Nobody takes the events any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes the events any more")]
pub struct Disconnected;

/// Sends a plan, and returns when each of its rows is settled or the run is stopped.
///
/// `orders` may end it early. `chance` is for jitter. Rows that no [`Event::Settled`] names are unsent.
///
/// # Errors
/// When the receiver of the events is gone.
pub async fn deliver<T: Transport>(
    plan: Arc<Plan>,
    transport: Arc<T>,
    options: &Options,
    orders: watch::Receiver<Order>,
    events: mpsc::Sender<Event>,
    chance: StdRng,
) -> Result<End, Disconnected> {
    dispatcher::Dispatcher::new(plan, transport, options, events, chance).run(orders).await
}
