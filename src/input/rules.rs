//! What values the API can take.

use super::{Json, artefact, shape};

/// The standard attributes, in the order of their numbers, with what the API documents of their values. `custom_id` is
/// what the API calls `user_id` today; it takes both names.
pub(super) const STANDARD_KINDS: [(&str, Kind); 22] = [
    ("assigned_to", Kind::Integer),
    ("city", Kind::Text),
    ("company_id", Kind::Integer),
    ("country", Kind::Text),
    ("custom_id", Kind::Identity),
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
    ("user_id", Kind::Identity),
];

/// What kind of value an attribute has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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
    Unseen,
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
            Self::Unseen => "has characters that can't be seen",
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
pub(super) fn examine(kind: Kind, json: Json, text: &str) -> Finding {
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
        Kind::Any | Kind::Text | Kind::Identity => Finding::Fine,
        Kind::Name => wrong_unless(text.chars().nth(40).is_none(), Rule::NameLength),
        Kind::Gender => wrong_unless(matches!(text, "1" | "2" | "3"), Rule::Gender),
        Kind::Status => wrong_unless(matches!(text, "1" | "2"), Rule::Status),
        Kind::Integer => wrong_unless(text.parse::<i64>().is_ok(), Rule::Integer),
        Kind::Boolean => boolean(text),
        Kind::Email => suspect_unless(shape::email(text), Rule::Email),
        Kind::Phone => suspect_unless(shape::phone(text), Rule::Phone),
        Kind::Timezone => suspect_unless(shape::timezone(text), Rule::Timezone),
        Kind::Url => suspect_unless(shape::url(text), Rule::Url),
    };
    if matches!(finding, Finding::Wrong(_)) {
        return finding;
    }
    if kind != Kind::Any && memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
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
