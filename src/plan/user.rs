use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// A user, as the input names them. Displayed as in a CSV, unquoted; serialised as a number or a string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum User<'a> {
    /// User.com's own id.
    Id(u64),
    /// The client's own id.
    Custom(Cow<'a, str>),
}

impl fmt::Display for User<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Custom(id) => id.fmt(f),
        }
    }
}
