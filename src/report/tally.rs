//! Counts what delivery reports.

use std::time::Duration;

use super::{Reasons, Requests};
use crate::deliver::{AnswerKind, Event, Outcome, Purpose};
use crate::ledger::RowCounts;

/// The running totals of a run. They depend on the events alone, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The fates of rows so far. Rows that still wait have none yet.
    pub fates: RowCounts,
    /// Requests so far.
    pub requests: Requests,
    /// Why rows failed.
    pub failures: Reasons,
    /// How long answers took.
    pub latency: Latency,
}

/// How long answers took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The slowest.
    pub max: Duration,
    total: Duration,
    answers: u32,
}

impl Tally {
    /// A tally that starts from what planning found: the fates that are finished before anything is sent, and how many
    /// requests are planned.
    pub fn new(fates: RowCounts, planned: u64) -> Self {
        Self { fates, requests: Requests { planned, ..Requests::default() }, ..Self::default() }
    }

    /// Counts the next event.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Sent { purpose, .. } => self.count_request(*purpose),
            Event::Answered { latency, answer, .. } => self.count_answer(*latency, *answer),
            Event::Finished { batch, outcome, .. } => self.count_rows(u64::from(batch.len), outcome),
            Event::Status(_) => {}
        }
    }

    /// Counts rows that were never finished, once the run is over.
    pub fn leave_unsent(&mut self, rows: u64) {
        self.fates.unsent += rows;
    }

    fn count_request(&mut self, purpose: Purpose) {
        self.requests.sent += 1;
        match purpose {
            Purpose::First => {}
            Purpose::Check => self.requests.checks += 1,
            Purpose::ReadBack => self.requests.read_back += 1,
            Purpose::Retry => self.requests.retried += 1,
            Purpose::Split => self.requests.split += 1,
        }
    }

    fn count_answer(&mut self, latency: Duration, answer: AnswerKind) {
        self.latency.add(latency);
        match answer {
            AnswerKind::Acknowledged => self.requests.acknowledged += 1,
            AnswerKind::Throttled => self.requests.throttled += 1,
            AnswerKind::Read | AnswerKind::Rejected | AnswerKind::Transient => {}
        }
    }

    fn count_rows(&mut self, rows: u64, outcome: &Outcome) {
        match outcome {
            Outcome::Acknowledged => self.fates.acknowledged += rows,
            Outcome::Unsent(_) => self.fates.unsent += rows,
            Outcome::Failed(reason) => {
                self.fates.failed += rows;
                self.failures.add(reason, rows);
            }
        }
    }
}

impl Latency {
    /// The mean; zero when there were no answers.
    pub fn mean(&self) -> Duration {
        self.total.checked_div(self.answers).unwrap_or_default()
    }

    fn add(&mut self, latency: Duration) {
        self.max = self.max.max(latency);
        self.total += latency;
        self.answers = self.answers.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;
    use crate::deliver::{Reason, Status, Waiting};
    use crate::plan::Batch;

    fn outcome() -> impl Strategy<Value = Outcome> {
        let reason = (proptest::option::of(400_u16..600), "[a-c]")
            .prop_map(|(status, error)| Reason { status, error });
        prop_oneof![
            Just(Outcome::Acknowledged),
            reason.clone().prop_map(Outcome::Failed),
            reason.prop_map(Outcome::Unsent),
        ]
    }

    fn event() -> impl Strategy<Value = Event> {
        let purposes = [Purpose::First, Purpose::Retry, Purpose::Split, Purpose::Check, Purpose::ReadBack];
        let purpose = prop::sample::select(purposes.to_vec());
        let answer = prop_oneof![
            Just(AnswerKind::Acknowledged),
            Just(AnswerKind::Read),
            Just(AnswerKind::Throttled),
            Just(AnswerKind::Rejected),
            Just(AnswerKind::Transient)
        ];
        let status = Status {
            in_flight: 1,
            rate: 10.0,
            slowed: crate::deliver::Slowed::No,
            waiting: Some((Waiting::Pause, Duration::from_secs(1))),
            reason: None,
            gives_up: None,
            reading_back: None,
        };
        prop_oneof![
            purpose.prop_map(|purpose| Event::Sent { at: clock::monotonic_now(), purpose }),
            (0_u64..100_000, answer).prop_map(|(us, answer)| {
                let latency = Duration::from_micros(us);
                Event::Answered { at: clock::monotonic_now(), latency, answer }
            }),
            (1_u32..1000, outcome(), 0_u32..6).prop_map(|(len, outcome, attempts)| Event::Finished {
                batch: Batch { group: 0, first: 0, len },
                outcome,
                attempts
            }),
            Just(Event::Status(status)),
        ]
    }

    proptest! {
        #[test]
        fn fates_add_up_after_any_events(
            before in prop::array::uniform5(0_u64..1000),
            events in prop::collection::vec(event(), 0..200),
            left in 0_u64..1000,
        ) {
            let finished = |event: &Event| match event {
                Event::Finished { batch, .. } => u64::from(batch.len),
                _ => 0,
            };
            let [invalid, skipped, superseded, unchanged, resumed] = before;
            let read = before.iter().sum::<u64>() + events.iter().map(finished).sum::<u64>() + left;
            let fates = RowCounts { read, invalid, skipped, superseded, unchanged, resumed, ..RowCounts::default() };
            let mut tally = Tally::new(fates, 7);
            for event in &events {
                tally.take(event);
            }
            prop_assert_eq!(tally.fates.add_up(), left == 0);
            tally.leave_unsent(left);
            prop_assert!(tally.fates.add_up());

            let (reasons, others) = tally.failures.top(usize::MAX);
            prop_assert_eq!(reasons.iter().map(|failure| failure.rows).sum::<u64>() + others, tally.fates.failed);
            let sent = events.iter().filter(|event| matches!(event, Event::Sent { .. })).count() as u64;
            prop_assert_eq!(tally.requests.sent, sent);
            prop_assert!(tally.requests.retried + tally.requests.split <= sent);
            prop_assert_eq!(tally.requests.planned, 7);
            prop_assert!(tally.latency.mean() <= tally.latency.max);
        }
    }
}
