//! Compares a row with what the API shows of its user.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::deliver::account_user::{AccountValue, shown, value};
use crate::deliver::transport::{Reply, SendError};
use crate::deliver::verdict::Verdict;
use crate::input::Operation;
use crate::plan::{Plan, SentValue, meaning};

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
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// The API has the value that was sent.
    Equal,
    /// It has this one, in JSON.
    Differs(String),
    /// The API doesn't show its value, for this reason.
    NotShown(String),
    /// It shows it in a form that is not understood.
    NotUnderstood(String),
}

/// What the API shows of one user.
#[derive(Debug)]
pub(super) enum UserShown {
    /// This object.
    Fields(Map<String, Value>),
    /// There is no such user, for this reason.
    Missing(String),
    /// Nothing, for this reason.
    Nothing(String),
}

impl UserShown {
    /// What the answer to a request for one user shows.
    pub(super) fn of(result: &Result<Reply, SendError>) -> Self {
        if let Ok(reply) = result
            && reply.status == 200
        {
            return match serde_json::from_slice::<Map<String, Value>>(&reply.body) {
                Ok(fields) => Self::Fields(fields),
                Err(error) => Self::Nothing(format!("the answer is not a user: {error}")),
            };
        }
        let (Verdict::Rejected(reason) | Verdict::Forbidden(reason) | Verdict::Transient { reason, .. }) =
            Verdict::of(result)
        else {
            return Self::Nothing("the API doesn't show the user".to_owned());
        };
        match reason.status {
            Some(404 | 410) => Self::Missing(reason.error),
            _ => Self::Nothing(reason.error),
        }
    }

    /// Compares the value that a group of the plan sets with the one that the user has.
    pub(super) fn compare(&self, plan: &Plan, group: u32) -> Comparison {
        let attribute = plan.attribute(group);
        let (name, operation) = (attribute.name.as_str(), attribute.operation);
        let fields = match self {
            Self::Fields(fields) => fields,
            Self::Missing(reason) => return Comparison::Differs(reason.clone()),
            Self::Nothing(reason) => return Comparison::NotShown(reason.clone()),
        };
        let found = || shown(fields, name, operation);
        match agrees(fields, name, operation, &plan.sent_value(group)) {
            Some(true) => Comparison::Equal,
            Some(false) => Comparison::Differs(found().unwrap_or_default().to_string()),
            None if found().is_some() => {
                Comparison::NotUnderstood(format!("the API shows `{name}` in a form that is not understood"))
            }
            None => Comparison::NotShown(format!("the API doesn't show `{name}`")),
        }
    }
}

/// Whether a user has the value that was sent; `None` if that can't be said.
fn agrees(
    fields: &Map<String, Value>,
    name: &str,
    operation: Operation,
    sent: &SentValue<'_>,
) -> Option<bool> {
    let held = match value(fields, name, operation) {
        AccountValue::Unknown => return None,
        AccountValue::Empty => SentValue::Null,
        AccountValue::Value(text) => SentValue::Text(text),
    };
    Some(meaning(name, &held) == meaning(name, sent))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Whether a value that was sent as this text agrees with what the API shows.
    fn agree(attribute: &str, sent: &str, shown: &Value) -> Option<bool> {
        let Value::Object(user) = json!({ attribute: shown }) else { panic!("not an object") };
        let sent = if sent == "null" { SentValue::Null } else { SentValue::Text(sent.into()) };
        agrees(&user, attribute, Operation::Standard, &sent)
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
            assert_eq!(agree(attribute, sent, &held), Some(true), "{attribute} {sent} {held}");
        }
        for (attribute, sent, held) in [
            ("gender", "2", json!("female")),
            ("city", "2", json!("male")),
            ("city", "Oslo", json!("oslo")),
            ("city", "007", json!("7")),
            ("score", "7", json!(null)),
        ] {
            assert_eq!(agree(attribute, sent, &held), Some(false), "{attribute} {sent} {held}");
        }
    }
    #[test]
    fn what_is_not_understood_neither_agrees_nor_differs() {
        for (attribute, held) in [("gender", json!("other")), ("assigned_to", json!({ "id": 3 }))] {
            assert_eq!(agree(attribute, "3", &held), None);
        }
    }

    #[test]
    fn an_answer_shows_a_user_or_that_there_is_none() {
        let shown = |status, body: &'static str| {
            UserShown::of(&Ok(Reply { status, body: body.into(), ..Reply::default() }))
        };
        assert!(matches!(shown(200, r#"{"id": 1}"#), UserShown::Fields(_)));
        for status in [404, 410] {
            assert!(matches!(shown(status, ""), UserShown::Missing(_)));
        }
        for (status, body) in [(200, "[]"), (200, ""), (204, ""), (403, ""), (405, ""), (429, ""), (500, "")]
        {
            assert!(matches!(shown(status, body), UserShown::Nothing(_)), "{status}");
        }
    }
}
