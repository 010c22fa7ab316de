//! Sends what the core decides. This is the only place that waits.
//!
//! A single task makes the decisions, so that events have an order. It asks the [`Core`] for the next request, waits for the
//! limiter, and starts each request as a task of its own. There is no queue of batches, and no worker that sleeps until a retry
//! while other batches could be sent. Each answer returns to this task and is passed to the core, and its [`Event`]s are sent
//! before the next answer is processed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, interval, sleep_until};

use super::Disconnected;
use super::concurrency::Concurrency;
use super::core::{ApiCall, Core, StartedRequest};
use super::event::{Delivery, End, Event, Shutdown, Slowed, Status, Stop, Waiting};
use super::limiter::Limiter;
use super::options::Options;
use super::read_back::{Sample, Way};
use super::transport::{Reply, Request, SendError, Transport};
use crate::clock;
use crate::plan::{Batch, Plan};

/// How long after a request started or was answered the status is sent at the latest, which is also the longest that an event
/// is held back, …
const PULSE: Duration = Duration::from_millis(50);

/// … and how often it is sent while nothing happens. In an outage or a long pause, only the time that is left changes.
const IDLE_PULSE: Duration = Duration::from_secs(1);

/// Events that are further apart than this are sent one by one, …
const LULL: Duration = Duration::from_millis(5);

/// … and others in bursts of up to this many, which wake the receiver once.
const BURST: usize = 64;

pub(super) struct Dispatcher<T> {
    plan: Arc<Plan>,
    transport: Arc<T>,
    options: Options,
    deadline: Option<Instant>,
    chance: StdRng,
    core: Core,
    in_flight: JoinSet<Answered>,
    limiter: Limiter,
    concurrency: Concurrency,
    outbox: Outbox,
    /// How users are read back, as far as it was sent.
    way: Option<Way>,
}

/// Events that are not sent yet. The receiver is woken once for each burst.
struct Outbox {
    events: mpsc::Sender<Event>,
    waiting: Vec<Event>,
    told_at: Instant,
}

/// Ticks when the status is to be sent.
struct Pulse {
    interval: Interval,
    next: Instant,
}

struct Answered {
    number: u64,
    sent_at: Instant,
    bytes: usize,
    result: Result<Reply, SendError>,
}

impl<T: Transport> Dispatcher<T> {
    pub(super) fn new(
        plan: Arc<Plan>,
        transport: Arc<T>,
        options: &Options,
        events: mpsc::Sender<Event>,
        mut chance: StdRng,
    ) -> Self {
        let sample = Sample::new(options.verify, StdRng::from_rng(&mut chance));
        Self {
            core: Core::new(Arc::clone(&plan), options, sample),
            limiter: Limiter::new(options.rate).shared_by(options.shared_rate.clone()),
            concurrency: Concurrency::new(options.concurrency),
            plan,
            transport,
            options: options.clone(),
            deadline: options
                .max_duration
                .map(|most| clock::monotonic_now() + most.saturating_sub(options.elapsed)),
            chance,
            in_flight: JoinSet::new(),
            outbox: Outbox { events, waiting: Vec::with_capacity(BURST), told_at: clock::monotonic_now() },
            way: None,
        }
    }

    /// Sends the plan.
    pub(super) async fn run(
        mut self,
        mut shutdown_rx: watch::Receiver<Shutdown>,
    ) -> Result<Delivery, Disconnected> {
        let mut pulse = Pulse::new();
        let mut grace: Option<Instant> = None;
        let mut may_start = false;
        loop {
            let now = clock::monotonic_now();
            self.look_for_reasons_to_stop(&shutdown_rx, may_start, now);
            may_start = false;
            if self.core.stop().is_some() {
                // The run may be about to stop already when a signal comes.
                let latest = now + self.options.grace_after(&shutdown_rx.borrow());
                let end = grace.map_or(latest, |end| end.min(latest));
                grace = Some(end);
                if self.in_flight.is_empty() || now >= end {
                    break;
                }
            } else if self.has_room(now) {
                may_start = self.core.decide(now);
                self.outbox.take(self.core.events()).await?;
                if !may_start && self.core.is_done() {
                    break;
                }
            }
            let wake = self.wake(grace, may_start, now);
            tokio::select! {
                biased;
                Ok(()) = shutdown_rx.changed() => {}
                () = pulse.tick() => self.send_status().await?,
                Some(answered) = self.in_flight.join_next() => {
                    self.answered(answered).await?;
                    pulse.hasten();
                }
                () = self.limiter.permit(), if may_start => {
                    self.start().await?;
                    may_start = false;
                    pulse.hasten();
                }
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
        self.finish().await
    }

    /// `is_waiting` is whether a request waits for its permit.
    fn look_for_reasons_to_stop(
        &mut self,
        shutdown_rx: &watch::Receiver<Shutdown>,
        is_waiting: bool,
        now: Instant,
    ) {
        if let Shutdown::Graceful(stop) | Shutdown::Immediate(stop) = shutdown_rx.borrow().clone() {
            self.core.stop_with(stop);
        }
        if let Some(most) = self.options.max_duration
            && self.deadline.is_some_and(|at| now >= at)
        {
            self.core.stop_with(Stop::OutOfTime(most));
        }
        let (outage, most) = (self.core.outage(), self.options.max_outage);
        // A pause that another process was asked for doesn't matter to a run that has nothing more to send.
        let is_affected = is_waiting || outage.gives_up(most).is_some();
        let asked_left = self.limiter.asked_left(now).filter(|_| is_affected);
        if let Some(stop) = outage.reason_to_stop(most, asked_left, now) {
            self.core.stop_with(stop);
        }
    }

    fn has_room(&self, now: Instant) -> bool {
        let age = self.core.oldest().map_or(Duration::ZERO, |start| now.duration_since(start));
        self.in_flight.len() < self.concurrency.size(self.limiter.interval(), age)
    }

    /// When to look again although nothing happened.
    fn wake(&self, grace: Option<Instant>, is_decided: bool, now: Instant) -> Option<Instant> {
        if grace.is_some() {
            return grace;
        }
        let gives_up = self.core.outage().gives_up(self.options.max_outage).map(|(at, _)| at);
        let due = if is_decided { None } else { self.core.wake() };
        [due, gives_up, self.deadline].into_iter().flatten().filter(|at| *at > now).min()
    }

    async fn start(&mut self) -> Result<(), Disconnected> {
        let sent_at = clock::monotonic_now();
        let Some(StartedRequest { number, id, call }) = self.core.start(sent_at) else { return Ok(()) };
        self.limiter.started(sent_at);
        let (plan, transport) = (Arc::clone(&self.plan), Arc::clone(&self.transport));
        self.in_flight.spawn(async move {
            let mut bytes = 0;
            let result = match call {
                ApiCall::Update(users) => {
                    let mut body = Vec::new();
                    plan.body_of(users.group, users.batches(), &mut body);
                    bytes = body.len();
                    let operation = plan.operation(Batch { group: users.group, first: 0, len: 1 });
                    transport.send(id, Request { operation, body: Bytes::from(body) }).await
                }
                ApiCall::User(user) => transport.fetch(id, &user).await,
                ApiCall::Operation(operation) => transport.probe(id, operation).await,
                ApiCall::Page(cursor) => transport.page(id, cursor.as_deref()).await,
            };
            Answered { number, sent_at, bytes, result }
        });
        self.outbox.take(self.core.events()).await
    }

    async fn answered(&mut self, joined: Result<Answered, JoinError>) -> Result<(), Disconnected> {
        let Answered { number, sent_at, bytes, result } = match joined {
            Ok(answered) => answered,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let now = clock::monotonic_now();
        self.concurrency.observe(now.duration_since(sent_at));
        let signal = self.core.answered(number, &result, bytes, now, &mut self.chance);
        let connecting = result.as_ref().map_or(Duration::ZERO, |reply| reply.connecting);
        self.limiter.answered(sent_at, connecting, now, signal);
        self.outbox.take(self.core.events()).await?;
        // Even if it is over soon.
        if self.core.reading_back().map(|reading| reading.way) == self.way {
            return Ok(());
        }
        self.send_status().await
    }

    async fn finish(mut self) -> Result<Delivery, Disconnected> {
        // What was answered meanwhile is no longer in flight.
        while let Some(answered) = self.in_flight.try_join_next() {
            self.answered(answered).await?;
        }
        self.in_flight.abort_all();
        let verified = self.core.finish();
        self.outbox.take(self.core.events()).await?;
        self.outbox.flush().await?;
        let end = self.core.stop().map_or(End::Complete, |stop| End::Stopped(stop.clone()));
        Ok(Delivery { end, verified })
    }

    async fn send_status(&mut self) -> Result<(), Disconnected> {
        let now = clock::monotonic_now();
        let probe =
            self.core.outage().next_probe().map(|at| (Waiting::Outage, at.saturating_duration_since(now)));
        let waiting = probe.or_else(|| self.limiter.pause_left(now).map(|left| (Waiting::Pause, left)));
        let rate = self.limiter.interval().as_secs_f64().recip();
        let slowed = if self.limiter.share() < 1.0 { Slowed::Yes } else { Slowed::No };
        let reason = waiting.map(|_| self.core.outage().reason().error.clone());
        let gives_up = self.core.outage().gives_up(self.options.max_outage).filter(|_| waiting.is_some());
        let gives_up = gives_up.map(|(at, _)| at.saturating_duration_since(now));
        let (in_flight, reading_back) = (self.in_flight.len(), self.core.reading_back());
        self.way = reading_back.map(|reading| reading.way);
        let status = Status { in_flight, rate, slowed, waiting, reason, gives_up, reading_back };
        self.outbox.waiting.push(Event::Status(status));
        self.outbox.flush().await
    }
}

impl Outbox {
    /// Takes events, and sends them when it is time.
    async fn take(&mut self, events: &mut Vec<Event>) -> Result<(), Disconnected> {
        if events.is_empty() {
            return Ok(());
        }
        self.waiting.append(events);
        let now = clock::monotonic_now();
        if self.waiting.len() >= BURST || now.duration_since(self.told_at) >= LULL {
            self.told_at = now;
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Disconnected> {
        for event in self.waiting.drain(..) {
            self.events.send(event).await.map_err(|_event| Disconnected)?;
        }
        Ok(())
    }
}

impl Pulse {
    fn new() -> Self {
        Self { interval: interval(IDLE_PULSE), next: clock::monotonic_now() }
    }

    async fn tick(&mut self) {
        self.interval.tick().await;
        self.next = clock::monotonic_now() + IDLE_PULSE;
        self.interval.reset_at(self.next);
    }

    /// Something happened, so the next tick comes soon.
    fn hasten(&mut self) {
        let soon = clock::monotonic_now() + PULSE;
        if soon < self.next {
            self.next = soon;
            self.interval.reset_at(soon);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::sleep;

    use super::*;
    use crate::deliver::model;
    use crate::deliver::options::{Rate, Verify};
    use crate::deliver::transport::RequestId;
    use crate::input::Operation;

    const LATENCY: Duration = Duration::from_millis(20);

    /// Says ok to all updates but these, which it answers with a pause.
    struct Api {
        updates: AtomicUsize,
        throttled: Vec<usize>,
        pause: Duration,
    }

    type Answer = Result<Reply, SendError>;

    async fn answer(status: u16, body: &str, retry_after: Option<Duration>) -> Answer {
        sleep(LATENCY).await;
        Ok(Reply { status, body: body.to_owned().into(), retry_after, ..Reply::default() })
    }

    impl Transport for Api {
        async fn send(&self, _id: RequestId, _request: Request) -> Answer {
            if self.throttled.contains(&self.updates.fetch_add(1, Ordering::Relaxed)) {
                return answer(429, "", Some(self.pause)).await;
            }
            answer(200, r#"{"status": "ok"}"#, None).await
        }

        async fn fetch(&self, _id: RequestId, user: &str) -> Answer {
            answer(200, &format!(r#"{{"id": {user}, "email": "{user}@example.com"}}"#), None).await
        }

        async fn probe(&self, _id: RequestId, _operation: Operation) -> Answer {
            answer(405, "", None).await
        }

        async fn page(&self, _id: RequestId, _cursor: Option<&str>) -> Answer {
            answer(405, "", None).await
        }
    }

    /// Sends a hundred rows at 50 requests a second. Returns each status with its time, how it ended, and when.
    fn run(
        options: Options,
        throttled: &[usize],
        pause: Duration,
    ) -> (Vec<(Duration, Status)>, Delivery, Duration) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let begun = clock::monotonic_now();
            let plan = model::plan((1..=100).map(|user| (user, "email", format!("{user}@example.com"))));
            let rate = Rate { requests: NonZeroU32::new(50).unwrap(), window: Duration::from_secs(1) };
            let options = Options { rate, ..options };
            let api = Arc::new(Api { updates: AtomicUsize::new(0), throttled: throttled.to_vec(), pause });
            let (events, mut events_rx) = mpsc::channel(64);
            let (_shutdown, shutdown_rx) = watch::channel(Shutdown::No);
            let dispatcher = Dispatcher::new(plan, api, &options, events, StdRng::seed_from_u64(1));
            let listening = async {
                let mut statuses = Vec::new();
                while let Some(event) = events_rx.recv().await {
                    if let Event::Status(status) = event {
                        statuses.push((clock::monotonic_now().duration_since(begun), status));
                    }
                }
                statuses
            };
            let (delivery, statuses) = tokio::join!(dispatcher.run(shutdown_rx), listening);
            (statuses, delivery.unwrap(), begun.elapsed())
        })
    }

    #[test]
    fn the_status_comes_twenty_times_a_second_while_requests_are_sent() {
        let (statuses, delivery, _) = run(Options::default(), &[], Duration::ZERO);
        assert_eq!(delivery.end, End::Complete);
        // It takes two seconds.
        assert!((30..=44).contains(&statuses.len()), "{}", statuses.len());
    }

    #[test]
    fn the_status_says_that_the_rate_is_reduced_after_a_second_pause() {
        let (statuses, delivery, _) = run(Options::default(), &[40, 60], Duration::from_secs(5));
        assert_eq!(delivery.end, End::Complete);
        let is_waiting = |status: &Status| matches!(status.waiting, Some((Waiting::Pause, _)));
        let pause = statuses.iter().position(|(_, status)| is_waiting(status)).unwrap();
        // A single pause does not reduce it.
        assert!(pause > 10 && statuses[..pause].iter().all(|(_, status)| status.slowed == Slowed::No));
        assert!(statuses.iter().any(|(_, status)| status.slowed == Slowed::Yes && !is_waiting(status)));
        // Nothing happens in the two pauses, so that the status comes once a second.
        assert!(statuses.iter().filter(|(_, status)| is_waiting(status)).count() <= 16);
    }

    #[test]
    fn the_time_of_a_run_is_over_also_while_nothing_happens() {
        let most = Duration::from_millis(10_500);
        let options = Options { max_duration: Some(most), ..Options::default() };
        let (_, delivery, took) = run(options, &[10], Duration::from_mins(1));
        assert_eq!(delivery.end, End::Stopped(Stop::OutOfTime(most)));
        assert!(took >= most && took < most + LATENCY, "{took:?}");
    }

    #[test]
    fn the_status_says_that_users_are_read_back_although_it_is_over_soon() {
        let options = Options { verify: Verify::Rows(1), ..Options::default() };
        let (statuses, delivery, _) = run(options, &[], Duration::ZERO);
        assert_eq!(delivery.verified.unwrap().checked, 1);
        assert!(statuses.iter().any(|(_, status)| status.reading_back.is_some()));
        assert_eq!(statuses[0].1.reading_back, None);
    }
}
