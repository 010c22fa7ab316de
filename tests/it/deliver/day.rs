//! A whole day, with what a day brings: outages, another program that uses the same limit, errors and lost answers.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attrsync::clock;
use attrsync::deliver::{
    self, Delivered, End, Event, Options, Outcome, Rate, Reply, Request, RequestId, SendError,
    SendErrorCause, Shutdown, Transport,
};
use attrsync::input::Operation;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};

use super::many_cities;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Four times a day the server is away for five minutes.
const BETWEEN_OUTAGES: Duration = Duration::from_hours(6);
const OUTAGE: Duration = Duration::from_mins(5);

/// In this hour, another program uses half of the limit.
const SHARED: Duration = Duration::from_hours(3);

/// Every such request fails, …
const FAILING: usize = 101;

/// … or is applied, and its answer is lost.
const LOST: usize = 151;

/// A server that remembers no more than it needs, as it gets many requests.
struct Server {
    rate: Rate,
    latency: Duration,
    seen: Mutex<Seen>,
}

struct Seen {
    /// When the last requests started, as many as may in a window.
    starts: VecDeque<Duration>,
    /// When the last ones were served that are in the window still.
    served: VecDeque<Duration>,
    /// By user: whether the value was applied.
    applied: Vec<bool>,
    requests: usize,
    throttled: usize,
    /// Requests that failed, or whose answer was lost, outside of outages.
    troubled: usize,
}

#[expect(clippy::unnecessary_wraps, reason = "as a transport gives it")]
fn reply(status: u16, retry_after: Option<Duration>) -> Result<Reply, SendError> {
    let body = if status == 200 { r#"{"status": "ok"}"# } else { "" };
    Ok(Reply { status, body: body.into(), retry_after, ..Reply::default() })
}

fn lost(delivered: Delivered) -> Result<Reply, SendError> {
    Err(SendError { delivered, cause: SendErrorCause::Other, error: "connection reset".into() })
}

impl Server {
    fn answer(&self, request: &Request, at: Duration) -> Result<Reply, SendError> {
        let seen = &mut *self.seen.lock().unwrap();
        let most = self.rate.requests.get() as usize;
        if seen.starts.len() == most {
            let first = seen.starts.pop_front().unwrap();
            assert!(at - first > self.rate.window, "{} starts within {:?}", most + 1, at - first);
        }
        seen.starts.push_back(at);
        seen.requests += 1;
        let number = seen.requests;
        let time = Duration::from_secs(at.as_secs() % BETWEEN_OUTAGES.as_secs());
        if time + OUTAGE >= BETWEEN_OUTAGES {
            return if number.is_multiple_of(2) { reply(503, None) } else { lost(Delivered::No) };
        }
        while seen.served.front().is_some_and(|first| at - *first >= self.rate.window) {
            seen.served.pop_front();
        }
        if (SHARED..SHARED + HOUR).contains(&at) && seen.served.len() >= most / 2 {
            seen.throttled += 1;
            return reply(429, Some(self.rate.window / 2));
        }
        seen.served.push_back(at);
        if number.is_multiple_of(FAILING) {
            seen.troubled += 1;
            return reply(500, None);
        }
        // Each request is for one user.
        let user = request.body.split(|byte| !byte.is_ascii_digit()).find(|digits| !digits.is_empty());
        let user: usize = std::str::from_utf8(user.unwrap()).unwrap().parse().unwrap();
        seen.applied[user] = true;
        if number.is_multiple_of(LOST) {
            seen.troubled += 1;
            return lost(Delivered::Maybe);
        }
        reply(200, None)
    }
}

/// A server, and when the run began.
struct Day {
    server: Server,
    begun: tokio::time::Instant,
}

impl Transport for Day {
    async fn send(&self, _id: RequestId, request: Request) -> Result<Reply, SendError> {
        let answer = self.server.answer(&request, clock::monotonic_now() - self.begun);
        tokio::time::sleep(self.server.latency).await;
        answer
    }

    async fn fetch(&self, _id: RequestId, _user: &str) -> Result<Reply, SendError> {
        reply(404, None)
    }

    async fn probe(&self, _id: RequestId, _operation: Operation) -> Result<Reply, SendError> {
        reply(405, None)
    }

    async fn page(&self, _id: RequestId, _cursor: Option<&str>) -> Result<Reply, SendError> {
        reply(405, None)
    }
}

#[test]
fn a_day_of_requests_keeps_to_the_rate_and_loses_nothing() {
    // Few requests, as the time is what matters.
    let rate = Rate { requests: NonZeroU32::new(12).unwrap(), window: Duration::from_mins(1) };
    let latency = Duration::from_secs(12);
    let windows = DAY.as_secs() / rate.window.as_secs();
    let requests = usize::try_from(windows).unwrap() * rate.requests.get() as usize;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (day, delivered, acknowledged, took) = runtime.block_on(async {
        let plan = many_cities(requests as u64);
        let begun = clock::monotonic_now();
        let seen = Seen {
            starts: VecDeque::new(),
            served: VecDeque::new(),
            applied: vec![false; requests + 1],
            requests: 0,
            throttled: 0,
            troubled: 0,
        };
        let day = Arc::new(Day { server: Server { rate, latency, seen: Mutex::new(seen) }, begun });
        let options = Options { rate, ..Options::default() };
        let (events, mut received) = mpsc::channel(64);
        let (_shutdown, shutdown) = watch::channel(Shutdown::No);
        let chance = StdRng::seed_from_u64(1);
        let delivery = deliver::deliver(plan, Arc::clone(&day), &options, shutdown, events, chance);
        let counting = async {
            let mut acknowledged = 0;
            while let Some(event) = received.recv().await {
                if let Event::Finished { outcome, .. } = event {
                    assert_eq!(outcome, Outcome::Acknowledged);
                    acknowledged += 1;
                }
            }
            acknowledged
        };
        let (delivered, acknowledged) = tokio::join!(delivery, counting);
        (day, delivered.unwrap(), acknowledged, clock::monotonic_now() - begun)
    });
    assert_eq!((delivered.end, acknowledged), (End::Complete, requests));
    let seen = &*day.server.seen.lock().unwrap();
    assert!(seen.applied[1..].iter().all(|applied| *applied));
    let faults = requests / FAILING + requests / LOST;
    assert!((faults..faults + faults / 10).contains(&seen.troubled), "{} for {faults}", seen.troubled);
    // In an outage there is a request from time to time.
    let probes = seen.requests - requests - seen.troubled - seen.throttled;
    assert!((4 * 8..4 * 20).contains(&probes), "{probes} requests in four outages");
    let shared = requests / 24 / 10;
    assert!((1..shared).contains(&seen.throttled), "{} requests were throttled", seen.throttled);
    let least = DAY + 4 * OUTAGE + HOUR / 2;
    assert!(took > least && took < least.mul_f64(1.05), "{took:?}");
}
