//! What values the API can take.

use super::{Json, artefact, value_formats};

/// The standard attributes, in the order of their numbers, with what the API documents of their values. `custom_id` is
/// what the API calls `user_id` today; it takes both names.
pub(super) const STANDARD_ATTRIBUTES: [(&str, ValueKind); 22] = [
    ("assigned_to", ValueKind::Integer),
    ("city", ValueKind::Text),
    ("company_id", ValueKind::Integer),
    ("country", ValueKind::Text),
    ("custom_id", ValueKind::Identity),
    ("email", ValueKind::Email),
    ("facebook_url", ValueKind::Url),
    ("first_name", ValueKind::Name),
    ("gender", ValueKind::Gender),
    ("google_url", ValueKind::Url),
    ("gravatar_url", ValueKind::Url),
    ("last_name", ValueKind::Name),
    ("linkedin_url", ValueKind::Url),
    ("notifications", ValueKind::Boolean),
    ("phone_number", ValueKind::Phone),
    ("region", ValueKind::Text),
    ("score", ValueKind::Integer),
    ("status", ValueKind::Status),
    ("timezone", ValueKind::Timezone),
    ("twitter_url", ValueKind::Url),
    ("unsubscribed", ValueKind::Boolean),
    ("user_id", ValueKind::Identity),
];

/// What kind of value an attribute has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// A custom attribute: nothing is known of its values.
    Any,
    /// One line.
    Text,
    /// One line: the client's own id, by either of its names.
    Identity,
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
    LineEnd,
    SpreadsheetError,
    Formula,
    Apostrophe,
    QuotesInside,
    Nothing,
    Blank,
    Html,
    Replaced,
    Invisible,
    Control,
}

impl Rule {
    /// What the value should be, after `must be`; of what is only suspected, what it is, after the attribute's name.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::NameLength => "at most 40 characters long",
            Self::Gender => "1 (unknown), 2 (male) or 3 (female)",
            Self::Status => "1 (visitor) or 2 (user)",
            Self::Integer => "a whole number",
            Self::Boolean => "`true` or `false`",
            Self::JsonInteger => "a whole number, as its `type` is `integer`",
            Self::JsonFloat => "a number, as its `type` is `float`",
            Self::JsonBoolean => "`true` or `false`, as its `type` is `boolean`",
            Self::PlainBoolean => "is neither `true` nor `false`",
            Self::Email => "is not an e-mail address",
            Self::Phone => "is not in the form `+48123456789`",
            Self::Timezone => "is not a time zone in the form `Europe/Warsaw`",
            Self::Url => "does not start with `https://`",
            Self::LineEnd => "has a line end inside: look for a quote that was opened by mistake",
            Self::SpreadsheetError => "has an error of a spreadsheet for a value, as `#N/A`",
            Self::Formula => "has a formula of a spreadsheet for a value, as `=\"0012\"`",
            Self::Apostrophe => "starts with an apostrophe, as spreadsheets mark a text",
            Self::QuotesInside => "has quotes that are part of it, as a space stands before them",
            Self::Nothing => {
                "has a word for no value, as `NULL`: `--null-token` clears the attribute instead"
            }
            Self::Blank => "is only white space",
            Self::Html => "has a character as HTML writes it, as `&amp;`",
            Self::Replaced => "has characters that were lost by decoding",
            Self::Invisible => "has characters that can't be seen",
            Self::Control => "has control characters",
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
pub(super) fn examine(kind: ValueKind, json: Json, text: &str) -> Finding {
    let typed = match json {
        Json::String => None,
        _ => match json.token(text) {
            Ok(token) => Some(token),
            Err(rule) => return Finding::Wrong(rule),
        },
    };
    // What is read as a type is sent as that, without what stood round it.
    let text = typed.as_deref().unwrap_or(text);
    let finding = match kind {
        ValueKind::Any | ValueKind::Text | ValueKind::Identity => Finding::Fine,
        ValueKind::Name => wrong_unless(text.chars().nth(40).is_none(), Rule::NameLength),
        ValueKind::Gender => wrong_unless(matches!(text, "1" | "2" | "3"), Rule::Gender),
        ValueKind::Status => wrong_unless(matches!(text, "1" | "2"), Rule::Status),
        ValueKind::Integer => wrong_unless(text.parse::<i64>().is_ok(), Rule::Integer),
        ValueKind::Boolean => boolean(text),
        ValueKind::Email => suspect_unless(value_formats::email(text), Rule::Email),
        ValueKind::Phone => suspect_unless(value_formats::phone(text), Rule::Phone),
        ValueKind::Timezone => suspect_unless(value_formats::timezone(text), Rule::Timezone),
        ValueKind::Url => suspect_unless(value_formats::url(text), Rule::Url),
    };
    if matches!(finding, Finding::Wrong(_)) {
        return finding;
    }
    if kind != ValueKind::Any && memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
        return Finding::Suspect(Rule::LineEnd);
    }
    artefact::find(text).map_or(finding, Finding::Suspect)
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
