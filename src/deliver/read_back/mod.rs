//! Reads rows back and compares them with what was sent. An acknowledgement only says that the API accepted a request; this
//! is the only proof that it was applied.
//!
//! Users are asked for one by one, or, if there are many, by pages of the list of all users, whichever takes fewer requests.
//! The first page says how many users the account has, and so how many pages there are. Users that no page shows are asked
//! for one by one after all, because the list may be incomplete.

mod comparison;
mod reservoir;
mod sample;
#[cfg(test)]
mod tests;

use fixedbitset::FixedBitSet;
use serde::Serialize;
use tracing::info;

pub use comparison::Mismatch;
pub use reservoir::Reservoir;
pub(super) use sample::Sample;

use self::comparison::{Comparison, UserShown};
use super::account_user::{AccountUser, AccountValue};
use super::pages::{Page, page_of};
use super::transport::{Reply, SendError};
use super::verdict::Reason;
use crate::plan::{Batch, Phase, Plan, User};

/// For this many users or fewer, the first page is not worth its request.
const FEW_USERS: usize = 100;

/// How many differences are kept with their values. Those of a large run could fill the memory.
const MOST_MISMATCHES: usize = 1000;

/// A row of the plan: a group and the place of a user in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanRow {
    /// The group's number in the plan.
    pub group: u32,
    /// The place of the user in the group.
    pub place: u32,
}

/// What reading back found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verified {
    /// How many rows were to be read back.
    pub asked: u64,
    /// How many were read: fewer if the run was stopped or the API didn't answer.
    pub checked: u64,
    /// How many of these have another value in the API.
    pub differing: u64,
    /// Why the others were not read, if the API gave a reason.
    pub unread: Option<String>,
    /// The rows whose value the API doesn't have: the first 1,000 that were found.
    pub mismatches: Vec<Mismatch>,
    /// All of these rows.
    #[serde(skip)]
    pub differing_rows: Vec<PlanRow>,
}

/// How far reading back is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingBack {
    /// How users are asked for.
    pub way: Way,
    /// How many users are to be compared.
    pub users: u64,
    /// How many of them are compared, or can't be.
    pub users_done: u64,
    /// How many requests the rest takes, if none is repeated.
    pub requests_left: u64,
    /// How many users and requests there were to come when it was decided on this way.
    pub decided: (u64, u64),
}

/// How users are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The first page of the list will decide it.
    Undecided,
    /// By pages of the list.
    Pages,
    /// One by one.
    Users,
}

impl Way {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Pages => "pages",
            Self::Users => "users",
        }
    }
}

/// Rows to read back. Users by the client's own ids whose ids the run has changed are left out: their old ids don't name
/// them any more.
#[derive(Debug)]
pub(super) struct ReadBack {
    /// The rows with the numbers of their users, ascending.
    rows: Vec<(u64, PlanRow)>,
    /// Which of these are compared, or can't be.
    done: FixedBitSet,
    way: Way,
    /// The page to ask for next.
    page: Option<Question>,
    /// How many pages were read, and how many there are after the first one, by what it says.
    pages_read: u64,
    pages_expected: u64,
    /// How many users and requests there were to come when it was decided on this way.
    decided: (u64, u64),
    /// Users whose rows stand before this one are done, or are being asked for.
    next: usize,
    users: u64,
    users_done: u64,
    verified: Verified,
}

impl ReadBack {
    pub(super) fn of(sample: Sample, plan: &Plan) -> Self {
        let renamed = renamed(plan);
        let mut rows = Vec::new();
        if matches!(sample, Sample::AllBut(_)) {
            rows.reserve_exact(usize::try_from(plan.rows()).unwrap_or_default());
        }
        sample.for_each(plan, |user, row| {
            if renamed.binary_search(&user).is_err() {
                rows.push((user, row));
            }
        });
        Self::new(rows)
    }

    /// These rows, by asking for each user.
    pub(super) fn one_by_one(rows: &[PlanRow], plan: &Plan) -> Self {
        let numbered = rows.iter().map(|row| (plan.user_number(row.group, row.place), *row));
        let read_back = Self::new(numbered.collect());
        Self { way: Way::Users, page: None, ..read_back }
    }

    fn new(mut rows: Vec<(u64, PlanRow)>) -> Self {
        rows.sort_unstable();
        let users = rows.chunk_by(|(one, _), (other, _)| one == other).count();
        let is_worth_a_page = users > FEW_USERS;
        Self {
            done: FixedBitSet::with_capacity(rows.len()),
            way: if is_worth_a_page { Way::Undecided } else { Way::Users },
            page: is_worth_a_page.then_some(Question::Page(None)),
            pages_read: 0,
            pages_expected: 0,
            decided: (users as u64, users as u64),
            next: 0,
            users: users as u64,
            users_done: 0,
            verified: Verified { asked: rows.len() as u64, ..Verified::default() },
            rows,
        }
    }

    /// How far it is.
    pub(super) fn state(&self) -> ReadingBack {
        let users_left = self.users - self.users_done;
        let requests_left = match self.way {
            Way::Pages => {
                (self.pages_expected + 1).saturating_sub(self.pages_read).clamp(1, users_left.max(1))
            }
            Way::Users => users_left,
            Way::Undecided => 1,
        };
        let Self { way, users, users_done, decided, .. } = *self;
        ReadingBack { way, users, users_done, requests_left, decided }
    }

    /// The next request, if one can be made now.
    pub(super) fn next(&mut self) -> Option<Question> {
        if self.way != Way::Users {
            return self.page.take();
        }
        while self.next < self.rows.len() && self.done[self.next] {
            self.next += 1;
        }
        let first = self.next;
        self.next = self.end_of_user(first);
        (first < self.rows.len()).then_some(Question::User(first))
    }

    /// Whether there may be a request that can be made now.
    pub(super) fn has_next(&self) -> bool {
        if self.way == Way::Users { self.next < self.rows.len() } else { self.page.is_some() }
    }

    /// The id of the user whose first row this is.
    pub(super) fn user(&self, first: usize, plan: &Plan) -> String {
        let row = self.rows.get(first).map(|(_, row)| plan.user(row.group, row.place).to_string());
        row.unwrap_or_default()
    }

    /// Compares what the API answered with what was sent.
    pub(super) fn compare(&mut self, first: usize, result: &Result<Reply, SendError>, plan: &Plan) {
        let shown = UserShown::of(result);
        self.compare_user(first, &shown, plan);
    }

    /// The API didn't show a user.
    pub(super) fn unread(&mut self, first: usize, reason: &Reason) {
        self.done.insert_range(first..self.end_of_user(first));
        self.users_done += 1;
        self.verified.unread = Some(reason.error.clone());
    }

    /// Compares the users of a page with what was sent, and decides which request comes next.
    pub(super) fn compare_page(
        &mut self,
        cursor: Option<&str>,
        result: &Result<Reply, SendError>,
        plan: &Plan,
    ) {
        let page = match page_of(result, cursor) {
            Ok(page) => page,
            Err(why) => return self.leave_pages(&why),
        };
        if self.way == Way::Undecided && !self.is_cheaper_by_pages(&page) {
            return self.leave_pages("one by one takes fewer requests");
        }
        if self.way == Way::Undecided && !shows_values(&page, plan) {
            return self.leave_pages("the list doesn't show all attributes");
        }
        for user in page.users {
            if let Some(first) = self.first_row_of(&user, plan) {
                self.compare_user(first, &UserShown::Fields(user.fields), plan);
            }
        }
        self.pages_read += 1;
        if self.way == Way::Undecided {
            self.way = Way::Pages;
            self.decided = (self.users, self.pages_expected + 1);
            let (users, requests) = self.decided;
            info!(users, requests, "reading back by pages");
        }
        match page.next {
            Some(_) if self.pages_read > 2 * self.pages_expected + 10 => {
                self.leave_pages("the list is much longer than it says");
            }
            Some(next) if self.users_done < self.users => self.page = Some(Question::Page(Some(next))),
            _ => self.leave_pages("no page is left"),
        }
    }

    /// Goes on without pages, for this reason.
    pub(super) fn leave_pages(&mut self, why: &str) {
        let users = self.users - self.users_done;
        info!(users, requests = users, why, "reading back one by one");
        (self.way, self.page, self.decided) = (Way::Users, None, (users, users));
    }

    /// Whether reading the pages after this first one takes fewer requests than asking for each user.
    fn is_cheaper_by_pages(&mut self, page: &Page) -> bool {
        let len = page.users.len() as u64;
        let Some(pages) = page.count.and_then(|count| count.checked_sub(1)?.checked_div(len)) else {
            return false;
        };
        self.pages_expected = pages;
        pages < self.users
    }

    /// The first row of a user that the API shows, if it has any.
    fn first_row_of(&self, user: &AccountUser, plan: &Plan) -> Option<usize> {
        let (_, row) = self.rows.first()?;
        let number = match plan.user(row.group, row.place) {
            User::Id(_) => user.id,
            User::Custom(_) => plan.number_of_custom_id(user.custom_id.as_deref()?)?,
        };
        let first = self.rows.partition_point(|(user, _)| *user < number);
        self.rows.get(first).is_some_and(|(user, _)| *user == number).then_some(first)
    }

    /// Compares the rows of a user, unless they are done. What a page doesn't show is left to be asked for.
    fn compare_user(&mut self, first: usize, shown: &UserShown, plan: &Plan) {
        let is_final = self.way == Way::Users;
        let rows = first..self.end_of_user(first);
        let was_done = rows.clone().all(|at| self.done[at]);
        for at in rows.clone() {
            if self.done[at] {
                continue;
            }
            let (_, row) = self.rows[at];
            match shown.compare(plan, row.group) {
                Comparison::Equal => {}
                Comparison::Differs(found) => self.verified.differs(plan, row, found),
                Comparison::NotShown(why) if is_final => {
                    self.verified.unread = Some(why);
                    self.done.insert(at);
                    continue;
                }
                // What a page doesn't show, the user alone may.
                Comparison::NotShown(_) => continue,
                Comparison::NotUnderstood(why) => {
                    self.verified.unread = Some(why);
                    self.done.insert(at);
                    continue;
                }
            }
            self.done.insert(at);
            self.verified.checked += 1;
        }
        let is_done = rows.clone().all(|at| self.done[at]);
        self.users_done += u64::from(is_done && !was_done);
    }

    /// The end of the rows of the user whose first row this is.
    fn end_of_user(&self, first: usize) -> usize {
        let user = self.rows.get(first).map(|(user, _)| *user);
        let rows = self.rows.iter().skip(first);
        first + rows.take_while(|(other, _)| Some(*other) == user).count()
    }

    /// What was found. Users who were not asked for are not read because the run stopped, for this reason.
    pub(super) fn into_verified(mut self, stopped: Option<&Reason>) -> Verified {
        if let Some(reason) = stopped.filter(|reason| !reason.error.is_empty()) {
            self.verified.unread = Some(reason.error.clone());
        }
        self.verified.mismatches.sort_by(|a, b| (&a.attribute, &a.user_id).cmp(&(&b.attribute, &b.user_id)));
        self.verified
    }
}

/// A request that reads users back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// A page of the list of users: the first one, or one with this cursor.
    Page(Option<String>),
    /// The user whose first row this is.
    User(usize),
}

impl Verified {
    fn differs(&mut self, plan: &Plan, row: PlanRow, found: String) {
        self.differing += 1;
        self.differing_rows.push(row);
        if self.mismatches.len() < MOST_MISMATCHES {
            self.mismatches.push(Mismatch {
                user_id: plan.user(row.group, row.place).to_string(),
                attribute: plan.attribute(row.group).name.clone(),
                sent: plan.value_token(row.group),
                found,
            });
        }
    }
}

/// Whether a page shows values of all attributes of the plan, for at least one of its users.
fn shows_values(page: &Page, plan: &Plan) -> bool {
    plan.first_groups().all(|group| {
        let attribute = plan.attribute(group);
        let is_shown =
            |user: &AccountUser| user.value(&attribute.name, attribute.operation) != AccountValue::Unknown;
        page.users.iter().any(is_shown)
    })
}

/// The numbers of users by the client's own ids whose ids the run has changed, ascending.
fn renamed(plan: &Plan) -> Vec<u64> {
    let firsts: Vec<u32> = plan.first_groups().collect();
    let renaming = firsts.into_iter().find(|first| {
        plan.phase(Batch { group: *first, first: 0, len: 1 }) == Phase::Identity
            && matches!(plan.user(*first, 0), User::Custom(_))
    });
    // They go last.
    let Some(renaming) = renaming else { return Vec::new() };
    let mut users: Vec<u64> =
        plan.all_rows().filter(|(group, ..)| *group >= renaming).map(|(_, _, user)| user).collect();
    users.sort_unstable();
    users
}
