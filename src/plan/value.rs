//! A value as JSON.

use std::borrow::Cow;

use crate::input::{Attribute, Json};

/// The JSON token of a value of the input: what the attribute's map makes of it, then as its type. A text that is none
/// of that type is written as a string, which the server can judge.
pub(super) fn token(attribute: &Attribute, text: &str) -> String {
    let text = attribute.map.get(text).map_or(text, String::as_str);
    let typed = match attribute.json {
        Json::String => None,
        Json::Integer => integer(text),
        Json::Float => float(text),
        Json::Boolean => boolean(text).map(Cow::Borrowed),
    };
    typed.map_or_else(|| serde_json::Value::from(text).to_string(), Cow::into_owned)
}

/// `+007` is 7, of any length.
fn integer(text: &str) -> Option<Cow<'_, str>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(match (negative, digits.trim_start_matches('0')) {
        (_, "") => Cow::Borrowed("0"),
        (false, digits) => Cow::Borrowed(digits),
        (true, digits) => Cow::Owned(format!("-{digits}")),
    })
}

/// As it stands if that is JSON, so that no digit is lost; else as the nearest double: `.5` is 0.5.
fn float(text: &str) -> Option<Cow<'_, str>> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    if serde_json::from_str::<serde_json::Number>(text).is_ok() && !text.starts_with(char::is_whitespace) {
        return Some(Cow::Borrowed(text));
    }
    Some(Cow::Owned(serde_json::Value::from(number).to_string()))
}

fn boolean(text: &str) -> Option<&'static str> {
    let is = |word: &&str| text.eq_ignore_ascii_case(word);
    if ["true", "1"].iter().any(is) {
        return Some("true");
    }
    ["false", "0"].iter().any(is).then_some("false")
}
