//! Deciding what to send next.

use std::cmp::Reverse;

use tokio::time::Instant;

use super::job::{Due, Job, Task};
use super::{AccountCheck, Ask, COUNTED, Core, Doubt, QUESTION_ATTEMPTS, What};
use crate::deliver::case::{Case, Evidence, Finding, Question, Refusal};
use crate::deliver::event::{Event, Outcome, Purpose, Reason};
use crate::deliver::facts::Offender;
use crate::deliver::hint::Hint;
use crate::deliver::part::Part;
use crate::input::Operation;
use crate::plan::Batch;

impl Core {
    /// Decides what to send next. False if nothing is to be sent now; else it can be [started](Self::start).
    pub(in crate::deliver) fn decide(&mut self, now: Instant) -> bool {
        if self.stop.is_some() {
            return false;
        }
        if self.decided.is_some() {
            return true;
        }
        let alone = !self.facts.proven
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
        if let Some(AccountCheck { row: (group, place), .. }) = self.account {
            let part = Part::of(group, [place]);
            return self.take(Job::new(Task::Account(part), Purpose::Check), now);
        }
        if let Some(what) = self.probe.take().map(|doubt| self.probe_for(doubt)) {
            return self.take(Job::new(Task::Probe(what), Purpose::Check), now);
        }
        loop {
            if let Some(job) = self.next_job(now) {
                if self.prepare(job, now) {
                    return true;
                }
            } else {
                let idle = self.in_flight.is_empty() && self.queue.is_empty();
                if !(idle && self.resume_a_case(now)) {
                    return false;
                }
            }
            if self.solo || self.stop.is_some() {
                return false;
            }
        }
    }

    /// This job is the next one to be sent.
    pub(super) fn take(&mut self, job: Job, now: Instant) -> bool {
        self.jobs += 1;
        self.decided = Some(Due { at: now, number: self.jobs, job });
        true
    }

    /// Whether the request that was decided on only sends a row again.
    #[cfg(test)]
    pub(in crate::deliver) fn decided_is_check(&self) -> bool {
        self.decided.as_ref().is_some_and(|due| matches!(due.job.task, Task::Probe(_) | Task::Account(_)))
    }

    /// Starts the request that was decided on.
    pub(in crate::deliver) fn start(&mut self, now: Instant) -> Option<Ask> {
        let Due { mut job, .. } = self.decided.take()?;
        self.tickets += 1;
        let ticket = self.tickets;
        let purpose = std::mem::replace(&mut job.purpose, Purpose::Retry);
        job.carried += 1;
        job.since.get_or_insert(now);
        job.started = Some(now);
        let what = match &job.task {
            Task::Update(part) | Task::Account(part) => What::Update(part.clone()),
            Task::Probe(what) => what.clone(),
            Task::Ask { case, question } => self.what(*case, question),
            Task::ReadBack(number) => What::User(
                self.read_back.as_ref().map_or_else(String::new, |all| all.user(*number, &self.plan)),
            ),
        };
        match (&what, &job.task) {
            (What::Update(part), Task::Account(_)) if self.is_ahead(part.group) => {
                self.ahead = Some((part.group, part.first()));
            }
            (What::Update(part), _) => {
                let is_in = |(group, place)| part.group == group && part.places().any(|other| other == place);
                self.ahead = self.ahead.filter(|row| !is_in(*row));
            }
            _ => {}
        }
        self.in_flight.insert(ticket, job);
        self.events.push(Event::Sent(purpose));
        Some(Ask { ticket, what })
    }

    /// An answer may change what is to be sent next.
    pub(super) fn reconsider(&mut self) {
        let Some(due) = self.decided.take() else { return };
        match due.job.task {
            Task::Probe(_) | Task::Account(_) => {}
            _ => self.queue.push(Reverse(due)),
        }
    }

    /// A job whose time has come, else the next planned batch. During an outage the time is that of the probe, and a batch
    /// that was not tried yet tells more than one that failed.
    pub(super) fn next_job(&mut self, now: Instant) -> Option<Job> {
        if self.outage.next_probe().is_some() {
            return self.claim().or_else(|| self.queue.pop().map(|Reverse(due)| due.job));
        }
        if self.queue.peek().is_some_and(|Reverse(due)| due.at <= now) {
            return self.queue.pop().map(|Reverse(due)| due.job);
        }
        self.claim()
    }

    /// Decides what becomes of a job whose time has come: it is sent, or waits, or is settled.
    pub(super) fn prepare(&mut self, job: Job, now: Instant) -> bool {
        if let Task::Ask { case, question: Question::Exists(_) | Question::Address } = job.task
            && job.attempts.all() >= QUESTION_ATTEMPTS
        {
            self.tell_case(case, Evidence::Exists(None), now);
            return false;
        }
        if self.is_used_up(&job) {
            if self.outage.count(job.attempts) >= Self::needed(&job) {
                self.exhausted(job, now);
                return false;
            }
            // What comes next must show whether it is this request: so nothing else may fail meanwhile.
            if !self.in_flight.is_empty() && !self.has_fresh_batches() {
                self.solo = true;
                self.enqueue(job, now);
                return false;
            }
            return self.take(job, now);
        }
        let Task::Update(part) = &job.task else { return self.take(job, now) };
        let group = part.group;
        if let Some(reason) = self.facts.condemned(group, &self.plan).cloned() {
            self.settle(part, &Outcome::Failed(reason), job.carried);
            return false;
        }
        if self.looking.contains_key(&group) {
            self.waiting.entry(group).or_default().jobs.push(job);
            return false;
        }
        if self.facts.has_offenders() && job.carried == 0 {
            return match self.without_offenders(job, now) {
                Some(job) => self.cut(job, now),
                None => false,
            };
        }
        self.cut(job, now)
    }

    /// Whether the tries of a job are used up, if they count.
    pub(super) fn is_used_up(&self, job: &Job) -> bool {
        self.most_attempts(job).is_some_and(|most| job.attempts.all() >= most)
    }

    /// How many tries a job has; `None` where nothing depends on it.
    pub(super) fn most_attempts(&self, job: &Job) -> Option<u32> {
        match &job.task {
            Task::Ask { question: Question::Update(positions), case } => {
                let is_trouble = self.cases.get(case).is_some_and(|case| case.refusal.is_trouble);
                Some(if is_trouble && positions.len() > 1 { 1 } else { self.options.max_attempts.get() })
            }
            Task::Update(_) | Task::ReadBack(_) => Some(self.options.max_attempts.get()),
            Task::Ask { .. } | Task::Probe(_) | Task::Account(_) => None,
        }
    }

    /// How many attempts must count before anything follows from them.
    pub(super) fn needed(job: &Job) -> u32 {
        match &job.task {
            // Whatever follows, nobody fails for it.
            Task::Ask { question: Question::Update(positions), .. } if positions.len() > 1 => 1,
            _ => COUNTED,
        }
    }

    /// A request that shows whether the API serves anyone: one that was acknowledged, again. Before there is one, a
    /// planned batch will do; or else a user.
    pub(super) fn probe_for(&self, doubt: Doubt) -> What {
        match (doubt, self.facts.known_good) {
            (Doubt::ReadBack, _) => What::Operation(Operation::Standard),
            (Doubt::Batch(..), Some((group, place))) => What::Update(Part::of(group, [place])),
            (Doubt::Batch(group, place), None) => What::User(self.plan.user(group, place).to_string()),
        }
    }

    /// Leaves users out who are known to be offenders; they are asked for apart.
    pub(super) fn without_offenders(&mut self, job: Job, now: Instant) -> Option<Job> {
        let Task::Update(part) = &job.task else { return Some(job) };
        let group = part.group;
        let why = |place: u32| self.facts.offender(self.plan.user_number(group, place));
        let (unknown, others) = part.partition(|place| why(place) == Some(Offender::Unknown));
        let (refused, others) = others.partition(|place| why(place).is_some());
        for (part, why) in [(unknown, Offender::Unknown), (refused, Offender::Refused)] {
            if !part.is_empty() {
                let refusal = Refusal {
                    reason: Reason::default(),
                    class: String::new(),
                    is_structured: false,
                    hint: Hint::Nothing,
                    is_trouble: false,
                };
                let id = self.add_case(Case::of_offenders(&part, why, refusal));
                self.pursue(id, Finding::Nothing, now);
            }
        }
        if others.is_empty() { None } else { Some(Job { task: Task::Update(others), ..job }) }
    }

    /// Takes as many of the job's users as the server takes in a request; the others go next.
    pub(super) fn cut(&mut self, job: Job, now: Instant) -> bool {
        let Task::Update(part) = &job.task else { return self.take(job, now) };
        let len = part.len();
        let most = self.most_users(part);
        if most >= len {
            return self.take(job, now);
        }
        // Parts of about the same size are as few as can be, and none is tiny.
        let size = len.div_ceil(len.div_ceil(most));
        let mut rest = part.clone();
        let front = rest.split_front(if self.is_limit_exact() { size } else { most });
        let rest = Job { task: Task::Update(rest), purpose: Purpose::Split, ..job.clone() };
        self.enqueue(rest, now);
        self.take(Job { task: Task::Update(front), ..job }, now)
    }

    pub(super) fn is_limit_exact(&self) -> bool {
        self.facts.users.size().is_none_or(|size| !self.facts.users.is_plausible(size))
            && self.facts.bytes.size().is_none_or(|size| !self.facts.bytes.is_plausible(size))
    }

    /// The most users of a part that a request may have.
    pub(super) fn most_users(&self, part: &Part) -> u32 {
        let by_number = self.facts.users.size().unwrap_or(u32::MAX);
        let Some(most) = self.facts.bytes.size() else { return by_number };
        let length = |part: &Part| {
            let mut body = Vec::new();
            self.plan.body_of(part.group, part.batches(), &mut body);
            u32::try_from(body.len()).unwrap_or(u32::MAX)
        };
        let (len, bytes) = (part.len(), length(part));
        if bytes <= most {
            return by_number;
        }
        // Ids differ in length: take as many as fit on average, then fewer until they fit.
        let mut fits =
            u32::try_from(u64::from(len) * u64::from(most) / u64::from(bytes)).unwrap_or(len).max(1);
        while fits > 1 && length(&part.clone().split_front(fits)) > most {
            fits -= fits.div_ceil(64);
        }
        by_number.min(fits.max(1))
    }

    pub(super) fn what(&mut self, case: u64, question: &Question) -> What {
        let case = self.cases.get_mut(&case).expect("a case lives as long as its question");
        match question {
            Question::Update(positions) => {
                case.carry(positions);
                What::Update(case.part(positions))
            }
            Question::Exists(position) => {
                What::User(self.plan.user(case.group, case.place(*position)).to_string())
            }
            Question::Key => What::User(self.plan.user(case.group, case.any_place()).to_string()),
            Question::Address => {
                What::Operation(self.plan.operation(Batch { group: case.group, first: 0, len: 1 }))
            }
        }
    }

    /// Takes the next batch from the plan, if its phase has come.
    pub(super) fn claim(&mut self) -> Option<Job> {
        let batch = self.next?;
        let phase = self.plan.phase(batch);
        if phase != self.phase {
            if self.outstanding() > 0 {
                return None;
            }
            self.phase = phase;
        }
        self.next = self.cursor.next(&self.plan);
        Some(Job::new(Task::Update(batch.into()), Purpose::First))
    }

    /// Whether none of a group's batches was claimed yet.
    fn is_ahead(&self, group: u32) -> bool {
        self.next.is_some_and(|batch| group > batch.group || (group == batch.group && batch.first == 0))
    }

    /// Whether planned batches can be sent that have not been tried yet.
    pub(super) fn has_fresh_batches(&self) -> bool {
        self.next.is_some_and(|batch| self.plan.phase(batch) == self.phase)
    }
}
