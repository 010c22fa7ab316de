//! Requests that fail and are sent again.

use super::*;

#[test]
fn what_is_not_json_is_asked_for_again_a_few_times() {
    let maintenance = || status(200, "<html>Back soon</html>");
    let read_again = read([maintenance(), status(204, ""), good()]);
    assert!(read_again.result.is_ok());
    assert_eq!(read_again.requests, PageRequests { sent: 3, retried: 2, throttled: 0 });
    let given_up = read([maintenance()]);
    assert_eq!(given_up.malformed(), "expected a page of users in JSON, found something else");
    assert_eq!(given_up.requests.sent, u64::from(options().max_attempts.get()));
    assert_eq!(read([status(204, "")]).malformed(), "expected the status 200, found 204");
    let large = "x".repeat(Reply::MOST_PAGE);
    assert_eq!(
        read([status(200, &large)]).malformed(),
        "expected a page of users in JSON, found more than 16 MiB"
    );
}

#[test]
fn failures_are_repeated_with_growing_waits_until_a_page_comes() {
    let failures = [
        status(500, ""),
        status(408, ""),
        status(503, ""),
        status(504, "<html>"),
        lost(SendErrorCause::Other),
        lost(SendErrorCause::Timeout),
        lost(SendErrorCause::Refused),
        good(),
    ];
    let read = read_until(failures, &options(), Some("cursor=a"), &[]);
    assert!(read.result.is_ok());
    assert_eq!(read.requests, PageRequests { sent: 8, retried: 7, throttled: 0 });
    assert!(read.asked.iter().all(|(_, cursor)| cursor.as_deref() == Some("cursor=a")));
    assert_eq!(read.waits, [Some(Waiting::Outage), None]);
    assert!(read.gaps()[6] > Duration::from_secs(8), "{:?}", read.gaps());
}

#[test]
fn a_single_failure_after_a_page_is_no_outage() {
    let read = read_two([good(), status(500, ""), good()], &options());
    assert!(read.result.is_ok());
    assert_eq!((read.requests, read.waits), (PageRequests { sent: 3, retried: 1, throttled: 0 }, vec![]));
}

#[test]
fn each_way_to_fail_has_a_wait_before_the_next_attempt() {
    let options = Options { retry_initial_delay: Duration::from_mins(1), ..options() };
    let failures: [fn() -> Act; 4] = [
        || status(500, ""),
        || status(200, "<html>"),
        || status(204, ""),
        || lost(SendErrorCause::Certificate),
    ];
    for failure in failures {
        // After a page, so that the first failure is no outage.
        let read = read_two([good(), failure(), good()], &options);
        assert!(read.result.is_ok());
        assert!(read.gaps()[1] > Duration::from_secs(2), "{:?}", read.gaps());
    }
}

#[test]
fn an_answer_503_is_a_request_to_send_less() {
    let options = Options { retry_initial_delay: Duration::from_millis(1), ..options() };
    let gap = |code| read_two([good(), status(code, ""), good()], &options).gaps()[1];
    assert!(gap(503) >= LATENCY + Duration::from_secs(1), "{:?}", gap(503));
    assert!(gap(500) < Duration::from_secs(1), "{:?}", gap(500));
}

#[test]
fn an_error_says_nothing_about_the_rate() {
    let options = Options { retry_initial_delay: Duration::from_millis(1), ..options() };
    let read = read_two([good(), status(429, ""), status(500, ""), status(429, ""), good()], &options);
    assert!(read.result.is_ok());
    // Nothing is served between the two throttled requests, so that the second pause is longer.
    assert!(read.gaps()[3] >= LATENCY + Duration::from_secs(2), "{:?}", read.gaps());
    // An answer of another kind shows the API at work, so that the next pause is as short as the first.
    for code in [204, 408] {
        let read = read_two([good(), status(429, ""), status(code, ""), status(429, ""), good()], &options);
        assert!(read.gaps()[3] < LATENCY + Duration::from_secs(2), "{code}: {:?}", read.gaps());
    }
}

#[test]
fn an_outage_that_lasts_too_long_stops_it() {
    for failure in [status(502, ""), lost(SendErrorCause::Other), Act::Nothing] {
        let options = Options { timeout: Duration::from_secs(20), ..options() };
        let read = read_until([status(500, ""), failure], &options, None, &[]);
        assert!(
            matches!(read.stop(), Stop::Outage { after, .. } if *after == options.max_outage),
            "{:?}",
            read.result
        );
        let most = LATENCY + options.max_outage + options.timeout;
        assert!((options.max_outage..=most).contains(&read.took), "{:?}", read.took);
    }
}

#[test]
fn a_connection_that_the_server_had_closed_is_opened_again_at_once() {
    let stale = || lost(SendErrorCause::IdleConnection);
    let read = read([stale(), stale(), good()]);
    assert!(read.result.is_ok());
    assert!(read.took < Duration::from_secs(1), "{:?}", read.took);
    assert_eq!((read.waits.len(), read.requests.sent), (0, 3));
}

#[test]
fn after_some_connections_that_the_server_had_closed_the_next_one_is_a_failure() {
    let stale = || lost(SendErrorCause::IdleConnection);
    for (times, waits) in [(STALE, 0), (STALE + 1, 2)] {
        let read = read((0..times).map(|_| stale()).chain([good()]));
        assert!(read.result.is_ok());
        assert_eq!((read.waits.len(), read.requests.sent), (waits, u64::from(times) + 1));
    }
}

#[test]
fn connections_that_the_server_always_closes_are_an_outage() {
    let read = read([lost(SendErrorCause::IdleConnection)]);
    assert!(matches!(read.stop(), Stop::Outage { .. }), "{:?}", read.result);
    assert!(read.requests.sent < 60, "{:?}", read.requests);
}
