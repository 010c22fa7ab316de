//! The rate limit.

use super::*;

#[tokio::test]
async fn a_throttled_request_says_when_to_come_again_and_is_not_applied() {
    let it = Rehearsal::new(Options { rate: Some((3, FOREVER)), ..Options::default() }).await;
    for id in 1..=3 {
        it.client.set(id).await.unwrap().assert(200, OK);
    }
    for id in 4..=5 {
        let throttled = it.client.set(id).await.unwrap();
        let seconds: u64 = throttled.header("retry-after").parse().unwrap();
        assert!((1..=3600).contains(&seconds));
        let detail =
            format!(r#"{{"detail":"Request was throttled. Expected available in {seconds} seconds."}}"#);
        throttled.assert(429, &detail);
    }
    assert_eq!(it.facts().len(), 3);
    let counters = it.sandbox.counters();
    assert_eq!((counters.requests, counters.ok, counters.throttled, counters.busiest_window), (5, 3, 2, 5));
}

#[tokio::test]
async fn less_than_a_second_is_one_second() {
    let it = Rehearsal::new(Options { rate: Some((0, Duration::from_secs(1))), ..Options::default() }).await;
    let throttled = it.client.set(1).await.unwrap();
    throttled.assert(429, r#"{"detail":"Request was throttled. Expected available in 1 second."}"#);
    assert_eq!(throttled.header("retry-after"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_holds_for_every_sliding_window_and_refuses_nobody_without_need() {
    const MOST: u32 = 5;
    const WINDOW: Duration = Duration::from_millis(40);
    let it = Rehearsal::new(Options { rate: Some((MOST, WINDOW)), ..Options::default() }).await;
    let crowd = (0..8).map(|id| {
        let client = it.client.clone();
        tokio::spawn(async move {
            let mut served = 0;
            while served < 4 {
                served += usize::from(client.set(id + 1).await.unwrap().status == 200);
            }
        })
    });
    for member in crowd.collect::<Vec<_>>() {
        member.await.unwrap();
    }
    let log = it.sandbox.log();
    let window_before = |at: Duration, log: &[LoggedRequest], status: fn(u16) -> bool| {
        let inside = log.iter().filter(|other| other.status.is_some_and(status) && at < other.at + WINDOW);
        inside.count()
    };
    for (nth, arrival) in log.iter().enumerate() {
        let served = window_before(arrival.at, &log[..nth], |status| status == 200);
        assert_eq!(arrival.status, Some(if served < MOST as usize { 200 } else { 429 }));
    }
    let busiest = (0..log.len()).map(|nth| window_before(log[nth].at, &log[..=nth], |_| true)).max();
    assert_eq!(Some(it.sandbox.counters().busiest_window), busiest);
}

#[tokio::test]
async fn refused_keys_and_paths_take_no_place_in_the_limit() {
    let options = Options { rate: Some((1, FOREVER)), token: Some("key".into()), ..Options::default() };
    let it = Rehearsal::new(options).await;
    let wrong = it.client.http.put(format!("{}{STANDARD}", it.sandbox.base_url()));
    assert_eq!(reply(wrong.header("authorization", "Token wrong")).await.unwrap().status, 401);
    assert_eq!(it.client.user("nowhere/").await.status, 404);
    assert_eq!(it.client.set(1).await.unwrap().status, 200);
    assert_eq!(it.client.set(2).await.unwrap().status, 429);
}
