//! The one consumer of what delivery tells.

use std::sync::Arc;

use tokio::time::Instant;

use super::progress::{Progress, Speed, State};
use super::wording::why_stopped;
use super::{FailuresReport, Fates, Lost, Settled, Tally, Unwritten};
use crate::clock;
use crate::deliver::{End, Event, Outcome, Reason, Slowed, Status};
use crate::plan::{Batch, Plan};

/// Takes events one by one: tally first, then the failures report, then progress. Blocks while it writes.
///
/// A report that can't be written is given up at once, as one with rows missing would lie; the clerk goes on counting,
/// for the requests that are still in flight.
#[derive(Debug)]
pub struct Clerk<P> {
    plan: Arc<Plan>,
    tally: Tally,
    settled: Settled,
    failures: Option<FailuresReport>,
    progress: P,
    speed: Speed,
    begun: Instant,
}

impl<P: Progress> Clerk<P> {
    /// A clerk for a run of this plan. `before` are the fates of the rows that are not in it, and how many were read;
    /// the report has the invalid ones already.
    pub fn new(plan: Arc<Plan>, before: Fates, failures: FailuresReport, progress: P) -> Self {
        Self {
            tally: Tally::new(before, plan.requests()),
            plan,
            settled: Settled::default(),
            failures: Some(failures),
            progress,
            speed: Speed::default(),
            begun: clock::monotonic_now(),
        }
    }

    /// Takes the next event. Fails, once, when the failures report can't be written: then the run has to stop.
    pub fn take(&mut self, event: &Event) -> Result<(), Unwritten> {
        self.tally.take(event);
        match event {
            Event::Finished { batch, outcome, attempts } => self.settle(*batch, outcome, *attempts),
            Event::Status(status) => {
                self.show(status);
                Ok(())
            }
            Event::Sent(_) | Event::Answered { .. } => Ok(()),
        }
    }

    /// What was counted so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Counts and reports what was never settled, and puts the failures report in its place, unless it was given up.
    /// There is a tally even if that fails.
    pub fn finish(mut self, end: &End) -> (Tally, Result<(), Unwritten>) {
        self.progress.close();
        let reason = match end {
            End::Complete => Reason { status: None, error: "the run ended without it".to_owned() },
            End::Stopped(stop) => Reason { status: None, error: format!("not sent: {}", why_stopped(stop)) },
        };
        let written = self.leave_the_rest(&reason);
        let published = match (written, self.failures) {
            (Ok(()), Some(failures)) => failures.publish(),
            (written, _) => written,
        };
        (self.tally, published)
    }

    fn settle(&mut self, batch: Batch, outcome: &Outcome, attempts: u32) -> Result<(), Unwritten> {
        // What is settled twice is counted twice: the fates no longer add up, which ends the run as the bug it is.
        let _is_new = self.settled.insert(batch, self.plan.group_len(batch.group));
        match outcome {
            Outcome::Acknowledged => Ok(()),
            Outcome::Failed(reason) => {
                let plan = &self.plan;
                self.tally.failures.give_example(reason, || {
                    let user = plan.users(batch).next().map(|user| format!(" of user {user}"));
                    format!("{}{}", plan.attribute(batch.group).name, user.unwrap_or_default())
                });
                self.report(batch, Lost::Failed, reason, attempts)
            }
            Outcome::Unsent(reason) => self.report(batch, Lost::Unsent, reason, attempts),
        }
    }

    fn leave_the_rest(&mut self, reason: &Reason) -> Result<(), Unwritten> {
        let plan = Arc::clone(&self.plan);
        let settled = std::mem::take(&mut self.settled);
        let mut written = Ok(());
        for batch in settled.rest((0..plan.groups()).map(|group| plan.group_len(group))) {
            self.tally.leave_unsent(batch.len.into());
            written = written.and_then(|()| self.report(batch, Lost::Unsent, reason, 0));
        }
        written
    }

    fn report(&mut self, batch: Batch, lost: Lost, reason: &Reason, attempts: u32) -> Result<(), Unwritten> {
        let Some(failures) = &mut self.failures else { return Ok(()) };
        failures.add_batch(&self.plan, batch, lost, reason, attempts).inspect_err(|_| self.failures = None)
    }

    fn show(&mut self, status: &Status) {
        let now = clock::monotonic_now();
        let Tally { fates, requests, .. } = &self.tally;
        self.speed.sample(now, requests);
        self.progress.show(&State {
            settled: fates.acknowledged + fates.failed + fates.unsent,
            rows: self.plan.rows(),
            requests: requests.sent,
            requests_in_all: Speed::in_all(requests),
            rate: self.speed.rate(),
            slowed_to: (status.slowed == Slowed::Yes).then_some(status.rate),
            eta: self.speed.time_left(requests, status),
            retried: requests.retried,
            throttled: requests.throttled,
            held: status.waiting,
            reason: status.reason.clone(),
            elapsed: now - self.begun,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;
    use std::path::Path;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::deliver::{Purpose, Stop, Waiting};
    use crate::input::{ReadOptions, Reading, Source, read};
    use crate::plan::{Builder, OnConflict};
    use crate::report::{ExitCode, Silence};

    fn options() -> ReadOptions {
        ReadOptions { null_token: Some("NULL".into()), ..ReadOptions::default() }
    }

    fn reading(path: &Path) -> Reading<Builder> {
        read(&[Source::File(path.to_owned())], &options(), Builder::new(OnConflict::Last)).unwrap()
    }

    /// What a run needs: the fates that reading and planning settle, the plan, and a report with the invalid rows.
    fn begin(input: &Path, output: &Path, batch_size: u32) -> (Fates, Arc<Plan>, FailuresReport) {
        let Reading { sink, dictionary, counts, mut invalid, .. } = reading(input);
        let plan = sink.finish(dictionary, NonZeroU32::new(batch_size).unwrap()).unwrap();
        let mut failures = FailuresReport::create(output, &options()).unwrap();
        failures.add_invalid(&mut invalid).unwrap();
        let before = Fates {
            read: counts.read,
            invalid: counts.invalid,
            skipped: counts.skipped,
            superseded: plan.superseded(),
            ..Fates::default()
        };
        (before, Arc::new(plan), failures)
    }

    fn settled(batch: Batch, outcome: Outcome) -> Event {
        Event::Finished { batch, outcome, attempts: 1 }
    }

    fn refused() -> Reason {
        Reason { status: Some(404), error: "no such user".into() }
    }

    const INPUT: &str = "user_id,attribute,value\n1,city,A\n2,city,A\n3,city,A\n4,city,NULL\n5,colour,red\n";

    #[test]
    fn what_was_invalid_failed_or_left_is_reported_in_this_order() {
        let directory = tempfile::tempdir().unwrap();
        let (input, output) = (directory.path().join("in.csv"), directory.path().join("failures.csv"));
        std::fs::write(&input, INPUT).unwrap();
        let (before, plan, failures) = begin(&input, &output, 2);
        let mut clerk = Clerk::new(Arc::clone(&plan), before, failures, Silence);
        let city = plan.batches().next().unwrap();
        clerk.take(&settled(Batch { len: 1, ..city }, Outcome::Acknowledged)).unwrap();
        clerk.take(&settled(Batch { first: 1, len: 1, ..city }, Outcome::Failed(refused()))).unwrap();
        let end = End::Stopped(Stop::Interrupted);
        let (tally, published) = clerk.finish(&end);
        published.unwrap();
        assert_eq!(ExitCode::of(&end, &tally.fates), ExitCode::Interrupted);
        let report = std::fs::read_to_string(&output).unwrap();
        let report = report.replace(directory.path().to_str().unwrap(), "DIR");
        insta::assert_snapshot!(report, @"
        user_id,attribute,value,fate,status,error,attempts,source,line
        5,colour,red,invalid,,unknown attribute: `colour`,0,DIR/in.csv,6
        2,city,A,failed,404,no such user,1,,
        3,city,A,unsent,,not sent: the run was stopped by Ctrl-C (SIGINT),0,,
        4,city,NULL,unsent,,not sent: the run was stopped by Ctrl-C (SIGINT),0,,
        ");
    }

    #[test]
    fn a_row_that_is_settled_twice_is_a_bug() {
        let directory = tempfile::tempdir().unwrap();
        let (input, output) = (directory.path().join("in.csv"), directory.path().join("failures.csv"));
        std::fs::write(&input, INPUT).unwrap();
        let (before, plan, failures) = begin(&input, &output, 10);
        let mut clerk = Clerk::new(Arc::clone(&plan), before, failures, Silence);
        for batch in plan.batches().chain(plan.batches().take(1)) {
            clerk.take(&settled(batch, Outcome::Acknowledged)).unwrap();
        }
        let (tally, _published) = clerk.finish(&End::Complete);
        assert_eq!(ExitCode::of(&End::Complete, &tally.fates), ExitCode::Internal);
    }

    #[test]
    fn a_full_disk_fails_once_and_counting_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("in.csv");
        std::fs::write(
            &input,
            format!("user_id,attribute,value\n1,city,{}\n2,city,B\n", "A".repeat(1 << 21)),
        )
        .unwrap();
        let (before, plan, failures) = begin(&input, Path::new("/dev/full"), 1);
        let mut clerk = Clerk::new(Arc::clone(&plan), before, failures, Silence);
        let mut batches = plan.batches();
        let error = clerk.take(&settled(batches.next().unwrap(), Outcome::Failed(refused()))).unwrap_err();
        assert!(error.to_string().contains("/dev/full"));
        clerk.take(&settled(batches.next().unwrap(), Outcome::Failed(refused()))).unwrap();
        let (tally, published) = clerk.finish(&End::Complete);
        published.unwrap();
        assert_eq!(tally.fates.failed, 2);
        assert!(tally.fates.add_up());
    }

    #[test]
    fn a_disk_that_is_full_at_the_end_is_told_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("in.csv");
        std::fs::write(&input, INPUT).unwrap();
        let (before, plan, failures) = begin(&input, Path::new("/dev/full"), 1);
        let (tally, published) = Clerk::new(plan, before, failures, Silence)
            .finish(&End::Stopped(Stop::OutOfTime(Duration::from_mins(50))));
        assert!(published.unwrap_err().hint().unwrap().contains("space"));
        assert_eq!(tally.fates.unsent, 4);
        assert!(tally.fates.add_up());
    }

    /// Keeps what it was shown.
    #[derive(Default)]
    struct Witness(Arc<std::sync::Mutex<Vec<State>>>);

    impl Progress for Witness {
        fn show(&mut self, state: &State) {
            self.0.lock().unwrap().push(state.clone());
        }
        fn close(&mut self) {}
    }

    #[test]
    fn each_pulse_shows_the_state() {
        let directory = tempfile::tempdir().unwrap();
        let (input, output) = (directory.path().join("in.csv"), directory.path().join("failures.csv"));
        std::fs::write(&input, INPUT).unwrap();
        let (before, plan, failures) = begin(&input, &output, 10);
        let witness = Witness::default();
        let shown = Arc::clone(&witness.0);
        let mut clerk = Clerk::new(Arc::clone(&plan), before, failures, witness);
        clerk.take(&Event::Sent(Purpose::First)).unwrap();
        clerk.take(&settled(plan.batches().next().unwrap(), Outcome::Acknowledged)).unwrap();
        let held = Some((Waiting::Pause, Duration::from_secs(3)));
        clerk
            .take(&Event::Status(Status {
                in_flight: 0,
                rate: 1.0,
                slowed: Slowed::No,
                waiting: held,
                reason: None,
            }))
            .unwrap();
        let state = shown.lock().unwrap().pop().unwrap();
        assert_eq!((state.settled, state.rows, state.requests, state.held), (3, 4, 1, held));
        // One more request, at one a second, after the pause.
        assert_eq!(state.eta, Some(Duration::from_secs(4)));
    }

    /// Rows of a CSV by user and attribute.
    type Rows = BTreeMap<(u64, &'static str), &'static str>;

    fn rows() -> impl Strategy<Value = Rows> {
        let key = (1_u64..60, prop::sample::select(vec!["city", "region", "email", "first_name"]));
        prop::collection::btree_map(key, prop::sample::select(vec!["A", "B ", "c,\"d\"\n", "NULL"]), 0..80)
    }

    fn csv(rows: &Rows) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["user_id", "attribute", "value"]).unwrap();
        for ((user, attribute), value) in rows {
            writer.write_record([&user.to_string(), *attribute, *value]).unwrap();
        }
        String::from_utf8(writer.into_inner().unwrap()).unwrap()
    }

    /// What a plan made of this file would send: one line per row.
    fn sent(path: &Path) -> Vec<String> {
        let Reading { sink, dictionary, .. } = reading(path);
        let plan = sink.finish(dictionary, NonZeroU32::MIN).unwrap();
        let row = |batch| sent_rows(&plan, batch);
        let mut rows: Vec<_> = plan.batches().flat_map(row).collect();
        rows.sort();
        rows
    }

    fn sent_rows(plan: &Plan, batch: Batch) -> Vec<String> {
        let (attribute, value) = (&plan.attribute(batch.group).name, plan.value(batch.group));
        plan.users(batch).map(|user| format!("{user} {attribute} {value:?}")).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_report_fed_back_sends_exactly_what_was_not_acknowledged(
            rows in rows(),
            size in 1_u32..5,
            fates in prop::collection::vec((any::<prop::sample::Index>(), 0..4, any::<bool>()), 0..40),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let (input, output) = (directory.path().join("in.csv"), directory.path().join("failures.csv"));
            std::fs::write(&input, csv(&rows)).unwrap();
            let (before, plan, failures) = begin(&input, &output, size);
            let mut clerk = Clerk::new(Arc::clone(&plan), before, failures, Silence);
            let mut open: Vec<Batch> = plan.batches().collect();
            let mut lost = Vec::new();
            for (index, fate, split) in fates {
                if open.is_empty() {
                    break;
                }
                let mut batch = open.swap_remove(index.index(open.len()));
                if split && batch.len > 1 {
                    open.push(Batch { len: 1, ..batch });
                    batch = Batch { first: batch.first + 1, len: batch.len - 1, ..batch };
                }
                let outcome = match fate {
                    0 => Outcome::Failed(refused()),
                    1 => Outcome::Unsent(refused()),
                    _ => Outcome::Acknowledged,
                };
                if outcome != Outcome::Acknowledged {
                    lost.extend(sent_rows(&plan, batch));
                }
                clerk.take(&settled(batch, outcome)).unwrap();
            }
            lost.extend(open.into_iter().flat_map(|batch| sent_rows(&plan, batch)));
            lost.sort();
            let (tally, published) = clerk.finish(&End::Stopped(Stop::OutOfTime(Duration::from_mins(50))));
            published.unwrap();
            prop_assert!(tally.fates.add_up());
            prop_assert_eq!(tally.fates.failed + tally.fates.unsent, lost.len() as u64);
            prop_assert_eq!(sent(&output), lost);
        }
    }
}
