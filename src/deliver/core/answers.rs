//! Learning from an answer.

use rand::rngs::StdRng;
use tokio::time::Instant;
use tracing::{debug, info};

use super::job::{Job, Task};
use super::{AccountCheck, Core, Doubt, Pacing, QUIET, STALE, UNREACHABLE, What};
use crate::deliver::case::{Evidence, Question, Refusal, Stage};
use crate::deliver::event::{Event, Outcome, Purpose, Reason, Stop};
use crate::deliver::facts::{GROUPS, GROUPS_BY_STATUS, class};
use crate::deliver::hint::{Hint, is_structured};
use crate::deliver::outage::Key;
use crate::deliver::part::Part;
use crate::deliver::retry::{backoff, exhausted, probe_wait};
use crate::deliver::transport::{Delivered, Reply, SendError};
use crate::deliver::verdict::{Verdict, speaks_of_operation};
use crate::plan::{Batch, Phase};

impl Core {
    /// Learns from an answer. Returns what it means for the pace.
    pub(in crate::deliver) fn answered(
        &mut self,
        ticket: u64,
        result: &Result<Reply, SendError>,
        bytes: usize,
        now: Instant,
        chance: &mut StdRng,
    ) -> Pacing {
        let Some(mut job) = self.in_flight.remove(&ticket) else { return Pacing::Unchanged };
        self.reconsider();
        let sent_at = job.started.unwrap_or(now);
        let verdict = if job.is_update() { Verdict::of(result) } else { Verdict::of_question(result) };
        self.events.push(Event::Answered { latency: now.duration_since(sent_at), answer: verdict.answer() });
        debug!(request = %job.task, answer = %verdict, "answered");
        match verdict {
            Verdict::Throttled { pause, reason } => {
                self.unreachable = 0;
                self.outage.throttled(&reason, now);
                info!(
                    pause_seconds = pause.map(|pause| pause.as_secs_f64()),
                    status = reason.status,
                    "throttled"
                );
                self.again(job, reason, now);
                return Pacing::Throttled(pause);
            }
            Verdict::Unauthorized(reason) => {
                self.stop_with(Stop::KeyRefused(reason.clone()));
                self.again(job, reason, now);
            }
            Verdict::Stale(reason) if job.stale < STALE => {
                job.stale += 1;
                self.again(job, reason, now);
            }
            Verdict::Unreachable(reason) => {
                self.unreachable += 1;
                if self.unreachable >= UNREACHABLE {
                    self.stop_with(Stop::Unreachable(reason.clone()));
                }
                let wait = backoff(&self.options, self.unreachable, chance);
                self.again(job, reason, now + wait);
            }
            Verdict::Stale(reason) => self.troubled(job, Delivered::Maybe, reason, now, chance),
            Verdict::Transient { delivered, reason } => {
                // Some servers ask for fewer requests in this way. If it is an outage, a pause does no harm.
                let asks_for_less = reason.status == Some(503) && self.outage.next_probe().is_none();
                self.troubled(job, delivered, reason, now, chance);
                if asks_for_less {
                    return Pacing::Throttled(None);
                }
            }
            Verdict::Acknowledged => {
                let served = self.served(&job);
                self.acknowledged(job, result, bytes, now);
                return served;
            }
            Verdict::Forbidden(reason) if !self.facts.proven => {
                self.stop_with(Stop::KeyRefused(reason.clone()));
                self.again(job, reason, now);
            }
            Verdict::Rejected(reason) if !self.facts.proven && matches!(reason.status, Some(300..=399)) => {
                self.stop_with(Stop::Redirected(reason.clone()));
                self.again(job, reason, now);
            }
            Verdict::Rejected(reason) | Verdict::Forbidden(reason) => {
                let served = self.served(&job);
                self.refused(&job, result, reason, bytes, now);
                return served;
            }
        }
        Pacing::Unchanged
    }

    pub(super) fn served(&mut self, job: &Job) -> Pacing {
        self.unreachable = 0;
        // As long as nothing was acknowledged, that the API answers a question says little of mass updates.
        let says_little = !job.is_update() && !self.facts.proven && self.outage.reason().status != Some(500);
        if says_little && !self.outage.is_quiet() {
            return Pacing::Unchanged;
        }
        self.outage.served();
        Pacing::Served
    }

    /// The same once more, without counting.
    pub(super) fn again(&mut self, mut job: Job, reason: Reason, at: Instant) {
        if matches!(job.task, Task::Probe(_) | Task::Account(_)) {
            return;
        }
        job.last = Some(reason);
        self.enqueue(job, at);
    }

    pub(super) fn troubled(
        &mut self,
        mut job: Job,
        delivered: Delivered,
        reason: Reason,
        now: Instant,
        chance: &mut StdRng,
    ) {
        self.unreachable = 0;
        let options = &self.options;
        let next_probe = |probes| probe_wait(options, probes, chance);
        let key = self.key(&job.task);
        self.outage.troubled((key, &mut job.attempts), delivered, &reason, now, next_probe);
        let away = self.outage.next_probe().is_some();
        info!(sent = delivered == Delivered::Maybe, status = reason.status, outage = away, "request failed");
        let at = now + backoff(&self.options, job.attempts.all(), chance);
        if let Task::Ask { case, question: Question::Update(positions) } = &job.task
            && positions.len() > 1
            && self.cases.get(case).is_some_and(|case| case.refusal.is_trouble)
            && self.outage.streak() < QUIET
        {
            job.last = Some(reason);
            self.exhausted(job, now);
            return;
        }
        // Before anything was accepted, a GET that is served shows that the API chokes on these users, and is not away.
        if away && !self.facts.proven && reason.status == Some(500) {
            self.probe = Some(Doubt::Batch(key.0, key.1));
        }
        // Two tries have to count: so the last but one is followed by a request that shows the API at work, too.
        let is_near_the_end = self.most_attempts(&job).is_some_and(|most| job.attempts.all() + 1 >= most);
        if is_near_the_end && self.in_flight.is_empty() && !self.has_fresh_batches() {
            self.probe = Some(match &job.task {
                Task::ReadBack(_) => Doubt::ReadBack,
                _ => Doubt::Batch(key.0, key.1),
            });
        }
        self.again(job, reason, at);
    }

    /// What tells a job from others.
    pub(super) fn key(&self, task: &Task) -> Key {
        match task {
            Task::ReadBack(number) => (u32::MAX, u32::try_from(*number).unwrap_or(u32::MAX)),
            task => self.part(task).map_or((u32::MAX, u32::MAX), |part| (part.group, part.first())),
        }
    }

    pub(super) fn acknowledged(
        &mut self,
        job: Job,
        result: &Result<Reply, SendError>,
        bytes: usize,
        now: Instant,
    ) {
        match job.task {
            Task::Probe(_) => {}
            Task::Account(part) => {
                self.account = None;
                self.facts.clear_streak();
                self.learn_acknowledged(&part, bytes);
                self.resume_cases(Stage::AwaitsAnyone, now);
                self.judge_attributes(now);
            }
            Task::Update(part) => {
                self.learn_acknowledged(&part, bytes);
                self.settle(&part, &Outcome::Acknowledged, job.carried);
                self.release(part.group, now);
            }
            Task::Ask { case: id, question } => {
                let evidence = if let Question::Update(positions) = &question {
                    let part = self.cases.get(&id).map(|case| case.part(positions));
                    if let Some(part) = part {
                        self.learn_acknowledged(&part, bytes);
                        self.release(part.group, now);
                    }
                    Evidence::Accepted
                } else if question == Question::Key {
                    Evidence::Exists(Some(true).filter(|_| !is_forbidden(result)))
                } else {
                    Evidence::Exists(existence(result))
                };
                self.tell_case(id, evidence, now);
            }
            Task::ReadBack(number) => {
                if let Some(read_back) = &mut self.read_back {
                    read_back.compare(number, result, &self.plan);
                }
            }
        }
    }

    pub(super) fn learn_acknowledged(&mut self, part: &Part, bytes: usize) {
        self.facts.acknowledged(part, bytes, &self.plan);
        if self.phase == Phase::Ordinary || self.facts.known_good.is_none() {
            self.facts.known_good = Some((part.group, part.first()));
        }
    }

    pub(super) fn refused(
        &mut self,
        job: &Job,
        result: &Result<Reply, SendError>,
        reason: Reason,
        bytes: usize,
        now: Instant,
    ) {
        match &job.task {
            Task::Probe(_) | Task::ReadBack(_) => return,
            Task::Account(_) => {
                let Some(account) = self.account.take() else { return };
                if class(&reason.error) == account.class {
                    self.stop_with(Stop::Refused(account.reason));
                } else {
                    self.facts.clear_streak();
                    self.judge_attributes(now);
                }
                return;
            }
            Task::Update(_) | Task::Ask { .. } => {}
        }
        let Some(part) = self.part(&job.task) else { return };
        let group = part.group;
        let (hint, structured) = match result {
            Ok(reply) => (Hint::of(reply, &self.plan, &part), is_structured(&reply.body)),
            Err(_) => (Hint::Nothing, false),
        };
        let class = class(&reason.error);
        let refusal = Refusal { reason, class, is_structured: structured, hint, is_trouble: false };
        // Who was shown to exist isn't what a 404 misses.
        let misses_users = refusal.reason.status == Some(404)
            && self.facts.address_exists
            && !part.places().all(|place| self.facts.exists(self.plan.user_number(group, place), &self.plan));
        let is_of_users = misses_users || matches!(refusal.hint, Hint::Users(_));
        let by_status = speaks_of_operation(refusal.reason.status);
        let most = if by_status { GROUPS_BY_STATUS } else { GROUPS };
        if !is_of_users && self.facts.is_streak(group, &refusal.class, most) {
            self.suspect_account(group, &refusal);
        }
        match job.task {
            Task::Ask { case, .. } => self.tell_case(case, Evidence::Refused(refusal), now),
            _ if self.is_too_large(&part, &refusal, bytes) => {
                let job = Job {
                    last: Some(refusal.reason),
                    purpose: Purpose::Split,
                    task: Task::Update(part),
                    ..job.clone()
                };
                self.enqueue(job, now);
            }
            _ => self.open(&part, job.carried, refusal, now),
        }
    }

    /// Whether the request was refused for its size, so that smaller ones are to be sent.
    pub(super) fn is_too_large(&mut self, part: &Part, refusal: &Refusal, bytes: usize) -> bool {
        let len = part.len();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if len == 1 || self.facts.size_is_no_matter {
            return false;
        }
        match refusal.hint {
            Hint::Size(None) if self.facts.bytes.is_plausible(bytes) => {
                let value = self.plan.value_token(part.group).len();
                if value >= bytes as usize / 2 {
                    // Fewer users would hardly make it smaller.
                    return false;
                }
                self.facts.bytes.refuse(bytes);
                true
            }
            Hint::Size(Some(most)) if self.facts.users.is_plausible(len) => {
                self.facts.users.refuse(len);
                self.facts.users.suggest(most);
                true
            }
            Hint::Nothing | Hint::Size(_) if self.facts.users.explains(len) => {
                self.facts.users.refuse(len);
                true
            }
            _ => false,
        }
    }

    /// Many groups were refused alike, with nothing acknowledged between: a row that was acknowledged before, or one of
    /// another attribute, shows whether it is the account.
    pub(super) fn suspect_account(&mut self, group: u32, refusal: &Refusal) {
        if self.account.is_some() {
            return;
        }
        let (reason, class) = (refusal.reason.clone(), refusal.class.clone());
        // A row of its own is at least the smallest request there can be.
        let row =
            self.facts.known_good.or_else(|| self.row_of_another_attribute(group)).unwrap_or((group, 0));
        self.account = Some(AccountCheck { reason, class, row });
    }

    /// The first row of an attribute other than the group's, of those that may be sent at any time.
    pub(super) fn row_of_another_attribute(&self, group: u32) -> Option<(u32, u32)> {
        let attribute = &self.plan.attribute(group).name;
        let first = |group| Batch { group, first: 0, len: 1 };
        let is_other = |other: &u32| {
            self.plan.attribute(*other).name != *attribute
                && self.plan.phase(first(*other)) == Phase::Ordinary
        };
        self.plan.first_groups().find(is_other).map(|other| (other, 0))
    }

    /// The attempts of a job are used up: its users fail, or are searched.
    pub(super) fn exhausted(&mut self, job: Job, now: Instant) {
        let reason = job.last.clone().unwrap_or_default();
        let since = job.since.unwrap_or(now);
        let gave_up = exhausted(job.attempts.all(), since, &reason, now);
        let refusal = |reason: Reason| Refusal {
            class: class(&reason.error),
            reason,
            is_structured: false,
            hint: Hint::Nothing,
            is_trouble: true,
        };
        match job.task {
            Task::Update(part) if part.len() == 1 && self.plan.group_len(part.group) == 1 => {
                self.settle(&part, &Outcome::Failed(gave_up), job.carried);
            }
            Task::Update(part) => self.open(&part, job.carried, refusal(reason), now),
            Task::Ask { case, .. } => self.tell_case(case, Evidence::Refused(refusal(reason)), now),
            Task::ReadBack(number) => {
                if let Some(read_back) = &mut self.read_back {
                    read_back.unread(number, &gave_up);
                }
            }
            Task::Probe(_) | Task::Account(_) => {}
        }
    }

    pub(super) fn part(&self, task: &Task) -> Option<Part> {
        match task {
            Task::Update(part) | Task::Account(part) | Task::Probe(What::Update(part)) => Some(part.clone()),
            Task::Ask { case, question: Question::Update(positions) } => {
                self.cases.get(case).map(|case| case.part(positions))
            }
            Task::Ask { .. } | Task::Probe(_) | Task::ReadBack(_) => None,
        }
    }
}

/// What a GET says of what it asked for.
fn existence(result: &Result<Reply, SendError>) -> Option<bool> {
    match result.as_ref().map(|reply| reply.status) {
        Ok(404 | 410) => Some(false),
        Ok(200..=299) => Some(true),
        _ => None,
    }
}

fn is_forbidden(result: &Result<Reply, SendError>) -> bool {
    result.as_ref().is_ok_and(|reply| reply.status == 403)
}
