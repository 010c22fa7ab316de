//! Values as requests send them.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::input::{Attribute, JsonType};
use crate::plan::Plan;

/// A value as a request sends it. Two values are the same to the API if these are equal, whatever settings they were
/// sent with. It is displayed without quotes, and serialized as sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SentValue<'a> {
    /// JSON null: the attribute is cleared.
    Null,
    /// A JSON string of this text.
    Text(Cow<'a, str>),
    /// Any other JSON token: a number or a boolean.
    Json(Cow<'a, str>),
}

impl<'a> SentValue<'a> {
    /// The same value, without borrowed text.
    pub fn into_owned(self) -> SentValue<'static> {
        match self {
            Self::Null => SentValue::Null,
            Self::Text(text) => SentValue::Text(Cow::Owned(text.into_owned())),
            Self::Json(token) => SentValue::Json(Cow::Owned(token.into_owned())),
        }
    }

    /// What is sent for a value of the input.
    pub(super) fn new(attribute: &'a Attribute, value: Option<Cow<'a, str>>) -> Self {
        let Some(text) = value else { return Self::Null };
        let token = (attribute.json != JsonType::String).then(|| attribute.token(&text));
        if let Some(token) = token.filter(|token| !token.starts_with('"')) {
            return Self::Json(Cow::Owned(token));
        }
        Self::Text(attribute.map.get(&*text).map_or(text, |mapped| Cow::Borrowed(mapped)))
    }
}

impl Plan {
    /// The value that a group sets, as its requests send it.
    pub fn sent_value(&self, group: u32) -> SentValue<'_> {
        SentValue::new(self.attribute(group), self.value(group))
    }
}

impl fmt::Display for SentValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Text(text) | Self::Json(text) => f.write_str(text),
        }
    }
}

impl Serialize for SentValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Json(token) => match serde_json::from_str::<serde_json::Value>(token) {
                Ok(value) => value.serialize(serializer),
                Err(_) => serializer.serialize_str(token),
            },
        }
    }
}
