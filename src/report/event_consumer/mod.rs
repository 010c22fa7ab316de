//! The one consumer of what delivery does: records it in the ledger, counts it, and reports it, in this order.
//!
//! Nothing is counted or shown as done before the ledger has it on the disk. So a crash never takes back what was shown.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::Instant;

use super::format::why_stopped;
use super::progress::{Progress, ProgressState, Speed};
use super::{
    FailuresReport, FinishedRows, LatencySummary, NotAccepted, Snapshot, Statistics, Tally, WriteError,
};
use crate::clock;
use crate::deliver::{End, Event, Outcome, Reason, Slowed, Status, Verified};
use crate::ledger::RowCounts;
use crate::ledger::{Ledger, LedgerError, Recorder};
use crate::plan::{Batch, Plan};

/// How often the counts are passed on: much more often than anybody looks at metrics.
const BETWEEN_SNAPSHOTS: Duration = Duration::from_secs(1);

/// Takes events, and blocks while it writes.
///
/// A report that can't be written is given up at once, as one with rows missing would be wrong. Rows that the
/// ledger can't record as acknowledged are unsent. Either way the run has to stop, and the requests that are still in flight
/// are counted.
#[derive(Debug)]
pub struct EventConsumer<P> {
    plan: Arc<Plan>,
    /// Holds events back until the ledger has recorded them.
    recorder: Option<Recorder>,
    tally: Tally,
    statistics: Statistics,
    finished: FinishedRows,
    failures: Option<FailuresReport>,
    progress: P,
    /// Where the counts go as well, once a second.
    snapshots: Option<watch::Sender<Snapshot>>,
    last_snapshot: Option<Instant>,
    speed: Speed,
    begun: Instant,
    error: Option<RecordError>,
}

/// Why a run can't be recorded any more.
#[derive(Debug)]
pub enum RecordError {
    /// The failures report can't be written.
    Report(WriteError),
    /// The ledger can't be written.
    Ledger(LedgerError),
}

/// What a run leaves when its last event is consumed.
#[derive(Debug)]
pub struct Consumed {
    /// What was counted.
    pub tally: Tally,
    /// The same in more detail.
    pub statistics: Statistics,
    /// How many rows of the failures report hold what a spreadsheet would run as a formula.
    pub formulas: u64,
    /// The ledger, to record the run's end in; `None` if there is none, or if it can't be written.
    pub ledger: Option<Ledger>,
    /// What went wrong, if anything did.
    pub error: Option<RecordError>,
}

impl<P: Progress> EventConsumer<P> {
    /// A consumer for a run of this plan. `before` has the fates of the rows that are not in the plan, and how many rows
    /// were read. The report has the invalid ones already.
    pub fn new(
        plan: Arc<Plan>,
        before: RowCounts,
        recorder: Option<Recorder>,
        failures: FailuresReport,
        progress: P,
    ) -> Self {
        Self {
            tally: Tally::new(before, plan.requests()),
            statistics: Statistics::new(clock::monotonic_now()),
            plan,
            recorder,
            finished: FinishedRows::default(),
            failures: Some(failures),
            progress,
            snapshots: None,
            last_snapshot: None,
            speed: Speed::default(),
            begun: clock::monotonic_now(),
            error: None,
        }
    }

    /// Passes the counts on as well, once a second.
    #[must_use]
    pub fn with_snapshots(self, snapshots: Option<watch::Sender<Snapshot>>) -> Self {
        Self { snapshots, ..self }
    }

    /// Counts the rows of a plan that failed without a request. The report has them already.
    pub fn count_failed(&mut self, plan: &Plan, reason: &Reason) {
        let outcome = Outcome::Failed(reason.clone());
        for batch in plan.batches() {
            self.tally.take(&Event::Finished { batch, outcome: outcome.clone(), attempts: 0 });
            self.statistics.finished(&plan.attribute(batch.group).name, batch.len.into(), &outcome);
        }
    }

    /// Takes events until no more can come. `stop` is called after each one from which on the run can't be recorded.
    pub fn take_all(&mut self, events: &mut Receiver<Event>, stop: impl Fn(&RecordError)) {
        while let Some(event) = events.blocking_recv() {
            self.take(event, || events.try_recv().ok());
            if let Some(error) = &self.error {
                stop(error);
            }
        }
    }

    /// Takes an event, and those of `more` that the ledger can record in the same commit.
    fn take(&mut self, event: Event, mut more: impl FnMut() -> Option<Event>) {
        let Some(recorder) = &mut self.recorder else { return self.count(&event) };
        if let Some(RecordError::Ledger(error)) = &self.error {
            if matches!(error, LedgerError::LeaseLost { .. }) {
                recorder.doubt(&event);
            }
            return self.count(&Recorder::unrecorded(event));
        }
        recorder.take(event, clock::monotonic_now());
        while !recorder.is_due(clock::monotonic_now())
            && let Some(event) = more()
        {
            recorder.take(event, clock::monotonic_now());
        }
        let recorded = match recorder.commit(clock::utc_now()) {
            Ok(recorded) => recorded,
            Err(error) => {
                self.error = Some(RecordError::Ledger(error));
                recorder.release_unrecorded().collect()
            }
        };
        for event in &recorded {
            self.count(event);
        }
    }

    /// Counts and reports what is recorded.
    fn count(&mut self, event: &Event) {
        self.tally.take(event);
        self.statistics.take(event, clock::monotonic_now());
        match event {
            Event::Finished { batch, outcome, attempts } => self.finish_batch(*batch, outcome, *attempts),
            Event::Status(status) => self.show(status),
            Event::Sent { .. } | Event::Answered { .. } => {}
        }
    }

    /// Counts and reports the rows that delivery left, and puts the failures report in its place, unless it was given up.
    pub fn finish(mut self, end: &End, verified: Option<&Verified>) -> Consumed {
        self.progress.close();
        if let (Some(recorder), Some(verified)) = (&mut self.recorder, verified) {
            for row in &verified.differing_rows {
                recorder.mark_uncertain(Batch { group: row.group, first: row.place, len: 1 });
            }
        }
        let reason = match end {
            End::Complete => Reason { status: None, error: "the run ended before it was sent".to_owned() },
            End::Stopped(stop) => Reason { status: None, error: format!("not sent: {}", why_stopped(stop)) },
        };
        self.leave_the_rest(&reason);
        let formulas = self.failures.as_ref().map_or(0, FailuresReport::formulas);
        let published = self.failures.take().map_or(Ok(()), FailuresReport::publish);
        if let Err(error) = published {
            self.error.get_or_insert(RecordError::Report(error));
        }
        let is_recorded = !matches!(self.error, Some(RecordError::Ledger(_)));
        if let (Some(recorder), Some(RecordError::Ledger(LedgerError::LeaseLost { .. }))) =
            (&mut self.recorder, &self.error)
        {
            recorder.leave_doubts();
        }
        let ledger = self.recorder.filter(|_| is_recorded).map(Recorder::into_ledger);
        Consumed { tally: self.tally, statistics: self.statistics, formulas, ledger, error: self.error }
    }

    fn finish_batch(&mut self, batch: Batch, outcome: &Outcome, attempts: u32) {
        // A row that is finished twice is counted twice. Then the counts don't add up, which ends the run.
        self.finished.insert(batch, self.plan.group_len(batch.group));
        self.statistics.finished(&self.plan.attribute(batch.group).name, batch.len.into(), outcome);
        match outcome {
            Outcome::Acknowledged => {}
            Outcome::Failed(reason) => {
                let plan = &self.plan;
                self.tally.failures.give_example(reason, || {
                    let user = plan.users(batch).next().map(|user| format!(" of user {user}"));
                    format!("{}{}", plan.attribute(batch.group).name, user.unwrap_or_default())
                });
                self.report([batch], NotAccepted::Failed, reason, attempts);
            }
            Outcome::Unsent(reason) => self.report([batch], NotAccepted::Unsent, reason, attempts),
        }
    }

    fn leave_the_rest(&mut self, reason: &Reason) {
        let plan = Arc::clone(&self.plan);
        let finished = std::mem::take(&mut self.finished);
        // Groups of an attribute stand side by side.
        let mut unsent: Vec<(&str, u64)> = Vec::new();
        let count = |batch: &Batch| {
            let (name, rows) = (plan.attribute(batch.group).name.as_str(), u64::from(batch.len));
            match unsent.last_mut() {
                Some((last, sum)) if std::ptr::eq(*last, name) => *sum += rows,
                _ => unsent.push((name, rows)),
            }
        };
        let lens = (0..plan.groups()).map(|group| plan.group_len(group));
        let mut rest = finished.rest(lens).inspect(count);
        self.report(rest.by_ref(), NotAccepted::Unsent, reason, 0);
        // They count, also where they can't be reported.
        rest.for_each(drop);
        for (attribute, rows) in unsent {
            self.tally.leave_unsent(rows);
            self.statistics.leave_unsent(attribute, rows);
        }
    }

    fn report(
        &mut self,
        batches: impl IntoIterator<Item = Batch>,
        fate: NotAccepted,
        reason: &Reason,
        attempts: u32,
    ) {
        let Some(failures) = &mut self.failures else { return };
        if let Err(error) = failures.add_batches(&self.plan, batches, fate, reason, attempts) {
            self.failures = None;
            self.error.get_or_insert(RecordError::Report(error));
        }
    }

    fn show(&mut self, status: &Status) {
        let now = clock::monotonic_now();
        let Tally { fates, requests, .. } = &self.tally;
        self.speed.sample(now, requests);
        if let Some(snapshots) = &self.snapshots
            && self.last_snapshot.is_none_or(|last| now - last >= BETWEEN_SNAPSHOTS)
        {
            self.last_snapshot = Some(now);
            snapshots.send_replace(Snapshot {
                rows: *fates,
                requests: *requests,
                latency: LatencySummary::of(&self.statistics),
                status: Some(status.clone()),
            });
        }
        self.progress.show(&ProgressState {
            finished: fates.acknowledged + fates.failed + fates.unsent,
            rows: self.plan.rows(),
            requests: requests.sent,
            requests_in_all: Speed::in_all(requests, status),
            rate: self.speed.rate(),
            slowed_to: (status.slowed == Slowed::Yes).then_some(status.rate),
            eta: self.speed.time_left(requests, status),
            retried: requests.retried,
            throttled: requests.throttled,
            held: status.waiting,
            reason: status.reason.clone(),
            gives_up: status.gives_up,
            reading_back: status.reading_back,
            elapsed: now - self.begun,
        });
    }
}
