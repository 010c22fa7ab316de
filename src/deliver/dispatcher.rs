//! Who sends what when: the one place where the parts of delivery meet.
//!
//! One task decides, so that what happens has an order. It claims batches from a cursor over the plan, repeats and
//! splits them, waits for the limiter, and starts each request as a task of its own; there is no queue of batches, and no
//! worker that sleeps on one while others could be sent. Every answer comes back here, is judged, and goes out as
//! [`Event`]s before the next one is looked at.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, info};

use super::Disconnected;
use super::address::Address;
use super::blame::Blame;
use super::circuit::Circuit;
use super::event::{End, Event, Held, Order, Outcome, Pulse, Purpose, Reason, Slowed, Stop};
use super::flights::{Flight, Flights, Number};
use super::job::Job;
use super::limiter::Limiter;
use super::options::Options;
use super::refusals::{Refusals, Step};
use super::retry::{Decision, History, backoff, decide};
use super::transport::{Lost, Reply, Request, Transport};
use super::verdict::Verdict;
use super::window::Window;
use crate::clock;
use crate::plan::{Batch, Cursor, Phase, Plan};

/// How often the state of the pool is told, and the longest that an event waits to be told.
const PULSE: Duration = Duration::from_millis(50);

/// Events are told one by one as long as they come no faster than this, …
const LULL: Duration = Duration::from_millis(5);

/// … and otherwise in bursts of so many.
const BURST: usize = 64;

/// How long requests in flight may take to end once the run is to stop.
const GRACE: Duration = Duration::from_secs(30);

pub(super) struct Dispatcher<T> {
    plan: Arc<Plan>,
    transport: Arc<T>,
    options: Options,
    events: mpsc::Sender<Event>,
    chance: StdRng,

    cursor: Cursor,
    /// The next batch that the cursor gave, while an earlier phase is under way.
    next: Option<Batch>,
    phase: Phase,
    /// Jobs to send, by the earliest time, then by age.
    backlog: BinaryHeap<Reverse<Due>>,
    jobs: u64,
    in_flight: JoinSet<Answered>,
    flights: Flights,
    /// What is to be told with the next burst: each burst wakes the listener once.
    untold: Vec<Event>,
    told_at: Instant,

    limiter: Limiter,
    window: Window,
    circuit: Circuit,
    address: Address,
    refusals: Refusals,
    stop: Option<Stop>,
}

struct Due {
    at: Instant,
    number: u64,
    job: Job,
}

struct Answered {
    job: Job,
    number: Number,
    sent_at: Instant,
    body: usize,
    result: Result<Reply, Lost>,
}

impl<T: Transport> Dispatcher<T> {
    pub(super) fn new(
        plan: Arc<Plan>,
        transport: Arc<T>,
        options: &Options,
        events: mpsc::Sender<Event>,
        chance: StdRng,
    ) -> Self {
        let mut cursor = plan.cursor();
        let next = cursor.next(&plan);
        let phase = next.map_or(Phase::Ordinary, |batch| plan.phase(batch));
        Self {
            refusals: Refusals::new(options.most_extra(plan.requests())),
            limiter: Limiter::new(options.rate),
            window: Window::new(options.concurrency),
            circuit: Circuit::default(),
            address: Address::default(),
            plan,
            transport,
            options: options.clone(),
            events,
            chance,
            cursor,
            next,
            phase,
            backlog: BinaryHeap::new(),
            jobs: 0,
            in_flight: JoinSet::new(),
            flights: Flights::default(),
            untold: Vec::with_capacity(BURST),
            told_at: clock::now(),
            stop: None,
        }
    }

    /// Sends the plan.
    pub(super) async fn run(mut self, mut orders: watch::Receiver<Order>) -> Result<End, Disconnected> {
        let mut pulse = pulse();
        let deadline = self.options.max_duration.map(|most| clock::now() + most);
        let mut grace = None;
        loop {
            let now = clock::now();
            if self.stop.is_none() {
                self.stop = self.reason_to_stop(deadline, &orders, now);
            }
            if self.stop.is_some() {
                let end = *grace.get_or_insert(now + GRACE.min(self.options.timeout));
                let quit = matches!(*orders.borrow(), Order::Quit(_));
                if quit || self.in_flight.is_empty() || now >= end {
                    break;
                }
            } else {
                self.claim(now).await?;
                if self.is_done() {
                    let steps = self.refusals.believe();
                    self.take(steps, now).await?;
                    break;
                }
            }
            let startable = self.startable(now);
            let wake = self.wake(deadline, grace, now);
            tokio::select! {
                biased;
                Ok(()) = orders.changed() => {}
                _ = pulse.tick() => self.tell_pulse().await?,
                Some(answered) = self.in_flight.join_next() => match answered {
                    Ok(answered) => self.judge(answered).await?,
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
                () = self.limiter.permit(), if startable => self.start().await?,
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
        self.finish().await
    }

    fn reason_to_stop(
        &self,
        deadline: Option<Instant>,
        orders: &watch::Receiver<Order>,
        now: Instant,
    ) -> Option<Stop> {
        if let Order::Finish(stop) | Order::Quit(stop) = orders.borrow().clone() {
            return Some(stop);
        }
        if deadline.is_some_and(|at| now >= at) {
            return Some(Stop::OutOfTime);
        }
        let (at, reason) = self.circuit.gives_up(self.options.max_outage)?;
        if now >= at {
            return Some(Stop::Outage(reason.clone()));
        }
        let hopeless = self.limiter.asked_left(now).is_some_and(|left| now + left > at);
        hopeless.then(|| Stop::LongPause(reason.clone()))
    }

    /// Takes the next batch from the plan, when there is nothing older to send and its phase has come.
    async fn claim(&mut self, now: Instant) -> Result<(), Disconnected> {
        while let Some(batch) = self.next {
            if self.backlog.peek().is_some_and(|Reverse(due)| due.at <= now) {
                break;
            }
            let phase = self.plan.phase(batch);
            if phase != self.phase {
                if self.outstanding() > 0 {
                    break;
                }
                self.phase = phase;
            }
            self.next = self.cursor.next(&self.plan);
            let steps = self.refusals.claim(batch, &self.plan);
            self.take(steps, now).await?;
            self.withhold(now).await?;
        }
        self.withhold(now).await
    }

    /// Puts jobs aside that should not be sent now.
    async fn withhold(&mut self, now: Instant) -> Result<(), Disconnected> {
        while self
            .backlog
            .peek()
            .is_some_and(|Reverse(due)| due.at <= now && self.refusals.withholds(&due.job))
            && let Some(Reverse(Due { job, .. })) = self.backlog.pop()
        {
            let steps = self.refusals.withhold(job);
            self.take(steps, now).await?;
        }
        Ok(())
    }

    fn outstanding(&self) -> usize {
        self.backlog.len() + self.in_flight.len() + self.refusals.waiting()
    }

    fn is_done(&self) -> bool {
        self.next.is_none() && self.outstanding() == 0
    }

    /// Whether a request could be started, if the limiter lets it.
    fn startable(&self, now: Instant) -> bool {
        let in_flight = self.in_flight.len();
        let due = self.backlog.peek().is_some_and(|Reverse(due)| due.at <= now);
        let room = match self.circuit.next_probe() {
            Some(probe) => in_flight == 0 && probe <= now,
            None if !self.address.is_proven() => in_flight == 0,
            None => in_flight < self.window.size(self.limiter.interval(), self.oldest(now)),
        };
        self.stop.is_none() && due && room
    }

    fn oldest(&self, now: Instant) -> Duration {
        self.flights.oldest().map_or(Duration::ZERO, |start| now.duration_since(start))
    }

    /// When to look again although nothing happened.
    fn wake(&self, deadline: Option<Instant>, grace: Option<Instant>, now: Instant) -> Option<Instant> {
        if grace.is_some() {
            return grace;
        }
        let due = self.backlog.peek().map(|Reverse(due)| due.at);
        let gives_up = self.circuit.gives_up(self.options.max_outage).map(|(at, _)| at);
        [due, self.circuit.next_probe(), gives_up, deadline]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    async fn start(&mut self) -> Result<(), Disconnected> {
        let Some(Reverse(Due { mut job, .. })) = self.backlog.pop() else { return Ok(()) };
        let now = clock::now();
        self.limiter.started(now);
        let purpose = std::mem::replace(&mut job.purpose, Purpose::Retry);
        job.sent += 1;
        job.since.get_or_insert(now);
        let number = self.flights.start(Flight { start: now, part: job.part, sent: job.sent });
        let (plan, transport) = (Arc::clone(&self.plan), Arc::clone(&self.transport));
        self.in_flight.spawn(async move {
            let mut body = Vec::new();
            plan.body(job.part, &mut body);
            let request = Request { operation: plan.operation(job.part), body: Bytes::from(body) };
            let body = request.body.len();
            let result = transport.send(request).await;
            Answered { job, number, sent_at: now, body, result }
        });
        self.tell(Event::Sent(purpose)).await
    }

    /// Finds out what an answer means, and what follows from it.
    async fn judge(&mut self, answered: Answered) -> Result<(), Disconnected> {
        let Answered { mut job, number, sent_at, body, result } = answered;
        let now = clock::now();
        let latency = now.duration_since(sent_at);
        let verdict = Verdict::of(&result);
        self.flights.end(number);
        self.window.observe(latency);
        let connecting = result.as_ref().map_or(Duration::ZERO, |reply| reply.connecting);
        self.limiter.answered(sent_at, connecting, now, verdict.told());
        self.tell(Event::Answered { latency, answer: verdict.answer() }).await?;
        debug!(
            group = job.part.group,
            first = job.part.first,
            users = job.part.len,
            ?latency,
            ?verdict,
            "answered"
        );
        self.learn(&mut job, &verdict, now);
        let history = History {
            attempts: self.circuit.count(job.attempts),
            since: job.since.unwrap_or(sent_at),
            users: job.part.len,
        };
        let steps = match decide(&self.options, history, &verdict, now, &mut self.chance) {
            Decision::Accept => self.refusals.accepted(&job, &self.plan),
            Decision::Retry { at, reason } => {
                job.last = Some(reason);
                self.enqueue(job, at);
                return Ok(());
            }
            Decision::StopRun { stop } => {
                job.last = Some(Reason::default());
                if let Stop::KeyRefused(reason) = &stop {
                    job.last = Some(reason.clone());
                }
                self.stop.get_or_insert(stop);
                self.enqueue(job, now);
                return Ok(());
            }
            Decision::GiveUp { reason } | Decision::Split { reason } => {
                let strange = matches!(verdict, Verdict::Hopeless(_)) || reason.status == Some(404);
                if strange && self.address.not_found(self.plan.users(job.part)) {
                    job.last = Some(reason.clone());
                    self.stop.get_or_insert(Stop::WrongAddress(reason));
                    self.enqueue(job, now);
                    return Ok(());
                }
                match (&verdict, &result) {
                    (Verdict::Refused(_), Ok(reply)) => {
                        let blame = Blame::of(reply, &self.plan, job.part);
                        self.refusals.refused(job, &reason, blame, body)
                    }
                    _ => self.refusals.failed(&job, reason),
                }
            }
        };
        self.take(steps, now).await
    }

    /// What an answer says of the API, whoever it was for.
    fn learn(&mut self, job: &mut Job, verdict: &Verdict, now: Instant) {
        match verdict {
            Verdict::Acknowledged | Verdict::Refused(_) | Verdict::Hopeless(_) | Verdict::KeyRefused(_) => {
                self.circuit.served();
                if *verdict == Verdict::Acknowledged {
                    self.address.accepted();
                }
            }
            Verdict::Throttled { pause, reason } => {
                self.circuit.throttled(reason, now);
                info!(?pause, status = reason.status, "throttled");
            }
            Verdict::Troubled { reach, reason } => {
                let (options, chance) = (&self.options, &mut self.chance);
                // At least half of the bound: probes are alone, and need no jitter to keep apart.
                let wait = |probes| {
                    let jitter = backoff(options, probes, chance);
                    let doublings = probes.saturating_sub(1).min(31);
                    let bound = options.retry_initial_delay.saturating_mul(1 << doublings);
                    (bound.min(options.retry_max_delay) + jitter) / 2
                };
                self.circuit.troubled(job.part, *reach, reason, now, wait);
                let outage = self.circuit.next_probe().is_some();
                info!(?reach, status = reason.status, outage, "request failed");
                self.circuit.charge(&mut job.attempts);
            }
        }
    }

    async fn take(&mut self, steps: Vec<Step>, now: Instant) -> Result<(), Disconnected> {
        for step in steps {
            match step {
                Step::Send(job) => self.enqueue(job, now),
                Step::Settle { part, outcome, attempts } => {
                    self.tell(Event::Settled { batch: part, outcome, attempts }).await?;
                }
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, job: Job, at: Instant) {
        self.jobs += 1;
        self.backlog.push(Reverse(Due { at, number: self.jobs, job }));
    }

    /// Tells what is known of jobs that were sent and never settled, and how it ended.
    async fn finish(mut self) -> Result<End, Disconnected> {
        self.in_flight.abort_all();
        let Some(stop) = self.stop.take() else {
            self.tell_all().await?;
            return Ok(End::Complete);
        };
        for Flight { part, sent, .. } in std::mem::take(&mut self.flights).into_rest() {
            let error = "not answered before the run ended: it may have been applied".to_owned();
            let outcome = Outcome::Unsent(Reason { status: None, error });
            self.tell(Event::Settled { batch: part, outcome, attempts: sent }).await?;
        }
        while let Some(Reverse(Due { job, .. })) = self.backlog.pop() {
            if let Some(reason) = job.last {
                let outcome = Outcome::Unsent(reason);
                self.tell(Event::Settled { batch: job.part, outcome, attempts: job.sent }).await?;
            }
        }
        self.tell_all().await?;
        Ok(End::Stopped(stop))
    }

    async fn tell_pulse(&mut self) -> Result<(), Disconnected> {
        let now = clock::now();
        let probe = self.circuit.next_probe().map(|at| (Held::Outage, at.saturating_duration_since(now)));
        let held = probe.or_else(|| self.limiter.pause_left(now).map(|left| (Held::Pause, left)));
        let pace = self.limiter.interval().as_secs_f64().recip();
        let slowed = if self.limiter.share() < 1.0 { Slowed::Yes } else { Slowed::No };
        self.untold.push(Event::Pulse(Pulse { in_flight: self.in_flight.len(), pace, slowed, held }));
        self.tell_all().await
    }

    async fn tell(&mut self, event: Event) -> Result<(), Disconnected> {
        self.untold.push(event);
        let now = clock::now();
        if self.untold.len() >= BURST || now.duration_since(self.told_at) >= LULL {
            self.told_at = now;
            self.tell_all().await?;
        }
        Ok(())
    }

    async fn tell_all(&mut self) -> Result<(), Disconnected> {
        for event in self.untold.drain(..) {
            self.events.send(event).await.map_err(|_event| Disconnected)?;
        }
        Ok(())
    }
}

fn pulse() -> Interval {
    let mut pulse = interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
