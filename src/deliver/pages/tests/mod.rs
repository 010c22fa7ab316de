//! Pages from a server that the tests make up, in paused time.

mod failures;

use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::SeedableRng as _;
use serde_json::{Value, json};

use super::*;
use crate::deliver::{AccountValue, Rate, Request, SendErrorCause, SharedRate};
use crate::input::Operation;

const LATENCY: Duration = Duration::from_millis(100);

type Answer = Result<Reply, SendError>;

/// What the server does about a request.
#[derive(Clone)]
enum Act {
    Answer(Answer),
    /// No answer ever comes.
    Nothing,
}

/// Does these things in turn, and then the last one for good.
struct Script {
    acts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<(Duration, Option<String>)>>,
    begun: Instant,
}

impl Transport for Script {
    async fn send(&self, _id: RequestId, _request: Request) -> Answer {
        panic!("pages need no update")
    }

    async fn fetch(&self, _id: RequestId, _user: &str) -> Answer {
        panic!("pages need no single user")
    }

    async fn probe(&self, _id: RequestId, _operation: Operation) -> Answer {
        panic!("pages need no probe")
    }

    async fn page(&self, _id: RequestId, cursor: Option<&str>) -> Answer {
        self.asked.lock().unwrap().push((clock::monotonic_now() - self.begun, cursor.map(str::to_owned)));
        let act = {
            let acts = &mut *self.acts.lock().unwrap();
            if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0].clone() }
        };
        tokio::time::sleep(LATENCY).await;
        match act {
            Act::Answer(answer) => answer,
            Act::Nothing => std::future::pending().await,
        }
    }
}

fn status(status: u16, body: &str) -> Act {
    Act::Answer(Ok(Reply { status, body: body.to_owned().into(), ..Reply::default() }))
}

fn page(body: &Value) -> Act {
    status(200, &body.to_string())
}

fn good() -> Act {
    page(&json!({ "next": null, "results": [{ "id": 1 }] }))
}

fn paused(code: u16, seconds: u64) -> Act {
    let retry_after = Some(Duration::from_secs(seconds));
    Act::Answer(Ok(Reply { status: code, retry_after, ..Reply::default() }))
}

fn lost(cause: SendErrorCause) -> Act {
    Act::Answer(Err(SendError { delivered: Delivered::Maybe, cause, error: "no luck".into() }))
}

/// What came of reading one page.
struct Read {
    result: Result<Page, PageError>,
    requests: PageRequests,
    asked: Vec<(Duration, Option<String>)>,
    waits: Vec<Option<Waiting>>,
    took: Duration,
}

impl Read {
    fn stop(&self) -> &Stop {
        match &self.result {
            Err(PageError::Stopped(stop)) => stop,
            other => panic!("not stopped: {other:?}"),
        }
    }

    /// The times between requests.
    fn gaps(&self) -> Vec<Duration> {
        self.asked.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).collect()
    }

    fn malformed(&self) -> &str {
        match &self.result {
            Err(PageError::Malformed(what)) => what,
            other => panic!("not malformed: {other:?}"),
        }
    }
}

fn in_paused_time<F: Future>(task: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(task)
}

fn options() -> Options {
    Options { address: "https://acme.user.com/".into(), ..Options::default() }
}

/// Reads the page with this cursor; the signals come after these times.
fn read_until(
    acts: impl IntoIterator<Item = Act>,
    options: &Options,
    cursor: Option<&str>,
    signals: &[(Duration, Shutdown)],
) -> Read {
    read_pages(1, acts, options, cursor, signals)
}

/// Reads two pages, of which the first one causes no wait.
fn read_two(acts: impl IntoIterator<Item = Act>, options: &Options) -> Read {
    read_pages(2, acts, options, None, &[])
}

fn read_pages(
    pages: usize,
    acts: impl IntoIterator<Item = Act>,
    options: &Options,
    cursor: Option<&str>,
    signals: &[(Duration, Shutdown)],
) -> Read {
    in_paused_time(async {
        let begun = clock::monotonic_now();
        let acts = Mutex::new(acts.into_iter().collect());
        let script = Arc::new(Script { acts, asked: Mutex::default(), begun });
        let limiter = Limiter::new(options.rate).shared_by(options.shared_rate.clone());
        let mut reader = PageReader::new(Arc::clone(&script), options, limiter, StdRng::seed_from_u64(1));
        let (shutdown, mut shutdown_rx) = watch::channel(Shutdown::No);
        let signals = signals.to_vec();
        let signaller = tokio::spawn(async move {
            for (after, signal) in signals {
                sleep_until(begun + after).await;
                shutdown.send(signal).unwrap();
            }
            std::future::pending::<()>().await;
        });
        let mut waits = Vec::new();
        let mut result = reader.read(cursor, &mut shutdown_rx, &mut |wait| waits.push(wait)).await;
        for _ in 1..pages {
            result = reader.read(cursor, &mut shutdown_rx, &mut |wait| waits.push(wait)).await;
        }
        signaller.abort();
        let asked = script.asked.lock().unwrap().clone();
        Read { result, requests: reader.requests(), asked, waits, took: clock::monotonic_now() - begun }
    })
}

fn read(acts: impl IntoIterator<Item = Act>) -> Read {
    read_until(acts, &options(), None, &[])
}

fn reason(status: u16, error: &str) -> Reason {
    Reason { status: Some(status), error: error.to_owned() }
}

#[test]
fn a_page_has_users_a_count_and_the_cursor_of_the_next_one() {
    let next = "http://10.0.0.7:8000/public/users/?cursor=a%3D&size=2";
    let body = json!({ "count": 7, "next": next, "previous": null, "results": [
        { "id": 3, "custom_id": "u-3", "city": "Oslo" }, { "id": 1, "user_id": 17 }, { "id": 2, "custom_id": null },
    ] });
    let read = read([page(&body)]);
    let found = read.result.unwrap();
    assert_eq!((found.count, found.next.as_deref()), (Some(7), Some("cursor=a%3D&size=2")));
    let users: Vec<_> = found.users.iter().map(|user| (user.id, user.custom_id.as_deref())).collect();
    assert_eq!(users, [(3, Some("u-3")), (1, Some("17")), (2, None)]);
    assert_eq!(found.users[0].value("city", Operation::Standard), AccountValue::Value("Oslo".into()));
    assert_eq!(read.requests, PageRequests { sent: 1, retried: 0, throttled: 0 });
    assert_eq!(read.waits, []);
}

#[test]
fn the_next_page_is_one_of_the_list_wherever_the_api_thinks_it_is() {
    let next = |next: &str| {
        read([page(&json!({ "next": next, "results": [] }))]).result.map(|page| page.next.unwrap())
    };
    for address in [
        "https://acme.user.com/api/public/users/?cursor=b",
        "http://internal:8080/users/?cursor=b",
        "https://acme.user.com/api/public/users?cursor=b",
        "/api/public/users/?cursor=b",
        "?cursor=b",
    ] {
        assert_eq!(next(address).unwrap(), "cursor=b", "{address}");
    }
    for address in [
        "https://acme.user.com/api/public/users/",
        "https://acme.user.com/api/public/users/?",
        "https://acme.user.com/api/public/users/17/?cursor=b",
        "https://acme.user.com/api/public/companies/?cursor=b",
        "https://acme.user.com/?cursor=b",
        "ftp://acme.user.com/users/?cursor=b",
        "data:users?cursor=b",
        "http://[/users/?cursor=b",
        "",
    ] {
        let Err(PageError::Malformed(what)) = next(address) else { panic!("{address}") };
        assert!(what.starts_with("`next`: expected the address of a page of users, found "), "{what}");
        assert!(!what.contains("acme"), "{what}");
    }
}

#[test]
fn half_a_page_is_none() {
    for (body, what) in [
        (json!([]), "expected an object with `results` and `next`, found a list"),
        (json!({ "next": null }), "`results`: expected a list of users, found nothing"),
        (json!({ "next": null, "results": {} }), "`results`: expected a list of users, found an object"),
        (json!({ "results": [] }), "`next`: expected an address or null, found nothing"),
        (json!({ "next": 7, "results": [] }), "`next`: expected an address or null, found a number"),
        (
            json!({ "next": null, "count": "7", "results": [] }),
            "`count`: expected a number of users, found text",
        ),
        (
            json!({ "next": null, "results": [{ "id": 1 }, "ann@example.com"] }),
            "user 2 of `results`: expected an object, found text",
        ),
        (
            json!({ "next": null, "results": [{ "id": "ann@example.com" }] }),
            "user 1 of `results`: `id`: expected an integer, found text",
        ),
        (
            json!({ "next": null, "results": [{ "id": 1.5 }] }),
            "user 1 of `results`: `id`: expected an integer, found a number with a fraction",
        ),
        (
            json!({ "next": null, "results": [{ "id": 1, "custom_id": ["ann"] }] }),
            "user 1 of `results`: `custom_id`: expected text, a number or null, found a list",
        ),
    ] {
        let read = read([page(&body)]);
        assert_eq!((read.malformed(), read.requests.sent), (what, 1), "{body}");
    }
}

#[test]
fn a_page_that_leads_to_itself_is_no_page() {
    let body = json!({ "next": "/users/?cursor=a", "results": [] });
    let read = read_until([page(&body)], &options(), Some("cursor=a"), &[]);
    assert_eq!(read.malformed(), "`next`: expected the address of another page, found that of this one");
    assert_eq!(read.asked, [(Duration::ZERO, Some("cursor=a".to_owned()))]);
}

#[test]
fn a_throttled_request_is_repeated_after_the_pause() {
    for code in [429, 503] {
        let read = read([paused(code, 7), good()]);
        assert!(read.result.is_ok());
        assert!(read.asked[1].0 >= Duration::from_secs(7), "{:?}", read.asked);
        assert_eq!(read.requests, PageRequests { sent: 2, retried: 1, throttled: 1 });
        assert_eq!(read.waits, [Some(Waiting::Pause), None]);
    }
}

#[test]
fn a_pause_that_is_longer_than_an_outage_may_be_is_not_waited_for() {
    let read = read([paused(429, 3600)]);
    assert!(matches!(read.stop(), Stop::LongPause { .. }), "{:?}", read.result);
    assert_eq!((read.requests.sent, read.took), (1, LATENCY));
}

/// Another process was asked for a pause of an hour, which becomes known the second time that someone asks.
#[derive(Debug, Default)]
struct PausedForAnother(AtomicBool);

impl SharedRate for PausedForAnother {
    fn permit(&self, _interval: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn started(&self) {}

    fn pause(&self, _pause: Duration) {}

    fn pause_left(&self) -> Option<Duration> {
        self.0.swap(true, Ordering::Relaxed).then_some(Duration::from_hours(1))
    }
}

#[test]
fn a_long_pause_that_another_process_was_asked_for_is_not_waited_for() {
    let shared_rate: Option<Arc<dyn SharedRate>> = Some(Arc::new(PausedForAnother::default()));
    let read = read_until([good()], &Options { shared_rate, ..options() }, None, &[]);
    assert!(matches!(read.stop(), Stop::LongPause { .. }), "{:?}", read.result);
    assert_eq!(read.requests.sent, 0);
}

#[test]
fn what_no_waiting_heals_stops_it() {
    let wrong_address =
        Stop::WrongAddress { reason: reason(404, "404 Not Found"), address: options().address };
    for (answer, stop, requests) in [
        (status(401, ""), Stop::KeyRefused(reason(401, "401 Unauthorized")), 1),
        (status(403, ""), Stop::KeyRefused(reason(403, "403 Forbidden")), 1),
        (status(404, ""), wrong_address, 1),
        (status(300, ""), Stop::Redirected(reason(300, "300 Multiple Choices")), 1),
        (status(301, ""), Stop::Redirected(reason(301, "301 Moved Permanently")), 1),
        (status(402, ""), Stop::Refused(reason(402, "402 Payment Required")), 1),
        (status(501, ""), Stop::Refused(reason(501, "501 Not Implemented")), 1),
        (status(400, "no"), Stop::Refused(reason(400, "400 Bad Request: no")), 1),
        (
            lost(SendErrorCause::Certificate),
            Stop::Unreachable(Reason { status: None, error: "no luck".into() }),
            u64::from(UNREACHABLE),
        ),
    ] {
        let read = read([answer]);
        assert_eq!((read.stop(), read.requests.sent), (&stop, requests));
    }
}

#[test]
fn a_refused_cursor_is_no_longer_good() {
    for code in [400, 404, 410, 422] {
        let read = read_until([status(code, "")], &options(), Some("cursor=a"), &[]);
        let Err(PageError::CursorExpired(reason)) = &read.result else { panic!("{:?}", read.result) };
        assert_eq!((reason.status, read.requests.sent), (Some(code), 1));
    }
    for code in [401, 402, 403, 405] {
        let read = read_until([status(code, "")], &options(), Some("cursor=a"), &[]);
        assert!(matches!(read.stop(), Stop::KeyRefused(_) | Stop::Refused(_)), "{:?}", read.result);
    }
}

#[test]
fn requests_stop_when_the_time_is_over() {
    let options = Options {
        max_duration: Some(Duration::from_secs(20)),
        elapsed: Duration::from_secs(15),
        ..options()
    };
    let read = read_until([paused(429, 30)], &options, None, &[]);
    assert_eq!((read.stop(), read.took), (&Stop::OutOfTime(Duration::from_secs(20)), Duration::from_secs(5)));
    let read = read_until([status(500, "")], &options, None, &[]);
    assert!(matches!(read.stop(), Stop::OutOfTime(_)));
}

#[test]
fn the_request_in_flight_is_finished_after_the_first_signal() {
    let signal = Shutdown::Graceful(Stop::Interrupted);
    let soon = Duration::from_millis(50);
    let read = read_until([good()], &options(), None, &[(soon, signal.clone())]);
    assert!(read.result.is_ok(), "the page came, and is not thrown away");
    let read = read_until([status(500, "")], &options(), None, &[(soon, signal.clone())]);
    assert_eq!((read.stop(), read.requests.sent, read.took), (&Stop::Interrupted, 1, LATENCY));
    let short = Options { grace: Duration::from_secs(3), ..options() };
    let read = read_until([Act::Nothing], &short, None, &[(soon, signal.clone())]);
    assert_eq!((read.stop(), read.took), (&Stop::Interrupted, soon + short.grace));
    let read = read_until([paused(429, 60)], &short, None, &[(Duration::from_secs(9), signal)]);
    assert_eq!((read.stop(), read.took), (&Stop::Interrupted, Duration::from_secs(9)));
}

#[test]
fn the_second_signal_stops_at_once() {
    let signals = [
        (Duration::from_secs(1), Shutdown::Graceful(Stop::Interrupted)),
        (Duration::from_secs(2), Shutdown::Immediate(Stop::Interrupted)),
    ];
    let read = read_until([Act::Nothing], &options(), None, &signals);
    assert_eq!((read.stop(), read.took), (&Stop::Interrupted, Duration::from_secs(2)));
}

#[test]
fn every_attempt_passes_the_limiter() {
    let rate = Rate { requests: NonZeroU32::new(2).unwrap(), window: Duration::from_secs(10) };
    let options = Options { rate, retry_initial_delay: Duration::from_millis(1), ..options() };
    let read = read_until(
        [status(500, ""), lost(SendErrorCause::Other), status(200, "<"), good()],
        &options,
        None,
        &[],
    );
    let starts: Vec<Duration> = read.asked.iter().map(|(at, _)| *at).collect();
    assert_eq!(starts.len(), 4);
    assert!(starts.windows(3).all(|starts| starts[2].saturating_sub(starts[0]) >= rate.window), "{starts:?}");
}
