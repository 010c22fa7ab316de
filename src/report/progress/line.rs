//! Progress of sending, as a line that fits the width of the terminal.

use indicatif::HumanCount;

use super::segments::{Segment, fit};
use super::{ProgressState, reading_back, wait};
use crate::deliver::Waiting;
use crate::report::format::{Truncated, counted, time_left};
use crate::report::visible::Visible;

/// The state in at most `width` columns. What matters least is left out first.
pub(super) fn fitted(state: &ProgressState, width: usize) -> String {
    fit(parts(state, held(state)), width)
}

/// As [`fitted`], where other lines say why nothing starts.
pub(super) fn without_wait(state: &ProgressState, width: usize) -> String {
    fit(parts(state, None), width)
}

/// The state as one line of a log.
pub(super) fn logged(state: &ProgressState) -> String {
    let ProgressState { finished, rows, requests, requests_in_all, rate, retried, .. } = state;
    let (percent, tenths) = (permille(state) / 10, permille(state) % 10);
    let throttled = (state.throttled > 0).then(|| format!(" throttled={}", state.throttled));
    let eta = state.eta.map(|eta| format!(" eta={}", time_left(eta).replace(' ', "")));
    let slowed = state.slowed_to.map(|pace| format!(" slowed_to={pace:.1}/s"));
    let waiting = waiting(state);
    let read_back = state
        .reading_back
        .map(|reading| format!(" users_read_back={}/{}", reading.users_done, reading.users));
    let read_back = read_back.unwrap_or_default();
    format!(
        "progress {percent}.{tenths}% rows={finished}/{rows}{read_back} requests={requests}/{requests_in_all} rate={rate:.1}/s retried={retried}{}{}{}{}",
        throttled.unwrap_or_default(),
        slowed.unwrap_or_default(),
        eta.unwrap_or_default(),
        waiting.unwrap_or_default()
    )
}

/// The wait in a log.
pub(super) fn waiting(state: &ProgressState) -> Option<String> {
    let (waiting, left) = state.held?;
    let short = |time| time_left(time).replace(' ', "");
    let gives_up = state.gives_up.map(|left| format!(" gives_up={}", short(left)));
    let name = waiting.name();
    Some(format!(" waiting={name} next_try={}{}", short(left), gives_up.unwrap_or_default()))
}

fn parts(state: &ProgressState, held: Option<String>) -> Vec<Segment> {
    let part = |weight, text| Some(Segment { weight, text });
    let moving = state.held.is_none();
    [
        part(9, format!("{}%", permille(state) / 10)),
        part(
            7,
            match &state.reading_back {
                Some(reading) => reading_back::share(reading),
                None => format!("{}/{} rows", HumanCount(state.finished), HumanCount(state.rows)),
            },
        ),
        held.and_then(|held| part(8, held)),
        (state.requests > 0).then(|| requests(state, moving)).and_then(|sent| part(5, sent)),
        state.slowed_to.and_then(|pace| part(1, format!("slowed to {pace:.1}/s"))),
        state.eta.and_then(|eta| part(6, format!("{} left", time_left(eta)))),
        (state.retried > 0)
            .then(|| format!("{} retried", HumanCount(state.retried)))
            .and_then(|retried| part(4, retried)),
        (state.throttled > 0)
            .then(|| format!("{} throttled", HumanCount(state.throttled)))
            .and_then(|text| part(2, text)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn requests(state: &ProgressState, moving: bool) -> String {
    let rate = if moving && state.rate > 0.0 { format!(" ({:.1}/s)", state.rate) } else { String::new() };
    format!("{}/{}{rate}", HumanCount(state.requests), counted(state.requests_in_all, "request"))
}

/// The most characters of an answer that are shown while nothing starts.
const MOST_REASON: usize = 60;

fn held(state: &ProgressState) -> Option<String> {
    let (waiting, left) = state.held?;
    let reason = state.reason.as_deref().filter(|reason| !reason.is_empty());
    Some(match (waiting, reason, wait::next(state)?) {
        (Waiting::Pause, ..) => format!("paused by the server, {} left", time_left(left)),
        (Waiting::Outage, Some(reason), next) => {
            format!("{}, {next}", Truncated(&Visible(reason).to_string(), MOST_REASON))
        }
        (Waiting::Outage, None, next) => format!("no answer from the API, {next}"),
    })
}

/// In thousandths, rounded down: all but one row is not all.
fn permille(state: &ProgressState) -> u128 {
    let (done, whole) = state.share();
    (u128::from(done) * 1000).checked_div(whole.into()).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn state() -> ProgressState {
        ProgressState {
            finished: 4310,
            rows: 10_000,
            requests: 1200,
            requests_in_all: 1250,
            rate: 9.84,
            slowed_to: None,
            eta: Some(Duration::from_secs(80)),
            retried: 3,
            throttled: 1,
            held: None,
            reason: None,
            gives_up: None,
            reading_back: None,
            elapsed: Duration::from_secs(5),
        }
    }

    #[test]
    fn an_outage_is_shown_with_what_the_last_answer_said() {
        let held = Some((Waiting::Outage, Duration::from_secs(8)));
        let reason = Some("503 Service Unavailable: an HTML page".to_owned());
        let down = ProgressState { held, reason, eta: None, retried: 0, throttled: 0, ..state() };
        insta::assert_snapshot!(fitted(&down, 120), @"43%  4,310/10,000 rows  503 Service Unavailable: an HTML page, next try in 8s  1,200/1,250 requests");
    }

    #[test]
    fn what_matters_least_is_left_out_first() {
        let widths = [80, 79, 66, 55, 40, 25, 10, 3, 2, 0];
        let lines = widths.map(|width| format!("{width:2}|{}|", fitted(&state(), width))).join("\n");
        insta::assert_snapshot!(lines, @"
        80|43%  4,310/10,000 rows  1,200/1,250 requests (9.8/s)  1m 20s left  3 retried|
        79|43%  4,310/10,000 rows  1,200/1,250 requests (9.8/s)  1m 20s left  3 retried|
        66|43%  4,310/10,000 rows  1,200/1,250 requests (9.8/s)  1m 20s left|
        55|43%  4,310/10,000 rows  1m 20s left|
        40|43%  4,310/10,000 rows  1m 20s left|
        25|43%  4,310/10,000 rows|
        10|43%|
         3|43%|
         2|4…|
         0||
        ");
    }

    #[test]
    fn a_pause_takes_the_place_of_the_rate() {
        let paused = ProgressState {
            held: Some((Waiting::Pause, Duration::from_millis(11_200))),
            rate: 0.0,
            ..state()
        };
        let down =
            ProgressState { held: Some((Waiting::Outage, Duration::from_secs(8))), eta: None, ..state() };
        let lines =
            [&paused, &down].map(|state| format!("{}\n{}", fitted(state, 80), fitted(state, 50))).join("\n");
        insta::assert_snapshot!(lines, @"
        43%  4,310/10,000 rows  paused by the server, 12s left  1m 20s left
        43%  paused by the server, 12s left
        43%  4,310/10,000 rows  no answer from the API, next try in 8s
        43%  no answer from the API, next try in 8s
        ");
    }

    #[test]
    fn a_log_line_has_everything() {
        let quiet = ProgressState { retried: 0, throttled: 0, ..state() };
        let (held, gives_up) =
            (Some((Waiting::Outage, Duration::from_secs(8))), Some(Duration::from_secs(552)));
        let down = ProgressState { held, gives_up, eta: None, ..state() };
        let lines = [&quiet, &state(), &down].map(logged).join("\n");
        insta::assert_snapshot!(lines, @r#"
        progress 43.1% rows=4310/10000 requests=1200/1250 rate=9.8/s retried=0 eta=1m20s
        progress 43.1% rows=4310/10000 requests=1200/1250 rate=9.8/s retried=3 throttled=1 eta=1m20s
        progress 43.1% rows=4310/10000 requests=1200/1250 rate=9.8/s retried=3 throttled=1 waiting=outage next_try=8s gives_up=9m12s
        "#);
    }

    #[test]
    fn all_but_one_row_is_not_all() {
        let almost = ProgressState { finished: 99_999, rows: 100_000, ..ProgressState::default() };
        assert!(fitted(&almost, 80).starts_with("99%"), "{}", fitted(&almost, 80));
        assert!(fitted(&ProgressState::default(), 80).starts_with("100%"));
    }

    #[test]
    fn a_pace_that_throttling_has_lowered_is_shown() {
        let state = ProgressState { slowed_to: Some(7.0), ..state() };
        assert!(fitted(&state, 200).contains("slowed to 7.0/s"));
        assert!(logged(&state).contains(" slowed_to=7.0/s"));
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_there_is_room(
            width in 0_usize..120,
            (finished, requests, retried, throttled) in any::<(u64, u64, u64, u64)>(),
            eta in proptest::option::of(0_u64..1_000_000_000),
            held in proptest::option::of(0_u64..1_000_000),
        ) {
            let state = ProgressState {
                finished,
                rows: u64::MAX,
                requests,
                requests_in_all: u64::MAX,
                rate: 1e6,
                slowed_to: eta.map(|_| 1e6),
                eta: eta.map(Duration::from_secs),
                retried,
                throttled,
                held: held.map(|seconds| (Waiting::Outage, Duration::from_secs(seconds))),
                reason: None,
                gives_up: None,
                reading_back: None,
                elapsed: Duration::ZERO,
            };
            prop_assert!(fitted(&state, width).chars().count() <= width);
        }
    }
}
