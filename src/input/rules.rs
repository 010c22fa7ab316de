//! What values the API can take.

use super::Json;
use super::shape;

/// The standard attributes, in the order of their numbers, with what the API documents of their values. `custom_id` is
/// what the API calls `user_id` today; it takes both names.
pub(super) const STANDARD_KINDS: [(&str, Kind); 22] = [
    ("assigned_to", Kind::Integer),
    ("city", Kind::Text),
    ("company_id", Kind::Integer),
    ("country", Kind::Text),
    ("custom_id", Kind::Text),
    ("email", Kind::Email),
    ("facebook_url", Kind::Url),
    ("first_name", Kind::Name),
    ("gender", Kind::Gender),
    ("google_url", Kind::Url),
    ("gravatar_url", Kind::Url),
    ("last_name", Kind::Name),
    ("linkedin_url", Kind::Url),
    ("notifications", Kind::Boolean),
    ("phone_number", Kind::Phone),
    ("region", Kind::Text),
    ("score", Kind::Integer),
    ("status", Kind::Status),
    ("timezone", Kind::Timezone),
    ("twitter_url", Kind::Url),
    ("unsubscribed", Kind::Boolean),
    ("user_id", Kind::Text),
];

/// What kind of value an attribute has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Name,
    Gender,
    Status,
    Integer,
    Boolean,
    Email,
    Phone,
    Timezone,
    Url,
}

/// A demand that a value did not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Rule {
    NameLength,
    Gender,
    Status,
    Integer,
    Boolean,
    PlainBoolean,
    JsonInteger,
    JsonFloat,
    JsonBoolean,
    Email,
    Phone,
    Timezone,
    Url,
}

impl Rule {
    /// What the value should be, after `must be` or `does not look like`.
    pub(super) const fn demand(self) -> &'static str {
        match self {
            Self::NameLength => "at most 40 characters long",
            Self::Gender => "1 (unknown), 2 (male) or 3 (female)",
            Self::Status => "1 (visitor) or 2 (user)",
            Self::Integer => "an integer",
            Self::Boolean | Self::PlainBoolean => "`true` or `false`",
            Self::JsonInteger => "a JSON integer",
            Self::JsonFloat => "a JSON number",
            Self::JsonBoolean => "a JSON boolean, `true` or `false`",
            Self::Email => "an e-mail address",
            Self::Phone => "a phone number in E.164 form, as `+48123456789`",
            Self::Timezone => "a time zone, as `Europe/Warsaw`",
            Self::Url => "an address that starts with `https://`",
        }
    }
}

/// What there is to say of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Fine,
    /// The API may well take it.
    Suspect(Rule),
    /// The API can't take it.
    Wrong(Rule),
}

/// Looks at what is to be sent for an attribute.
pub(super) fn examine(kind: Kind, json: Json, text: &str) -> Finding {
    if let Some(rule) = untyped(json, text) {
        return Finding::Wrong(rule);
    }
    match kind {
        Kind::Text => Finding::Fine,
        Kind::Name => wrong_unless(text.chars().nth(40).is_none(), Rule::NameLength),
        Kind::Gender => wrong_unless(matches!(text, "1" | "2" | "3"), Rule::Gender),
        Kind::Status => wrong_unless(matches!(text, "1" | "2"), Rule::Status),
        Kind::Integer => wrong_unless(text.parse::<i64>().is_ok(), Rule::Integer),
        Kind::Boolean => boolean(text),
        Kind::Email => suspect_unless(shape::email(text), Rule::Email),
        Kind::Phone => suspect_unless(shape::phone(text), Rule::Phone),
        Kind::Timezone => suspect_unless(shape::timezone(text), Rule::Timezone),
        Kind::Url => suspect_unless(shape::url(text), Rule::Url),
    }
}

/// The rule that keeps a text from being written as such JSON, if one does. Only what JSON itself would write passes, so
/// that whoever renders the value has nothing to decide.
pub(super) fn untyped(json: Json, text: &str) -> Option<Rule> {
    let is = |typed: bool| typed && text.trim() == text;
    match json {
        Json::String => None,
        Json::Integer => (!is(serde_json::from_str::<i64>(text).is_ok())).then_some(Rule::JsonInteger),
        Json::Float => (!is(serde_json::from_str::<f64>(text).is_ok())).then_some(Rule::JsonFloat),
        Json::Boolean => (!is(serde_json::from_str::<bool>(text).is_ok())).then_some(Rule::JsonBoolean),
    }
}

/// Servers of the API's family (Django REST framework) take these words for booleans, and no others.
fn boolean(text: &str) -> Finding {
    const PLAIN: [&str; 4] = ["true", "false", "1", "0"];
    const ODD: [&str; 8] = ["yes", "no", "on", "off", "t", "f", "y", "n"];
    let among = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if among(&PLAIN) {
        return Finding::Fine;
    }
    if among(&ODD) { Finding::Suspect(Rule::PlainBoolean) } else { Finding::Wrong(Rule::Boolean) }
}

fn wrong_unless(fine: bool, rule: Rule) -> Finding {
    if fine { Finding::Fine } else { Finding::Wrong(rule) }
}

fn suspect_unless(fine: bool, rule: Rule) -> Finding {
    if fine { Finding::Fine } else { Finding::Suspect(rule) }
}
