//! Decides what to send next and what follows from an answer, without waiting, sending or reading a clock.
//!
//! The [`Core`] takes batches from the plan, repeats failed requests, and starts a [`Diagnosis`] for each rejected one. The
//! dispatcher asks it to [decide](Core::decide) on the next request and passes each [answer](Core::answered) to it. The
//! core's results are events. Times and random numbers are arguments, so that tests can drive it against a model of a
//! server.
//!
//! `next` decides what to send, `canary_run` what comes before all else, `answers` evaluates an answer, and `diagnoses` starts diagnoses and lets them wait for each
//! other.

mod answers;
mod canary_run;
mod diagnoses;
mod next;
mod pending_request;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::info;

use self::canary_run::CanaryRun;
use self::pending_request::{PendingRequest, Task};
use super::diagnosis::Diagnosis;
use super::event::{Event, Outcome, Stop};
use super::knowledge::Knowledge;
use super::options::Options;
use super::outage::OutageDetector;
use super::read_back::{ReadBack, ReadingBack, Sample, Verified};
use super::transport::RequestId;
use super::user_set::UserSet;
use super::verdict::Reason;
use crate::input::Operation;
use crate::plan::{Batch, Cursor, Phase, Plan};

/// The run stops after this many connections in a row failed for a permanent reason. One or two may be a proxy or a
/// certificate that is just being changed.
pub(super) const UNREACHABLE: u32 = 3;

/// This many requests in a row for the same users may meet a connection that the server has closed, without counting as
/// attempts. It happens once in a while; after the third time it is something else.
pub(super) const STALE: u32 = 3;

/// This many attempts must count before a request's users are searched or fail. One may have met an outage so short that
/// no other request did.
const COUNTED: u32 = 2;

/// Attempts for a question that the diagnosis can do without.
const QUESTION_ATTEMPTS: u32 = 2;

/// While fewer requests than this failed in a row, a failure inside a search is blamed on its users without further
/// checks. More may be the start of an outage.
const QUIET: u32 = 3;

/// A request that is to be sent now.
#[derive(Debug)]
pub(super) struct StartedRequest {
    /// To be returned with its answer.
    pub(super) number: u64,
    pub(super) id: RequestId,
    pub(super) call: ApiCall,
}

/// A request that failed, perhaps because the API is down.
#[derive(Clone, Copy, Debug)]
enum InDoubt {
    /// A mass update for users of this group, the first of them at this place.
    Batch(u32, u32),
    /// A request that updates nobody.
    Other,
}

/// A request to the API.
#[derive(Clone, Debug)]
pub(super) enum ApiCall {
    /// The mass update for these users.
    Update(UserSet),
    /// A GET of this user.
    User(String),
    /// A GET of an operation's address.
    Operation(Operation),
    /// A GET of a page of the list of users: the first one, or one with this cursor.
    Page(Option<String>),
}

/// A place in the queue: the earliest start of a request and its number. Of several with the same time, the one with the
/// lower number goes first.
type Place = (Instant, u64);

/// Delivery as a state machine.
#[derive(Debug)]
pub(super) struct Core {
    plan: Arc<Plan>,
    options: Options,
    cursor: Cursor,
    /// The next batch of the cursor.
    next: Option<Batch>,
    phase: Phase,
    canary: CanaryRun,
    queue: BTreeMap<Place, PendingRequest>,
    /// The last number that was given to a request or a diagnosis.
    requests: u64,
    /// By number, which is the order of their starts.
    in_flight: BTreeMap<u64, PendingRequest>,
    /// The request to be started next.
    decided: Option<(Place, PendingRequest)>,
    /// How many requests were started.
    started: u64,
    diagnoses: HashMap<u64, Diagnosis>,
    /// The diagnosis that tests a value which was not accepted for any user yet, by group.
    group_diagnosis: HashMap<u32, u64>,
    /// Requests and diagnoses that wait for that one, by group.
    waiting: HashMap<u32, WaitingForGroup>,
    /// The diagnosis with a long search. Others wait for it, because they will need less of a search after it.
    long_search: Option<u64>,
    knowledge: Knowledge,
    outage: OutageDetector,
    /// The API may reject the whole account. A request that shows this is to be sent, or is in flight.
    account: Option<AccountCheck>,
    /// A row that was sent for that check before its batch. It is finished with its batch.
    ahead: Option<(u32, u32)>,
    /// This request failed and has no attempts left, and the API may be down. The next request is a probe, which an API
    /// that is up accepts.
    probe: Option<InDoubt>,
    /// The next request is sent once nothing else is in flight.
    solo: bool,
    /// The API took or refused a request. Before it did, no request starts while another one is in flight.
    has_served: bool,
    unreachable: u32,
    sample: Option<Sample>,
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
    /// Why groups were rejected, and the pattern of the message.
    reason: Reason,
    pattern: String,
    /// The row to send: one that was acknowledged, or one of another attribute.
    row: (u32, u32),
    /// It was rejected as well. If its user doesn't exist, that says nothing of the account.
    is_rejected: bool,
    /// How often the check met an error. One that is sent with a row that nobody accepted may meet nothing else.
    errors: u32,
}

impl Core {
    pub(super) fn new(plan: Arc<Plan>, options: &Options, sample: Option<Sample>) -> Self {
        let mut cursor = plan.cursor();
        let next = cursor.next(&plan);
        let mut knowledge = Knowledge::new(options.proven);
        knowledge.add_known_attributes(&options.known_attributes);
        Self {
            phase: next.map_or(Phase::Ordinary, |batch| plan.phase(batch)),
            canary: CanaryRun::new(options.canary.clone(), &plan),
            options: options.clone(),
            cursor,
            next,
            queue: BTreeMap::new(),
            requests: 0,
            in_flight: BTreeMap::new(),
            decided: None,
            started: 0,
            diagnoses: HashMap::new(),
            group_diagnosis: HashMap::new(),
            waiting: HashMap::new(),
            long_search: None,
            knowledge,
            outage: OutageDetector::default(),
            account: None,
            ahead: None,
            probe: None,
            solo: false,
            has_served: false,
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

    /// Whether all rows are finished and the sample is read back.
    pub(super) fn is_done(&mut self) -> bool {
        if self.canary.is_first() || self.next.is_some() || self.outstanding() > 0 {
            return false;
        }
        if let Some(sample) = self.sample.take() {
            self.read_back = Some(ReadBack::of(sample, &self.plan));
        }
        !self.read_back.as_ref().is_some_and(ReadBack::has_next)
    }

    /// How far reading back is, once it has begun.
    pub(super) fn reading_back(&self) -> Option<ReadingBack> {
        self.read_back.as_ref().map(ReadBack::state)
    }

    /// The events since the last call.
    pub(super) fn events(&mut self) -> &mut Vec<Event> {
        &mut self.events
    }

    /// The start of the oldest request in flight.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.in_flight.values().next().and_then(|request| request.started)
    }

    /// Whether the API is down.
    pub(super) fn outage(&self) -> &OutageDetector {
        &self.outage
    }

    /// When to call [`decide`](Self::decide) again if nothing happens until then.
    pub(super) fn wake(&self) -> Option<Instant> {
        let due = self.queue.first_key_value().map(|((at, _), _)| *at);
        match self.outage.next_probe() {
            Some(probe) if self.in_flight.is_empty() => Some(probe),
            Some(_) => None,
            None => due,
        }
    }

    fn outstanding(&self) -> usize {
        let waiting: usize = self.waiting.values().map(|waiting| waiting.requests.len()).sum();
        debug_assert!(self.decided.is_none(), "asked while a request is about to be sent");
        self.queue.len() + self.in_flight.len() + self.diagnoses.len() + waiting
    }

    fn enqueue(&mut self, request: PendingRequest, at: Instant) {
        self.requests += 1;
        self.queue.insert((at, self.requests), request);
    }

    fn finish_users(&mut self, users: &UserSet, outcome: &Outcome, attempts: u32) {
        self.finish_of_canary(outcome);
        for batch in users.batches() {
            if let Some(sample) = &mut self.sample {
                sample.offer(batch, outcome);
            }
            let finished = Event::Finished { batch, outcome: outcome.clone(), attempts };
            if *outcome == Outcome::Acknowledged && self.canary.is_first() {
                self.canary.hold(finished);
            } else {
                self.events.push(finished);
            }
        }
    }

    /// Stops the run.
    pub(super) fn stop_with(&mut self, stop: Stop) {
        self.stop.get_or_insert(stop);
    }

    /// Finishes all rows that were sent and have no result. Returns what reading back found, if it was started.
    pub(super) fn finish(&mut self) -> Option<Verified> {
        self.reconsider();
        let in_flight = std::mem::take(&mut self.in_flight);
        for (_, request) in in_flight {
            info!(request_id = request.logged_id(), "not answered before the run ended");
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
        let queued = std::mem::take(&mut self.queue).into_values();
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
        self.release_canary();
        let stopped = self.stop.as_ref().and_then(Stop::reason);
        let verified = self.read_back.take().map(|read_back| read_back.into_verified(stopped));
        verified.or_else(|| self.canary.take_verified())
    }
}
