//! A user as the API shows it, and what it holds for an attribute.
//!
//! The API shows some values in another form than the one in which they are sent. Here they are turned into the form in which
//! they are sent, as text. A form that is not understood is [`AccountValue::Unknown`]: no conclusion may be drawn from it.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::input::Operation;

/// Stands for what is no character in a text. Unicode reserves it for such uses.
pub(super) const NO_CHARACTER: char = '\u{FFFF}';

/// The digits of its escape in JSON.
pub(super) const NO_CHARACTER_ESCAPED: &[u8] = b"ffff";

/// A user as the API shows it, with all of its attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountUser {
    /// User.com's own id.
    pub id: u64,
    /// The client's own id, if the user has one.
    pub custom_id: Option<String>,
    /// The JSON object.
    pub fields: Map<String, Value>,
}

/// What a user holds for an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountValue<'u> {
    /// The API doesn't show it, or in a form that is not understood.
    Unknown,
    /// It has none: JSON null, or a custom attribute that the user doesn't have.
    Empty,
    /// The value, as text, in the form in which it would be sent: `2` for the gender `male`.
    Value(Cow<'u, str>),
}

impl AccountUser {
    /// What the user holds for the attribute with this name, which this operation sets.
    pub fn value(&self, name: &str, operation: Operation) -> AccountValue<'_> {
        value(&self.fields, name, operation)
    }

    /// The names of all custom attributes that the API shows, and what the user holds for them.
    pub fn custom_values(&self) -> impl Iterator<Item = (&str, AccountValue<'_>)> {
        custom_entries(&self.fields).filter_map(|(name, value)| Some((name?, custom(value))))
    }
}

/// What a user object holds for the attribute with this name, which this operation sets.
pub(super) fn value<'u>(
    fields: &'u Map<String, Value>,
    name: &str,
    operation: Operation,
) -> AccountValue<'u> {
    if operation == Operation::Custom {
        return custom_entry(fields, name).map_or(AccountValue::Unknown, custom);
    }
    match name {
        "user_id" | "custom_id" => own_id(fields).map_or(AccountValue::Unknown, plain),
        "company_id" => company(fields),
        _ => fields.get(name).map_or(AccountValue::Unknown, |value| standard(name, value)),
    }
}

/// What a user object has for an attribute, in JSON, for messages; `None` if it doesn't show it.
pub(super) fn shown<'u>(
    fields: &'u Map<String, Value>,
    name: &str,
    operation: Operation,
) -> Option<Cow<'u, Value>> {
    if operation == Operation::Custom {
        return custom_entry(fields, name).map(Cow::Borrowed);
    }
    match name {
        "user_id" | "custom_id" => own_id(fields).map(Cow::Borrowed),
        "company_id" => match company(fields) {
            AccountValue::Value(id) => Some(Cow::Owned(Value::String(id.into_owned()))),
            _ => fields.get("companies").or_else(|| fields.get(name)).map(Cow::Borrowed),
        },
        _ => fields.get(name).map(Cow::Borrowed),
    }
}

/// The client's own id. It has had two names.
pub(super) fn own_id(fields: &Map<String, Value>) -> Option<&Value> {
    let names = || ["custom_id", "user_id"].into_iter().filter_map(|name| fields.get(name));
    names().find(|id| !id.is_null()).or_else(|| names().next())
}

/// The id of the user's only company. The API shows a list of companies.
fn company(fields: &Map<String, Value>) -> AccountValue<'_> {
    let id = fields.get("company_id");
    if let Some(id) = id.filter(|id| !id.is_null()) {
        return integer(id);
    }
    match fields.get("companies").map(Value::as_array) {
        Some(Some(companies)) => match companies.as_slice() {
            [] => AccountValue::Empty,
            [company] => company.get("id").map_or(AccountValue::Unknown, integer),
            _ => AccountValue::Unknown,
        },
        Some(None) => AccountValue::Unknown,
        None => id.map_or(AccountValue::Unknown, |_null| AccountValue::Empty),
    }
}

fn standard<'u>(name: &str, value: &'u Value) -> AccountValue<'u> {
    match name {
        "gender" => choice(value, &["unknown", "male", "female"]),
        "status" => choice(value, &["visitor", "user"]),
        "notifications" | "unsubscribed" => boolean(value),
        "assigned_to" | "score" => integer(value),
        _ => plain(value),
    }
}

/// A custom attribute: objects and lists are values, too.
fn custom(value: &Value) -> AccountValue<'_> {
    match value {
        Value::Array(_) | Value::Object(_) => match value.to_string() {
            json if json.contains(NO_CHARACTER) => AccountValue::Unknown,
            json => text(json),
        },
        plain_value => plain(plain_value),
    }
}

/// The value of a custom attribute, null if the user doesn't have it; `None` if that can't be said.
fn custom_entry<'u>(fields: &'u Map<String, Value>, name: &str) -> Option<&'u Value> {
    if let Some((_, value)) = custom_entries(fields).find(|(entry, _)| *entry == Some(name)) {
        return Some(value);
    }
    let entries = fields.get("attributes")?.as_array()?;
    // A name may be given in the form that the API derives from it.
    let derived = |entry: &&Value| entry.get("name_std").and_then(Value::as_str) == Some(name);
    if let Some(value) = entries.iter().find(derived).and_then(|entry| entry.get("value")) {
        return Some(value);
    }
    // An entry that is not understood may be the one.
    let understood = custom_entries(fields).filter(|(name, _)| name.is_some()).count();
    (understood == entries.len()).then_some(&Value::Null)
}

/// The entries of the list of custom attributes that have a value: names and values.
fn custom_entries(fields: &Map<String, Value>) -> impl Iterator<Item = (Option<&str>, &Value)> {
    let entries = fields.get("attributes").and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| Some((entry.get("name").and_then(Value::as_str), entry.get("value")?)))
}

fn text(text: impl Into<String>) -> AccountValue<'static> {
    AccountValue::Value(Cow::Owned(text.into()))
}

/// A value that is shown as it is sent, apart from its JSON type.
fn plain(value: &Value) -> AccountValue<'_> {
    match value {
        Value::Null => AccountValue::Empty,
        Value::String(text) if text.contains(NO_CHARACTER) => AccountValue::Unknown,
        Value::String(text) => AccountValue::Value(Cow::Borrowed(text)),
        Value::Bool(_) | Value::Number(_) => text(value.to_string()),
        Value::Array(_) | Value::Object(_) => AccountValue::Unknown,
    }
}

/// A number of one of these names, from 1, or its name.
fn choice<'u>(value: &'u Value, names: &[&str]) -> AccountValue<'u> {
    let AccountValue::Value(shown) = integer(value) else { return integer(value) };
    let is_it = |(name, number): &(&&str, u32)| {
        shown.trim().eq_ignore_ascii_case(name) || shown.trim() == number.to_string()
    };
    match names.iter().zip(1..).find(is_it) {
        Some((_, number)) => text(number.to_string()),
        None if shown.trim().is_empty() => AccountValue::Value(shown),
        None => AccountValue::Unknown,
    }
}

fn boolean(value: &Value) -> AccountValue<'_> {
    let AccountValue::Value(shown) = plain(value) else { return plain(value) };
    match shown.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => text("true"),
        "false" | "0" => text("false"),
        "" => AccountValue::Value(shown),
        _ => AccountValue::Unknown,
    }
}

/// An integer, which some JSON writers show with a fraction of zero.
#[expect(clippy::float_cmp, reason = "a fraction of exactly zero is what is looked for")]
fn integer(value: &Value) -> AccountValue<'_> {
    /// Every integer up to here is a floating-point number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.as_f64().filter(|number| value.is_f64() && number.trunc() == *number && number.abs() < EXACT)
    {
        Some(number) => text(format!("{number:.0}")),
        None => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a user with these fields holds: `?` for unknown, `-` for empty.
    fn held(fields: Value, name: &str, operation: Operation) -> String {
        let Value::Object(fields) = fields else { panic!("not an object") };
        match value(&fields, name, operation) {
            AccountValue::Unknown => "?".to_owned(),
            AccountValue::Empty => "-".to_owned(),
            AccountValue::Value(text) => text.into_owned(),
        }
    }

    #[test]
    fn standard_attributes_are_read_as_they_would_be_sent() {
        for (name, shown, expected) in [
            ("gender", json!("male"), "2"),
            ("gender", json!("Unknown"), "1"),
            ("gender", json!(3), "3"),
            ("gender", json!("other"), "?"),
            ("gender", json!(""), ""),
            ("gender", json!(null), "-"),
            ("gender", json!(["male"]), "?"),
            ("status", json!("visitor"), "1"),
            ("status", json!("user"), "2"),
            ("status", json!("2"), "2"),
            ("status", json!(9), "?"),
            ("unsubscribed", json!(true), "true"),
            ("unsubscribed", json!("False"), "false"),
            ("unsubscribed", json!(" "), " "),
            ("notifications", json!(1), "true"),
            ("notifications", json!("maybe"), "?"),
            ("notifications", json!(""), ""),
            ("score", json!(7), "7"),
            ("score", json!(-7.0), "-7"),
            ("score", json!("007"), "007"),
            ("score", json!(1.5), "1.5"),
            ("score", json!(9_007_199_254_740_991.0), "9007199254740991"),
            ("score", json!(9_007_199_254_740_992.0), "9007199254740992.0"),
            ("assigned_to", json!(31), "31"),
            ("assigned_to", json!({ "id": 31 }), "?"),
            ("city", json!("Łódź"), "Łódź"),
            ("city", json!(""), ""),
            ("city", json!(null), "-"),
            ("city", json!(12), "12"),
            ("city", json!({}), "?"),
        ] {
            assert_eq!(held(json!({ name: shown }), name, Operation::Standard), expected, "{name} {shown}");
        }
        assert_eq!(held(json!({ "country": "Poland" }), "city", Operation::Standard), "?");
    }

    #[test]
    fn the_clients_own_id_has_two_names() {
        for (fields, expected) in [
            (json!({ "custom_id": "u-1" }), "u-1"),
            (json!({ "user_id": 17 }), "17"),
            (json!({ "custom_id": null, "user_id": "u-1" }), "u-1"),
            (json!({ "custom_id": null }), "-"),
            (json!({ "id": 3 }), "?"),
        ] {
            for name in ["user_id", "custom_id"] {
                assert_eq!(held(fields.clone(), name, Operation::Standard), expected, "{name} in {fields}");
            }
        }
    }

    #[test]
    fn a_company_is_the_only_one_of_the_list() {
        for (fields, expected) in [
            (json!({ "company_id": 4 }), "4"),
            (json!({ "company_id": 4, "companies": [] }), "4"),
            (json!({ "company_id": null, "companies": [{ "id": 5, "name": "Company" }] }), "5"),
            (json!({ "company_id": null }), "-"),
            (json!({ "companies": [] }), "-"),
            (json!({ "companies": [{ "id": 5 }] }), "5"),
            (json!({ "companies": [{ "name": "Company" }] }), "?"),
            (json!({ "companies": [{ "id": 5 }, { "id": 6 }] }), "?"),
            (json!({ "companies": "5" }), "?"),
            (json!({}), "?"),
        ] {
            assert_eq!(held(fields.clone(), "company_id", Operation::Standard), expected, "{fields}");
        }
    }

    #[test]
    fn messages_show_what_the_account_has_in_json() {
        let Value::Object(fields) = json!({
            "city": "Oslo", "user_id": 17, "companies": [{ "id": 5 }], "attributes": [{ "name": "Plan", "value": 3 }],
        }) else {
            panic!("not an object")
        };
        let shown = |name, operation| shown(&fields, name, operation).map(|value| value.to_string());
        for (name, operation, expected) in [
            ("city", Operation::Standard, Some(r#""Oslo""#)),
            ("custom_id", Operation::Standard, Some("17")),
            ("company_id", Operation::Standard, Some(r#""5""#)),
            ("country", Operation::Standard, None),
            ("Plan", Operation::Custom, Some("3")),
        ] {
            assert_eq!(shown(name, operation).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn custom_attributes_are_in_a_list_of_their_own() {
        let fields = json!({ "city": "Oslo", "attributes": [
            { "name": "Shoe size", "name_std": "shoe_size", "value": 44 },
            { "name": "Likes", "name_std": "likes", "value": ["a", { "b": 1.5 }] },
            { "name": "Odd", "name_std": "odd", "value": ["a\u{ffff}"] },
            { "name": "Vip", "name_std": "vip", "value": true },
            { "name": "Plan", "name_std": "plan", "value": null },
        ] });
        for (name, expected) in [
            ("Shoe size", "44"),
            ("shoe_size", "44"),
            ("Likes", r#"["a",{"b":1.5}]"#),
            ("Odd", "?"),
            ("Vip", "true"),
            ("Plan", "-"),
            ("city", "-"),
        ] {
            assert_eq!(held(fields.clone(), name, Operation::Custom), expected, "{name}");
        }
        for (attributes, expected) in [
            (json!([]), "-"),
            (json!(null), "?"),
            (json!({ "Plan": "gold" }), "?"),
            (json!([{ "name": 3, "value": 3 }]), "?"),
            (json!([{ "name": "Plan" }]), "?"),
        ] {
            let fields = json!({ "attributes": attributes });
            assert_eq!(held(fields, "Plan", Operation::Custom), expected, "{attributes}");
        }
        assert_eq!(held(json!({ "Plan": "gold" }), "Plan", Operation::Custom), "?");
    }

    #[test]
    fn all_custom_attributes_can_be_listed() {
        let Value::Object(fields) = json!({ "attributes": [
            { "name": "Plan", "value": "gold" }, { "value": 3 }, { "name": "Vip", "value": null },
        ] }) else {
            panic!("not an object")
        };
        let user = AccountUser { id: 1, custom_id: None, fields };
        let values: Vec<_> = user.custom_values().collect();
        assert_eq!(values, [("Plan", AccountValue::Value("gold".into())), ("Vip", AccountValue::Empty)]);
    }
}
