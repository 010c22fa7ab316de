//! The limiter by itself, with a paused clock.

use proptest::prelude::*;

use super::*;

fn rate(requests: u32, seconds: u64) -> Rate {
    Rate { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(seconds) }
}

/// Starts `count` requests, each as soon as it may, with this much work after each.
fn starts(rate: Rate, count: usize, work: &[Duration]) -> Vec<Duration> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let begin = clock::monotonic_now();
        let mut limiter = Limiter::new(rate);
        let mut starts = Vec::new();
        for n in 0..count {
            limiter.permit().await;
            limiter.started(clock::monotonic_now());
            starts.push(clock::monotonic_now() - begin);
            tokio::time::sleep(work[n % work.len()]).await;
        }
        starts
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_window_holds_more_starts_than_the_rate(
        requests in 1u32..3000,
        seconds in prop::sample::select(vec![1u64, 60]),
        work in prop::collection::vec((0u64..100_000).prop_map(Duration::from_micros), 1..20),
    ) {
        let rate = rate(requests, seconds);
        let starts = starts(rate, 2 * requests as usize + 5, &work);
        for surplus in starts.windows(requests as usize + 1) {
            let took = surplus[requests as usize].saturating_sub(surplus[0]);
            prop_assert!(took >= rate.window + HEADROOM, "{} starts in {took:?}", requests + 1);
        }
    }
}

#[test]
fn a_run_takes_at_most_five_percent_longer_than_the_rate_allows() {
    for requests in [1, 7, 10, 50, 100, 1000, 9999] {
        let starts = starts(rate(requests, 1), 5 * requests as usize + 1, &[Duration::ZERO]);
        let took = *starts.last().unwrap();
        assert!(took <= Duration::from_secs(5).mul_f64(1.05), "{requests}/s: {took:?}");
    }
}

#[test]
fn at_ten_a_second_a_run_takes_about_three_percent_longer() {
    let took = *starts(rate(10, 1), 1001, &[Duration::ZERO]).last().unwrap();
    let longer = took.as_secs_f64() / 100.0 - 1.0;
    assert!((0.025..=0.035).contains(&longer), "{longer}");
}

#[test]
fn being_late_once_does_not_delay_the_rest() {
    let mut work = vec![Duration::ZERO; 100];
    work[50] = Duration::from_millis(23);
    let even = starts(rate(50, 1), 100, &[Duration::ZERO]);
    let late = starts(rate(50, 1), 100, &work);
    assert!(*late.last().unwrap() <= *even.last().unwrap() + Duration::from_millis(3));
}

#[tokio::test(start_paused = true)]
async fn pauses_merge_by_the_later_end_and_nothing_starts_in_one() {
    let begin = clock::monotonic_now();
    let mut limiter = Limiter::new(rate(100, 1));
    limiter.pause_until(begin + Duration::from_secs(9));
    limiter.pause_until(begin + Duration::from_secs(3));
    assert_eq!(limiter.pause_left(begin), Some(Duration::from_secs(9)));
    limiter.permit().await;
    limiter.started(clock::monotonic_now());
    let first = clock::monotonic_now() - begin;
    assert!(first >= Duration::from_secs(9) && first < Duration::from_millis(9002), "{first:?}");
    limiter.permit().await;
    limiter.started(clock::monotonic_now());
    let second = clock::monotonic_now() - begin;
    assert!(second >= first + Duration::from_millis(5), "it resumes one by one: {first:?}, {second:?}");
}

/// A limiter whose first request was served.
fn limiter(rate: Rate) -> (Limiter, Instant) {
    let (mut limiter, begin) = (Limiter::new(rate), clock::monotonic_now());
    limiter.started(begin);
    limiter.answered(begin, Duration::ZERO, begin, LimitSignal::Served);
    (limiter, begin)
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_a_refusal_is_at_least_a_second_and_grows_while_nothing_is_served() {
    let (mut limiter, begin) = limiter(rate(10, 1));
    let at = |seconds| begin + Duration::from_secs(seconds);
    let mut pause = |start, now, seconds: Option<u64>| {
        let retry_after = seconds.map(Duration::from_secs);
        limiter.answered(at(start), Duration::ZERO, at(now), LimitSignal::Throttled { retry_after });
        limiter.pause_left(at(now)).unwrap().as_secs()
    };
    assert_eq!(pause(100, 101, None), 1);
    assert_eq!(pause(100, 101, Some(0)), 1, "one that was on its way says nothing new");
    assert_eq!(pause(102, 103, Some(0)), 2);
    assert_eq!(pause(105, 106, Some(9)), 9, "as long as the server asks");
    assert_eq!(pause(200, 201, None), 8);
    let longest = (0..20).map(|n| pause(300 + 100 * n, 301 + 100 * n, None)).max();
    assert_eq!(longest, Some(LONGEST_OWN_PAUSE.as_secs()));
    limiter.answered(at(3000), Duration::ZERO, at(3001), LimitSignal::Served);
    limiter.answered(at(3002), Duration::ZERO, at(3003), LimitSignal::Throttled { retry_after: None });
    assert_eq!(limiter.pause_left(at(3003)), Some(SHORTEST_PAUSE));
    assert_eq!(limiter.asked_left(at(3003)), None, "nobody asked for that");
}

#[tokio::test(start_paused = true)]
async fn a_window_counts_from_the_answer_of_the_first_request_and_not_from_its_start() {
    let mut limiter = Limiter::new(rate(2, 1));
    let begin = clock::monotonic_now();
    limiter.permit().await;
    limiter.started(begin);
    tokio::time::sleep(Duration::from_millis(700)).await;
    limiter.answered(begin, Duration::from_millis(200), clock::monotonic_now(), LimitSignal::Served);
    limiter.permit().await;
    assert!(clock::monotonic_now() - begin >= Duration::from_millis(700));
    let second = clock::monotonic_now();
    limiter.started(second);
    limiter.permit().await;
    assert!(clock::monotonic_now() - begin >= Duration::from_millis(1700) + HEADROOM);
    // A round trip takes 100 ms, as the second one shows: the first one was there by 600.
    limiter.answered(second, Duration::ZERO, second + Duration::from_millis(100), LimitSignal::Served);
    assert_eq!(limiter.recent.opens(), Some(begin + Duration::from_millis(1600) + HEADROOM));
}

#[tokio::test(start_paused = true)]
async fn a_lower_rate_keeps_its_interval_to_the_request_before_it() {
    let (mut limiter, mut last) = limiter(rate(2, 60));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(100)).await;
        last = clock::monotonic_now();
        limiter.started(last);
        limiter.answered(last, Duration::ZERO, last, LimitSignal::Throttled { retry_after: None });
    }
    limiter.permit().await;
    assert!(limiter.share() < 1.0 && clock::monotonic_now() - last >= limiter.interval());
}

#[tokio::test(start_paused = true)]
async fn one_refusal_costs_no_pace_and_more_of_them_do() {
    let (mut limiter, begin) = limiter(rate(10, 1));
    let at = |seconds| begin + Duration::from_secs(seconds);
    let refused = LimitSignal::Throttled { retry_after: None };
    let even = limiter.interval();
    limiter.answered(at(1), Duration::ZERO, at(2), refused);
    assert_eq!(limiter.interval(), even);
    limiter.answered(at(5), Duration::ZERO, at(6), refused);
    assert!((0.2..1.0).contains(&limiter.share()) && limiter.interval() > even);
    for seconds in 7..40 {
        limiter.answered(at(seconds), Duration::ZERO, at(seconds), LimitSignal::Served);
    }
    assert_eq!(limiter.interval(), even);
}
