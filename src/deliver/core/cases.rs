//! Opening cases, letting them wait for each other, and taking what they find out.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::info;

use super::job::{Job, Task};
use super::{Core, Waiting};
use crate::deliver::case::{Case, Evidence, Finding, Question, Refusal, Stage};
use crate::deliver::event::{Outcome, Purpose, Reason, Stop};
use crate::deliver::facts::GROUPS;
use crate::deliver::hint::Hint;
use crate::deliver::part::Part;

impl Core {
    /// Opens a case for users who were refused together.
    pub(super) fn open(&mut self, part: &Part, carried: u32, refusal: Refusal, now: Instant) {
        let id = self.add_case(Case::new(part, carried, refusal));
        let case = self.case(id);
        let names_users = matches!(case.refusal.hint, Hint::Users(_));
        let is_404 = case.refusal.reason.status == Some(404);
        // Whether a 404 is for its users is found out case by case, as a wait shows nothing of it.
        let asks = is_404 && (!self.facts.address_exists || self.is_idle(id));
        let tells_more = self.facts.proven || names_users || asks;
        if !tells_more {
            // Two batches of a group are enough to wait with it.
            let of_group =
                self.find_cases(|case| case.group == part.group && case.stage == Stage::AwaitsAnyone);
            if let Some(first) = of_group.first() {
                self.looking.entry(part.group).or_insert(*first);
            }
            self.case(id).stage = Stage::AwaitsAnyone;
            return;
        }
        self.look_into(id, now);
    }

    /// Looks into a case, unless its attribute is likely to be the cause.
    pub(super) fn look_into(&mut self, id: u64, now: Instant) {
        let Some(case) = self.cases.get(&id) else { return };
        let (group, class) = (case.group, case.refusal.class.clone());
        let names_a_cause = matches!(case.refusal.hint, Hint::Value | Hint::Users(_) | Hint::Size(_));
        let is_404 = case.refusal.reason.status == Some(404);
        let is_next = is_404 && self.is_idle(id);
        if !names_a_cause && !is_next && self.facts.condemned(group, &self.plan).is_none() {
            let alike = self.facts.refused_of_attribute(group, &class, &self.plan);
            if alike > 1 {
                self.case(id).stage = Stage::AwaitsAttribute;
                self.judge_attributes(now);
                return;
            }
        }
        self.begin(id, now);
    }

    /// Whether no case but this one asks anything.
    fn is_idle(&self, id: u64) -> bool {
        self.cases.iter().all(|(other, case)| *other == id || case.stage.awaits())
    }

    /// Fails attributes of which many groups were refused alike, if evidence showed that it was not for their users.
    pub(super) fn judge_attributes(&mut self, now: Instant) {
        if self.account.is_some() {
            return;
        }
        let is_refused = |case: &&Case| {
            case.stage == Stage::AwaitsAttribute
                && self.facts.is_attribute_refused(case.group, &case.refusal.class, &self.plan)
        };
        if let Some(case) = self.cases.values().find(is_refused) {
            let (group, reason) = (case.group, case.refusal.reason.clone());
            self.fail_attribute(group, &reason, now);
        }
    }

    pub(super) fn fail_attribute(&mut self, group: u32, reason: &Reason, now: Instant) {
        let plan = Arc::clone(&self.plan);
        let attribute = &plan.attribute(group).name;
        info!(attribute, "the attribute is refused");
        self.facts.condemn_attribute(group, reason, &plan);
        let groups: Vec<u32> =
            self.waiting.keys().copied().filter(|group| plan.attribute(*group).name == *attribute).collect();
        for group in groups {
            self.fail_waiting(group, reason, now);
        }
        self.begin_if(now, |case| {
            case.stage == Stage::AwaitsAttribute && plan.attribute(case.group).name == *attribute
        });
    }

    pub(super) fn begin(&mut self, id: u64, now: Instant) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let group = case.group;
        if !self.facts.is_accepted(group) && self.facts.condemned(group, &self.plan).is_none() {
            if self.looking.get(&group).is_some_and(|other| *other != id) {
                case.stage = Stage::AwaitsGroup;
                self.waiting.entry(group).or_default().cases.push(id);
                return;
            }
            self.looking.insert(group, id);
        }
        let (plan, facts) = (Arc::clone(&self.plan), &mut self.facts);
        let finding = case.begin(facts, &plan);
        self.pursue(id, finding, now);
    }

    pub(super) fn tell_case(&mut self, id: u64, evidence: Evidence, now: Instant) {
        let (plan, facts) = (Arc::clone(&self.plan), &mut self.facts);
        let Some(case) = self.cases.get_mut(&id) else { return };
        let finding = case.answer(evidence, facts, &plan);
        self.pursue(id, finding, now);
    }

    /// Takes what a case found out, and asks what it asks next.
    pub(super) fn pursue(&mut self, id: u64, finding: Finding, now: Instant) {
        let settled: Vec<_> = self.case(id).drain().collect();
        for settlement in settled {
            self.settle(&settlement.part, &settlement.outcome, settlement.attempts);
        }
        let group = self.case(id).group;
        match finding {
            Finding::Nothing => {}
            Finding::WrongAddress => {
                let reason = self.reason(id);
                let address = self.options.address.clone();
                self.stop_with(Stop::WrongAddress { reason, address });
            }
            Finding::KeyRefused => {
                let reason = self.reason(id);
                self.stop_with(Stop::KeyRefused(reason));
            }
            Finding::Group(reason) => {
                let refusal = self.case(id).refusal.clone();
                if reason.status == Some(404) && self.facts.is_streak(group, &refusal.class, GROUPS) {
                    self.suspect_account(group, &refusal);
                }
                self.fail_waiting(group, &reason, now);
                self.judge_attributes(now);
            }
            Finding::Attribute(reason) => self.fail_attribute(group, &reason, now),
        }
        if self.follows_another(id) {
            self.case(id).stage = Stage::AwaitsCase;
            return;
        }
        let most = self.facts.users.size().unwrap_or(u32::MAX);
        let (plan, facts) = (Arc::clone(&self.plan), &mut self.facts);
        let Some(case) = self.cases.get_mut(&id) else { return };
        if let Some(question) = case.ask(most, facts, &plan) {
            let purpose = match question {
                Question::Update(_) => Purpose::Split,
                _ => Purpose::Check,
            };
            self.enqueue(Job::new(Task::Ask { case: id, question }, purpose), now);
        } else if case.stage == Stage::Search {
            self.cases.remove(&id);
            if self.looking.get(&group) == Some(&id) {
                self.looking.remove(&group);
                self.release_waiting(group, now);
            }
            if self.leading == Some(id) {
                self.leading = None;
                for id in self.find_cases(|case| case.stage == Stage::AwaitsCase) {
                    self.resume(id, now);
                }
            }
        }
    }

    pub(super) fn resume(&mut self, id: u64, now: Instant) {
        let Some(case) = self.cases.get_mut(&id).filter(|case| case.stage == Stage::AwaitsCase) else {
            return;
        };
        let finding = case.resume(&self.facts, &self.plan);
        self.pursue(id, finding, now);
    }

    /// Whether a case waits for another one from which it will learn: who doesn't exist, or how large requests may be.
    pub(super) fn follows_another(&mut self, id: u64) -> bool {
        let Some(case) = self.cases.get(&id) else { return false };
        let size = case.refused_size();
        let is_long =
            case.is_dense() || self.facts.users.is_plausible(size) || (case.refusal.is_trouble && size > 1);
        if case.stage != Stage::Search || !is_long || case.names_users() {
            return false;
        }
        *self.leading.get_or_insert(id) != id
    }

    /// A value was accepted: what waited for that goes on.
    pub(super) fn release(&mut self, group: u32, now: Instant) {
        if self.looking.remove(&group).is_some() {
            self.release_waiting(group, now);
        }
        if self.cases.is_empty() {
            return;
        }
        self.resume_cases(Stage::AwaitsAnyone, now);
        let plan = Arc::clone(&self.plan);
        let attribute = &plan.attribute(group).name;
        self.begin_if(now, |case| {
            case.stage == Stage::AwaitsAttribute && plan.attribute(case.group).name == *attribute
        });
    }

    pub(super) fn release_waiting(&mut self, group: u32, now: Instant) {
        let Some(Waiting { jobs, cases }) = self.waiting.remove(&group) else { return };
        for job in jobs {
            self.enqueue(job, now);
        }
        for id in cases {
            if self.cases.get(&id).is_some_and(|case| case.stage == Stage::AwaitsGroup) {
                self.look_into(id, now);
            }
        }
    }

    pub(super) fn fail_waiting(&mut self, group: u32, reason: &Reason, now: Instant) {
        let Some(Waiting { jobs, cases }) = self.waiting.remove(&group) else { return };
        for job in jobs {
            if let Task::Update(part) = job.task {
                self.settle(&part, &Outcome::Failed(reason.clone()), job.carried);
            }
        }
        for id in cases {
            if let Some(case) = self.cases.get_mut(&id) {
                let finding = case.fail_all(reason);
                self.pursue(id, finding, now);
            }
        }
    }

    pub(super) fn resume_cases(&mut self, stage: Stage, now: Instant) {
        for id in self.find_cases(|case| case.stage == stage) {
            // One that was resumed may have resumed others.
            if self.cases.get(&id).is_some_and(|case| case.stage == stage) {
                self.look_into(id, now);
            }
        }
    }

    pub(super) fn begin_if(&mut self, now: Instant, awaits: impl Fn(&Case) -> bool) {
        for id in self.find_cases(&awaits) {
            if self.cases.get(&id).is_some_and(&awaits) {
                self.begin(id, now);
            }
        }
    }

    /// The cases of which this holds, in the order in which they were opened.
    pub(super) fn find_cases(&self, of: impl Fn(&Case) -> bool) -> Vec<u64> {
        let mut ids: Vec<u64> = self.cases.iter().filter(|(_, case)| of(case)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Nothing else is left to do: one of the cases that wait is looked into.
    pub(super) fn resume_a_case(&mut self, now: Instant) -> bool {
        let waits = |case: &Case| {
            matches!(case.stage, Stage::AwaitsAnyone | Stage::AwaitsAttribute | Stage::AwaitsCase)
        };
        let Some(id) = self.find_cases(waits).first().copied() else { return false };
        if self.case(id).stage == Stage::AwaitsCase {
            self.leading = None;
            self.resume(id, now);
        } else {
            self.begin(id, now);
        }
        true
    }

    pub(super) fn add_case(&mut self, case: Case) -> u64 {
        self.jobs += 1;
        self.cases.insert(self.jobs, case);
        self.jobs
    }

    pub(super) fn case(&mut self, id: u64) -> &mut Case {
        self.cases.get_mut(&id).expect("a case lives until it is done")
    }

    pub(super) fn reason(&mut self, id: u64) -> Reason {
        self.case(id).refusal.reason.clone()
    }
}
