//! Decides what to send next.

use tokio::time::Instant;

use super::pending_request::{PendingRequest, Task};
use super::{AccountCheck, ApiCall, COUNTED, Core, InDoubt, QUESTION_ATTEMPTS, StartedRequest};
use crate::deliver::diagnosis::{Diagnosis, Evidence, Finding, Question, Rejection};
use crate::deliver::event::{Event, Outcome, Purpose};
use crate::deliver::knowledge::Offender;
use crate::deliver::read_back::{self, ReadBack};
use crate::deliver::suggested_cause::SuggestedCause;
use crate::deliver::transport::RequestId;
use crate::deliver::user_set::UserSet;
use crate::deliver::verdict::Reason;
use crate::input::Operation;
use crate::plan::Batch;

impl Core {
    /// Decides what to send next. Returns whether there is a request to [start](Self::start) now.
    pub(in crate::deliver) fn decide(&mut self, now: Instant) -> bool {
        if self.stop.is_some() {
            return false;
        }
        if self.decided.is_some() {
            return true;
        }
        // An earlier run may have had another key.
        let alone = !self.has_served
            || !self.knowledge.proven
            || self.solo
            || self.probe.is_some()
            || self.account.is_some()
            || self.outage.next_probe().is_some();
        if alone && !self.in_flight.is_empty() {
            return false;
        }
        self.solo = false;
        if self.outage.next_probe().is_some_and(|at| now < at) {
            return false;
        }
        if let Some(AccountCheck { row: (group, place), is_rejected, .. }) = self.account {
            let users = UserSet::of(group, [place]);
            let task = if is_rejected { Task::AccountUser(users) } else { Task::Account(users) };
            return self.take(PendingRequest::new(task, Purpose::Check), now);
        }
        loop {
            if let Some(call) = self.probe.take().map(|doubt| self.probe_for(doubt)) {
                return self.take(PendingRequest::new(Task::Probe(call), Purpose::Check), now);
            }
            if let Some(request) = self.next_request(now) {
                if self.prepare(request, now) {
                    return true;
                }
            } else {
                let idle = self.in_flight.is_empty() && self.queue.is_empty();
                if !(idle && self.resume_a_diagnosis(now)) {
                    return false;
                }
            }
            if self.solo || self.stop.is_some() {
                return false;
            }
        }
    }

    /// Makes this the next request to be started.
    pub(super) fn take(&mut self, request: PendingRequest, now: Instant) -> bool {
        self.requests += 1;
        self.decided = Some(((now, self.requests), request));
        true
    }

    /// Whether the request that was decided on only sends a row again.
    #[cfg(test)]
    pub(in crate::deliver) fn decided_is_check(&self) -> bool {
        let is_check = |task: &Task| matches!(task, Task::Probe(_) | Task::Account(_) | Task::AccountUser(_));
        self.decided.as_ref().is_some_and(|(_, request)| is_check(&request.task))
    }

    /// Starts the request that was decided on.
    pub(in crate::deliver) fn start(&mut self, now: Instant) -> Option<StartedRequest> {
        let (_, mut request) = self.decided.take()?;
        self.started += 1;
        let number = self.started;
        let id = RequestId::new(&self.options.run, number);
        let purpose = std::mem::replace(&mut request.purpose, Purpose::Retry);
        request.carried += 1;
        request.since.get_or_insert(now);
        request.started = Some(now);
        request.id = Some(id.clone());
        let call = match &request.task {
            Task::Update(users) | Task::Account(users) => ApiCall::Update(users.clone()),
            Task::AccountUser(users) => ApiCall::User(self.plan.user(users.group, users.first()).to_string()),
            Task::Probe(call) => call.clone(),
            Task::Ask { diagnosis, question } => self.call_for(*diagnosis, question),
            Task::ReadBack(read_back::Question::Page(cursor)) => ApiCall::Page(cursor.clone()),
            Task::ReadBack(read_back::Question::User(first)) => ApiCall::User(
                self.read_back.as_ref().map_or_else(String::new, |all| all.user(*first, &self.plan)),
            ),
        };
        debug_assert!(!matches!(&call, ApiCall::Update(users) if users.is_empty()), "an update of nobody");
        match (&call, &request.task) {
            (ApiCall::Update(users), Task::Account(_))
                if self.is_ahead(users.group) && !self.canary.has(users.group, users.first()) =>
            {
                self.ahead = Some((users.group, users.first()));
            }
            (ApiCall::Update(users), _) => {
                let is_in =
                    |(group, place)| users.group == group && users.places().any(|other| other == place);
                self.ahead = self.ahead.filter(|row| !is_in(*row));
            }
            _ => {}
        }
        self.in_flight.insert(number, request);
        self.events.push(Event::Sent { at: now, purpose });
        Some(StartedRequest { number, id, call })
    }

    /// Takes the decision back, because an answer may change it.
    pub(super) fn reconsider(&mut self) {
        let Some((place, request)) = self.decided.take() else { return };
        match request.task {
            Task::Probe(_) | Task::Account(_) | Task::AccountUser(_) => {}
            _ => drop(self.queue.insert(place, request)),
        }
    }

    /// A request that is due, or else the next planned batch. During an outage the batch comes first, because a probe with a
    /// batch that was not tried yet tells more than one with a batch that failed.
    pub(super) fn next_request(&mut self, now: Instant) -> Option<PendingRequest> {
        if self.outage.next_probe().is_some() {
            let queued = |core: &mut Self| core.queue.pop_first().map(|(_, request)| request);
            return self.claim(now).or_else(|| queued(self)).or_else(|| self.claim_question());
        }
        if let Some(due) = self.queue.first_entry().filter(|due| due.key().0 <= now) {
            return Some(due.remove());
        }
        self.claim(now).or_else(|| self.claim_question())
    }

    /// Decides whether a request that is due is sent, waits, or is finished without being sent.
    pub(super) fn prepare(&mut self, request: PendingRequest, now: Instant) -> bool {
        if let Task::Ask { diagnosis, question: Question::Exists(_) | Question::Address } = request.task
            && request.attempts.all() >= QUESTION_ATTEMPTS
        {
            self.add_evidence(diagnosis, Evidence::Exists(None), now);
            return false;
        }
        if self.is_used_up(&request) {
            if self.outage.count(request.attempts) >= Self::needed(&request) {
                self.exhausted(request, now);
                return false;
            }
            // What comes next must show whether it is this request: so nothing else may fail between two that are served.
            if self.needs_isolation(&request) {
                let first = request.since.unwrap_or(now);
                if !self.in_flight.is_empty() {
                    self.solo = true;
                    self.enqueue(request, first);
                    return false;
                }
                if !self.outage.is_quiet() && self.a_probe_counts() {
                    self.probe = Some(self.doubt_of(&request.task));
                    self.enqueue(request, first);
                    return false;
                }
            }
            return self.take(request, now);
        }
        let Task::Update(users) = &request.task else { return self.take(request, now) };
        let group = users.group;
        if let Some(reason) = self.knowledge.rejected_because(group, &self.plan).cloned() {
            self.finish_users(users, &Outcome::Failed(reason), request.carried);
            return false;
        }
        if self.group_diagnosis.contains_key(&group) {
            self.waiting.entry(group).or_default().requests.push(request);
            return false;
        }
        if self.knowledge.has_offenders() && request.carried == 0 {
            return match self.without_offenders(request, now) {
                Some(request) => self.cut(request, now),
                None => false,
            };
        }
        self.cut(request, now)
    }

    /// Whether a request has no attempts left, if all of them count.
    pub(super) fn is_used_up(&self, request: &PendingRequest) -> bool {
        self.most_attempts(request).is_some_and(|most| request.attempts.all() >= most)
    }

    /// Whether the cause of a failure can't be told while other requests are in flight. Those that were not tried yet show it
    /// as well, at no cost, unless many requests fail.
    pub(super) fn needs_isolation(&self, request: &PendingRequest) -> bool {
        let all = request.attempts.all();
        self.most_attempts(request)
            .is_some_and(|most| all >= most && (!self.has_fresh_requests() || all >= most.saturating_mul(2)))
    }

    /// Whether a probe that is served shows that the API is up.
    pub(super) fn a_probe_counts(&self) -> bool {
        self.knowledge.proven || self.outage.reason().status == Some(500)
    }

    /// How many attempts a request has; `None` if it may be repeated without limit.
    pub(super) fn most_attempts(&self, request: &PendingRequest) -> Option<u32> {
        match &request.task {
            Task::Ask { question: Question::Update(positions), diagnosis } => {
                let is_trouble =
                    self.diagnoses.get(diagnosis).is_some_and(|diagnosis| diagnosis.rejection.is_trouble);
                Some(if is_trouble && positions.len() > 1 { 1 } else { self.options.max_attempts.get() })
            }
            Task::Update(_) | Task::ReadBack(_) => Some(self.options.max_attempts.get()),
            Task::Ask { .. } | Task::Probe(_) | Task::Account(_) | Task::AccountUser(_) => None,
        }
    }

    /// How many attempts must count before a conclusion is drawn.
    pub(super) fn needed(request: &PendingRequest) -> u32 {
        match &request.task {
            // No user fails because of what follows.
            Task::Ask { question: Question::Update(positions), .. } if positions.len() > 1 => 1,
            _ => COUNTED,
        }
    }

    /// A request that shows whether the API is up: an acknowledged row again, or, before there is one, a GET of a user.
    pub(super) fn probe_for(&self, doubt: InDoubt) -> ApiCall {
        match (doubt, self.knowledge.known_good) {
            (InDoubt::Other, _) => ApiCall::Operation(Operation::Standard),
            (InDoubt::Batch(..), Some((group, place))) => ApiCall::Update(UserSet::of(group, [place])),
            (InDoubt::Batch(group, place), None) => ApiCall::User(self.plan.user(group, place).to_string()),
        }
    }

    /// Takes out users that are known to be offenders, and starts diagnoses for them.
    pub(super) fn without_offenders(
        &mut self,
        request: PendingRequest,
        now: Instant,
    ) -> Option<PendingRequest> {
        let Task::Update(users) = &request.task else { return Some(request) };
        let group = users.group;
        let why = |place: u32| self.knowledge.offender(self.plan.user_number(group, place));
        let (unknown, others) = users.partition(|place| why(place) == Some(Offender::Unknown));
        let (rejected, others) = others.partition(|place| why(place).is_some());
        for (users, why) in [(unknown, Offender::Unknown), (rejected, Offender::Rejected)] {
            if !users.is_empty() {
                let rejection = Rejection {
                    reason: Reason::default(),
                    pattern: String::new(),
                    is_structured: false,
                    suggested: SuggestedCause::Nothing,
                    is_trouble: false,
                };
                let id = self.add_diagnosis(Diagnosis::of_offenders(&users, why, rejection));
                self.apply_finding(id, Finding::Nothing, now);
            }
        }
        if others.is_empty() { None } else { Some(PendingRequest { task: Task::Update(others), ..request }) }
    }

    /// Splits a request that is larger than the server accepts. The rest is queued.
    pub(super) fn cut(&mut self, request: PendingRequest, now: Instant) -> bool {
        let Task::Update(users) = &request.task else { return self.take(request, now) };
        let len = users.len();
        let most = self.most_users(users);
        if most >= len {
            return self.take(request, now);
        }
        // Parts of about the same size are as few as can be, and none is tiny.
        let size = len.div_ceil(len.div_ceil(most));
        let mut rest = users.clone();
        let front = rest.split_front(if self.is_limit_exact() { size } else { most });
        let rest = PendingRequest { task: Task::Update(rest), purpose: Purpose::Split, ..request.clone() };
        self.enqueue(rest, now);
        self.take(PendingRequest { task: Task::Update(front), ..request }, now)
    }

    pub(super) fn is_limit_exact(&self) -> bool {
        self.knowledge.users.size().is_none_or(|size| !self.knowledge.users.is_plausible(size))
            && self.knowledge.bytes.size().is_none_or(|size| !self.knowledge.bytes.is_plausible(size))
    }

    /// The most users of a part that a request may have.
    pub(super) fn most_users(&self, users: &UserSet) -> u32 {
        let by_number = self.knowledge.users.size().unwrap_or(u32::MAX);
        let Some(most) = self.knowledge.bytes.size() else { return by_number };
        let length = |users: &UserSet| {
            let mut body = Vec::new();
            self.plan.body_of(users.group, users.batches(), &mut body);
            u32::try_from(body.len()).unwrap_or(u32::MAX)
        };
        let (len, bytes) = (users.len(), length(users));
        if bytes <= most {
            return by_number;
        }
        // Ids differ in length: take as many as fit on average, then fewer until they fit.
        let mut fits =
            u32::try_from(u64::from(len) * u64::from(most) / u64::from(bytes)).unwrap_or(len).max(1);
        while fits > 1 && length(&users.clone().split_front(fits)) > most {
            fits -= fits.div_ceil(64);
        }
        by_number.min(fits)
    }

    pub(super) fn call_for(&mut self, diagnosis: u64, question: &Question) -> ApiCall {
        let diagnosis =
            self.diagnoses.get_mut(&diagnosis).expect("a diagnosis lives as long as its question");
        match question {
            Question::Update(positions) => {
                diagnosis.carry(positions);
                ApiCall::Update(diagnosis.users_at(positions))
            }
            Question::Exists(position) => {
                ApiCall::User(self.plan.user(diagnosis.group, diagnosis.place(*position)).to_string())
            }
            Question::Key => {
                ApiCall::User(self.plan.user(diagnosis.group, diagnosis.any_place()).to_string())
            }
            Question::Address => {
                ApiCall::Operation(self.plan.operation(Batch { group: diagnosis.group, first: 0, len: 1 }))
            }
        }
    }

    /// Takes the next batch from the plan, if its phase has come.
    pub(super) fn claim(&mut self, now: Instant) -> Option<PendingRequest> {
        if self.canary.is_first() {
            let request = self.claim_canary(now);
            if self.canary.is_first() {
                return request;
            }
        }
        let batch = self.next?;
        let phase = self.plan.phase(batch);
        if phase != self.phase {
            if self.outstanding() > 0 {
                return None;
            }
            self.phase = phase;
        }
        let users = self.canary.others(batch).unwrap_or_else(|| batch.into());
        self.next = self.cursor.next(&self.plan);
        self.skip_canary();
        Some(PendingRequest::new(Task::Update(users), Purpose::First))
    }

    /// The next request that reads users back, if it has come so far.
    pub(super) fn claim_question(&mut self) -> Option<PendingRequest> {
        let question = self.read_back.as_mut()?.next()?;
        Some(PendingRequest::new(Task::ReadBack(question), Purpose::ReadBack))
    }

    /// Whether no batch of the group was taken from the plan yet.
    fn is_ahead(&self, group: u32) -> bool {
        self.next.is_some_and(|batch| group > batch.group || (group == batch.group && batch.first == 0))
    }

    /// Whether there is a request that can be sent now and was not tried yet.
    pub(super) fn has_fresh_requests(&self) -> bool {
        let is_of_phase = |batch| self.plan.phase(batch) == self.phase;
        let next = if self.canary.is_first() {
            self.canary.next().and_then(|users| users.batches().next())
        } else {
            self.next
        };
        next.is_some_and(is_of_phase) || self.read_back.as_ref().is_some_and(ReadBack::has_next)
    }
}
