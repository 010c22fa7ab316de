//! Evaluates an answer.

use rand::rngs::StdRng;
use tokio::time::Instant;
use tracing::{debug, info};

use super::pending_request::{PendingRequest, Task};
use super::{AccountCheck, ApiCall, Core, InDoubt, QUIET, STALE, UNREACHABLE};
use crate::deliver::backoff::{backoff, exhausted, probe_wait};
use crate::deliver::diagnosis::{Evidence, Question, Rejection, Stage};
use crate::deliver::event::{Event, Outcome, Purpose, Stop};
use crate::deliver::knowledge::{GROUPS, GROUPS_BY_STATUS, Offender, pattern};
use crate::deliver::limiter::LimitSignal;
use crate::deliver::outage::{Failed, Key};
use crate::deliver::read_back;
use crate::deliver::suggested_cause::{SuggestedCause, is_structured};
use crate::deliver::transport::{Delivered, Reply, SendError};
use crate::deliver::user_set::UserSet;
use crate::deliver::verdict::{AnswerKind, Reason, Verdict, existence, is_about_operation, is_forbidden};
use crate::plan::{Batch, Phase};

impl Core {
    /// Evaluates an answer. Returns what it means for the rate limit.
    pub(in crate::deliver) fn answered(
        &mut self,
        number: u64,
        result: &Result<Reply, SendError>,
        bytes: usize,
        now: Instant,
        chance: &mut StdRng,
    ) -> LimitSignal {
        let Some(mut request) = self.in_flight.remove(&number) else { return LimitSignal::Nothing };
        self.reconsider();
        let sent_at = request.started.unwrap_or(now);
        let verdict = if request.is_update() { Verdict::of(result) } else { Verdict::of_question(result) };
        let latency = now.duration_since(sent_at);
        let answer = match verdict.answer() {
            AnswerKind::Acknowledged if !request.is_update() => AnswerKind::Read,
            answer => answer,
        };
        self.events.push(Event::Answered { at: now, latency, answer });
        debug!(request = %request.task, request_id = request.logged_id(), answer = %verdict, "answered");
        match verdict {
            Verdict::Throttled { pause, reason } => {
                self.unreachable = 0;
                self.outage.throttled(&reason, now);
                info!(
                    request_id = request.logged_id(),
                    pause_seconds = pause.map(|pause| pause.as_secs_f64()),
                    status = reason.status,
                    "throttled"
                );
                self.again(request, reason, now);
                return LimitSignal::Throttled { retry_after: pause };
            }
            Verdict::Unauthorized(reason) => {
                info!(request_id = request.logged_id(), status = reason.status, "the key is refused");
                self.stop_with(Stop::KeyRefused(reason.clone()));
                self.again(request, reason, now);
            }
            Verdict::Stale(reason) if request.stale < STALE => {
                info!(request_id = request.logged_id(), "the server had closed the connection");
                request.stale += 1;
                self.again(request, reason, now);
            }
            Verdict::Unreachable(reason) => {
                info!(request_id = request.logged_id(), "no connection is possible");
                self.unreachable += 1;
                if self.unreachable >= UNREACHABLE {
                    self.stop_with(Stop::Unreachable(reason.clone()));
                }
                let wait = backoff(&self.options, self.unreachable, chance);
                self.again(request, reason, now + wait);
            }
            Verdict::Stale(reason) => self.troubled(request, Delivered::Maybe, reason, now, chance),
            Verdict::Transient { delivered, reason } => {
                // Some servers ask for fewer requests with a 503. If it is an outage, the pause does no harm.
                let asks_for_less = reason.status == Some(503) && self.outage.next_probe().is_none();
                self.troubled(request, delivered, reason, now, chance);
                if asks_for_less {
                    return LimitSignal::Throttled { retry_after: None };
                }
            }
            Verdict::Acknowledged => {
                let served = self.served(&request);
                self.acknowledged(request, result, bytes, now);
                return served;
            }
            Verdict::Forbidden(reason) if !self.knowledge.proven => {
                info!(request_id = request.logged_id(), status = reason.status, "the key is refused");
                self.stop_with(Stop::KeyRefused(reason.clone()));
                self.again(request, reason, now);
            }
            Verdict::Rejected(reason)
                if !self.knowledge.proven && matches!(reason.status, Some(300..=399)) =>
            {
                info!(request_id = request.logged_id(), status = reason.status, "redirected");
                self.stop_with(Stop::Redirected(reason.clone()));
                self.again(request, reason, now);
            }
            Verdict::Rejected(reason) | Verdict::Forbidden(reason) => {
                info!(request_id = request.logged_id(), status = reason.status, "rejected");
                let served = self.served(&request);
                self.rejected(&request, result, reason, bytes, now);
                return served;
            }
        }
        LimitSignal::Nothing
    }

    pub(super) fn served(&mut self, request: &PendingRequest) -> LimitSignal {
        self.unreachable = 0;
        self.has_served = true;
        // As long as nothing was acknowledged, that the API answers a question says little of mass updates.
        let says_little = !request.is_update() && !self.a_probe_counts();
        if says_little && !self.outage.is_quiet() {
            return LimitSignal::Nothing;
        }
        self.outage.served();
        LimitSignal::Served
    }

    /// Sends the request again, without counting this attempt.
    pub(super) fn again(&mut self, mut request: PendingRequest, reason: Reason, at: Instant) {
        if matches!(request.task, Task::Probe(_) | Task::Account(_) | Task::AccountUser(_)) {
            return;
        }
        request.last = Some(reason);
        self.enqueue(request, at);
    }

    pub(super) fn troubled(
        &mut self,
        mut request: PendingRequest,
        delivered: Delivered,
        reason: Reason,
        now: Instant,
        chance: &mut StdRng,
    ) {
        self.unreachable = 0;
        let options = &self.options;
        let next_probe = |probes| probe_wait(options, probes, chance);
        let key = self.key(&request.task);
        let is_isolated =
            self.in_flight.is_empty() && self.outage.is_quiet() && self.needs_isolation(&request);
        let failed = Failed { key, attempts: &mut request.attempts, delivered, is_isolated };
        self.outage.troubled(failed, &reason, now, next_probe);
        let away = self.outage.next_probe().is_some();
        info!(
            request_id = request.logged_id(),
            sent = delivered == Delivered::Maybe,
            status = reason.status,
            outage = away,
            "request failed"
        );
        let at = now + backoff(&self.options, request.attempts.all(), chance);
        if matches!(request.task, Task::Account(_) | Task::AccountUser(_))
            && let Some(account) = &mut self.account
            && self.knowledge.known_good != Some(account.row)
        {
            account.errors += 1;
            if account.errors >= self.options.max_attempts.get() {
                self.account = None;
                self.knowledge.clear_streak();
            }
        }
        if let Task::Ask { diagnosis, question: Question::Update(positions) } = &request.task
            && positions.len() > 1
            && self.diagnoses.get(diagnosis).is_some_and(|diagnosis| diagnosis.rejection.is_trouble)
            && self.outage.streak() < QUIET
        {
            request.last = Some(reason);
            self.exhausted(request, now);
            return;
        }
        // An API that is up may fail for these users, or for a value of many. A row that was acknowledged shows it. Before there
        // is one, a GET of a user does, if a server answers itself.
        let in_doubt = self.doubt_of(&request.task);
        let is_of_server = reason.status == Some(500);
        let tells_more = is_of_server
            || (self.knowledge.known_good.is_some() && reason.status.is_some() && self.outage.probes() > 1);
        if away && tells_more && request.is_update() {
            self.probe = Some(in_doubt);
        }
        // Two tries have to count: so the last but one is followed by a request that shows the API at work, too.
        let is_near_the_end =
            self.most_attempts(&request).is_some_and(|most| request.attempts.all() + 1 >= most);
        let is_shown_by_others = self.has_fresh_requests() && !is_isolated;
        if is_near_the_end && self.in_flight.is_empty() && !is_shown_by_others {
            self.probe = Some(in_doubt);
        }
        self.again(request, reason, at);
    }

    pub(super) fn doubt_of(&self, task: &Task) -> InDoubt {
        self.users_of(task).map_or(InDoubt::Other, |users| InDoubt::Batch(users.group, users.first()))
    }

    /// Identifies a request.
    pub(super) fn key(&self, task: &Task) -> Key {
        match task {
            Task::ReadBack(read_back::Question::User(first)) => {
                (u32::MAX, u32::try_from(*first).unwrap_or(u32::MAX))
            }
            task => self.users_of(task).map_or((u32::MAX, u32::MAX), |users| (users.group, users.first())),
        }
    }

    pub(super) fn acknowledged(
        &mut self,
        request: PendingRequest,
        result: &Result<Reply, SendError>,
        bytes: usize,
        now: Instant,
    ) {
        match request.task {
            Task::Probe(_) => {}
            Task::AccountUser(users) => {
                let exists = existence(result);
                let Some(account) = &mut self.account else { return };
                account.errors += 1;
                // Something else than a user may come from a proxy, once.
                let is_other = exists.is_none() && result.as_ref().is_ok_and(|reply| reply.status < 300);
                if !is_other || account.errors >= self.options.max_attempts.get() {
                    self.learn_of_account(&users, exists, now);
                }
            }
            Task::Account(users) => {
                self.account = None;
                self.knowledge.clear_streak();
                self.learn_acknowledged(&users, bytes);
                self.resume_diagnoses(Stage::AwaitsAcknowledgement, now);
                self.judge_attributes(now);
            }
            Task::Update(users) => {
                self.learn_acknowledged(&users, bytes);
                self.finish_users(&users, &Outcome::Acknowledged, request.carried);
                self.release(users.group, now);
            }
            Task::Ask { diagnosis: id, question } => {
                let evidence = if let Question::Update(positions) = &question {
                    let users = self.diagnoses.get(&id).map(|diagnosis| diagnosis.users_at(positions));
                    if let Some(users) = users {
                        self.learn_acknowledged(&users, bytes);
                        self.release(users.group, now);
                    }
                    Evidence::Accepted
                } else if question == Question::Key {
                    Evidence::Exists(Some(true).filter(|_| !is_forbidden(result)))
                } else {
                    Evidence::Exists(existence(result))
                };
                self.add_evidence(id, evidence, now);
            }
            Task::ReadBack(question) => {
                let Some(read_back) = &mut self.read_back else { return };
                match question {
                    read_back::Question::User(first) => read_back.compare(first, result, &self.plan),
                    read_back::Question::Page(cursor) => {
                        read_back.compare_page(cursor.as_deref(), result, &self.plan);
                    }
                }
            }
        }
    }

    /// Whether the user exists whose row was rejected in a check of the account. `None` if that can't be known.
    fn learn_of_account(&mut self, users: &UserSet, exists: Option<bool>, now: Instant) {
        let Some(account) = self.account.take() else { return };
        if exists == Some(false) {
            let user = self.plan.user_number(users.group, users.first());
            self.knowledge.add_offender(user, Offender::Unknown);
            self.knowledge.clear_streak();
            self.judge_attributes(now);
        } else {
            self.stop_with(Stop::Refused(account.reason));
        }
    }

    pub(super) fn learn_acknowledged(&mut self, users: &UserSet, bytes: usize) {
        self.knowledge.acknowledged(users, bytes, &self.plan);
        if self.phase == Phase::Ordinary || self.knowledge.known_good.is_none() {
            self.knowledge.known_good = Some((users.group, users.first()));
        }
    }

    pub(super) fn rejected(
        &mut self,
        request: &PendingRequest,
        result: &Result<Reply, SendError>,
        reason: Reason,
        bytes: usize,
        now: Instant,
    ) {
        match &request.task {
            Task::Probe(_) | Task::ReadBack(_) => return,
            Task::AccountUser(users) => return self.learn_of_account(users, None, now),
            Task::Account(users) => {
                let Some(account) = &mut self.account else { return };
                let user = self.plan.user_number(users.group, users.first());
                if pattern(&reason.error) != account.pattern {
                    self.account = None;
                    self.knowledge.clear_streak();
                    self.judge_attributes(now);
                } else if self.knowledge.exists(user, &self.plan) {
                    self.learn_of_account(users, Some(true), now);
                } else {
                    account.is_rejected = true;
                }
                return;
            }
            Task::Update(_) | Task::Ask { .. } => {}
        }
        let Some(users) = self.users_of(&request.task) else { return };
        let group = users.group;
        let (suggested, structured) = match result {
            Ok(reply) => (SuggestedCause::of(reply, &self.plan, &users), is_structured(&reply.body)),
            Err(_) => (SuggestedCause::Nothing, false),
        };
        let pattern = pattern(&reason.error);
        let rejection =
            Rejection { reason, pattern, is_structured: structured, suggested, is_trouble: false };
        // A user that was shown to exist is not what a 404 misses.
        let misses_users = rejection.reason.status == Some(404)
            && self.knowledge.address_exists
            && !users
                .places()
                .all(|place| self.knowledge.exists(self.plan.user_number(group, place), &self.plan));
        let is_of_users = misses_users || matches!(rejection.suggested, SuggestedCause::Users(_));
        let by_status = is_about_operation(rejection.reason.status);
        let most = if by_status { GROUPS_BY_STATUS } else { GROUPS };
        if !is_of_users && self.knowledge.is_streak(group, &rejection.pattern, most) {
            self.suspect_account(group, &rejection);
        }
        match request.task {
            Task::Ask { diagnosis, .. } => self.add_evidence(diagnosis, Evidence::Rejected(rejection), now),
            _ if self.is_too_large(&users, &rejection, bytes) => {
                let request = PendingRequest {
                    last: Some(rejection.reason),
                    purpose: Purpose::Split,
                    task: Task::Update(users),
                    ..request.clone()
                };
                self.enqueue(request, now);
            }
            _ => self.open(&users, request.carried, rejection, now),
        }
    }

    /// Whether the request was rejected because of its size, so that smaller ones are to be sent.
    pub(super) fn is_too_large(&mut self, users: &UserSet, rejection: &Rejection, bytes: usize) -> bool {
        let len = users.len();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if len == 1 || self.knowledge.size_is_no_matter {
            return false;
        }
        match rejection.suggested {
            SuggestedCause::Size(None) if self.knowledge.bytes.is_plausible(bytes) => {
                let value = self.plan.value_token(users.group).len();
                if value >= bytes as usize / 2 {
                    // Fewer users would hardly make it smaller.
                    return false;
                }
                self.knowledge.bytes.reject(bytes);
                true
            }
            SuggestedCause::Size(Some(most)) if self.knowledge.users.is_plausible(len) => {
                self.knowledge.users.reject(len);
                self.knowledge.users.suggest(most);
                true
            }
            SuggestedCause::Nothing | SuggestedCause::Size(_) if self.knowledge.users.explains(len) => {
                self.knowledge.users.reject(len);
                true
            }
            _ => false,
        }
    }

    /// Many groups in a row were rejected with the same message. Whether the whole account is rejected is checked with a row
    /// that was acknowledged before, or else with one of another attribute.
    pub(super) fn suspect_account(&mut self, group: u32, rejection: &Rejection) {
        // The check may send a row of another user, which has to wait for the canary.
        if self.account.is_some() || self.canary.is_first() {
            return;
        }
        let (reason, pattern) = (rejection.reason.clone(), rejection.pattern.clone());
        // A row of its own is at least the smallest request there can be.
        let row =
            self.knowledge.known_good.or_else(|| self.row_of_another_attribute(group)).unwrap_or((group, 0));
        if self.knowledge.offender(self.plan.user_number(row.0, row.1)).is_some() {
            // Such a user is refused by any account.
            self.knowledge.clear_streak();
            return;
        }
        self.account = Some(AccountCheck { reason, pattern, row, is_rejected: false, errors: 0 });
    }

    /// The first row of an attribute other than the group's, as long as such rows are sent: what comes after them may have
    /// changed the user.
    pub(super) fn row_of_another_attribute(&self, group: u32) -> Option<(u32, u32)> {
        if self.phase != Phase::Ordinary {
            return None;
        }
        let attribute = &self.plan.attribute(group).name;
        let first = |group| Batch { group, first: 0, len: 1 };
        let is_other = |other: &u32| {
            self.plan.attribute(*other).name != *attribute
                && self.plan.phase(first(*other)) == Phase::Ordinary
        };
        self.plan.first_groups().find(is_other).map(|other| (other, 0))
    }

    /// A request has no attempts left: its users fail, or are searched for the cause.
    pub(super) fn exhausted(&mut self, request: PendingRequest, now: Instant) {
        let reason = request.last.clone().unwrap_or_default();
        let since = request.since.unwrap_or(now);
        let attempts = request.attempts.all();
        info!(request_id = request.logged_id(), attempts, status = reason.status, "gave up");
        let gave_up = exhausted(attempts, since, &reason, now);
        let rejection = |reason: Reason| Rejection {
            pattern: pattern(&reason.error),
            reason,
            is_structured: false,
            suggested: SuggestedCause::Nothing,
            is_trouble: true,
        };
        match request.task {
            Task::Update(users) if users.len() == 1 && self.plan.group_len(users.group) == 1 => {
                self.finish_users(&users, &Outcome::Failed(gave_up), request.carried);
            }
            Task::Update(users) => self.open(&users, request.carried, rejection(reason), now),
            Task::Ask { diagnosis, .. } => {
                self.add_evidence(diagnosis, Evidence::Rejected(rejection(reason)), now);
            }
            Task::ReadBack(question) => {
                let Some(read_back) = &mut self.read_back else { return };
                match question {
                    read_back::Question::User(first) => read_back.unread(first, &gave_up),
                    read_back::Question::Page(_) => read_back.leave_pages(&gave_up.error),
                }
            }
            Task::Probe(_) | Task::Account(_) | Task::AccountUser(_) => {}
        }
    }

    pub(super) fn users_of(&self, task: &Task) -> Option<UserSet> {
        match task {
            Task::Update(users) | Task::Account(users) | Task::Probe(ApiCall::Update(users)) => {
                Some(users.clone())
            }
            Task::Ask { diagnosis, question: Question::Update(positions) } => {
                self.diagnoses.get(diagnosis).map(|diagnosis| diagnosis.users_at(positions))
            }
            Task::Ask { .. } | Task::Probe(_) | Task::AccountUser(_) | Task::ReadBack(_) => None,
        }
    }
}
