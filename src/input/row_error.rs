//! Errors and warnings of rows, and their messages.

use super::dictionary::AttributeError;
use super::invisible::trim_text;
use super::record::{Record, SyntaxError};
use super::rules::Rule;
use super::suggest::{SuggestionCache, nearest_standard};
use super::{AttributeId, Dictionary, IdType, excerpt};

/// Why a row is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RowError {
    Fields {
        expected: usize,
        found: FieldCount,
    },
    SyntaxError(SyntaxError),
    /// A quote is never closed; the record has this number of lines.
    OpenQuote {
        lines: u64,
    },
    NotText,
    RepeatedHeader,
    /// The earlier run whose report this is could not parse the record.
    Unparsable,
    User(IdType),
    Attribute(AttributeError),
    Empty(AttributeId),
    Rule(AttributeId, Rule),
}

/// How the number of fields differs from that of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FieldCount {
    Fewer,
    More,
    /// More, but those beyond the header are empty.
    Trailing,
}

impl FieldCount {
    pub(super) fn of(record: &Record<'_>, expected: usize) -> Self {
        if record.len() < expected {
            Self::Fewer
        } else if record.iter().skip(expected).all(<[u8]>::is_empty) {
            Self::Trailing
        } else {
            Self::More
        }
    }
}

/// What looks wrong in a row that is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RowWarning {
    Value(AttributeId, Rule),
    NoLineEnd,
    LoneReturn,
    NamelessColumn,
}

impl RowWarning {
    pub(super) fn description(self, dictionary: &Dictionary) -> String {
        match self {
            Self::Value(attribute, rule) => {
                let name = excerpt(dictionary.attribute(attribute).name.as_bytes());
                format!("`{name}` {}; it is sent all the same", rule.words())
            }
            Self::LoneReturn => {
                "a carriage return within a line was taken for its end: put quotes round values that have one"
                    .to_owned()
            }
            Self::NamelessColumn => "a column without a name is not sent, and has a value".to_owned(),
            Self::NoLineEnd => "the last line has no line end: is the input whole?".to_owned(),
        }
    }

    pub(super) fn renumber(self, number: impl Fn(AttributeId) -> AttributeId) -> Self {
        match self {
            Self::Value(attribute, rule) => Self::Value(number(attribute), rule),
            other => other,
        }
    }
}

impl RowError {
    /// What is wrong with all rows that have this error.
    pub(super) fn description(self, dictionary: &Dictionary) -> String {
        let name = |attribute| excerpt(dictionary.attribute(attribute).name.as_bytes());
        match self {
            Self::Fields { expected, found } => match found {
                FieldCount::Fewer => format!("fewer than {expected} fields, the header's number"),
                FieldCount::More => format!("more than {expected} fields, the header's number"),
                FieldCount::Trailing => {
                    format!(
                        "more than {expected} fields, the last of them empty: is there a delimiter at the end?"
                    )
                }
            },
            Self::SyntaxError(flaw) => flaw.description().to_owned(),
            Self::OpenQuote { lines: 1 } => SyntaxError::OpenQuote.description().to_owned(),
            Self::OpenQuote { lines } => {
                format!("{}: it takes the last {lines} lines", SyntaxError::OpenQuote.description())
            }
            Self::NotText => "bytes that are not text in the input's encoding".to_owned(),
            Self::Unparsable => "the record could not be parsed in an earlier run".to_owned(),
            Self::RepeatedHeader => "the header is repeated".to_owned(),
            Self::User(IdType::Id) => "`user_id` must be a positive whole number".to_owned(),
            Self::User(IdType::CustomId) => "`user_id` must not be empty".to_owned(),
            Self::Attribute(AttributeError::NotAllowed) => "unknown attribute".to_owned(),
            Self::Attribute(AttributeError::TooLong) => {
                "the name of a custom attribute must be at most 255 characters long".to_owned()
            }
            Self::Attribute(AttributeError::TooMany) => {
                "the inputs name more than 65536 attributes".to_owned()
            }
            Self::Empty(attribute) => format!("`{}` has no value", name(attribute)),
            Self::Rule(attribute, rule) => format!("`{}` must be {}", name(attribute), rule.words()),
        }
    }

    /// What is wrong with all rows that have this error, and what to do about it. `first` is the wrong field of the
    /// first row.
    pub(super) fn description_with_hint(self, first: &str, dictionary: &Dictionary) -> String {
        let is_number = || trim_text(first).bytes().all(|byte| byte.is_ascii_digit());
        let hint = match self {
            Self::User(IdType::Id) if is_number() => "",
            Self::User(IdType::Id) => "; if these are your own ids, add `--id-type custom-id`",
            Self::Attribute(AttributeError::NotAllowed) if nearest_standard(trim_text(first)).is_some() => "",
            Self::Attribute(AttributeError::NotAllowed) => "; if it is your own, add `--allow-custom`",
            _ => return self.description(dictionary),
        };
        self.message(first, dictionary, &mut SuggestionCache::default()) + hint
    }

    /// What is wrong with one row, whose wrong field is `found`.
    pub(super) fn message(self, found: &str, dictionary: &Dictionary, meant: &mut SuggestionCache) -> String {
        let what = self.description(dictionary);
        match self {
            Self::User(IdType::Id) | Self::Rule(..) => format!("{what}, not `{}`", excerpt(found.as_bytes())),
            Self::Attribute(no) => {
                let name = trim_text(found);
                let nearest = if no == AttributeError::NotAllowed { meant.standard(name) } else { None };
                let meant = nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                format!("{what}: `{}`{meant}", excerpt(name.as_bytes()))
            }
            _ => what,
        }
    }

    /// The field of a row that is wrong.
    pub(super) fn offending_field<'a>(self, user_id: &'a str, attribute: &'a str, value: &'a str) -> &'a str {
        match self {
            Self::Attribute(_) => attribute,
            Self::Rule(..) | Self::Empty(_) => value,
            _ => user_id,
        }
    }

    pub(super) fn renumber(self, number: impl Fn(AttributeId) -> AttributeId) -> Self {
        match self {
            Self::Empty(attribute) => Self::Empty(number(attribute)),
            Self::Rule(attribute, rule) => Self::Rule(number(attribute), rule),
            other => other,
        }
    }
}
