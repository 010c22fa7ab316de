//! The order of ledger, counts and reports, and what happens if the ledger fails.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::deliver::{AnswerKind, Purpose, Stop, Waiting};
use crate::input::{IdType, ReadOptions, Reading, Source, read};
use crate::ledger::{Fingerprint, LedgerReader, RunDescription, RunId, TargetKey};
use crate::plan::{Builder, OnConflict};
use crate::report::{ExitCode, NoProgress};

fn options() -> ReadOptions {
    ReadOptions { null_token: Some("NULL".into()), ..ReadOptions::default() }
}

/// A directory with this input, and where a report can be.
fn files(input: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (path, report) = (directory.path().join("in.csv"), directory.path().join("failures.csv"));
    std::fs::write(&path, input).unwrap();
    (directory, path, report)
}

fn reading(path: &Path) -> Reading<Builder> {
    read(&[Source::File(path.to_owned())], &options(), Builder::new(OnConflict::Last)).unwrap()
}

/// What a run needs: the fates that reading and planning settle, the plan, and a report with the invalid rows.
fn begin(input: &Path, output: &Path, batch_size: u32) -> (RowCounts, Arc<Plan>, FailuresReport) {
    let Reading { sink, dictionary, counts, mut invalid, .. } = reading(input);
    let plan = sink.finish(dictionary, NonZeroU32::new(batch_size).unwrap()).unwrap();
    let mut failures = FailuresReport::create(output, &options()).unwrap();
    failures.add_invalid(&mut invalid).unwrap();
    let before = RowCounts {
        read: counts.read,
        invalid: counts.invalid,
        skipped: counts.skipped,
        superseded: plan.superseded(),
        ..RowCounts::default()
    };
    (before, Arc::new(plan), failures)
}

/// Takes an event with no others at hand.
fn take<P: Progress>(consumer: &mut EventConsumer<P>, event: Event) {
    consumer.take(event, || None);
}

fn finished(batch: Batch, outcome: Outcome) -> Event {
    Event::Finished { batch, outcome, attempts: 1 }
}

fn refused() -> Reason {
    Reason { status: Some(404), error: "no such user".into() }
}

const INPUT: &str = "user_id,attribute,value\n1,city,A\n2,city,A\n3,city,A\n4,city,NULL\n5,colour,red\n";

#[test]
fn what_was_invalid_failed_or_left_is_reported_in_this_order() {
    let (directory, input, output) = files(INPUT);
    let (before, plan, failures) = begin(&input, &output, 2);
    let mut consumer = EventConsumer::new(Arc::clone(&plan), before, None, failures, NoProgress);
    let city = plan.batches().next().unwrap();
    take(&mut consumer, finished(Batch { len: 1, ..city }, Outcome::Acknowledged));
    take(&mut consumer, finished(Batch { first: 1, len: 1, ..city }, Outcome::Failed(refused())));
    let end = End::Stopped(Stop::Interrupted);
    let Consumed { tally, error, .. } = consumer.finish(&end, None);
    assert!(error.is_none());
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
fn a_row_that_is_finished_twice_is_a_bug() {
    let (_directory, input, output) = files(INPUT);
    let (before, plan, failures) = begin(&input, &output, 10);
    let mut consumer = EventConsumer::new(Arc::clone(&plan), before, None, failures, NoProgress);
    for batch in plan.batches().chain(plan.batches().take(1)) {
        take(&mut consumer, finished(batch, Outcome::Acknowledged));
    }
    let Consumed { tally, .. } = consumer.finish(&End::Complete, None);
    assert_eq!(ExitCode::of(&End::Complete, &tally.fates), ExitCode::Internal);
}

#[test]
fn a_full_disk_fails_once_and_counting_goes_on() {
    let long = "A".repeat(1 << 21);
    let (_directory, input, _) = files(&format!("user_id,attribute,value\n1,city,{long}\n2,city,B\n"));
    let (before, plan, failures) = begin(&input, Path::new("/dev/full"), 1);
    let mut consumer = EventConsumer::new(Arc::clone(&plan), before, None, failures, NoProgress);
    let mut batches = plan.batches();
    take(&mut consumer, finished(batches.next().unwrap(), Outcome::Failed(refused())));
    assert!(
        matches!(&consumer.error, Some(RecordError::Report(error)) if error.to_string().contains("/dev/full"))
    );
    take(&mut consumer, finished(batches.next().unwrap(), Outcome::Failed(refused())));
    let Consumed { tally, error, .. } = consumer.finish(&End::Complete, None);
    assert!(matches!(error, Some(RecordError::Report(_))));
    assert_eq!(tally.fates.failed, 2);
    assert!(tally.fates.add_up());
}

#[test]
fn a_disk_that_is_full_at_the_end_is_told_at_the_end() {
    let (_directory, input, _) = files(INPUT);
    let (before, plan, failures) = begin(&input, Path::new("/dev/full"), 1);
    let Consumed { tally, error, .. } = EventConsumer::new(plan, before, None, failures, NoProgress)
        .finish(&End::Stopped(Stop::OutOfTime(Duration::from_mins(50))), None);
    assert!(matches!(error, Some(RecordError::Report(error)) if error.hint().unwrap().contains("space")));
    assert_eq!(tally.fates.unsent, 4);
    assert!(tally.fates.add_up());
}

/// A run of this plan in a new ledger.
fn recorder(ledger: &Path, plan: &Arc<Plan>) -> Recorder {
    let target = TargetKey { base_url: "https://acme.user.com/".into(), id_type: IdType::Id };
    let mut opened = Ledger::open(&ledger.into(), &target, clock::utc_now()).unwrap();
    let (fingerprint, content) = (Fingerprint::of([]), plan.fingerprint());
    let description = RunDescription { fingerprint, inputs: Vec::new(), content };
    let run = opened.begin(&description, None, clock::utc_now()).unwrap();
    Recorder::new(opened, run, Arc::clone(plan))
}

fn status() -> Event {
    let (waiting, reason, gives_up) = (None, None, None);
    Event::Status(Status {
        in_flight: 0,
        rate: 1.0,
        slowed: Slowed::No,
        waiting,
        reason,
        gives_up,
        reading_back: None,
    })
}

struct Shows<F>(F);

impl<F: FnMut(&ProgressState)> Progress for Shows<F> {
    fn show(&mut self, state: &ProgressState) {
        (self.0)(state);
    }
    fn close(&mut self) {}
}

#[test]
fn the_ledger_has_what_is_shown_as_done() {
    let (directory, input, output) = files(INPUT);
    let ledger = directory.path().join("ledger");
    let (before, plan, failures) = begin(&input, &output, 2);
    let recorder = Some(recorder(&ledger, &plan));
    let progress = Shows(|state: &ProgressState| {
        // What another process would read at this moment.
        let sent_rows = LedgerReader::open(&ledger.clone().into()).unwrap().sent_rows(RunId(1)).unwrap();
        assert_eq!(state.finished, sent_rows.iter().map(|sent| sent.users).sum::<u64>());
    });
    let mut consumer = EventConsumer::new(Arc::clone(&plan), before, recorder, failures, progress);
    for batch in plan.batches() {
        // One commit has both: what is acknowledged, and what shows it.
        let mut more = std::iter::once(status());
        consumer.take(finished(batch, Outcome::Acknowledged), || more.next());
    }
    let Consumed { tally, ledger, error, .. } = consumer.finish(&End::Complete, None);
    assert_eq!((tally.fates.acknowledged, ledger.is_some(), error.is_none()), (4, true, true));
}

#[test]
fn what_the_ledger_cannot_record_stays_unsent_and_requests_still_count() {
    let (directory, input, output) = files(INPUT);
    let ledger = directory.path().join("ledger");
    let (before, plan, failures) = begin(&input, &output, 2);
    let recorder = Some(recorder(&ledger, &plan));
    rusqlite::Connection::open(&ledger).unwrap().execute_batch("DROP TABLE journal").unwrap();
    let mut consumer = EventConsumer::new(Arc::clone(&plan), before, recorder, failures, NoProgress);

    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    for batch in plan.batches() {
        let at = clock::monotonic_now();
        let answered = Event::Answered { at, latency: Duration::ZERO, answer: AnswerKind::Acknowledged };
        for event in
            [Event::Sent { at, purpose: Purpose::First }, answered, finished(batch, Outcome::Acknowledged)]
        {
            sender.try_send(event).unwrap();
        }
    }
    drop(sender);
    let is_stopped = std::cell::Cell::new(false);
    consumer.take_all(&mut receiver, |_| is_stopped.set(true));
    assert!(is_stopped.get());
    let Consumed { tally, ledger, error, .. } = consumer.finish(&End::Stopped(Stop::Unwritable), None);
    assert!(ledger.is_none() && matches!(error, Some(RecordError::Ledger(_))));
    assert_eq!((tally.fates.acknowledged, tally.fates.unsent), (0, 4));
    assert_eq!((tally.requests.sent, tally.requests.acknowledged), (3, 3));
    let report = std::fs::read_to_string(&output).unwrap();
    let unsent = ",unsent,,\"sent and acknowledged, but the ledger could not record it\",1,";
    assert_eq!(report.lines().filter(|line| line.contains(unsent)).count(), 4, "{report}");
}

#[test]
fn each_pulse_shows_the_state() {
    let (_directory, input, output) = files(INPUT);
    let (before, plan, failures) = begin(&input, &output, 10);
    let mut shown = Vec::new();
    let progress = Shows(|state: &ProgressState| shown.push(state.clone()));
    let mut consumer = EventConsumer::new(Arc::clone(&plan), before, None, failures, progress);
    take(&mut consumer, Event::Sent { at: clock::monotonic_now(), purpose: Purpose::First });
    take(&mut consumer, finished(plan.batches().next().unwrap(), Outcome::Acknowledged));
    let held = Some((Waiting::Pause, Duration::from_secs(3)));
    let status = Status {
        in_flight: 0,
        rate: 1.0,
        slowed: Slowed::No,
        waiting: held,
        reason: None,
        gives_up: None,
        reading_back: None,
    };
    take(&mut consumer, Event::Status(status));
    drop(consumer);
    let state = shown.pop().unwrap();
    assert_eq!((state.finished, state.rows, state.requests, state.held), (3, 4, 1, held));
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
        let (_directory, input, output) = files(&csv(&rows));
        let (before, plan, failures) = begin(&input, &output, size);
        let mut consumer = EventConsumer::new(Arc::clone(&plan), before, None, failures, NoProgress);
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
            take(&mut consumer, finished(batch, outcome));
        }
        lost.extend(open.into_iter().flat_map(|batch| sent_rows(&plan, batch)));
        lost.sort();
        let end = End::Stopped(Stop::OutOfTime(Duration::from_mins(50)));
        let Consumed { tally, error, .. } = consumer.finish(&end, None);
        prop_assert!(error.is_none());
        prop_assert!(tally.fates.add_up());
        prop_assert_eq!(tally.fates.failed + tally.fates.unsent, lost.len() as u64);
        prop_assert_eq!(sent(&output), lost);
    }
}
