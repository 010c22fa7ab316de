//! Checks values: which the API accepts, and which look wrong.

use super::{JsonType, value_formats};

/// The standard attributes in the order of their numbers, with the kinds of values that the API documents.
/// `custom_id` is the older name of `user_id`; the API accepts both.
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

/// The kind of values of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// Anything: the attribute is custom.
    Any,
    /// One line.
    Text,
    /// One line: the client's own id, under either name.
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

/// A rule that a value breaks.
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
    /// What the value must be, to follow `must be`. For a warning, what the value is, to follow the name of the
    /// attribute.
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

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueCheck {
    Fine,
    /// The API may accept the value.
    Suspect(Rule),
    /// The API does not accept the value.
    Wrong(Rule),
}

/// Checks a value as it would be sent.
pub(super) fn examine(kind: ValueKind, json: JsonType, text: &str) -> ValueCheck {
    let typed = match json {
        JsonType::String => None,
        _ => match json.token(text) {
            Ok(token) => Some(token),
            Err(rule) => return ValueCheck::Wrong(rule),
        },
    };
    // A value with a JSON type is sent without what surrounds it.
    let text = typed.as_deref().unwrap_or(text);
    let finding = match kind {
        ValueKind::Any | ValueKind::Text | ValueKind::Identity => ValueCheck::Fine,
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
    if matches!(finding, ValueCheck::Wrong(_)) {
        return finding;
    }
    if kind != ValueKind::Any && memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
        return ValueCheck::Suspect(Rule::LineEnd);
    }
    find_artefact(text).map_or(finding, ValueCheck::Suspect)
}

/// The API uses Django REST framework, which accepts these words as booleans and no others.
fn boolean(text: &str) -> ValueCheck {
    const PLAIN: [&str; 4] = ["true", "false", "1", "0"];
    const ODD: [&str; 8] = ["yes", "no", "on", "off", "t", "f", "y", "n"];
    let among = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if among(&PLAIN) {
        return ValueCheck::Fine;
    }
    if among(&ODD) { ValueCheck::Suspect(Rule::PlainBoolean) } else { ValueCheck::Wrong(Rule::Boolean) }
}

fn wrong_unless(fine: bool, rule: Rule) -> ValueCheck {
    if fine { ValueCheck::Fine } else { ValueCheck::Wrong(rule) }
}

fn suspect_unless(fine: bool, rule: Rule) -> ValueCheck {
    if fine { ValueCheck::Fine } else { ValueCheck::Suspect(rule) }
}

/// Errors that spreadsheets show instead of a value.
const ERRORS: [&str; 10] = [
    "#N/A",
    "#REF!",
    "#VALUE!",
    "#DIV/0!",
    "#NAME?",
    "#NULL!",
    "#NUM!",
    "#SPILL!",
    "#CALC!",
    "#GETTING_DATA",
];

/// Words that programs write for a missing value.
const NOTHING: [&str; 11] =
    ["NULL", "null", "NaN", "nan", "NaT", "None", "nil", "undefined", "\\N", "<NA>", "#NULL"];

/// Finds what another program left in a value unintentionally. Such a value is sent, with a warning.
fn find_artefact(text: &str) -> Option<Rule> {
    match text.bytes().next()? {
        b'#' if ERRORS.contains(&text) => return Some(Rule::SpreadsheetError),
        b'=' if text.starts_with("=\"") && text.ends_with('"') => return Some(Rule::Formula),
        // Names may start with an apostrophe, as `'t Hooft`.
        b'\''
            if text.as_bytes().get(1).is_some_and(|byte| byte.is_ascii_digit() || b"+-=@".contains(byte)) =>
        {
            return Some(Rule::Apostrophe);
        }
        b' ' | b'\t' if text.trim_start().starts_with('"') && text.trim_end().ends_with('"') => {
            return Some(Rule::QuotesInside);
        }
        b'N' | b'n' | b'u' | b'\\' | b'<' | b'#' if NOTHING.contains(&text) => return Some(Rule::Nothing),
        first if first.is_ascii_graphic() && is_plain(text) => return None,
        _ => {}
    }
    if text.trim().is_empty() {
        return Some(Rule::Blank);
    }
    if is_escaped(text) {
        return Some(Rule::Html);
    }
    text.chars().find_map(|character| match character {
        '\u{fffd}' => Some(Rule::Replaced),
        '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(Rule::Invisible)
        }
        '\n' | '\r' | '\t' => None,
        control if control.is_control() => Some(Rule::Control),
        _ => None,
    })
}

/// Whether a text is printable ASCII that needs no escape in HTML. Most texts are, and they need no closer look.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'&')
}

/// Whether the text has a character that is escaped as in HTML.
fn is_escaped(text: &str) -> bool {
    text.split('&').skip(1).any(|rest| {
        ["amp;", "lt;", "gt;", "quot;", "apos;", "nbsp;"].iter().any(|name| rest.starts_with(name))
            || rest.strip_prefix('#').and_then(|rest| rest.split_once(';')).is_some_and(|(code, _)| {
                let digits = code.trim_start_matches(['x', 'X']);
                !digits.is_empty() && digits.len() < 7 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_leave_is_found_and_what_people_write_is_not() {
        for (text, rule) in [
            ("#N/A", Some(Rule::SpreadsheetError)),
            ("#REF!", Some(Rule::SpreadsheetError)),
            ("=\"0012\"", Some(Rule::Formula)),
            ("'0012", Some(Rule::Apostrophe)),
            ("'+48123", Some(Rule::Apostrophe)),
            (" \"Rome\"", Some(Rule::QuotesInside)),
            ("NaN", Some(Rule::Nothing)),
            ("NULL", Some(Rule::Nothing)),
            ("\\N", Some(Rule::Nothing)),
            ("  ", Some(Rule::Blank)),
            ("\u{a0}", Some(Rule::Blank)),
            ("Smith &amp; Sons", Some(Rule::Html)),
            ("O&#39;Brien", Some(Rule::Html)),
            ("\u{fffd}\u{f3}d\u{fffd}", Some(Rule::Replaced)),
            ("a\u{200b}@b.pl", Some(Rule::Invisible)),
            ("a\0b", Some(Rule::Control)),
            ("a\u{85}b", Some(Rule::Control)),
            ("", None),
            ("Kraków", None),
            ("'t Hooft", None),
            ("#1", None),
            ("= 5", None),
            ("6\" pipe", None),
            ("Bed & Breakfast; cheap", None),
            ("Null Island", None),
            ("a\nb\tc", None),
            ("\u{1f468}\u{200d}\u{1f469}", None),
        ] {
            assert_eq!(find_artefact(text), rule, "{text:?}");
        }
    }
}
