//! What follows from each piece of evidence.

use std::ops::Range;

use super::{Candidate, Case, Check, Evidence, Finding, Question, Refusal, Stage, length};
use crate::deliver::event::{Outcome, Reason};
use crate::deliver::facts::{Facts, Offender};
use crate::deliver::hint::Hint;
use crate::deliver::search::{Found, Side};
use crate::plan::Plan;

/// Refusals in a row, while nobody has got the value, after which single users are asked for. One unknown user makes two
/// in a row in a quarter of all cases; a bad value always does.
const TURNS: u32 = 2;

/// Users that a GET didn't find before the value is no longer tested, as the batch seems to hold nobody who exists.
const MOST_TESTS: u32 = 4;

/// The same where refusals come by chance: at 3 in 100, one user in a million is refused four times in a row.
const ALONE_WITH_CHANCE: u32 = 4;

/// How many times a user must be refused alone, when its value is fine and nothing else is known of it.
const ALONE: u32 = 2;

/// Users refused alone that condemn a value where the API can't tell who exists.
const WITHOUT_EXISTENCE: usize = 5;

impl Case {
    /// Learns from the answer to the last question.
    pub(in crate::deliver) fn answer(
        &mut self,
        evidence: Evidence,
        facts: &mut Facts,
        plan: &Plan,
    ) -> Finding {
        let Some(question) = self.asked.take() else { return Finding::Nothing };
        match (question, evidence) {
            (Question::Address, Evidence::Exists(Some(false))) => Finding::WrongAddress,
            (Question::Address, _) => {
                facts.address_exists = true;
                self.look_into(facts, plan)
            }
            (Question::Key, Evidence::Exists(Some(_))) => self.look_into(facts, plan),
            (Question::Key, _) => Finding::KeyRefused,
            (Question::Exists(position), Evidence::Exists(exists)) => {
                self.exists(position, exists, facts, plan)
            }
            (Question::Update(part), Evidence::Accepted) => self.accepted(&part, facts, plan),
            (Question::Update(part), Evidence::Refused(refusal)) => self.refused(&part, refusal, facts, plan),
            (Question::Exists(_) | Question::Update(_), _) => Finding::Nothing,
        }
    }

    fn accepted(&mut self, part: &Range<u32>, facts: &mut Facts, plan: &Plan) -> Finding {
        let users = self.range(part).to_vec();
        self.settle(&users, &Outcome::Acknowledged);
        let again = self.stage == Stage::Again;
        self.stage = Stage::Search;
        if again || self.check.take().is_some_and(|check| check.alone > 0) {
            facts.add_chance(&self.refusal.class);
        }
        let was_sole = self.witnesses.contains(&part.start) && part.len() == 1;
        self.witnesses.retain(|position| *position != part.start || part.len() > 1);
        let found = if was_sole { Found::Nothing } else { self.search.accepted(part) };
        if found == Found::Contradiction && !again {
            // It was never its users: the size, if nothing as large was ever accepted, or chance.
            if facts.users.is_plausible(self.refused)
                && self.refused > length(&users)
                && !self.refusal.is_trouble
            {
                facts.users.refuse(self.refused);
            } else {
                facts.add_chance(&self.refusal.class);
            }
        }
        self.refused_in_a_row = 0;
        // The value is fine. Whoever was refused alone with it is asked for again.
        self.check = self.witnesses.pop().map(Check::again);
        self.go_on(facts, plan)
    }

    fn refused(&mut self, part: &Range<u32>, refusal: Refusal, facts: &mut Facts, plan: &Plan) -> Finding {
        let was_again = std::mem::replace(&mut self.stage, Stage::Search) == Stage::Again;
        let len = part.end - part.start;
        self.refusal = refusal;
        self.refused = self.refused.min(len);
        if let Some(reason) = facts.condemned(self.group, plan).cloned() {
            return self.fail_all(&reason);
        }
        if self.together {
            let users = self.range(part).to_vec();
            for user in &users {
                facts.add_offender(plan.user_number(self.group, user.place), Offender::Unknown);
            }
            facts.confirm(&self.refusal.class);
            self.fail(&users);
            self.search.accepted(part);
            return Finding::Nothing;
        }
        if len == 1 {
            let check = match self.check.take() {
                Some(check) if check.position == part.start => Check { alone: check.alone + 1, ..check },
                _ => self.check_of(part.start, facts, plan),
            };
            self.check = Some(check);
            return self.go_on(facts, plan);
        }
        if self.take_named(part) {
            return Finding::Nothing;
        }
        let is_accepted = facts.is_accepted(self.group);
        if !was_again {
            let is_size = match self.refusal.hint {
                Hint::Size(_) => facts.users.is_plausible(len),
                Hint::Nothing => facts.users.explains(len) && !self.refusal.is_trouble,
                _ => false,
            };
            if is_size {
                facts.users.refuse(len);
                self.search.clear_suspicion();
                return Finding::Nothing;
            }
            self.search.refused(part);
            self.refused_in_a_row += 1;
        }
        let turns = if self.suspects_value() { 1 } else { TURNS };
        if !is_accepted && self.refused_in_a_row >= turns && self.tests < MOST_TESTS {
            self.search.isolate(Side::First);
        }
        Finding::Nothing
    }

    fn exists(&mut self, position: u32, exists: Option<bool>, facts: &mut Facts, plan: &Plan) -> Finding {
        if exists == Some(true) {
            facts.add_existing(plan.user_number(self.group, self.place(position)));
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
        self.go_on(facts, plan)
    }

    /// Draws the conclusion about the one user who is looked at, if there is enough evidence.
    pub(super) fn go_on(&mut self, facts: &mut Facts, plan: &Plan) -> Finding {
        let Some(Check { position, alone, exists, is_asked }) = self.check else { return Finding::Nothing };
        let user = plan.user_number(self.group, self.place(position));
        let is_accepted = facts.is_accepted(self.group);
        let group_is_user = plan.group_len(self.group) == 1;
        let trusted = facts.trusts(&self.refusal.class) && self.refusal.is_structured;
        if exists == Some(false) {
            facts.add_offender(user, Offender::Unknown);
            facts.confirm(&self.refusal.class);
            self.tests += 1;
            let reason = &mut self.refusal.reason;
            if alone == 0 {
                *reason = Reason { status: reason.status, error: no_such_user(&reason.error) };
            }
            self.drop_user(position);
            self.test_value(facts);
            return Finding::Nothing;
        }
        if is_accepted || group_is_user || self.singly {
            // Trouble comes here only after all tries of a request for this user alone.
            let enough = match (trusted || self.refusal.is_trouble, facts.are_chances_seen()) {
                (true, _) => 1,
                (false, false) => ALONE,
                (false, true) => ALONE_WITH_CHANCE,
            };
            if alone >= enough {
                facts.confirm(&self.refusal.class);
                if !group_is_user {
                    facts.add_offender(user, Offender::Refused);
                }
                self.drop_user(position);
            }
            return Finding::Nothing;
        }
        let is_too_large = matches!(self.refusal.hint, Hint::Size(_));
        let is_witness = exists == Some(true) || is_asked || self.refusal.is_trouble || is_too_large;
        if alone == 0 || !is_witness {
            return Finding::Nothing;
        }
        let is_last = self.search.rest().flatten().all(|other| other == position) && self.present.is_empty();
        if is_last && self.witnesses.is_empty() && alone < 2 && !is_too_large {
            return Finding::Nothing;
        }
        self.check = None;
        self.search.found(position);
        self.witnesses.push(position);
        self.tests += 1;
        let enough = match exists {
            _ if is_too_large => 1,
            Some(true) if self.suspects_value() && self.refusal.is_structured => 1,
            Some(true) => 2,
            _ if self.refusal.is_trouble => 2,
            _ => WITHOUT_EXISTENCE,
        };
        if is_too_large {
            facts.size_is_no_matter = true;
        }
        if self.witnesses.len() >= enough || is_last {
            return self.condemn(facts, plan);
        }
        self.search.isolate(Side::Last);
        Finding::Nothing
    }

    /// Asks for a single user next, if the value is still in doubt.
    fn test_value(&mut self, facts: &Facts) {
        if !facts.is_accepted(self.group)
            && self.tests < MOST_TESTS
            && !self.search.is_dense()
            && !self.singly
        {
            self.search.isolate(if self.tests % 2 == 1 { Side::Last } else { Side::First });
        }
    }

    /// The value fails for all of the group, or the attribute for all values.
    pub(super) fn condemn(&mut self, facts: &mut Facts, plan: &Plan) -> Finding {
        let reason = self.refusal.reason.clone();
        facts.confirm(&self.refusal.class);
        if plan.group_len(self.group) > self.opened_with {
            facts.condemn_group(self.group, &reason);
        }
        facts.show_refused(self.group, &self.refusal.class, plan);
        self.fail_all(&reason);
        let is_attribute =
            self.refusal.hint == Hint::Attribute && !facts.attribute_is_accepted(self.group, plan);
        if is_attribute { Finding::Attribute(reason) } else { Finding::Group(reason) }
    }

    /// Takes users whom the server names out, so that the others go as one request. False where it names nobody new.
    pub(super) fn take_named(&mut self, part: &Range<u32>) -> bool {
        let Hint::Users(places) = &self.refusal.hint else { return false };
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
        self.refused_in_a_row = 0;
        true
    }

    fn drop_user(&mut self, position: u32) {
        self.check = None;
        let user = self.users[position as usize];
        self.fail(&[user]);
        self.search.found(position);
    }

    fn fail(&mut self, users: &[Candidate]) {
        let outcome = Outcome::Failed(self.refusal.reason.clone());
        self.settle(users, &outcome);
    }

    pub(super) fn check_of(&self, position: u32, facts: &mut Facts, plan: &Plan) -> Check {
        let exists = self.is_known(position, facts, plan);
        Check { position, alone: 1, exists: exists.then_some(true), is_asked: exists }
    }

    /// Whether a user is known to exist.
    pub(super) fn is_known(&self, position: u32, facts: &mut Facts, plan: &Plan) -> bool {
        facts.exists(plan.user_number(self.group, self.place(position)), plan)
    }
}

fn no_such_user(error: &str) -> String {
    format!("{error} (the API knows no such user)")
}
