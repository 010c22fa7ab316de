//! Holds events back until the ledger has recorded them, so that nothing is shown as done that a crash would lose.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::{Ledger, LedgerError, RunId};
use crate::deliver::{Event, Outcome, Reason};
use crate::plan::{Batch, Plan};

/// How long an acknowledgement may wait for its commit. Delivery holds an event back for up to 50 ms as well, so a crash loses
/// at most the acknowledgements of 100 ms.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// How many bytes may wait for a commit: enough that commits are few, and little memory.
const MOST_BYTES: usize = 1 << 20;

/// Holds events back, in order, until the ledger has recorded what they acknowledge.
///
/// The consumer takes events while more are available and no commit is [due](Self::is_due). Then it commits, and passes the
/// released events on. So a slow run commits each batch by itself. In a fast one, all events that arrive during one commit
/// are in the next one, so a slow disk doesn't slow the run down.
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

    /// Takes an event after another run has taken the ledger: what was sent may have replaced what that run sent.
    pub fn doubt(&mut self, event: &Event) {
        if let Event::Finished { batch, attempts: 1.., .. } = *event {
            self.ledger.mark_uncertain(&self.plan, batch, 1);
        }
    }

    /// Tells the runs that use the ledger from now on what is doubted.
    pub fn leave_doubts(&mut self) {
        if let Err(error) = self.ledger.leave_doubts(self.run) {
            warn!("what was sent last could not be marked as doubtful: {error}");
        }
    }

    /// Whether to commit before another event is taken.
    pub fn is_due(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now - since >= LONGEST_WAIT)
            || self.ledger.pending_bytes() >= MOST_BYTES
    }

    /// Records what was acknowledged, and releases the events. After an error none is released, and the run has to stop,
    /// because nothing more can be recorded.
    pub fn commit(&mut self, at: Timestamp) -> Result<Vec<Event>, LedgerError> {
        self.ledger.commit(self.run, at)?;
        self.since = None;
        Ok(std::mem::take(&mut self.held))
    }

    /// The events to release after an error, as they count without being recorded.
    pub fn release_unrecorded(&mut self) -> impl Iterator<Item = Event> {
        self.held.drain(..).map(Self::unrecorded)
    }

    /// An event as it counts if the ledger can't record it. Rows that were acknowledged are unsent, as the next run sends them
    /// again. All else is true without the ledger.
    pub fn unrecorded(event: Event) -> Event {
        match event {
            Event::Finished { batch, outcome: Outcome::Acknowledged, attempts } => {
                let error = "sent and acknowledged, but the ledger could not record it".to_owned();
                Event::Finished { batch, outcome: Outcome::Unsent(Reason { status: None, error }), attempts }
            }
            other => other,
        }
    }

    /// Notes that the API doesn't have the value that it acknowledged. It is recorded when the run is finished.
    pub fn mark_uncertain(&mut self, batch: Batch) {
        self.ledger.mark_uncertain(&self.plan, batch, 1);
    }

    /// The ledger, to finish the run in.
    pub fn into_ledger(self) -> Ledger {
        self.ledger
    }
}
