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
