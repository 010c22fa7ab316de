//! Draws conclusions from the answers to a diagnosis.

use std::ops::Range;

use super::{Candidate, Check, Diagnosis, Evidence, Finding, Question, Rejection, Stage, length};
use crate::deliver::event::Outcome;
use crate::deliver::knowledge::{Knowledge, Offender};
use crate::deliver::search::{Found, Side};
use crate::deliver::suggested_cause::SuggestedCause;
use crate::deliver::verdict::Reason;
use crate::plan::Plan;

/// After this many rejections in a row, while no user got the value, single users are sent to test the value. A bad value
/// always leads to two in a row, and a single unknown user to two only in a quarter of all cases.
const TURNS: u32 = 2;

/// After this many users that don't exist, the value is no longer tested: it seems that no user of the batch exists, and
/// each further test would cost two requests.
const MOST_TESTS: u32 = 4;

/// The same where requests are rejected at random: if 3 in 100 are, one user in a million is rejected four times in a row.
const ALONE_WITH_CHANCE: u32 = 4;

/// How many times a user must be rejected alone before it fails, if its value is accepted for others. Once may be chance.
const ALONE: u32 = 2;

/// Among so few users the first and the last of a request are often at fault without the value.
const FEW_USERS: u32 = 16;

/// How many users must be rejected alone before a value fails, if the API doesn't tell which users exist, or fails for them
/// instead of rejecting them, or if their batch has no others. Up to four of them may well be unknown, see [`MOST_TESTS`].
const WITHOUT_EXISTENCE: usize = 5;

impl Diagnosis {
    /// Learns from the answer to the last question.
    pub(in crate::deliver) fn answer(
        &mut self,
        evidence: Evidence,
        knowledge: &mut Knowledge,
        plan: &Plan,
    ) -> Finding {
        let Some(question) = self.asked.take() else { return Finding::Nothing };
        match (question, evidence) {
            (Question::Address, Evidence::Exists(Some(false))) => Finding::WrongAddress,
            (Question::Address, _) => {
                knowledge.address_exists = true;
                self.look_into(knowledge, plan)
            }
            (Question::Key, Evidence::Exists(Some(_))) => self.look_into(knowledge, plan),
            (Question::Key, _) => Finding::KeyRefused,
            (Question::Exists(position), Evidence::Exists(exists)) => {
                self.exists(position, exists, knowledge, plan)
            }
            (Question::Update(part), Evidence::Accepted) => self.accepted(&part, knowledge, plan),
            (Question::Update(part), Evidence::Rejected(rejection)) => {
                self.rejected(&part, rejection, knowledge, plan)
            }
            (Question::Exists(_) | Question::Update(_), _) => Finding::Nothing,
        }
    }

    fn accepted(&mut self, part: &Range<u32>, knowledge: &mut Knowledge, plan: &Plan) -> Finding {
        let users = self.range(part).to_vec();
        self.finish_users(&users, &Outcome::Acknowledged);
        let again = self.stage == Stage::Again;
        self.stage = Stage::Search;
        if again || self.check.take().is_some_and(|check| check.alone > 0) {
            knowledge.add_random_rejection(&self.rejection.pattern);
        }
        if self.search.accepted(part) == Found::Contradiction && !again {
            // It was never its users: the size, if nothing as large was ever accepted, or chance.
            if knowledge.users.is_plausible(self.rejected) && !self.rejection.is_trouble {
                knowledge.users.reject(self.rejected);
            } else {
                knowledge.add_random_rejection(&self.rejection.pattern);
            }
        }
        self.rejected_in_a_row = 0;
        // The value is fine, so the users that were rejected alone with it are tested again.
        self.check = self.rejected_alone.pop().map(Check::again);
        self.go_on(knowledge, plan)
    }

    fn rejected(
        &mut self,
        part: &Range<u32>,
        rejection: Rejection,
        knowledge: &mut Knowledge,
        plan: &Plan,
    ) -> Finding {
        let was_again = std::mem::replace(&mut self.stage, Stage::Search) == Stage::Again;
        let len = part.end - part.start;
        self.rejection = rejection;
        self.rejected = self.rejected.min(len);
        if let Some(reason) = knowledge.rejected_because(self.group, plan).cloned() {
            return self.fail_all(&reason);
        }
        if self.together {
            let users = self.range(part).to_vec();
            for user in &users {
                knowledge.add_offender(plan.user_number(self.group, user.place), Offender::Unknown);
            }
            knowledge.confirm(&self.rejection.pattern);
            self.finish_users(&users, &Outcome::Failed(self.rejection.reason.clone()));
            self.search.accepted(part);
            return Finding::Nothing;
        }
        if len == 1 {
            let check = match self.check.take() {
                Some(check) if check.position == part.start => Check { alone: check.alone + 1, ..check },
                _ => self.check_of(part.start, knowledge, plan),
            };
            self.check = Some(check);
            return self.go_on(knowledge, plan);
        }
        if self.take_named(part) {
            return Finding::Nothing;
        }
        let is_accepted = knowledge.is_accepted(self.group);
        if !was_again {
            let is_size = match self.rejection.suggested {
                SuggestedCause::Size(_) => knowledge.users.is_plausible(len),
                SuggestedCause::Nothing => knowledge.users.explains(len) && !self.rejection.is_trouble,
                _ => false,
            };
            if is_size {
                knowledge.users.reject(len);
                self.search.clear_suspicion();
                return Finding::Nothing;
            }
            if self.doubts >= self.most_doubts() && !is_accepted {
                return self.reject_value(knowledge, plan);
            }
            self.search.rejected(part);
            self.rejected_in_a_row += 1;
        }
        let turns = if self.suspects_value() || self.doubts > 0 { 1 } else { TURNS };
        if !is_accepted && self.rejected_in_a_row >= turns && self.tests < MOST_TESTS {
            self.search.isolate(Side::First);
        }
        Finding::Nothing
    }

    fn exists(
        &mut self,
        position: u32,
        exists: Option<bool>,
        knowledge: &mut Knowledge,
        plan: &Plan,
    ) -> Finding {
        if exists == Some(true) {
            knowledge.add_existing(plan.user_number(self.group, self.place(position)));
        }
        match &mut self.check {
            Some(check) => {
                check.exists = exists;
                check.is_asked = true;
            }
            None if exists == Some(true) && self.search.is_dense() => {
                // It goes with all others who exist.
                self.search.accepted(&(position..position + 1));
                self.present.push(self.users[position as usize]);
                return Finding::Nothing;
            }
            None => self.check = Some(Check { position, alone: 0, exists, is_asked: true }),
        }
        self.go_on(knowledge, plan)
    }

    /// Draws the conclusion about the one user who is looked at, if there is enough evidence.
    pub(super) fn go_on(&mut self, knowledge: &mut Knowledge, plan: &Plan) -> Finding {
        let Some(Check { position, alone, exists, is_asked }) = self.check else { return Finding::Nothing };
        let user = plan.user_number(self.group, self.place(position));
        let is_accepted = knowledge.is_accepted(self.group);
        let group_is_user = plan.group_len(self.group) == 1;
        let trusted = knowledge.trusts(&self.rejection.pattern) && self.rejection.is_structured;
        if exists == Some(false) {
            knowledge.add_offender(user, Offender::Unknown);
            knowledge.confirm(&self.rejection.pattern);
            self.tests += 1;
            let reason = self.rejection.reason.clone();
            let error = if alone == 0 { no_such_user(&reason.error) } else { reason.error };
            self.drop_user(position, Reason { error, ..reason });
            self.test_value(knowledge);
            return Finding::Nothing;
        }
        if is_accepted || group_is_user || self.singly {
            // A failure gets here only after all attempts for this user alone.
            let enough = match (trusted || self.rejection.is_trouble, knowledge.rejects_at_random()) {
                (true, _) => 1,
                (false, false) => ALONE,
                (false, true) => ALONE_WITH_CHANCE,
            };
            if alone >= enough {
                knowledge.confirm(&self.rejection.pattern);
                if is_accepted {
                    knowledge.confirm_user(&self.rejection.pattern);
                }
                if !group_is_user {
                    knowledge.add_offender(user, Offender::Rejected);
                }
                let reason = self.rejection.reason.clone();
                self.drop_user(position, reason.clone());
                let is_evidence = exists == Some(true) && !self.singly && self.rejection.is_structured;
                if group_is_user && is_evidence && self.rejection.suggested == SuggestedCause::Attribute {
                    knowledge.show_rejected(self.group, &self.rejection.pattern, plan);
                    return Finding::Group(reason);
                }
            }
            return Finding::Nothing;
        }
        let is_too_large = matches!(self.rejection.suggested, SuggestedCause::Size(_));
        let is_witness = exists == Some(true) || is_asked || self.rejection.is_trouble || is_too_large;
        if alone == 0 || !is_witness {
            return Finding::Nothing;
        }
        let is_last = self.search.rest().flatten().all(|other| other == position) && self.present.is_empty();
        if is_last && self.rejected_alone.is_empty() && alone < 2 && !is_too_large {
            return Finding::Nothing;
        }
        self.check = None;
        self.search.found(position);
        self.rejected_alone.push(position);
        self.tests += 1;
        let is_about_value = self.suspects_value() && !knowledge.was_for_user(&self.rejection.pattern);
        let is_blamed =
            is_too_large || (exists == Some(true) && is_about_value && self.rejection.is_structured);
        let enough = match exists {
            _ if is_blamed => 1,
            Some(true) => 2,
            _ => WITHOUT_EXISTENCE,
        };
        if is_too_large {
            knowledge.size_is_no_matter = true;
            knowledge.users.forget();
        }
        if self.rejected_alone.len() >= enough {
            return if is_blamed {
                self.reject_value(knowledge, plan)
            } else {
                self.doubt_value(knowledge, plan)
            };
        }
        if is_last {
            return self.reject_alone(exists == Some(true), knowledge, plan);
        }
        self.search.isolate(Side::Last);
        Finding::Nothing
    }

    /// Sends all others together, to see whether only the users that were rejected alone are at fault. The value fails if
    /// there are no others, or once they are rejected, too; of few users, two more are sent alone first, and then the others.
    fn doubt_value(&mut self, knowledge: &mut Knowledge, plan: &Plan) -> Finding {
        if self.search.rest().next().is_none() && self.present.is_empty() {
            return self.reject_alone(true, knowledge, plan);
        }
        self.doubts += 1;
        self.go_on_with_others();
        Finding::Nothing
    }

    /// Keeps the users that were rejected alone apart, and continues with all others.
    fn go_on_with_others(&mut self) {
        let mut others = std::mem::take(&mut self.present);
        self.search.rest().for_each(|part| others.extend(self.range(&part)));
        self.rejected_apart += self.rejected_alone.len();
        self.apart.extend(self.rejected_alone.drain(..).map(|position| self.users[position as usize]));
        self.replace_users(others);
    }

    /// All users that were searched were rejected alone. They fail, and so does the value if the group has no other users, or
    /// enough users in all its batches were rejected alone. Users who were left out before are tested first.
    fn reject_alone(&mut self, exists: bool, knowledge: &mut Knowledge, plan: &Plan) -> Finding {
        if !self.named.is_empty() || self.apart.len() > self.rejected_apart {
            self.go_on_with_others();
            return Finding::Nothing;
        }
        let is_whole = plan.group_len(self.group) == self.opened_with;
        let alone = self.rejected_alone.len() + self.rejected_apart;
        if (is_whole && exists) || knowledge.add_rejected_alone(self.group, alone) >= WITHOUT_EXISTENCE {
            return self.reject_value(knowledge, plan);
        }
        let reason = self.rejection.reason.clone();
        self.fail_all(&reason)
    }

    /// How many times others are sent together before the value fails.
    fn most_doubts(&self) -> u32 {
        if self.opened_with <= FEW_USERS { 2 } else { 1 }
    }

    /// Asks for a single user next, if the value is still in doubt.
    fn test_value(&mut self, knowledge: &Knowledge) {
        if !knowledge.is_accepted(self.group)
            && self.tests < MOST_TESTS
            && !self.search.is_dense()
            && !self.singly
        {
            self.search.isolate(if self.tests % 2 == 1 { Side::Last } else { Side::First });
        }
    }

    /// The value fails for all of the group.
    pub(super) fn reject_value(&mut self, knowledge: &mut Knowledge, plan: &Plan) -> Finding {
        let reason = self.rejection.reason.clone();
        knowledge.confirm_value(&self.rejection.pattern);
        if plan.group_len(self.group) > self.opened_with {
            knowledge.reject_group(self.group, &reason);
        }
        knowledge.show_rejected(self.group, &self.rejection.pattern, plan);
        self.fail_all(&reason);
        Finding::Group(reason)
    }

    /// Takes out the users that the server names, so that the others can be sent together. False if it names no new ones.
    pub(super) fn take_named(&mut self, part: &Range<u32>) -> bool {
        let SuggestedCause::Users(places) = &self.rejection.suggested else { return false };
        let named: Vec<u32> =
            part.clone().filter(|at| places.binary_search(&self.users[*at as usize].place).is_ok()).collect();
        if named.is_empty() || length(&self.users) == 1 {
            return false;
        }
        let mut open: Vec<u32> = self.search.rest().flatten().collect();
        open.sort_unstable();
        let (named, others): (Vec<u32>, Vec<u32>) =
            open.into_iter().partition(|at| named.binary_search(at).is_ok());
        let pick = |positions: Vec<u32>| -> Vec<Candidate> {
            positions.into_iter().map(|at| self.users[at as usize]).collect()
        };
        let (named, others) = (pick(named), pick(others));
        self.named.extend(named);
        self.replace_users(others);
        self.rejected_in_a_row = 0;
        true
    }

    /// Whether the message is about the value or the attribute.
    pub(super) fn suspects_value(&self) -> bool {
        matches!(self.rejection.suggested, SuggestedCause::Value | SuggestedCause::Attribute)
    }

    fn drop_user(&mut self, position: u32, reason: Reason) {
        self.check = None;
        let user = self.users[position as usize];
        self.finish_users(&[user], &Outcome::Failed(reason));
        self.search.found(position);
    }

    pub(super) fn check_of(&self, position: u32, knowledge: &mut Knowledge, plan: &Plan) -> Check {
        let exists = self.is_known(position, knowledge, plan);
        Check { position, alone: 1, exists: exists.then_some(true), is_asked: exists }
    }

    /// Whether a user is known to exist.
    pub(super) fn is_known(&self, position: u32, knowledge: &mut Knowledge, plan: &Plan) -> bool {
        knowledge.exists(plan.user_number(self.group, self.place(position)), plan)
    }
}

fn no_such_user(error: &str) -> String {
    format!("{error} (the API knows no such user)")
}
