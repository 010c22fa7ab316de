//! What to send next, and what an answer means: delivery without waiting, sending or a clock.
//!
//! The [`Core`] claims batches from the plan, repeats what ended in trouble, and opens a [`Case`] for what was refused.
//! It is asked to [decide](Core::decide) on the next request, and told each [answer](Core::answered); what became of rows
//! comes out as events. Times and chance are handed in, so that a model of a server can drive it.
//!
//! `next` decides what to send, `answers` learns from an answer, `cases` holds what waits for what.

mod answers;
mod cases;
mod job;
mod next;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::job::{Due, Job, Task};
use super::case::Case;
use super::event::{Event, Outcome, Purpose, Reason, Stop};
use super::facts::Facts;
use super::options::Options;
use super::outage::Outage;
use super::part::Part;
use super::read_back::{ReadBack, Verified};
use super::reservoir::Reservoir;
use crate::input::Operation;
use crate::plan::{Batch, Cursor, Phase, Plan};

/// Connections that fail for a reason that doesn't heal, in a row, before the run stops.
const UNREACHABLE: u32 = 3;

/// Requests on connections that the server had closed, in a row for the same users, that don't count.
const STALE: u32 = 3;

/// Attempts of a request that must have failed while others were served, before its users are searched or fail: one may
/// be an outage so short that it met no other request.
const COUNTED: u32 = 2;

/// Tries for a question that has another answer to fall back on.
const QUESTION_ATTEMPTS: u32 = 2;

/// Troubles in a row up to which a trouble inside a search is taken for its users' without further evidence.
const QUIET: u32 = 3;

/// A request to send.
#[derive(Debug)]
pub(super) struct Ask {
    /// To be given back with the answer.
    pub(super) ticket: u64,
    pub(super) what: What,
}

/// Whose attempts are in doubt.
#[derive(Clone, Copy, Debug)]
enum Doubt {
    /// Users of this group, the first of them at this place.
    Batch(u32, u32),
    /// A user who is read back.
    ReadBack,
}

/// What a request is.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// The mass update for these users.
    Update(Part),
    /// A GET of this user.
    User(String),
    /// A GET of an operation's address.
    Operation(Operation),
}

/// What an answer means for the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pacing {
    /// Nothing.
    Unchanged,
    /// A request was served.
    Served,
    /// The API asks for a pause, at least as long as this if it says so.
    Throttled(Option<Duration>),
}

/// Delivery as a state machine.
#[derive(Debug)]
pub(super) struct Core {
    plan: Arc<Plan>,
    options: Options,
    cursor: Cursor,
    /// The next batch of the cursor.
    next: Option<Batch>,
    phase: Phase,
    queue: BinaryHeap<Reverse<Due>>,
    /// How many jobs were ever queued.
    jobs: u64,
    /// By ticket, in the order of their starts.
    in_flight: BTreeMap<u64, Job>,
    /// The next one to be sent.
    decided: Option<Due>,
    tickets: u64,
    cases: HashMap<u64, Case>,
    /// The case that looks into a value that nobody has got yet, by group.
    looking: HashMap<u32, u64>,
    /// Batches and cases that wait for it.
    waiting: HashMap<u32, Waiting>,
    /// The case that makes a long search, from which others will learn.
    leading: Option<u64>,
    facts: Facts,
    outage: Outage,
    /// Is it the account that refuses? The request that tells is to be sent, or in flight.
    account: Option<AccountCheck>,
    /// A row that was sent to look at the account, before its batch. The batch tells what became of it.
    ahead: Option<(u32, u32)>,
    /// A request failed whose attempts are used up, and it is not clear whether the API serves anyone: a request that
    /// is known to be accepted is to be sent next.
    probe: Option<Doubt>,
    /// The next request is to be sent when nothing else is in flight.
    solo: bool,
    unreachable: u32,
    sample: Option<Reservoir>,
    read_back: Option<ReadBack>,
    events: Vec<Event>,
    stop: Option<Stop>,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: Vec<Job>,
    cases: Vec<u64>,
}

#[derive(Debug)]
struct AccountCheck {
    /// What was refused alike, and in which words.
    reason: Reason,
    class: String,
    /// A row to send: one that was acknowledged, or one of another attribute.
    row: (u32, u32),
}

impl Core {
    pub(super) fn new(plan: Arc<Plan>, options: &Options, sample: Option<Reservoir>) -> Self {
        let mut cursor = plan.cursor();
        let next = cursor.next(&plan);
        Self {
            phase: next.map_or(Phase::Ordinary, |batch| plan.phase(batch)),
            options: options.clone(),
            cursor,
            next,
            queue: BinaryHeap::new(),
            jobs: 0,
            in_flight: BTreeMap::new(),
            decided: None,
            tickets: 0,
            cases: HashMap::new(),
            looking: HashMap::new(),
            waiting: HashMap::new(),
            leading: None,
            facts: Facts::new(options.proven),
            outage: Outage::default(),
            account: None,
            ahead: None,
            probe: None,
            solo: false,
            unreachable: 0,
            sample,
            read_back: None,
            events: Vec::new(),
            stop: None,
            plan,
        }
    }

    /// Why the run has to stop, if it has.
    pub(super) fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// Whether all is settled and read back.
    pub(super) fn is_done(&mut self, now: Instant) -> bool {
        if self.next.is_some() || self.outstanding() > 0 {
            return false;
        }
        if let Some(sample) = self.sample.take() {
            self.begin_reading_back(sample, now);
        }
        self.outstanding() == 0
    }

    /// What happened since the last time.
    pub(super) fn events(&mut self) -> &mut Vec<Event> {
        &mut self.events
    }

    /// The start of the oldest request in flight.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.in_flight.values().next().and_then(|job| job.started)
    }

    /// Whether the API serves anyone.
    pub(super) fn outage(&self) -> &Outage {
        &self.outage
    }

    /// When to look again although nothing happens.
    pub(super) fn wake(&self) -> Option<Instant> {
        let due = self.queue.peek().map(|Reverse(due)| due.at);
        match self.outage.next_probe() {
            Some(probe) if self.in_flight.is_empty() => Some(probe),
            Some(_) => None,
            None => due,
        }
    }

    fn outstanding(&self) -> usize {
        let waiting: usize = self.waiting.values().map(|waiting| waiting.jobs.len()).sum();
        self.queue.len()
            + usize::from(self.decided.is_some())
            + self.in_flight.len()
            + self.cases.len()
            + waiting
    }

    fn enqueue(&mut self, job: Job, at: Instant) {
        self.jobs += 1;
        self.queue.push(Reverse(Due { at, number: self.jobs, job }));
    }

    fn settle(&mut self, part: &Part, outcome: &Outcome, attempts: u32) {
        for batch in part.batches() {
            if let (Outcome::Acknowledged, Some(sample)) = (outcome, &mut self.sample) {
                sample.offer(batch);
            }
            self.events.push(Event::Finished { batch, outcome: outcome.clone(), attempts });
        }
    }

    /// The run ends early.
    pub(super) fn stop_with(&mut self, stop: Stop) {
        self.stop.get_or_insert(stop);
    }

    fn begin_reading_back(&mut self, sample: Reservoir, now: Instant) {
        let read_back = ReadBack::of(sample.rows(), &self.plan);
        for number in 0..read_back.users() {
            self.enqueue(Job::new(Task::ReadBack(number), Purpose::Check), now);
        }
        self.read_back = Some(read_back);
    }

    /// Tells what is known of all that was sent and never settled. What reading back found, if it was asked for.
    pub(super) fn finish(&mut self) -> Option<Verified> {
        self.reconsider();
        let in_flight = std::mem::take(&mut self.in_flight);
        for (_, job) in in_flight {
            if let Task::Update(part) = job.task {
                let error = "not answered before the run ended: it may have been applied".to_owned();
                self.settle(&part, &Outcome::Unsent(Reason { status: None, error }), job.carried);
            }
        }
        for mut case in std::mem::take(&mut self.cases).into_values() {
            case.leave_all();
            for settlement in case.drain().filter(|settlement| settlement.attempts > 0) {
                self.settle(&settlement.part, &settlement.outcome, settlement.attempts);
            }
        }
        let waiting = std::mem::take(&mut self.waiting).into_values().flat_map(|waiting| waiting.jobs);
        let queued = std::mem::take(&mut self.queue).into_iter().map(|Reverse(due)| due.job);
        for job in waiting.chain(queued).collect::<Vec<_>>() {
            if let (Task::Update(part), true) = (job.task, job.carried > 0) {
                self.settle(&part, &Outcome::Unsent(job.last.unwrap_or_default()), job.carried);
            }
        }
        if let Some((group, place)) = self.ahead.take() {
            let error = "sent once, to see whether the account is well".to_owned();
            let outcome = Outcome::Unsent(Reason { status: None, error });
            self.settle(&Part::of(group, [place]), &outcome, 1);
        }
        let stopped = self.stop.as_ref().and_then(Stop::reason);
        self.read_back.take().map(|read_back| read_back.into_verified(stopped))
    }
}
