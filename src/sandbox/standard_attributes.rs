//! The standard attributes: which values they accept, and how the API shows them.

use serde_json::{Value, json};

use super::state::plain_text;

/// Which values a standard attribute accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeType {
    Text,
    /// At most [`NAME_LENGTH`] characters.
    Name,
    /// E.164.
    Phone,
    Integer,
    Boolean,
    /// 1 and upwards, each with the word by which the API shows it.
    Choice(&'static [&'static str]),
}

const NAME_LENGTH: usize = 40;
const GENDER: AttributeType = AttributeType::Choice(&["unknown", "male", "female"]);
const STATUS: AttributeType = AttributeType::Choice(&["visitor", "user"]);

/// All standard attributes, by name.
pub(super) const STANDARD: [(&str, AttributeType); 22] = [
    ("assigned_to", AttributeType::Integer),
    ("city", AttributeType::Text),
    ("company_id", AttributeType::Integer),
    ("country", AttributeType::Text),
    ("custom_id", AttributeType::Text),
    ("email", AttributeType::Text),
    ("facebook_url", AttributeType::Text),
    ("first_name", AttributeType::Name),
    ("gender", GENDER),
    ("google_url", AttributeType::Text),
    ("gravatar_url", AttributeType::Text),
    ("last_name", AttributeType::Name),
    ("linkedin_url", AttributeType::Text),
    ("notifications", AttributeType::Boolean),
    ("phone_number", AttributeType::Phone),
    ("region", AttributeType::Text),
    ("score", AttributeType::Integer),
    ("status", STATUS),
    ("timezone", AttributeType::Text),
    ("twitter_url", AttributeType::Text),
    ("unsubscribed", AttributeType::Boolean),
    ("user_id", AttributeType::Text),
];

/// The type of the standard attribute of this name, if there is one.
pub(super) fn attribute_type(name: &str) -> Option<AttributeType> {
    STANDARD.binary_search_by_key(&name, |(standard, _)| standard).ok().map(|place| STANDARD[place].1)
}

impl AttributeType {
    /// Says what is wrong with a value. Null, which clears an attribute, is always right, and so is the text of a
    /// number or boolean.
    pub(super) fn check(self, value: &Value) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        match self {
            Self::Text => text(value).map(drop),
            Self::Name => match text(value)?.chars().count() {
                0..=NAME_LENGTH => Ok(()),
                _ => Err(format!("Ensure this field has no more than {NAME_LENGTH} characters.")),
            },
            Self::Phone if is_e164(text(value)?) => Ok(()),
            Self::Phone => Err("The phone number entered is not valid.".into()),
            Self::Integer if integer(value).is_some() => Ok(()),
            Self::Integer => Err("A valid integer is required.".into()),
            Self::Boolean if boolean(value).is_some() => Ok(()),
            Self::Boolean => Err("Must be a valid boolean.".into()),
            Self::Choice(words) if choice(words, value).is_some() => Ok(()),
            Self::Choice(_) => Err(format!("\"{}\" is not a valid choice.", plain_text(value))),
        }
    }

    /// A valid value in the type in which the API shows it.
    pub(super) fn show(self, value: &Value) -> Value {
        match self {
            Self::Text | Self::Name | Self::Phone => value.clone(),
            Self::Integer => json!(integer(value)),
            Self::Boolean => json!(boolean(value)),
            Self::Choice(words) => json!(choice(words, value)),
        }
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "Not a valid string.".into())
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match &*plain_text(value) {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => None,
    }
}

fn choice(words: &'static [&'static str], value: &Value) -> Option<&'static str> {
    let place = usize::try_from(integer(value)?).ok()?.checked_sub(1)?;
    words.get(place).copied()
}

fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (2..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_attributes_stand_in_the_order_that_they_are_searched_in() {
        assert!(STANDARD.is_sorted_by_key(|(name, _)| *name));
        assert_eq!(attribute_type("gender"), Some(GENDER));
        assert_eq!(attribute_type("shoe_size"), None);
    }

    #[test]
    fn values_are_checked_by_the_type_of_their_attribute() {
        let check = |name: &str, value: Value| attribute_type(name).unwrap().check(&value).is_ok();
        let valid = [
            ("city", json!("")),
            ("city", json!(null)),
            ("first_name", json!("ż".repeat(40))),
            ("phone_number", json!("+48123456789")),
            ("score", json!(-4)),
            ("score", json!("17")),
            ("gender", json!(3)),
            ("gender", json!("1")),
            ("status", json!("2")),
            ("unsubscribed", json!(true)),
            ("notifications", json!("false")),
            ("notifications", json!("1")),
        ];
        let invalid = [
            ("city", json!(5)),
            ("city", json!(["Oslo"])),
            ("last_name", json!("x".repeat(41))),
            ("phone_number", json!("123456789")),
            ("phone_number", json!("+0123")),
            ("phone_number", json!("+1234567890123456")),
            ("score", json!(1.5)),
            ("score", json!("")),
            ("gender", json!(0)),
            ("gender", json!("4")),
            ("gender", json!("male")),
            ("status", json!(3)),
            ("unsubscribed", json!("yes")),
            ("unsubscribed", json!(2)),
        ];
        for (name, value) in valid {
            assert!(check(name, value.clone()), "{name} {value}");
        }
        for (name, value) in invalid {
            assert!(!check(name, value.clone()), "{name} {value}");
        }
    }

    #[test]
    fn values_are_shown_in_the_types_of_the_api() {
        let show = |name: &str, value: Value| attribute_type(name).unwrap().show(&value);
        assert_eq!(show("gender", json!("2")), json!("male"));
        assert_eq!(show("status", json!(1)), json!("visitor"));
        assert_eq!(show("score", json!("17")), json!(17));
        assert_eq!(show("notifications", json!("0")), json!(false));
        assert_eq!(show("city", json!("Oslo")), json!("Oslo"));
    }
}
