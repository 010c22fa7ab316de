//! Starts diagnoses, lets them wait for each other, and applies what they find.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::info;

use super::pending_request::{PendingRequest, Task};
use super::{Core, WaitingForGroup};
use crate::deliver::diagnosis::{Diagnosis, Evidence, Finding, Question, Rejection, Stage};
use crate::deliver::event::{Outcome, Purpose, Stop};
use crate::deliver::knowledge::GROUPS;
use crate::deliver::suggested_cause::SuggestedCause;
use crate::deliver::user_set::UserSet;
use crate::deliver::verdict::Reason;

impl Core {
    /// Starts a diagnosis for users that were rejected together.
    pub(super) fn open(&mut self, users: &UserSet, carried: u32, rejection: Rejection, now: Instant) {
        let id = self.add_diagnosis(Diagnosis::new(users, carried, rejection));
        let diagnosis = self.diagnosis(id);
        let names_users = matches!(diagnosis.rejection.suggested, SuggestedCause::Users(_));
        let is_404 = diagnosis.rejection.reason.status == Some(404);
        // Whether a 404 is for its users is found out one by one, because waiting shows nothing of it.
        let asks = is_404 && (!self.knowledge.address_exists || self.is_idle(id));
        let tells_more = self.knowledge.proven || names_users || asks;
        if !tells_more {
            // Two batches of a group are enough to wait with it.
            let of_group = self.find_diagnoses(|diagnosis| {
                diagnosis.group == users.group && diagnosis.stage == Stage::AwaitsAcknowledgement
            });
            if let Some(first) = of_group.first() {
                self.group_diagnosis.entry(users.group).or_insert(*first);
            }
            self.diagnosis(id).stage = Stage::AwaitsAcknowledgement;
            return;
        }
        self.look_into(id, now);
    }

    /// Continues a diagnosis, unless the attribute is likely to be the cause.
    pub(super) fn look_into(&mut self, id: u64, now: Instant) {
        let Some(diagnosis) = self.diagnoses.get(&id) else { return };
        let (group, pattern) = (diagnosis.group, diagnosis.rejection.pattern.clone());
        let names_a_cause = matches!(
            diagnosis.rejection.suggested,
            SuggestedCause::Value | SuggestedCause::Users(_) | SuggestedCause::Size(_)
        );
        let is_404 = diagnosis.rejection.reason.status == Some(404);
        let is_next = is_404 && self.is_idle(id);
        if !names_a_cause && !is_next && self.knowledge.rejected_because(group, &self.plan).is_none() {
            let alike = self.knowledge.rejected_of_attribute(group, &pattern, &self.plan);
            if alike > 1 {
                self.diagnosis(id).stage = Stage::AwaitsAttribute;
                self.judge_attributes(now);
                return;
            }
        }
        self.begin(id, now);
    }

    /// Whether no diagnosis but this one asks anything.
    fn is_idle(&self, id: u64) -> bool {
        self.diagnoses.iter().all(|(other, diagnosis)| *other == id || diagnosis.stage.awaits())
    }

    /// Fails attributes with many groups that were rejected with the same message, if it was confirmed that the cause
    /// is not their users.
    pub(super) fn judge_attributes(&mut self, now: Instant) {
        if self.account.is_some() {
            return;
        }
        let is_rejected = |diagnosis: &&Diagnosis| {
            diagnosis.stage == Stage::AwaitsAttribute
                && self.knowledge.is_attribute_rejected(
                    diagnosis.group,
                    &diagnosis.rejection.pattern,
                    &self.plan,
                )
        };
        if let Some(diagnosis) = self.diagnoses.values().find(is_rejected) {
            let (group, reason) = (diagnosis.group, diagnosis.rejection.reason.clone());
            self.fail_attribute(group, &reason, now);
        }
    }

    fn fail_attribute(&mut self, group: u32, reason: &Reason, now: Instant) {
        let plan = Arc::clone(&self.plan);
        let attribute = &plan.attribute(group).name;
        info!(attribute, "the attribute is refused");
        self.knowledge.reject_attribute(group, reason, &plan);
        let groups: Vec<u32> =
            self.waiting.keys().copied().filter(|group| plan.attribute(*group).name == *attribute).collect();
        for group in groups {
            self.fail_waiting(group, reason, now);
        }
        self.begin_if(now, |diagnosis| {
            diagnosis.stage == Stage::AwaitsAttribute && plan.attribute(diagnosis.group).name == *attribute
        });
    }

    pub(super) fn begin(&mut self, id: u64, now: Instant) {
        let Some(diagnosis) = self.diagnoses.get_mut(&id) else { return };
        let group = diagnosis.group;
        if !self.knowledge.is_accepted(group) && self.knowledge.rejected_because(group, &self.plan).is_none()
        {
            if self.group_diagnosis.get(&group).is_some_and(|other| *other != id) {
                diagnosis.stage = Stage::AwaitsGroup;
                self.waiting.entry(group).or_default().diagnoses.push(id);
                return;
            }
            self.group_diagnosis.insert(group, id);
        }
        let (plan, knowledge) = (Arc::clone(&self.plan), &mut self.knowledge);
        let finding = diagnosis.begin(knowledge, &plan);
        self.apply_finding(id, finding, now);
    }

    pub(super) fn add_evidence(&mut self, id: u64, evidence: Evidence, now: Instant) {
        let (plan, knowledge) = (Arc::clone(&self.plan), &mut self.knowledge);
        let Some(diagnosis) = self.diagnoses.get_mut(&id) else { return };
        let finding = diagnosis.answer(evidence, knowledge, &plan);
        self.apply_finding(id, finding, now);
    }

    /// Applies what a diagnosis found, and queues its next question.
    pub(super) fn apply_finding(&mut self, id: u64, finding: Finding, now: Instant) {
        let settled: Vec<_> = self.diagnosis(id).drain().collect();
        for finished in settled {
            self.finish_users(&finished.users, &finished.outcome, finished.attempts);
        }
        let group = self.diagnosis(id).group;
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
                let rejection = self.diagnosis(id).rejection.clone();
                if reason.status == Some(404) && self.knowledge.is_streak(group, &rejection.pattern, GROUPS) {
                    self.suspect_account(group, &rejection);
                }
                self.fail_waiting(group, &reason, now);
                self.judge_attributes(now);
            }
        }
        if self.follows_another(id) {
            self.diagnosis(id).stage = Stage::AwaitsDiagnosis;
            return;
        }
        let most = self.knowledge.users.size().unwrap_or(u32::MAX);
        let (plan, knowledge) = (Arc::clone(&self.plan), &mut self.knowledge);
        let Some(diagnosis) = self.diagnoses.get_mut(&id) else { return };
        if let Some(question) = diagnosis.ask(most, knowledge, &plan) {
            let purpose = match question {
                Question::Update(_) => Purpose::Split,
                _ => Purpose::Check,
            };
            self.enqueue(PendingRequest::new(Task::Ask { diagnosis: id, question }, purpose), now);
        } else if diagnosis.stage == Stage::Search {
            self.diagnoses.remove(&id);
            if self.group_diagnosis.get(&group) == Some(&id) {
                self.group_diagnosis.remove(&group);
                self.release_waiting(group, now);
            }
            if self.long_search == Some(id) {
                self.long_search = None;
                for id in self.find_diagnoses(|diagnosis| diagnosis.stage == Stage::AwaitsDiagnosis) {
                    self.resume(id, now);
                }
            }
        }
    }

    pub(super) fn resume(&mut self, id: u64, now: Instant) {
        let Some(diagnosis) =
            self.diagnoses.get_mut(&id).filter(|diagnosis| diagnosis.stage == Stage::AwaitsDiagnosis)
        else {
            return;
        };
        let finding = diagnosis.resume(&self.knowledge, &self.plan);
        self.apply_finding(id, finding, now);
    }

    /// Whether a diagnosis waits for another one, which will show which users don't exist or how large requests may be.
    pub(super) fn follows_another(&mut self, id: u64) -> bool {
        let Some(diagnosis) = self.diagnoses.get(&id) else { return false };
        let size = diagnosis.rejected_size();
        let is_long = diagnosis.is_dense()
            || self.knowledge.users.is_plausible(size)
            || (diagnosis.rejection.is_trouble && size > 1);
        if diagnosis.stage != Stage::Search || !is_long || diagnosis.names_users() {
            return false;
        }
        *self.long_search.get_or_insert(id) != id
    }

    /// A value was accepted: continues what waited for that.
    pub(super) fn release(&mut self, group: u32, now: Instant) {
        if self.group_diagnosis.remove(&group).is_some() {
            self.release_waiting(group, now);
        }
        if self.diagnoses.is_empty() {
            return;
        }
        self.resume_diagnoses(Stage::AwaitsAcknowledgement, now);
        let plan = Arc::clone(&self.plan);
        let attribute = &plan.attribute(group).name;
        self.begin_if(now, |diagnosis| {
            diagnosis.stage == Stage::AwaitsAttribute && plan.attribute(diagnosis.group).name == *attribute
        });
    }

    pub(super) fn release_waiting(&mut self, group: u32, now: Instant) {
        let Some(WaitingForGroup { requests, diagnoses }) = self.waiting.remove(&group) else { return };
        for request in requests {
            self.enqueue(request, now);
        }
        for id in diagnoses {
            if self.diagnoses.get(&id).is_some_and(|diagnosis| diagnosis.stage == Stage::AwaitsGroup) {
                self.look_into(id, now);
            }
        }
    }

    pub(super) fn fail_waiting(&mut self, group: u32, reason: &Reason, now: Instant) {
        let Some(WaitingForGroup { requests, diagnoses }) = self.waiting.remove(&group) else { return };
        for request in requests {
            if let Task::Update(users) = request.task {
                self.finish_users(&users, &Outcome::Failed(reason.clone()), request.carried);
            }
        }
        for id in diagnoses {
            if let Some(diagnosis) = self.diagnoses.get_mut(&id) {
                let finding = diagnosis.fail_all(reason);
                self.apply_finding(id, finding, now);
            }
        }
    }

    pub(super) fn resume_diagnoses(&mut self, stage: Stage, now: Instant) {
        for id in self.find_diagnoses(|diagnosis| diagnosis.stage == stage) {
            // One that was resumed may have resumed others.
            if self.diagnoses.get(&id).is_some_and(|diagnosis| diagnosis.stage == stage) {
                self.look_into(id, now);
            }
        }
    }

    pub(super) fn begin_if(&mut self, now: Instant, awaits: impl Fn(&Diagnosis) -> bool) {
        for id in self.find_diagnoses(&awaits) {
            if self.diagnoses.get(&id).is_some_and(&awaits) {
                self.begin(id, now);
            }
        }
    }

    /// The matching diagnoses, in the order in which they were started.
    pub(super) fn find_diagnoses(&self, of: impl Fn(&Diagnosis) -> bool) -> Vec<u64> {
        let mut ids: Vec<u64> =
            self.diagnoses.iter().filter(|(_, diagnosis)| of(diagnosis)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Continues one of the waiting diagnoses, when nothing else is left to do.
    pub(super) fn resume_a_diagnosis(&mut self, now: Instant) -> bool {
        let waits = |diagnosis: &Diagnosis| {
            matches!(
                diagnosis.stage,
                Stage::AwaitsAcknowledgement | Stage::AwaitsAttribute | Stage::AwaitsDiagnosis
            )
        };
        let Some(id) = self.find_diagnoses(waits).first().copied() else { return false };
        if self.diagnosis(id).stage == Stage::AwaitsDiagnosis {
            self.long_search = None;
            self.resume(id, now);
        } else {
            self.begin(id, now);
        }
        true
    }

    pub(super) fn add_diagnosis(&mut self, diagnosis: Diagnosis) -> u64 {
        self.requests += 1;
        self.diagnoses.insert(self.requests, diagnosis);
        self.requests
    }

    pub(super) fn diagnosis(&mut self, id: u64) -> &mut Diagnosis {
        self.diagnoses.get_mut(&id).expect("a diagnosis lives until it is done")
    }

    pub(super) fn reason(&mut self, id: u64) -> Reason {
        self.diagnosis(id).rejection.reason.clone()
    }
}
