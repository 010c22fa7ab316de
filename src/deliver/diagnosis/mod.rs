//! Finds out why a request was rejected, and for which users.
//!
//! A [`Diagnosis`] is started for the users of one rejected request. It asks one [`Question`] at a time, each of which is a
//! request, and finishes users as the answers come in, until none is left. Its possible causes are, from the widest to the
//! narrowest: the address, the key, the attribute, the value, the size of the request, some of its users, and chance. The
//! server's message decides which cause is tested first ([`SuggestedCause`]), but no cause is believed until an answer
//! confirms it:
//!
//! - the address: a GET of the operation is not found either;
//! - the key, after a 403: a GET is rejected as well;
//! - the attribute: ten of its values are rejected with the same message, for one of them that is shown not to be for its
//!   users, and none of its values was accepted or is known to be in the account;
//! - the value: it is rejected for each of two existing users alone, and for all others without them;
//! - a user: it is rejected twice when it is alone, and others get the value; or it is rejected and a GET doesn't find it;
//!   or the server names it and accepts all others;
//! - the size: the parts of the request are accepted, and no request as large ever was;
//! - chance: the same request is accepted the second time.
//!
//! What one diagnosis learns is kept in [`Knowledge`] for the next ones: a message whose cause was confirmed once is believed
//! from then on, unless a rejection with the same message turns out to be chance.

mod evidence;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::event::Outcome;
use super::knowledge::{Knowledge, Offender};
use super::search::{Search, Side};
use super::suggested_cause::SuggestedCause;
use super::user_set::UserSet;
use super::verdict::Reason;
use crate::plan::Plan;

/// A rejected request: the answer, and what its message suggests.
#[derive(Clone, Debug)]
pub(super) struct Rejection {
    pub(super) reason: Reason,
    /// The message without the parts that differ from request to request.
    pub(super) pattern: String,
    /// The message is an error about a field, as only the API itself writes it.
    pub(super) is_structured: bool,
    pub(super) suggested: SuggestedCause,
    /// It was not rejected: its attempts failed until none was left.
    pub(super) is_trouble: bool,
}

/// A question, which takes one request to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Is there anything at the operation's address? A GET of it.
    Address,
    /// Does the key work? A GET of any user.
    Key,
    /// A mass update for these positions.
    Update(Range<u32>),
    /// Does this user exist? A GET of it.
    Exists(u32),
}

/// The answer to a question.
#[derive(Debug)]
pub(super) enum Evidence {
    /// The mass update was acknowledged.
    Accepted,
    /// It was rejected.
    Rejected(Rejection),
    /// Whether what the GET asked for is there; `None` where the answer doesn't tell.
    Exists(Option<bool>),
}

/// What a diagnosis does next, or waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits: nothing was acknowledged yet, so it may be the account.
    AwaitsAcknowledgement,
    /// Waits: other values of the attribute were rejected with the same message.
    AwaitsAttribute,
    /// Waits for the diagnosis of another batch with the same value.
    AwaitsGroup,
    /// Waits for a diagnosis with a long search, after which this one will need less of a search.
    AwaitsDiagnosis,
    /// Tests the address.
    Address,
    /// Tests the key.
    Key,
    /// Sends the whole request again.
    Again,
    /// Searches for the users.
    Search,
}

impl Stage {
    /// Whether the diagnosis waits for something else and asks nothing itself.
    pub(super) fn awaits(self) -> bool {
        matches!(
            self,
            Self::AwaitsAcknowledgement | Self::AwaitsAttribute | Self::AwaitsGroup | Self::AwaitsDiagnosis
        )
    }
}

/// What a diagnosis found that concerns more than its own users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing.
    Nothing,
    /// There is no such operation at this address.
    WrongAddress,
    /// The key is rejected.
    KeyRefused,
    /// The value is rejected for all users.
    Group(Reason),
}

/// Users that are finished.
#[derive(Debug)]
pub(super) struct FinishedUsers {
    pub(super) users: UserSet,
    pub(super) outcome: Outcome,
    pub(super) attempts: u32,
}

/// The users of one rejected request, until all are finished.
#[derive(Debug)]
pub(super) struct Diagnosis {
    pub(super) group: u32,
    pub(super) stage: Stage,
    pub(super) rejection: Rejection,
    users: Vec<Candidate>,
    search: Search,
    /// Existing users, to be sent together after the others.
    present: Vec<Candidate>,
    /// Users that the server named, to be sent last.
    named: Vec<Candidate>,
    /// Users for which other requests were rejected, to be sent one by one.
    apart: Vec<Candidate>,
    /// When several `users` are rejected together, each of them is: the server named them, or they don't exist.
    together: bool,
    /// Users are sent one by one.
    singly: bool,
    check: Option<Check>,
    /// Existing users that were rejected alone while no user got the value: evidence against the value.
    rejected_alone: Vec<u32>,
    /// How many times enough users were rejected alone to fail the value, unless the others are accepted.
    doubts: u32,
    /// How many of those that are kept apart were rejected alone before.
    rejected_apart: usize,
    /// How many users were sent alone to test the value.
    tests: u32,
    rejected_in_a_row: u32,
    /// The size of the smallest rejected request.
    rejected: u32,
    /// How many users it started with.
    opened_with: u32,
    asked: Option<Question>,
    settled: Vec<FinishedUsers>,
}

/// A user, and how many requests carried it.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    place: u32,
    carried: u32,
}

/// What is known of the one user that is tested.
#[derive(Clone, Copy, Debug)]
struct Check {
    position: u32,
    /// How many times it was rejected alone.
    alone: u32,
    exists: Option<bool>,
    /// It was asked, so if `exists` is `None`, the API doesn't tell.
    is_asked: bool,
}

impl Check {
    /// Tests an existing user that was rejected alone a second time.
    fn again(position: u32) -> Self {
        Self { position, alone: 1, exists: Some(true), is_asked: true }
    }
}

impl Diagnosis {
    /// A diagnosis for the users of a rejected request that `carried` requests have carried.
    pub(super) fn new(part: &UserSet, carried: u32, rejection: Rejection) -> Self {
        let users: Vec<_> = part.places().map(|place| Candidate { place, carried }).collect();
        let search = Search::suspecting(length(&users));
        Self {
            group: part.group,
            stage: Stage::Search,
            rejected: length(&users),
            opened_with: length(&users),
            rejection,
            users,
            search,
            present: Vec::new(),
            named: Vec::new(),
            apart: Vec::new(),
            together: false,
            singly: false,
            check: None,
            rejected_alone: Vec::new(),
            doubts: 0,
            rejected_apart: 0,
            tests: 0,
            rejected_in_a_row: 0,
            asked: None,
            settled: Vec::new(),
        }
    }

    /// A diagnosis for known offenders: they are sent together if they don't exist, and one by one otherwise.
    pub(super) fn of_offenders(part: &UserSet, why: Offender, rejection: Rejection) -> Self {
        let mut diagnosis = Self::new(part, 0, rejection);
        diagnosis.search = Search::unknowing(length(&diagnosis.users));
        diagnosis.together = why == Offender::Unknown;
        diagnosis.singly = why == Offender::Rejected;
        diagnosis
    }

    /// Starts with the address or the key if the status suggests it.
    pub(super) fn begin(&mut self, knowledge: &mut Knowledge, plan: &Plan) -> Finding {
        if self.rejection.reason.status == Some(404) && !knowledge.address_exists {
            self.stage = Stage::Address;
            return Finding::Nothing;
        }
        if self.rejection.reason.status == Some(403) {
            self.stage = Stage::Key;
            return Finding::Nothing;
        }
        self.look_into(knowledge, plan)
    }

    /// Decides what to test first, once the address and the key are known to be right.
    pub(super) fn look_into(&mut self, knowledge: &mut Knowledge, plan: &Plan) -> Finding {
        self.stage = Stage::Search;
        if let Some(reason) = knowledge.rejected_because(self.group, plan).cloned() {
            return self.fail_all(&reason);
        }
        self.leave_out_offenders(knowledge, plan);
        if knowledge.users.explains(length(&self.users)) {
            // Its size explains the rejection.
            self.search.clear_suspicion();
        }
        if self.take_named(&(0..length(&self.users))) {
            return Finding::Nothing;
        }
        if length(&self.users) == 1 && self.opened_with == 1 {
            self.check = Some(self.check_of(0, knowledge, plan));
            return self.go_on(knowledge, plan);
        }
        let is_accepted = knowledge.is_accepted(self.group);
        let trusted = knowledge.trusts(&self.rejection.pattern);
        if !is_accepted && self.suspects_value() {
            if knowledge.trusts_value(&self.rejection.pattern) && self.rejection.is_structured {
                return self.reject_value(knowledge, plan);
            }
            self.search.isolate(Side::First);
        } else if !self.users.is_empty()
            && knowledge.rejects_at_random()
            && !(trusted && self.rejection.is_structured)
        {
            self.stage = Stage::Again;
        }
        Finding::Nothing
    }

    /// Continues after another diagnosis.
    pub(super) fn resume(&mut self, knowledge: &Knowledge, plan: &Plan) -> Finding {
        self.stage = Stage::Search;
        if let Some(reason) = knowledge.rejected_because(self.group, plan).cloned() {
            return self.fail_all(&reason);
        }
        self.leave_out_offenders(knowledge, plan);
        if knowledge.users.explains(self.rejected) {
            self.search.clear_suspicion();
        }
        Finding::Nothing
    }

    /// The next question; `None` if it waits or is done.
    pub(super) fn ask(&mut self, most: u32, knowledge: &mut Knowledge, plan: &Plan) -> Option<Question> {
        let question = match self.stage {
            Stage::AwaitsAcknowledgement
            | Stage::AwaitsAttribute
            | Stage::AwaitsGroup
            | Stage::AwaitsDiagnosis => None,
            Stage::Address => Some(Question::Address),
            Stage::Key => Some(Question::Key),
            Stage::Again => Some(Question::Update(0..length(&self.users))),
            Stage::Search => self.ask_for_users(most, knowledge, plan),
        };
        self.asked.clone_from(&question);
        question
    }

    fn ask_for_users(&mut self, most: u32, knowledge: &mut Knowledge, plan: &Plan) -> Option<Question> {
        if let Some(check) = self.check {
            let position = check.position;
            return Some(match check {
                Check { exists: None, is_asked: false, .. } if !self.rejection.is_trouble => {
                    Question::Exists(position)
                }
                _ => Question::Update(position..position + 1),
            });
        }
        if self.singly {
            self.search.isolate(Side::First);
        }
        if let Some(part) = self.search.ask(most) {
            let in_doubt = self.search.confirms() || (self.search.is_dense() && !self.together);
            if in_doubt && !self.rejection.is_trouble && !self.is_known(part.start, knowledge, plan) {
                return Some(Question::Exists(part.start));
            }
            return Some(Question::Update(part));
        }
        if self.present.is_empty()
            && let Some(position) = self.rejected_alone.pop()
        {
            self.check = Some(Check::again(position));
            return Some(Question::Update(position..position + 1));
        }
        let mut users = std::mem::take(&mut self.present);
        if users.is_empty() {
            users = std::mem::take(&mut self.named);
            self.together = true;
        }
        if users.is_empty() {
            users = std::mem::take(&mut self.apart);
            (self.together, self.singly) = (false, true);
        }
        if users.is_empty() {
            return None;
        }
        self.replace_users(users);
        self.ask_for_users(most, knowledge, plan)
    }

    /// Continues with these users, and with those that were rejected alone.
    fn replace_users(&mut self, mut users: Vec<Candidate>) {
        users.extend(self.rejected_alone.drain(..).map(|position| self.users[position as usize]));
        users.sort_unstable_by_key(|user| user.place);
        self.search = Search::unknowing(length(&users));
        self.users = users;
    }

    /// The users at these positions.
    pub(super) fn users_at(&self, positions: &Range<u32>) -> UserSet {
        UserSet::of(self.group, self.range(positions).iter().map(|user| user.place))
    }

    /// The place of a user.
    pub(super) fn place(&self, position: u32) -> u32 {
        self.users[position as usize].place
    }

    /// Whether its users are tested one by one.
    pub(super) fn is_dense(&self) -> bool {
        self.search.is_dense() && !self.together
    }

    /// The size of the smallest rejected part; 0 if the rejection is explained.
    pub(super) fn rejected_size(&self) -> u32 {
        let is_searching = self.search.rest().next().is_some() && !self.together && !self.singly;
        if is_searching { self.rejected } else { 0 }
    }

    /// Whether the server names the users that it rejects.
    pub(super) fn names_users(&self) -> bool {
        matches!(self.rejection.suggested, SuggestedCause::Users(_)) || self.together || self.singly
    }

    /// Takes out users that other diagnoses found to be offenders.
    fn leave_out_offenders(&mut self, knowledge: &Knowledge, plan: &Plan) {
        // A user who is tested goes by its position among the others.
        if !knowledge.has_offenders() || self.together || self.singly || self.check.is_some() {
            return;
        }
        let why = |user: &Candidate| knowledge.offender(plan.user_number(self.group, user.place));
        let open: Vec<Candidate> = self.search.rest().flat_map(|part| self.range(&part).to_vec()).collect();
        let (offenders, others): (Vec<_>, Vec<_>) = open.into_iter().partition(|user| why(user).is_some());
        if offenders.is_empty() {
            return;
        }
        let (unknown, rejected): (Vec<_>, Vec<_>) =
            offenders.into_iter().partition(|user| why(user) == Some(Offender::Unknown));
        self.named.extend(unknown);
        self.apart.extend(rejected);
        self.replace_users(others);
    }

    /// The place of any of its users.
    pub(super) fn any_place(&self) -> u32 {
        self.users.first().or(self.named.first()).map_or(0, |user| user.place)
    }

    /// A request that carries these was started.
    pub(super) fn carry(&mut self, positions: &Range<u32>) {
        for user in &mut self.users[positions.start as usize..positions.end as usize] {
            user.carried += 1;
        }
    }

    /// The users that were finished since the last call.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = FinishedUsers> + '_ {
        self.settled.drain(..)
    }

    /// Fails all remaining users, for this reason.
    pub(super) fn fail_all(&mut self, reason: &Reason) -> Finding {
        self.finish_all(&Outcome::Failed(reason.clone()));
        Finding::Nothing
    }

    /// Leaves all remaining users unsent, because the run stops.
    pub(super) fn leave_all(&mut self) {
        let reason = self.rejection.reason.clone();
        self.finish_all(&Outcome::Unsent(reason));
    }

    fn finish_all(&mut self, outcome: &Outcome) {
        let mut left: Vec<Candidate> = std::mem::take(&mut self.named);
        left.append(&mut self.present);
        left.append(&mut self.apart);
        for part in self.search.rest() {
            left.extend(self.range(&part));
        }
        left.extend(self.rejected_alone.iter().map(|position| self.users[*position as usize]));
        // A user who is tested again is in none of these.
        if let Some(tested) = self.check.take().map(|check| self.users[check.position as usize])
            && left.iter().all(|user| user.place != tested.place)
        {
            left.push(tested);
        }
        left.sort_unstable_by_key(|user| user.place);
        self.search = Search::unknowing(0);
        self.rejected_alone.clear();
        self.stage = Stage::Search;
        self.finish_users(&left, outcome);
    }

    fn range(&self, part: &Range<u32>) -> &[Candidate] {
        &self.users[part.start as usize..part.end as usize]
    }

    /// Finishes users, grouped by how many requests carried them.
    fn finish_users(&mut self, users: &[Candidate], outcome: &Outcome) {
        for alike in users.chunk_by(|a, b| a.carried == b.carried) {
            self.settled.push(FinishedUsers {
                users: UserSet::of(self.group, alike.iter().map(|user| user.place)),
                outcome: outcome.clone(),
                attempts: alike[0].carried,
            });
        }
    }
}

fn length(users: &[Candidate]) -> u32 {
    u32::try_from(users.len()).expect("a batch numbers its users in 32 bits")
}
