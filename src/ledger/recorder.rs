//! Nothing is shown as done that a crash would forget.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Ledger, LedgerError, RunId};
use crate::deliver::{Event, Outcome};
use crate::plan::{Batch, Plan};

/// How long an acknowledgement may wait here for its commit. With what it waits before it is told, a crash costs no more
/// than 100 ms of them, beside what is in flight.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// How much may wait for its commit.
const MOST_BYTES: usize = 1 << 20;

/// Stands between delivery and those who count and show: it holds events back, in their order, until the ledger has
/// recorded what they acknowledge.
///
/// The consumer takes events for as long as more are there and it is not [due](Self::is_due), then commits, and passes
/// on what that releases. So a slow run commits every batch by itself; and in a fast one, what comes in while one
/// commit is written makes up the next one, so that the disk's pace doesn't matter.
#[derive(Debug)]
pub struct Recorder {
    ledger: Ledger,
    run: RunId,
    plan: Arc<Plan>,
    held: Vec<Event>,
    since: Option<Instant>,
}

impl Recorder {
    /// A recorder for a run of this plan.
    pub fn new(ledger: Ledger, run: RunId, plan: Arc<Plan>) -> Self {
        Self { ledger, run, plan, held: Vec::new(), since: None }
    }

    /// Takes the next event and holds it back.
    pub fn take(&mut self, event: Event, now: Instant) {
        if let Event::Finished { batch, ref outcome, attempts } = event {
            match outcome {
                Outcome::Acknowledged => self.ledger.record(&self.plan, batch, attempts),
                Outcome::Unsent(_) if attempts == 0 => {}
                Outcome::Failed(_) | Outcome::Unsent(_) => {
                    self.ledger.mark_uncertain(&self.plan, batch, attempts);
                }
            }
            self.since.get_or_insert(now);
        }
        self.held.push(event);
    }

    /// Whether to commit before another event is taken.
    pub fn is_due(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now - since >= LONGEST_WAIT)
            || self.ledger.pending_bytes() >= MOST_BYTES
    }

    /// Records what was acknowledged, and releases the events held back. On an error none is: the run has to stop, as
    /// nothing more can be recorded.
    pub fn commit(&mut self, at: Timestamp) -> Result<Vec<Event>, LedgerError> {
        self.ledger.commit(self.run, at)?;
        self.since = None;
        Ok(std::mem::take(&mut self.held))
    }

    /// After an error: what was held back, without what it says of rows, which can't be recorded. Requests were made, and
    /// count, whatever is known of them later.
    pub fn requests(&mut self) -> impl Iterator<Item = Event> {
        self.held.drain(..).filter(|event| !matches!(event, Event::Finished { .. }))
    }

    /// Takes down that the API doesn't hold what it acknowledged. It is recorded when the run is finished.
    pub fn mark_uncertain(&mut self, batch: Batch) {
        self.ledger.mark_uncertain(&self.plan, batch, 1);
    }

    /// The ledger, to finish the run in.
    pub fn into_ledger(self) -> Ledger {
        self.ledger
    }
}
