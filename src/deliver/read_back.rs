//! Reads a sample of rows back and compares them with what was sent. An acknowledgement only says that the API accepted a
//! request; this is the only proof that it was applied.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::account_user::{AccountValue, shown, value};
use super::reservoir::PlanRow;
use super::transport::{Reply, SendError};
use super::verdict::{Reason, Verdict};
use crate::plan::{Batch, Phase, Plan, SentValue, User};

/// What reading back found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verified {
    /// How many rows were to be read back.
    pub asked: u64,
    /// How many were read: fewer if the run was stopped or the API didn't answer.
    pub checked: u64,
    /// Why the others were not, if the API gave a reason.
    pub unread: Option<String>,
    /// The rows whose value the API doesn't have.
    pub mismatches: Vec<Mismatch>,
}

/// A row that was acknowledged, but the API has another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mismatch {
    /// The user, as in the input.
    pub user_id: String,
    /// The attribute's name.
    pub attribute: String,
    /// What was sent, in JSON.
    pub sent: String,
    /// What the API holds, in JSON; or why that can't be said.
    pub found: String,
    /// Where it stands in the plan.
    #[serde(skip)]
    pub row: PlanRow,
}

/// Rows to read back, by user: each user is asked for once, whatever is to be compared. Users whose own ids the run has
/// changed are left out.
#[derive(Debug)]
pub(super) struct ReadBack {
    users: Vec<Vec<PlanRow>>,
    verified: Verified,
}

impl ReadBack {
    pub(super) fn of(rows: Vec<PlanRow>, plan: &Plan) -> Self {
        let renamed = renamed(plan);
        let known = |row: &PlanRow| !renamed.contains(&plan.user_number(row.group, row.place));
        let mut users: HashMap<u64, Vec<PlanRow>> = HashMap::new();
        let mut verified = Verified::default();
        for row in rows.into_iter().filter(known) {
            verified.asked += 1;
            users.entry(plan.user_number(row.group, row.place)).or_default().push(row);
        }
        let mut users: Vec<Vec<PlanRow>> = users.into_values().collect();
        users.sort_unstable();
        Self { users, verified }
    }

    /// How many users are to be asked for.
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    /// One of them, as the API knows it.
    pub(super) fn user(&self, number: usize, plan: &Plan) -> String {
        let first = self.users.get(number).and_then(|rows| rows.first());
        first.map(|row| plan.user(row.group, row.place).to_string()).unwrap_or_default()
    }

    /// Compares what the API answered with what was sent.
    pub(super) fn compare(&mut self, number: usize, result: &Result<Reply, SendError>, plan: &Plan) {
        let Some(rows) = self.users.get_mut(number).map(std::mem::take) else { return };
        for row in rows {
            match compare(plan, row, result) {
                Ok(mismatch) => {
                    self.verified.checked += 1;
                    self.verified.mismatches.extend(mismatch);
                }
                Err(unread) => self.verified.unread = Some(unread),
            }
        }
    }

    /// The API didn't show a user.
    pub(super) fn unread(&mut self, number: usize, reason: &Reason) {
        if let Some(rows) = self.users.get_mut(number) {
            rows.clear();
        }
        self.verified.unread = Some(reason.error.clone());
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

/// Users by the client's own ids whose ids the run has changed. Their old ids don't name them any more.
fn renamed(plan: &Plan) -> HashSet<u64> {
    let whole = |group| Batch { group, first: 0, len: plan.group_len(group) };
    let is_custom = |batch: &Batch| matches!(plan.user(batch.group, 0), User::Custom(_));
    let renaming = (0..plan.groups()).map(whole).filter(|batch| plan.phase(*batch) == Phase::Identity);
    renaming
        .filter(is_custom)
        .flat_map(|batch| (0..batch.len).map(move |place| plan.user_number(batch.group, place)))
        .collect()
}

/// Compares a row with what the API shows, and returns the difference, if any. An error says why they can't be compared.
fn compare(plan: &Plan, row: PlanRow, result: &Result<Reply, SendError>) -> Result<Option<Mismatch>, String> {
    let attribute = plan.attribute(row.group);
    let sent = plan.value_token(row.group);
    let mismatch = |sent: String, found: String| Mismatch {
        user_id: plan.user(row.group, row.place).to_string(),
        attribute: attribute.name.clone(),
        sent,
        found,
        row,
    };
    match result {
        Ok(reply) if reply.status == 200 => {
            let user = serde_json::from_slice::<Map<String, Value>>(&reply.body)
                .map_err(|error| format!("the answer is not a user: {error}"))?;
            let held = match value(&user, &attribute.name, attribute.operation) {
                AccountValue::Unknown => {
                    return Err(format!("the API doesn't show `{}`, or not in a known form", attribute.name));
                }
                AccountValue::Empty => SentValue::Null,
                AccountValue::Value(text) => SentValue::Text(text),
            };
            let wanted = plan.sent_value(row.group);
            let agree = meaning(&attribute.name, &held) == meaning(&attribute.name, &wanted);
            let found = || shown(&user, &attribute.name, attribute.operation).unwrap_or_default().to_string();
            Ok(if agree { None } else { Some(mismatch(sent, found())) })
        }
        Ok(reply) if matches!(reply.status, 404 | 410) => match Verdict::of(result) {
            Verdict::Rejected(reason) => Ok(Some(mismatch(sent, reason.error))),
            _ => Err("the API doesn't show the user".to_owned()),
        },
        _ => match Verdict::of(result) {
            Verdict::Rejected(reason) | Verdict::Forbidden(reason) | Verdict::Transient { reason, .. } => {
                Err(reason.error)
            }
            _ => Err("the API doesn't show the user".to_owned()),
        },
    }
}

/// A value without its form: the API shows a name for some numbers, and a type for what was sent as text.
fn meaning<'v>(attribute: &str, value: &SentValue<'v>) -> Cow<'v, str> {
    let text = match value {
        SentValue::Null => return Cow::Borrowed(""),
        SentValue::Text(text) | SentValue::Json(text) => text,
    };
    let name = text.to_lowercase();
    Cow::Borrowed(match (attribute, name.as_str()) {
        ("gender", "unknown") | ("status", "visitor") => "1",
        ("gender", "male") | ("status", "user") => "2",
        ("gender", "female") => "3",
        ("notifications" | "unsubscribed", "true" | "1") => "true",
        ("notifications" | "unsubscribed", "false" | "0") => "false",
        ("email", _) => return Cow::Owned(name),
        ("assigned_to" | "company_id" | "score", _) => {
            return text
                .trim()
                .parse::<i64>()
                .map_or_else(|_| text.clone(), |number| number.to_string().into());
        }
        _ => return text.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::input::Operation;

    /// Whether a value that was sent as this text agrees with what the API shows.
    fn agree(attribute: &str, sent: &str, shown: &Value) -> bool {
        let Value::Object(user) = json!({ attribute: shown }) else { panic!("not an object") };
        let held = match value(&user, attribute, Operation::Standard) {
            AccountValue::Unknown => panic!("{attribute} {shown} is unknown"),
            AccountValue::Empty => SentValue::Null,
            AccountValue::Value(text) => SentValue::Text(text),
        };
        let sent = if sent == "null" { SentValue::Null } else { SentValue::Text(sent.into()) };
        meaning(attribute, &sent) == meaning(attribute, &held)
    }

    #[test]
    fn values_agree_by_meaning() {
        for (attribute, sent, held) in [
            ("gender", "2", json!("male")),
            ("gender", "1", json!("unknown")),
            ("gender", "3", json!("female")),
            ("status", "1", json!("visitor")),
            ("status", "2", json!("user")),
            ("unsubscribed", "True", json!(true)),
            ("notifications", "0", json!(false)),
            ("score", "007", json!(7)),
            ("email", "Ann@Example.com", json!("ann@example.com")),
            ("city", "Łódź", json!("Łódź")),
            ("city", "", json!(null)),
            ("city", "null", json!(null)),
        ] {
            assert!(agree(attribute, sent, &held), "{attribute} {sent} {held}");
        }
        for (attribute, sent, held) in [
            ("gender", "2", json!("female")),
            ("city", "2", json!("male")),
            ("city", "Oslo", json!("oslo")),
            ("city", "007", json!("7")),
            ("score", "7", json!(null)),
        ] {
            assert!(!agree(attribute, sent, &held), "{attribute} {sent} {held}");
        }
    }
}
