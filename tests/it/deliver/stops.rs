//! Outages, and the ways in which a run stops early.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use attrsync::clock::monotonic_now;
use attrsync::deliver::{
    Delivered, End, Options, Outcome, Rate, SendError, SendErrorCause, SharedRate, Stop,
};
use tokio::time::{Instant, sleep_until};

use super::scripted::{Act, Asked, Script, lost, ok, status, throttled};
use super::{many_cities, options, run, run_until, run_with};

const MINUTE: Duration = Duration::from_mins(1);

/// A rate that another process is asked at some time not to use until later.
#[derive(Debug)]
struct PausedForAnother {
    from: Instant,
    until: Instant,
}

impl PausedForAnother {
    fn after(from: Duration, until: Duration) -> Self {
        let now = monotonic_now();
        Self { from: now + from, until: now + until }
    }
}

impl SharedRate for PausedForAnother {
    fn permit(&self, _interval: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if self.pause_left().is_some() {
                sleep_until(self.until).await;
            }
        })
    }

    fn started(&self) {}

    fn pause(&self, _pause: Duration) {}

    fn pause_left(&self) -> Option<Duration> {
        let now = monotonic_now();
        (now >= self.from && now < self.until).then(|| self.until - now)
    }
}

/// Serves nobody between these times.
fn down(from: Duration, to: Duration, how: fn() -> Act) -> Script {
    Box::new(move |asked: &Asked| if asked.at >= from && asked.at < to { how() } else { ok() })
}

#[test]
fn a_wrong_key_costs_one_request() {
    // Also where an earlier run had the right one.
    for (code, proven) in [(401, false), (403, false), (401, true)] {
        let run = run(
            &many_cities(100),
            &Options { proven, ..options() },
            Box::new(move |_| status(code, r#"{"detail": "Invalid token."}"#)),
        );
        assert_eq!(run.sent.len(), 1);
        let End::Stopped(Stop::KeyRefused(reason)) = run.end else { panic!("{:?}", run.end) };
        assert_eq!(reason.status, Some(code));
        assert!(matches!(&run.settled[..], [(_, Outcome::Unsent(_), 1)]), "{:?}", run.settled);
    }
}

#[test]
fn an_outage_costs_time_only() {
    let ways: [fn() -> Act; 3] = [|| lost(Delivered::No), || lost(Delivered::Maybe), || status(502, "")];
    for how in ways {
        for from in [Duration::ZERO, Duration::from_millis(300)] {
            let run = run(&many_cities(2000), &options(), down(from, from + 9 * MINUTE, how));
            assert_eq!((&run.end, run.acknowledged().len()), (&End::Complete, 2000), "{:?}", run.reasons());
            assert!(run.took > 9 * MINUTE && run.took < 10 * MINUTE, "{:?}", run.took);
            assert!(run.sent.len() < 2000 + 60, "it probes, it doesn't hammer: {}", run.sent.len());
        }
    }
}

#[test]
fn an_api_that_stays_away_is_given_up_in_time() {
    let ways: [fn() -> Act; 3] = [|| lost(Delivered::No), || status(503, ""), || throttled(2)];
    for how in ways {
        let from = Duration::from_millis(300);
        let run = run(&many_cities(2000), &options(), down(from, 100 * MINUTE, how));
        assert!(
            matches!(run.end, End::Stopped(Stop::Outage { .. } | Stop::LongPause { .. })),
            "{:?}",
            run.end
        );
        // A pause that would outlast the patience isn't waited for.
        assert!(run.took > 9 * MINUTE + Duration::from_secs(57) && run.took < 11 * MINUTE, "{:?}", run.took);
        assert!(run.failed().is_empty(), "an outage is nobody's fault: {:?}", run.reasons());
        assert!(run.acknowledged().len() > 100);
    }
}

#[test]
fn a_pause_longer_than_the_patience_stops_at_once() {
    let run = run(
        &many_cities(100),
        &options(),
        Box::new(|asked| if asked.number < 50 { ok() } else { throttled(86_400) }),
    );
    assert!(matches!(run.end, End::Stopped(Stop::LongPause { .. })), "{:?}", run.end);
    assert!(run.took < MINUTE);
}

#[test]
fn a_long_pause_that_another_process_was_asked_for_stops_it_too() {
    let paused = |from, until, users| {
        let shared_rate = || Some(Arc::new(PausedForAnother::after(from, until)) as Arc<dyn SharedRate>);
        let options = || Options { shared_rate: shared_rate(), ..options() };
        run_with(&many_cities(users), options, Box::new(|_| ok()))
    };
    let (second, hour) = (Duration::from_secs(1), 60 * MINUTE);
    for (from, least) in [(Duration::ZERO, 0), (second, 100)] {
        let run = paused(from, hour, 100_000);
        let End::Stopped(Stop::LongPause { pause, most }) = &run.end else { panic!("{:?}", run.end) };
        assert!(*pause > hour - 3 * second && *most == 10 * MINUTE, "{pause:?}");
        assert!(run.took < 3 * second && run.sent.len() >= least, "{:?}", (run.took, run.sent.len()));
        assert_eq!(run.acknowledged().len(), run.sent.len());
    }
    // A shorter one is waited for.
    let run = paused(Duration::ZERO, 9 * MINUTE, 10);
    assert_eq!((&run.end, run.acknowledged().len()), (&End::Complete, 10));
    assert!(run.took >= 9 * MINUTE);
    // There is nothing to wait for once all is sent.
    let run = paused(Duration::from_millis(1), hour, 1);
    assert_eq!((&run.end, run.acknowledged().len()), (&End::Complete, 1));
}

#[test]
fn a_batch_that_the_server_chokes_on_fails_alone() {
    let options = Options { max_attempts: 3.try_into().unwrap(), ..options() };
    let run = run(
        &many_cities(100),
        &options,
        Box::new(|asked| if asked.ids == [42] { status(500, "boom") } else { ok() }),
    );
    assert_eq!((&run.end, run.failed(), run.acknowledged().len()), (&End::Complete, vec![42], 99));
    let (_, outcome, attempts) =
        run.settled.iter().find(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_))).unwrap();
    let Outcome::Failed(reason) = outcome else { panic!() };
    assert_eq!(*attempts, 3);
    assert!(
        reason.error.starts_with("gave up after 3 attempts in ")
            && reason.error.ends_with("500 Internal Server Error: boom"),
        "{}",
        reason.error
    );
}

#[test]
fn a_signal_lets_requests_in_flight_finish_and_starts_no_more() {
    for stop in [Stop::Interrupted, Stop::Terminated] {
        let slow = |_: &Asked| Act { after: Duration::from_secs(2), ..ok() };
        let run = run_until(
            &many_cities(1000),
            &options(),
            Box::new(slow),
            Some((Duration::from_secs(9), stop.clone())),
        );
        assert_eq!(run.end, End::Stopped(stop));
        let log = run.api.log();
        assert!(log.starts.iter().all(|at| *at <= Duration::from_secs(9)));
        assert_eq!(run.acknowledged().len(), log.applied.len(), "what was in flight is settled");
        assert!(run.took <= Duration::from_secs(11), "{:?}", run.took);
    }
}

#[test]
fn requests_that_never_end_do_not_hold_up_a_stop_for_ever() {
    let stuck =
        |asked: &Asked| Act { after: if asked.number > 5 { 100 * MINUTE } else { Duration::ZERO }, ..ok() };
    let run = run_until(&many_cities(1000), &options(), Box::new(stuck), Some((MINUTE, Stop::Interrupted)));
    assert_eq!(run.end, End::Stopped(Stop::Interrupted));
    assert!(run.took <= MINUTE + Duration::from_secs(31), "{:?}", run.took);
    // Users who may have got the value are reported.
    let unsent = run.users(|outcome| matches!(outcome, Outcome::Unsent(_)));
    assert_eq!(unsent.len(), run.sent.len() - run.acknowledged().len());
    assert!(run.settled.iter().all(|(_, _, attempts)| *attempts == 1));
}

#[test]
fn after_a_signal_requests_in_flight_have_the_time_that_the_options_give_them() {
    let minutes =
        |asked: &Asked| Act { after: if asked.number > 5 { 100 * MINUTE } else { Duration::ZERO }, ..ok() };
    for (grace, timeout, longest) in [(6, 60, 6), (6, 2, 2), (90, 60, 60)] {
        let seconds = Duration::from_secs;
        let options = Options { grace: seconds(grace), timeout: seconds(timeout), ..options() };
        let run =
            run_until(&many_cities(1000), &options, Box::new(minutes), Some((MINUTE, Stop::Interrupted)));
        assert_eq!(run.end, End::Stopped(Stop::Interrupted));
        let drain = run.took - MINUTE;
        assert!(drain >= seconds(longest) && drain < seconds(longest + 1), "{drain:?}");
    }
    // A run that is out of time has no signal to obey.
    let options = Options { grace: Duration::from_secs(6), max_duration: Some(MINUTE), ..options() };
    let run = run(&many_cities(1000), &options, Box::new(minutes));
    assert!(run.took >= MINUTE + Options::GRACE, "{:?}", run.took);
}

#[test]
fn time_runs_out() {
    let options = Options { max_duration: Some(Duration::from_secs(3)), ..options() };
    let run = run(&many_cities(100_000), &options, Box::new(|_| ok()));
    assert_eq!(run.end, End::Stopped(Stop::OutOfTime(Duration::from_secs(3))));
    assert!(run.api.log().starts.iter().all(|at| *at <= Duration::from_secs(3)));
    assert!(run.acknowledged().len() > 1000, "{}", run.acknowledged().len());
}

#[test]
fn attributes_that_change_identity_wait_for_all_others() {
    let mut rows = Vec::new();
    let names: Vec<String> = (0..40).map(|n| format!("v{n}@example.com")).collect();
    for (user, name) in (1..).zip(&names) {
        rows.extend([
            (user, "user_id", name.as_str()),
            (user, "email", name.as_str()),
            (user, "city", name.as_str()),
        ]);
    }
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let script = move |asked: &Asked| {
        let act = if asked.number % 3 == 2 { status(500, "") } else { ok() };
        let done = asked.at + act.after;
        log.lock().unwrap().push((asked.attribute.clone(), asked.at, done));
        act
    };
    let run = run(&super::plan(rows, 1000), &options(), Box::new(script));
    assert_eq!((&run.end, run.acknowledged().len()), (&End::Complete, 120));
    let seen = seen.lock().unwrap();
    let ends = |name: &str| {
        seen.iter().filter(|(attribute, ..)| attribute == name).map(|(_, _, end)| *end).max().unwrap()
    };
    let starts = |name: &str| {
        seen.iter().filter(|(attribute, ..)| attribute == name).map(|(_, at, _)| *at).min().unwrap()
    };
    assert!(ends("city") <= starts("email"));
    assert!(ends("email") <= starts("user_id"));
}

#[test]
fn a_connection_that_the_server_had_closed_costs_no_attempt_and_a_place_in_the_rate() {
    let mut seen = std::collections::BTreeSet::new();
    let closed = move |asked: &Asked| {
        if asked.number == 0 || !seen.insert(asked.ids.clone()) {
            return ok();
        }
        let cause = SendErrorCause::IdleConnection;
        let answer = Err(SendError { delivered: Delivered::Maybe, cause, error: "closed".into() });
        Act { answer, applied: false, ..ok() }
    };
    let rate = Rate { requests: 10.try_into().unwrap(), window: Duration::from_secs(1) };
    let options = Options { max_attempts: 1.try_into().unwrap(), rate, ..options() };
    let run = run(&many_cities(50), &options, Box::new(closed));
    assert_eq!((&run.end, run.acknowledged().len()), (&End::Complete, 50), "{:?}", run.reasons());
    assert_eq!(run.sent.len(), 50 + 49);
    assert!(run.api.log().starts.windows(11).all(|starts| starts[10] - starts[0] > Duration::from_secs(1)));
}

#[test]
fn a_connection_that_is_closed_each_time_is_an_error_like_others_after_the_third_time() {
    let closed = |asked: &Asked| {
        // Else it would have no end.
        if asked.ids != [42] || asked.number > 1000 {
            return ok();
        }
        let cause = SendErrorCause::IdleConnection;
        let answer = Err(SendError { delivered: Delivered::Maybe, cause, error: "closed".into() });
        Act { answer, applied: false, ..ok() }
    };
    let options = Options { max_attempts: 3.try_into().unwrap(), ..options() };
    let run = run(&many_cities(100), &options, Box::new(closed));
    assert_eq!((&run.end, run.failed(), run.acknowledged().len()), (&End::Complete, vec![42], 99));
    let failed = run.settled.iter().find(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)));
    assert_eq!(failed.map(|(.., attempts)| *attempts), Some(3 + 3));
}

#[test]
fn where_no_connection_is_possible_the_run_stops_at_the_third_time_in_a_row() {
    let nobody = |asked: &Asked| {
        let cause = SendErrorCause::Certificate;
        let answer = Err(SendError { delivered: Delivered::No, cause, error: "expired".into() });
        // It is renewed after two requests, and expires for good after 20.
        if asked.number < 2 || asked.number > 20 { Act { answer, applied: false, ..ok() } } else { ok() }
    };
    let run = run(&many_cities(100), &options(), Box::new(nobody));
    assert!(matches!(&run.end, End::Stopped(Stop::Unreachable(reason)) if reason.error == "expired"));
    assert_eq!((run.acknowledged().len(), run.failed().len()), (19, 0));
}
