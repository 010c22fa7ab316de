//! A server, as a list of what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::body_length;
use crate::deliver::core::ApiCall;
use crate::deliver::transport::{Delivered, Reply, SendError, SendErrorCause};
use crate::deliver::user_set::UserSet;
use crate::plan::Plan;

/// How a server names the users that it doesn't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    All,
    /// The first ones, up to this number.
    Some(usize),
    Positions,
    Nobody,
    /// As 404, naming nobody.
    NotFound,
}

/// A server, as a list of what is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct FaultyServer {
    pub(super) unknown: BTreeSet<u64>,
    pub(super) naming: Naming,
    /// Users for which the server fails with this status.
    pub(super) poison: BTreeSet<u64>,
    pub(super) poison_status: u16,
    pub(super) poison_body: &'static str,
    pub(super) bad_values: BTreeMap<String, (u16, String)>,
    pub(super) bad_attributes: BTreeMap<String, (u16, String)>,
    pub(super) refuses_all: Option<(u16, String)>,
    pub(super) wrong_address: bool,
    pub(super) most_users: Option<(usize, bool)>,
    pub(super) most_bytes: Option<usize>,
    /// The share of answers that are a 400 by chance.
    pub(super) chance: f64,
    /// The share of answers that are errors, half of which come after the update was made.
    pub(super) errors: f64,
    pub(super) outages: Vec<(Duration, Duration)>,
    /// A GET of a user works.
    pub(super) shows_users: bool,
    /// The share of users that are shown as a page of a proxy.
    pub(super) pages: f64,
    /// Answers to requests that begin with a text, by how many such requests came before.
    pub(super) script: Vec<(&'static str, Range<usize>, Result<Reply, SendError>)>,
}

impl Default for FaultyServer {
    fn default() -> Self {
        Self {
            unknown: BTreeSet::new(),
            naming: Naming::Nobody,
            poison: BTreeSet::new(),
            poison_status: 500,
            poison_body: "<html>oops</html>",
            bad_values: BTreeMap::new(),
            bad_attributes: BTreeMap::new(),
            refuses_all: None,
            wrong_address: false,
            most_users: None,
            most_bytes: None,
            chance: 0.0,
            errors: 0.0,
            outages: Vec::new(),
            shows_users: true,
            pages: 0.0,
            script: Vec::new(),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as a transport gives it")]
pub(super) fn reply(status: u16, body: &str) -> Result<Reply, SendError> {
    Ok(Reply { status, body: body.to_owned().into(), ..Reply::default() })
}

pub(super) fn words(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

impl FaultyServer {
    /// The answer of the script, if it has one, and whether the update was made.
    pub(super) fn scripted(
        &self,
        call: impl FnOnce() -> String,
        before: impl FnOnce() -> Vec<String>,
    ) -> Option<(Result<Reply, SendError>, bool)> {
        if self.script.is_empty() {
            return None;
        }
        let (call, before) = (call(), before());
        let earlier = |text: &str| before.iter().filter(|call| call.starts_with(text)).count();
        let (_, _, answer) = self
            .script
            .iter()
            .find(|(text, times, _)| call.starts_with(text) && times.contains(&earlier(text)))?;
        let made = answer.as_ref().is_ok_and(|reply| reply.status == 200) && !call.starts_with("GET");
        Some((answer.clone(), made))
    }

    /// Answers, and says whether the update was made.
    pub(super) fn answer(
        &self,
        plan: &Plan,
        call: &ApiCall,
        at: Duration,
        dice: &mut StdRng,
    ) -> (Result<Reply, SendError>, bool) {
        if self.outages.iter().any(|(from, to)| at >= *from && at < *to) {
            let lost = SendError {
                delivered: Delivered::No,
                cause: SendErrorCause::Refused,
                error: "refused".into(),
            };
            return (if dice.random_bool(0.5) { reply(503, "") } else { Err(lost) }, false);
        }
        if let Some((status, body)) = &self.refuses_all {
            return (reply(*status, body), false);
        }
        if self.wrong_address {
            return (reply(404, "<html>nothing here</html>"), false);
        }
        let errs = self.errors > 0.0 && dice.random_bool(self.errors);
        if errs && dice.random_bool(0.5) {
            let status = if dice.random_bool(0.5) { 500 } else { 502 };
            return (reply(status, "<html>"), false);
        }
        let users = match call {
            ApiCall::Update(users) => users,
            ApiCall::Operation(_) => {
                return (reply(405, r#"{"detail":"Method \"GET\" not allowed."}"#), false);
            }
            ApiCall::Page(_) => return (reply(405, ""), false),
            ApiCall::User(_) if !self.shows_users => return (reply(405, ""), false),
            ApiCall::User(_) if self.pages > 0.0 && dice.random_bool(self.pages) => {
                return (reply(200, "<html>Back soon</html>"), false);
            }
            ApiCall::User(user) => {
                let known = !self.unknown.contains(&user.parse::<u64>().unwrap());
                return (if known { reply(200, r#"{"id": 1}"#) } else { reply(404, "") }, false);
            }
        };
        let answer = self.update(plan, users, dice);
        let made = answer.is_none();
        if errs {
            let lost = SendError {
                delivered: Delivered::Maybe,
                cause: SendErrorCause::Other,
                error: "reset".into(),
            };
            return (Err(lost), made);
        }
        (answer.unwrap_or_else(|| reply(200, r#"{"status": "ok"}"#)), made)
    }

    /// Why an update is refused.
    fn update(&self, plan: &Plan, users: &UserSet, dice: &mut StdRng) -> Option<Result<Reply, SendError>> {
        let ids: Vec<u64> = users.places().map(|place| plan.user_number(users.group, place)).collect();
        let bytes = body_length(plan, users);
        if self.most_bytes.is_some_and(|most| bytes > most) {
            return Some(reply(413, "<html>413</html>"));
        }
        if let Some((most, said)) = self.most_users
            && ids.len() > most
        {
            let body = if said {
                format!(r#"{{"ids": ["Ensure this field has no more than {most} elements."]}}"#)
            } else {
                r#"{"detail": "no"}"#.to_owned()
            };
            return Some(reply(400, &body));
        }
        if let Some((status, body)) = self.bad_attributes.get(&plan.attribute(users.group).name) {
            return Some(reply(*status, body));
        }
        if let Some((status, body)) = self.bad_values.get(plan.value(users.group).unwrap().as_ref()) {
            return Some(reply(*status, body));
        }
        let unknown: Vec<(usize, u64)> =
            ids.iter().copied().enumerate().filter(|(_, id)| self.unknown.contains(id)).collect();
        if !unknown.is_empty() {
            return Some(self.refuse_unknown(&unknown));
        }
        if ids.iter().any(|id| self.poison.contains(id)) {
            return Some(reply(self.poison_status, self.poison_body));
        }
        (self.chance > 0.0 && dice.random_bool(self.chance)).then(|| reply(400, ""))
    }

    fn refuse_unknown(&self, unknown: &[(usize, u64)]) -> Result<Reply, SendError> {
        let most = match self.naming {
            Naming::All => usize::MAX,
            Naming::Some(most) => most,
            Naming::Nobody => return reply(400, r#"{"detail": "Bad request."}"#),
            Naming::NotFound => return reply(404, r#"{"detail": "Not found."}"#),
            Naming::Positions => {
                let said: Vec<String> =
                    unknown.iter().map(|(at, _)| format!(r#""{at}": ["User does not exist."]"#)).collect();
                return reply(400, &format!(r#"{{"ids": {{{}}}}}"#, said.join(", ")));
            }
        };
        let said: Vec<String> = unknown
            .iter()
            .take(most)
            .map(|(_, id)| format!(r#""Invalid pk \"{id}\" - no such object.""#))
            .collect();
        reply(400, &format!(r#"{{"ids": [{}]}}"#, said.join(", ")))
    }

    /// Whether a row could be delivered by someone who knows all of this.
    pub(super) fn is_good(&self, user: u64, attribute: &str, value: &str) -> bool {
        !self.unknown.contains(&user)
            && !self.poison.contains(&user)
            && !self.bad_values.contains_key(value)
            && !self.bad_attributes.contains_key(attribute)
    }
}
