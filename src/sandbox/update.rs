//! Parses the body of a mass update, or says what is wrong with it.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::state::UserIds;

/// What names the users of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdKind {
    /// User.com's own ids: integers.
    Id,
    /// The client's own ids: strings.
    CustomId,
}

/// A well-formed mass update.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Update<'a> {
    pub(super) users: UserIds,
    pub(super) attribute: Cow<'a, str>,
    pub(super) value: Value,
}

/// Parses a body; an error is the body of a 400 answer.
pub(super) fn parse(body: &[u8], ids: IdKind) -> Result<Update<'_>, Value> {
    let update = match ids {
        IdKind::Id => Body::read(body).map(|body| body.update(UserIds::Ids)),
        IdKind::CustomId => Body::read(body).map(|body| body.update(UserIds::CustomIds)),
    };
    match update {
        Ok(update) if !update.users.is_empty() => Ok(update),
        Ok(_) => Err(json!({ "ids": ["This list may not be empty."] })),
        Err(error) => Err(diagnose(body, ids, &error)),
    }
}

#[derive(Deserialize)]
struct Body<'a, I> {
    ids: Vec<I>,
    #[serde(borrow)]
    attribute: Cow<'a, str>,
    value: Value,
}

impl<'a, I: DeserializeOwned> Body<'a, I> {
    fn read(bytes: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    fn update(self, users: impl Fn(Vec<I>) -> UserIds) -> Update<'a> {
        Update { users: users(self.ids), attribute: self.attribute, value: self.value }
    }
}

/// Reads a malformed body again, more slowly, to name all of its faults.
fn diagnose(body: &[u8], ids: IdKind, error: &serde_json::Error) -> Value {
    let unreadable = |error: &serde_json::Error| json!({ "detail": format!("JSON parse error - {error}") });
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return json!({ "non_field_errors": ["Invalid data. Expected a dictionary."] }),
        Err(error) => return unreadable(&error),
    };
    let mut faults = Map::new();
    let mut find = |field: &str, fault: Option<String>| {
        faults.extend(fault.map(|fault| (field.to_owned(), json!([fault]))));
    };
    let required = || Some("This field is required.".to_owned());
    find("ids", fields.get("ids").map_or_else(required, |found| fault_in_ids(found, ids)));
    find(
        "attribute",
        fields
            .get("attribute")
            .map_or_else(required, |found| (!found.is_string()).then(|| "Not a valid string.".to_owned())),
    );
    find("value", fields.get("value").map_or_else(required, |_| None));
    // Fields that stand there twice are faults to the strict reader alone.
    if faults.is_empty() { unreadable(error) } else { Value::Object(faults) }
}

fn fault_in_ids(found: &Value, kind: IdKind) -> Option<String> {
    let Some(ids) = found.as_array() else {
        return Some("Expected a list of items.".to_owned());
    };
    if ids.is_empty() {
        return Some("This list may not be empty.".to_owned());
    }
    ids.iter().find_map(|id| match kind {
        IdKind::Id if id.is_u64() => None,
        IdKind::Id if id.is_i64() => Some(format!("Invalid pk \"{id}\" - object does not exist.")),
        IdKind::Id => Some(format!("Incorrect type. Expected pk value, received {}.", python_type(id))),
        IdKind::CustomId if id.is_string() => None,
        IdKind::CustomId => Some("Not a valid string.".to_owned()),
    })
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_body_is_read_for_either_kind_of_id() {
        let update =
            parse(br#"{"ids": [3, 1], "attribute": "city", "value": "Oslo", "more": 1}"#, IdKind::Id)
                .unwrap();
        assert_eq!(update.users, UserIds::Ids(vec![3, 1]));
        assert!(matches!(update.attribute, Cow::Borrowed("city")));
        assert_eq!(update.value, json!("Oslo"));
        let update =
            parse(br#"{"value": null, "attribute": "ci\u0074y", "ids": ["a\n"]}"#, IdKind::CustomId).unwrap();
        assert_eq!(update.users, UserIds::CustomIds(vec!["a\n".into()]));
        assert_eq!((&*update.attribute, update.value), ("city", Value::Null));
    }

    #[test]
    fn a_malformed_body_is_told_every_fault_by_its_field() {
        let faults = |body: &str, ids| parse(body.as_bytes(), ids).unwrap_err().to_string();
        let ids = IdKind::Id;
        for (body, ids, expected) in [
            (
                "{}",
                ids,
                r#"{"ids":["This field is required."],"attribute":["This field is required."],"value":["This field is required."]}"#,
            ),
            (r#"{"ids":[],"attribute":"a","value":1}"#, ids, r#"{"ids":["This list may not be empty."]}"#),
            (
                r#"{"ids":[],"attribute":5,"value":1}"#,
                ids,
                r#"{"ids":["This list may not be empty."],"attribute":["Not a valid string."]}"#,
            ),
            (r#"{"ids":7,"attribute":"a","value":1}"#, ids, r#"{"ids":["Expected a list of items."]}"#),
            (
                r#"{"ids":["7"],"attribute":"a","value":1}"#,
                ids,
                r#"{"ids":["Incorrect type. Expected pk value, received str."]}"#,
            ),
            (
                r#"{"ids":[-7],"attribute":"a","value":1}"#,
                ids,
                r#"{"ids":["Invalid pk \"-7\" - object does not exist."]}"#,
            ),
            (
                r#"{"ids":[7],"attribute":"a","value":1}"#,
                IdKind::CustomId,
                r#"{"ids":["Not a valid string."]}"#,
            ),
            (
                r#"{"ids":[7],"attributes":"a","value":1}"#,
                ids,
                r#"{"attribute":["This field is required."]}"#,
            ),
            ("[1]", ids, r#"{"non_field_errors":["Invalid data. Expected a dictionary."]}"#),
        ] {
            assert_eq!(faults(body, ids), expected, "{body}");
        }
        for body in ["", "{", "\u{feff}{}", r#"{"ids":[1],"ids":[2],"attribute":"a","value":1}"#] {
            assert!(faults(body, ids).starts_with(r#"{"detail":"JSON parse error - "#), "{body}");
        }
    }
}
