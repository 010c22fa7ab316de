//! Progress and the end of a run as fields of log lines, for programs.

use std::time::Duration;

use tracing::info;

use crate::deliver::Waiting;
use crate::input::ReadSoFar;
use crate::ledger::RowCounts;
use crate::report::{Beat, EndScreen, ProgressState, Requests};

/// Logs how far a run is.
pub(super) fn progress(beat: &Beat<'_>) {
    match beat {
        Beat::Reading(state) => {
            let ReadSoFar { bytes, bytes_total, rows, has_ended } = state.so_far;
            info!(
                target: "progress",
                bytes,
                bytes_total,
                rows,
                rows_per_second = state.rate.round(),
                eta_seconds = state.eta.map(seconds),
                elapsed_seconds = seconds(state.elapsed),
                "{}",
                if has_ended { "planning" } else { "reading" }
            );
        }
        Beat::Pulling(state) => info!(
            target: "progress",
            users = state.users,
            users_total = state.count,
            pages = state.pages,
            rate = tenths(state.rate),
            waiting = state.held.map(Waiting::name),
            eta_seconds = state.eta.map(seconds),
            elapsed_seconds = seconds(state.elapsed),
            "reading users"
        ),
        Beat::Sending(state) => {
            let ProgressState { finished, rows, requests, requests_in_all, rate, retried, throttled, .. } =
                **state;
            info!(
                target: "progress",
                rows_finished = finished,
                rows,
                requests_sent = requests,
                requests_total = requests_in_all,
                rate = tenths(rate),
                slowed_to = state.slowed_to.map(tenths),
                retried,
                throttled,
                users_read_back = state.reading_back.map(|reading| reading.users_done),
                users_to_read_back = state.reading_back.map(|reading| reading.users),
                eta_seconds = state.eta.map(seconds),
                waiting = state.held.map(|(waiting, _)| waiting.name()),
                next_try_seconds = state.held.map(|(_, left)| seconds(left)),
                gives_up_seconds = state.gives_up.map(seconds),
                elapsed_seconds = seconds(state.elapsed),
                "progress"
            );
        }
        Beat::ReadingBack(reading) => info!(
            target: "progress",
            users = reading.decided.0,
            way = reading.way.name(),
            requests = reading.decided.1,
            "reading back"
        ),
        Beat::Waiting(state) => info!(
            target: "progress",
            waiting = state.held.map(|(waiting, _)| waiting.name()),
            last_answer = state.reason.as_deref(),
            next_try_seconds = state.held.map(|(_, left)| seconds(left)),
            gives_up_seconds = state.gives_up.map(seconds),
            "waiting"
        ),
        Beat::Resumed(waited) => info!(target: "progress", waited_seconds = seconds(*waited), "resumed"),
    }
}

/// Logs how a run ended.
pub(super) fn end(screen: &EndScreen<'_>) {
    let RowCounts { read, invalid, skipped, superseded, unchanged, resumed, acknowledged, failed, unsent } =
        screen.tally.fates;
    let Requests { planned, sent, acknowledged: answered, retried, throttled, split, checks, read_back } =
        screen.tally.requests;
    info!(
        target: "progress",
        outcome = screen.exit.outcome(),
        exit_code = screen.exit.code(),
        rows_read = read,
        rows_invalid = invalid,
        rows_skipped = skipped,
        rows_superseded = superseded,
        rows_unchanged = unchanged,
        rows_resumed = resumed,
        rows_acknowledged = acknowledged,
        rows_failed = failed,
        rows_unsent = unsent,
        requests_planned = planned,
        requests_sent = sent,
        requests_acknowledged = answered,
        requests_retried = retried,
        requests_throttled = throttled,
        requests_split = split,
        requests_checks = checks,
        requests_read_back = read_back,
        duration_seconds = tenths(screen.duration.as_secs_f64()),
        "{}",
        screen.what_happened()
    );
}

/// Whole seconds, rounded up: what is left is not 0.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::deliver::{ReadingBack, Way};
    use crate::report::{PullState, ReadingState};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Buffer {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// The message and the fields of a line, but for those that every line has.
    fn logged(beat: &Beat<'_>) -> (String, BTreeSet<String>) {
        let buffer = Buffer::default();
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(buffer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || progress(beat));
        let line: Value = serde_json::from_slice(&buffer.0.lock().unwrap()).unwrap();
        assert_eq!(line["target"], "progress");
        let fields = line.as_object().unwrap().keys().cloned();
        let of_all = ["timestamp", "level", "target", "message"];
        let fields = fields.filter(|field| !of_all.contains(&field.as_str())).collect();
        (line["message"].as_str().unwrap().to_owned(), fields)
    }

    /// The fields that the page about results has for a message.
    fn documented(message: &str) -> BTreeSet<String> {
        let page = include_str!("../../docs/results.md");
        let row = page.lines().find_map(|line| line.strip_prefix(&format!("| `{message}` | ")));
        let names = row.unwrap_or_else(|| panic!("{message}")).split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    }

    #[test]
    fn every_message_and_field_stands_in_the_page_about_results() {
        let second = Some(Duration::from_secs(1));
        let back =
            ReadingBack { way: Way::Pages, users: 9, users_done: 1, requests_left: 2, decided: (9, 3) };
        let reading = ReadingState {
            so_far: ReadSoFar { bytes_total: Some(9), ..ReadSoFar::default() },
            eta: second,
            ..ReadingState::default()
        };
        let planning =
            ReadingState { so_far: ReadSoFar { has_ended: true, ..reading.so_far }, eta: None, ..reading };
        let sending = ProgressState {
            slowed_to: Some(7.0),
            eta: second,
            held: Some((Waiting::Outage, Duration::from_secs(3))),
            reason: Some("503".to_owned()),
            gives_up: second,
            reading_back: Some(back),
            ..ProgressState::default()
        };
        let pulling =
            PullState { count: Some(9), eta: second, held: Some(Waiting::Pause), ..PullState::default() };
        for beat in [
            Beat::Reading(&reading),
            Beat::Reading(&planning),
            Beat::Pulling(&pulling),
            Beat::Sending(&sending),
            Beat::Waiting(&sending),
            Beat::ReadingBack(&back),
            Beat::Resumed(Duration::from_secs(2)),
        ] {
            let (message, found) = logged(&beat);
            let mut expected = documented(&message);
            // Values and options stand in the page as well.
            for word in ["outage", "pause", "pages", "users", "--verify", "--verify all", "attrsync pull"] {
                if !found.contains(word) {
                    expected.remove(word);
                }
            }
            assert_eq!(found, expected, "{message}");
        }
        // A field that does not apply is left out.
        let (_, found) = logged(&Beat::Sending(&ProgressState::default()));
        assert!(!found.contains("slowed_to") && !found.contains("waiting"), "{found:?}");
    }
}
