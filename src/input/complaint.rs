//! What makes a row invalid, in words.

use super::dictionary::NoAttribute;
use super::rules::Rule;
use super::suggest::Meant;
use super::{AttributeId, Dictionary, IdType, excerpt};

/// What makes a row invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Complaint {
    Fields,
    OpenQuote,
    NotText,
    RepeatedHeader,
    /// In an earlier run already, whose report this is.
    Unparsable,
    User(IdType),
    Attribute(NoAttribute),
    Empty(AttributeId),
    Rule(AttributeId, Rule),
}

impl Complaint {
    /// What all rows of this complaint have in common.
    pub(super) fn what(self, dictionary: &Dictionary) -> String {
        let name = |attribute| excerpt(dictionary.attribute(attribute).name.as_bytes());
        match self {
            Self::Fields => "wrong number of fields".to_owned(),
            Self::OpenQuote => "a quote is never closed".to_owned(),
            Self::NotText => "bytes that are not text in the input's encoding".to_owned(),
            Self::Unparsable => "the record could not be parsed in an earlier run".to_owned(),
            Self::RepeatedHeader => "the header is repeated".to_owned(),
            Self::User(IdType::Id) => "`user_id` must be a positive integer of at most 63 bits".to_owned(),
            Self::User(IdType::CustomId) => "`user_id` must not be empty".to_owned(),
            Self::Attribute(NoAttribute::NotAllowed) => "the attribute is not allowed".to_owned(),
            Self::Attribute(NoAttribute::TooLong) => {
                "the name of a custom attribute must be at most 255 characters long".to_owned()
            }
            Self::Attribute(NoAttribute::TooMany) => "the inputs name more than 65536 attributes".to_owned(),
            Self::Empty(attribute) => format!("`{}` has no value", name(attribute)),
            Self::Rule(attribute, rule) => format!("`{}` must be {}", name(attribute), rule.demand()),
        }
    }

    /// What is wrong with one row, of which this part is to blame.
    pub(super) fn of(self, found: &str, dictionary: &Dictionary, meant: &mut Meant) -> String {
        let what = self.what(dictionary);
        match self {
            Self::User(IdType::Id) | Self::Rule(..) => format!("{what}, not `{}`", excerpt(found.as_bytes())),
            Self::Attribute(no) => {
                let name = found.trim_ascii();
                let nearest = if no == NoAttribute::NotAllowed { meant.standard(name) } else { None };
                let meant = nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                format!("{what}: `{}`{meant}", excerpt(name.as_bytes()))
            }
            _ => what,
        }
    }

    /// The part of a row that is to blame.
    pub(super) fn part<'a>(self, user_id: &'a str, attribute: &'a str, value: &'a str) -> &'a str {
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
