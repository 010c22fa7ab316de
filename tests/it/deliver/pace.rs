//! The pace, the pause and the number in flight.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use attrsync::deliver::{End, Options, Rate};

use super::scripted::{Act, LATENCY, ok, status, throttled};
use super::{many_cities, options, run};

fn at(requests: u32) -> Options {
    Options {
        rate: Rate { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(1) },
        ..options()
    }
}

/// The most starts in any second.
fn busiest_second(starts: &[Duration]) -> usize {
    (0..starts.len())
        .map(|first| {
            starts[first..].iter().take_while(|at| **at < starts[first] + Duration::from_secs(1)).count()
        })
        .max()
        .unwrap_or(0)
}

#[test]
fn all_is_sent_once_at_the_rate() {
    let run = run(&many_cities(100), &at(10), Box::new(|_| ok()));
    assert_eq!(run.end, End::Complete);
    assert_eq!((run.acknowledged().len(), run.sent.len()), (100, 100));
    assert_eq!(busiest_second(&run.api.log().starts), 10);
    assert!(run.took < Duration::from_secs(10).mul_f64(1.05), "{:?}", run.took);
}

#[test]
fn retries_share_the_quota_with_first_attempts() {
    let run = run(
        &many_cities(200),
        &at(20),
        Box::new(|asked| if asked.number % 3 == 1 { status(500, "") } else { ok() }),
    );
    assert_eq!((run.end, run.sent.len() > 250), (End::Complete, true));
    assert_eq!(busiest_second(&run.api.log().starts), 20);
}

#[test]
fn nothing_starts_before_the_first_request_is_answered() {
    let slow = |asked: &super::scripted::Asked| {
        let after = if asked.number == 0 { Duration::from_secs(9) } else { LATENCY };
        Act { after, ..ok() }
    };
    let run = run(&many_cities(50), &at(1000), Box::new(slow));
    let starts = run.api.log().starts;
    assert!(starts[0] < Duration::from_secs(1) && starts[1] >= Duration::from_secs(9), "{starts:?}");
}

#[test]
fn a_throttled_pool_waits_as_long_as_asked_and_resumes_one_by_one() {
    let run = run(
        &many_cities(100),
        &at(50),
        Box::new(|asked| if asked.number == 30 { throttled(7) } else { ok() }),
    );
    let starts = run.api.log().starts;
    let pause = starts.windows(2).position(|pair| pair[1] - pair[0] > Duration::from_secs(6)).unwrap();
    assert!(starts[pause + 1] - starts[30] >= Duration::from_secs(7));
    assert!(pause <= 32, "only what was on its way follows a throttling: {pause}");
    assert!(starts[pause + 1..].windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(15)));
    assert_eq!((run.end.clone(), run.acknowledged().len(), run.sent.len()), (End::Complete, 100, 101));
}

#[test]
fn a_key_shared_with_others_is_shared() {
    // The server grants 50 a second to all; another integration takes 30 of them, all the time.
    let mut granted = std::collections::VecDeque::new();
    let shared = move |asked: &super::scripted::Asked| {
        while granted.front().is_some_and(|at: &Duration| *at + Duration::from_secs(1) <= asked.at) {
            granted.pop_front();
        }
        if granted.len() >= 20 {
            return throttled(1);
        }
        granted.push_back(asked.at);
        ok()
    };
    let run = run(&many_cities(3000), &at(50), Box::new(shared));
    assert_eq!((run.end.clone(), run.acknowledged().len()), (End::Complete, 3000));
    let throttled = run.sent.len() - 3000;
    assert!(throttled * 20 < 3000, "{throttled} of {} requests were refused", run.sent.len());
    assert!(run.took < Duration::from_mins(5), "{:?}", run.took);
}

#[test]
fn a_slow_api_is_not_starved_and_a_quick_one_not_flooded() {
    let with = |latency: Duration| {
        let options = Options { concurrency: NonZeroUsize::new(64).unwrap(), ..at(10) };
        run(&many_cities(300), &options, Box::new(move |_| Act { after: latency, ..ok() }))
    };
    let slow = with(Duration::from_secs(3));
    assert!(
        slow.took < Duration::from_secs(30).mul_f64(1.05) + 2 * Duration::from_secs(3),
        "{:?}",
        slow.took
    );
    let quick = with(LATENCY);
    assert!(quick.api.log().most_in_flight <= 2, "{}", quick.api.log().most_in_flight);
}

#[test]
fn no_more_are_in_flight_than_allowed() {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let options = Options { concurrency: NonZeroUsize::new(5).unwrap(), ..at(1000) };
    let script = move |asked: &super::scripted::Asked| {
        seen.fetch_max(asked.in_flight, Ordering::Relaxed);
        Act { after: Duration::from_secs(1), ..ok() }
    };
    assert_eq!(run(&many_cities(50), &options, Box::new(script)).end, End::Complete);
    assert_eq!(most.load(Ordering::Relaxed), 5);
}

/// A server that works on this many requests at a time, each for a fifth of a second; all others queue up.
fn queueing(workers: usize) -> super::scripted::Script {
    const WORK: Duration = Duration::from_millis(200);
    let mut free = vec![Duration::ZERO; workers];
    Box::new(move |asked| {
        let worker = free.iter_mut().min().unwrap();
        *worker = asked.at.max(*worker) + WORK;
        Act { after: *worker - asked.at, ..ok() }
    })
}

#[test]
fn an_api_that_slows_down_under_load_is_not_flooded_and_kept_busy() {
    let slowest = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&slowest);
    let mut server = queueing(4);
    let options = Options { concurrency: NonZeroUsize::new(64).unwrap(), ..at(50) };
    let script = move |asked: &super::scripted::Asked| {
        let act = server(asked);
        seen.lock().unwrap().push(act.after);
        act
    };
    // It bears 20 a second.
    let run = run(&many_cities(2000), &options, Box::new(script));
    assert_eq!((run.end.clone(), run.sent.len()), (End::Complete, 2000));
    assert!(run.took < Duration::from_secs(2000 / 20).mul_f64(1.1), "it is kept busy: {:?}", run.took);
    let mut waits = slowest.lock().unwrap().split_off(1000);
    waits.sort_unstable();
    assert!(waits[500] < Duration::from_secs(1), "answers take {:?} in the middle", waits[500]);
}

#[test]
fn an_api_that_becomes_slow_for_good_is_not_starved_for_long() {
    let options = Options { concurrency: NonZeroUsize::new(64).unwrap(), ..at(10) };
    let slow = |asked: &super::scripted::Asked| {
        let after = if asked.number < 200 { LATENCY } else { Duration::from_secs(3) };
        Act { after, ..ok() }
    };
    let run = run(&many_cities(1200), &options, Box::new(slow));
    assert_eq!(run.end, End::Complete);
    assert!(run.took < Duration::from_secs(120 + 45), "{:?}", run.took);
}

#[test]
fn an_api_that_becomes_slow_is_not_starved_until_its_first_slow_answer() {
    const QUICK: usize = 50;
    let (options, slow) =
        (Options { concurrency: NonZeroUsize::new(64).unwrap(), ..at(10) }, Duration::from_secs(30));
    let script = move |asked: &super::scripted::Asked| Act {
        after: if asked.number < QUICK { LATENCY } else { slow },
        ..ok()
    };
    let run = run(&many_cities(90), &options, Box::new(script));
    assert_eq!(run.end, End::Complete);
    let starts = run.api.log().starts;
    assert!(starts[89] - starts[QUICK] < slow / 2, "{starts:?}");
}

#[test]
fn a_rate_per_minute_is_spread_over_the_minute() {
    let minute = Duration::from_mins(1);
    let rate = Rate { requests: NonZeroU32::new(60).unwrap(), window: minute };
    let run = run(&many_cities(100), &Options { rate, ..options() }, Box::new(|_| ok()));
    assert_eq!(run.end, End::Complete);
    let starts = run.api.log().starts;
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(900)), "{starts:?}");
    assert!(starts.windows(61).all(|starts| starts[60] - starts[0] > minute));
    assert!(run.took < Duration::from_secs(100).mul_f64(1.05), "{:?}", run.took);
}
