//! Sends and reads back the rows of the canary before all others.

use std::collections::{BTreeSet, VecDeque};

use tokio::time::Instant;
use tracing::info;

use super::Core;
use super::pending_request::{PendingRequest, Task};
use crate::deliver::backoff::bound;
use crate::deliver::canary::{Canary, failure};
use crate::deliver::event::{CanaryFailure, Event, Outcome, Purpose, Stop};
use crate::deliver::read_back::{PlanRow, ReadBack, Verified};
use crate::deliver::user_set::UserSet;
use crate::deliver::verdict::Reason;
use crate::plan::{Batch, Plan};

/// How far the canary is.
#[derive(Debug)]
pub(super) struct CanaryRun {
    canary: Canary,
    stage: Stage,
    /// Its rows that are acknowledged, until they are read back. If the run ends before, they have to be tested again, so they
    /// must not be recorded as done.
    held: Vec<Event>,
    /// What was found when all of its rows were read back.
    verified: Option<Verified>,
}

#[derive(Debug)]
enum Stage {
    /// These requests are to be sent.
    Sending(VecDeque<UserSet>),
    /// Its rows are acknowledged, and are read back.
    Reading {
        /// How often users were read whose values differed.
        times: u32,
        /// How many rows agree, of users that are not read again.
        agreed: u64,
    },
    /// Its rows are there, or there are none: the others are sent.
    Passed,
}

impl CanaryRun {
    pub(super) fn new(canary: Canary, plan: &Plan) -> Self {
        let batch_size = usize::try_from(plan.batch_size().get()).unwrap_or(usize::MAX);
        let stage = if canary.is_empty() {
            Stage::Passed
        } else {
            Stage::Sending(canary.requests(batch_size).collect())
        };
        Self { canary, stage, held: Vec::new(), verified: None }
    }

    /// Whether no row outside of it may be sent yet.
    pub(super) fn is_first(&self) -> bool {
        !matches!(self.stage, Stage::Passed)
    }

    /// Whether a row is one of its own.
    pub(super) fn has(&self, group: u32, place: u32) -> bool {
        self.canary.has(group, place)
    }

    /// The users of a batch that it has not sent.
    pub(super) fn others(&self, batch: Batch) -> Option<UserSet> {
        self.canary.others(batch)
    }

    /// The next request that it sends.
    pub(super) fn next(&self) -> Option<&UserSet> {
        match &self.stage {
            Stage::Sending(requests) => requests.front(),
            Stage::Reading { .. } | Stage::Passed => None,
        }
    }

    /// Holds back that rows are acknowledged.
    pub(super) fn hold(&mut self, finished: Event) {
        self.held.push(finished);
    }

    /// What was found, once.
    pub(super) fn take_verified(&mut self) -> Option<Verified> {
        self.verified.take()
    }
}

impl Core {
    /// The next request of the canary. When all is read back and agrees, there is none, and the other rows follow.
    pub(super) fn claim_canary(&mut self, now: Instant) -> Option<PendingRequest> {
        loop {
            if let Some(users) = self.canary.next() {
                let phase = self.plan.phase(Batch { group: users.group, first: users.first(), len: 1 });
                if phase != self.phase && self.outstanding() > 0 {
                    return None;
                }
                self.phase = phase;
            }
            match &mut self.canary.stage {
                Stage::Passed => return None,
                Stage::Sending(requests) => {
                    if let Some(users) = requests.pop_front() {
                        return Some(PendingRequest::new(Task::Update(users), Purpose::First));
                    }
                    if self.outstanding() > 0 || self.stop.is_some() {
                        return None;
                    }
                    self.read_back = Some(ReadBack::one_by_one(self.canary.canary.rows(), &self.plan));
                    self.canary.stage = Stage::Reading { times: 0, agreed: 0 };
                }
                Stage::Reading { times, agreed } => {
                    let (times, agreed) = (*times, *agreed);
                    if let Some(request) = self.claim_question() {
                        return Some(request);
                    }
                    if self.outstanding() > 0 {
                        return None;
                    }
                    self.judge_canary(times, agreed, now);
                    if self.stop.is_some() {
                        return None;
                    }
                }
            }
        }
    }

    /// All rows of the canary are read back, as far as they can be. Where they differ, the API may only be late.
    fn judge_canary(&mut self, times: u32, agreed: u64, now: Instant) {
        let Some(read_back) = self.read_back.take() else { return };
        let found = read_back.into_verified(None);
        let is_last = times + 1 >= self.options.max_attempts.get();
        if found.differing > 0 && found.checked == found.asked && !is_last {
            return self.read_canary_again(&found, times + 1, agreed, now);
        }
        let (asked, checked) = (self.canary.canary.rows().len() as u64, agreed + found.checked);
        let verified = Verified { asked, checked, ..found };
        if let Some(failure) = failure(&verified) {
            self.stop_with(Stop::Canary(failure));
        } else {
            self.canary.stage = Stage::Passed;
            self.events.append(&mut self.canary.held);
            self.skip_canary();
        }
        self.canary.verified = Some(verified);
    }

    /// Reads the users again whose values differ, after a wait.
    fn read_canary_again(&mut self, found: &Verified, times: u32, agreed: u64, now: Instant) {
        let user = |row: &PlanRow| self.plan.user_number(row.group, row.place);
        let users: BTreeSet<u64> = found.differing_rows.iter().map(user).collect();
        let rows = self.canary.canary.rows().iter().filter(|row| users.contains(&user(row)));
        let rows: Vec<PlanRow> = rows.copied().collect();
        let wait = bound(&self.options, times);
        info!(
            rows = found.differing,
            wait_seconds = wait.as_secs_f64(),
            "the first users differ: reading again"
        );
        let mut read_back = ReadBack::one_by_one(&rows, &self.plan);
        while let Some(question) = read_back.next() {
            self.enqueue(PendingRequest::new(Task::ReadBack(question), Purpose::ReadBack), now + wait);
        }
        self.read_back = Some(read_back);
        let agreed = agreed + found.asked - rows.len() as u64;
        self.canary.stage = Stage::Reading { times, agreed };
    }

    /// Finishes the acknowledged rows of a canary that was not passed. Where all were read back, it is known which of them
    /// differ; else none was tested.
    pub(super) fn release_canary(&mut self) {
        let is_tested = matches!(&self.stop, Some(Stop::Canary(CanaryFailure::Differs { .. })));
        for held in std::mem::take(&mut self.canary.held) {
            self.events.push(match held {
                Event::Finished { batch, attempts, .. } if !is_tested => {
                    let error = "acknowledged, but not read back: it is sent and read again".to_owned();
                    let outcome = Outcome::Unsent(Reason { status: None, error });
                    Event::Finished { batch, outcome, attempts }
                }
                held => held,
            });
        }
    }

    /// A row of the canary that the API does not accept ends the run.
    pub(super) fn finish_of_canary(&mut self, outcome: &Outcome) {
        if let (Outcome::Failed(reason), true) = (outcome, self.canary.is_first()) {
            self.stop_with(Stop::Canary(CanaryFailure::NotAccepted(reason.clone())));
        }
    }

    /// Goes on to the next batch of which the canary has not sent all rows.
    pub(super) fn skip_canary(&mut self) {
        while let Some(batch) = self.next
            && self.canary.others(batch).is_none()
        {
            self.next = self.cursor.next(&self.plan);
        }
    }
}
