//! What to send next, and what an answer means: delivery without waiting, sending or a clock.
//!
//! The [`Core`] claims batches from the plan, repeats what ended in trouble, and opens a [`Diagnosis`] for what was rejected.
//! It is asked to [decide](Core::decide) on the next request, and told each [answer](Core::answered); what became of rows
//! comes out as events. Times and chance are handed in, so that a model of a server can drive it.
//!
//! `next` decides what to send, `answers` learns from an answer, `diagnoses` holds what waits for what.

mod answers;
mod diagnoses;
mod next;
mod pending_request;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use self::pending_request::{PendingRequest, Scheduled, Task};
use super::diagnosis::Diagnosis;
use super::event::{Event, Outcome, Purpose, Stop};
use super::knowledge::Knowledge;
use super::options::Options;
use super::outage::OutageDetector;
use super::read_back::{ReadBack, Verified};
use super::reservoir::Reservoir;
use super::user_set::UserSet;
use super::verdict::Reason;
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
pub(super) struct StartedRequest {
    /// To be given back with the answer.
    pub(super) id: u64,
    pub(super) call: ApiCall,
}

/// Whose attempts are in doubt.
#[derive(Clone, Copy, Debug)]
enum InDoubt {
    /// Users of this group, the first of them at this place.
    Batch(u32, u32),
    /// A user who is read back.
    ReadBack,
}

/// What a request is.
#[derive(Clone, Debug)]
pub(super) enum ApiCall {
    /// The mass update for these users.
    Update(UserSet),
    /// A GET of this user.
    User(String),
    /// A GET of an operation's address.
    Operation(Operation),
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
    queue: BinaryHeap<Reverse<Scheduled>>,
    /// How many requests were ever queued.
    requests: u64,
    /// By id, in the order of their starts.
    in_flight: BTreeMap<u64, PendingRequest>,
    /// The next one to be sent.
    decided: Option<Scheduled>,
    last_id: u64,
    diagnoses: HashMap<u64, Diagnosis>,
    /// The diagnosis that looks into a value that nobody has got yet, by group.
    group_diagnosis: HashMap<u32, u64>,
    /// Batches and diagnoses that wait for it.
    waiting: HashMap<u32, WaitingForGroup>,
    /// The diagnosis that makes a long search, from which others will learn.
    leading: Option<u64>,
    knowledge: Knowledge,
    outage: OutageDetector,
    /// Is it the account that rejects? The request that tells is to be sent, or in flight.
    account: Option<AccountCheck>,
    /// A row that was sent to look at the account, before its batch. The batch tells what became of it.
    ahead: Option<(u32, u32)>,
    /// A request failed whose attempts are used up, and it is not clear whether the API serves anyone: a request that
    /// is known to be accepted is to be sent next.
    probe: Option<InDoubt>,
    /// The next request is to be sent when nothing else is in flight.
    solo: bool,
    unreachable: u32,
    sample: Option<Reservoir>,
    read_back: Option<ReadBack>,
    events: Vec<Event>,
    stop: Option<Stop>,
}

#[derive(Debug, Default)]
struct WaitingForGroup {
    requests: Vec<PendingRequest>,
    diagnoses: Vec<u64>,
}

#[derive(Debug)]
struct AccountCheck {
    /// What was rejected alike, and in which words.
    reason: Reason,
    pattern: String,
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
            requests: 0,
            in_flight: BTreeMap::new(),
            decided: None,
            last_id: 0,
            diagnoses: HashMap::new(),
            group_diagnosis: HashMap::new(),
            waiting: HashMap::new(),
            leading: None,
            knowledge: Knowledge::new(options.proven),
            outage: OutageDetector::default(),
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
        self.in_flight.values().next().and_then(|request| request.started)
    }

    /// Whether the API serves anyone.
    pub(super) fn outage(&self) -> &OutageDetector {
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
        let waiting: usize = self.waiting.values().map(|waiting| waiting.requests.len()).sum();
        self.queue.len()
            + usize::from(self.decided.is_some())
            + self.in_flight.len()
            + self.diagnoses.len()
            + waiting
    }

    fn enqueue(&mut self, request: PendingRequest, at: Instant) {
        self.requests += 1;
        self.queue.push(Reverse(Scheduled { at, number: self.requests, request }));
    }

    fn finish_users(&mut self, users: &UserSet, outcome: &Outcome, attempts: u32) {
        for batch in users.batches() {
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
            self.enqueue(PendingRequest::new(Task::ReadBack(number), Purpose::Check), now);
        }
        self.read_back = Some(read_back);
    }

    /// Tells what is known of all that was sent and never settled. What reading back found, if it was asked for.
    pub(super) fn finish(&mut self) -> Option<Verified> {
        self.reconsider();
        let in_flight = std::mem::take(&mut self.in_flight);
        for (_, request) in in_flight {
            if let Task::Update(users) = request.task {
                let error = "not answered before the run ended: it may have been applied".to_owned();
                self.finish_users(&users, &Outcome::Unsent(Reason { status: None, error }), request.carried);
            }
        }
        for mut diagnosis in std::mem::take(&mut self.diagnoses).into_values() {
            diagnosis.leave_all();
            for finished in diagnosis.drain().filter(|finished| finished.attempts > 0) {
                self.finish_users(&finished.users, &finished.outcome, finished.attempts);
            }
        }
        let waiting = std::mem::take(&mut self.waiting).into_values().flat_map(|waiting| waiting.requests);
        let queued = std::mem::take(&mut self.queue).into_iter().map(|Reverse(due)| due.request);
        for request in waiting.chain(queued).collect::<Vec<_>>() {
            if let (Task::Update(users), true) = (request.task, request.carried > 0) {
                self.finish_users(
                    &users,
                    &Outcome::Unsent(request.last.unwrap_or_default()),
                    request.carried,
                );
            }
        }
        if let Some((group, place)) = self.ahead.take() {
            let error = "sent once, to see whether the account is well".to_owned();
            let outcome = Outcome::Unsent(Reason { status: None, error });
            self.finish_users(&UserSet::of(group, [place]), &outcome, 1);
        }
        let stopped = self.stop.as_ref().and_then(Stop::reason);
        self.read_back.take().map(|read_back| read_back.into_verified(stopped))
    }
}
