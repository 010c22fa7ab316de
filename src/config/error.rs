//! Errors in the settings.

use std::fmt::{self, Display};

/// Why the settings are not valid. The program exits with 2 before anything is read or sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: Option<String>,
    message: String,
    hint: Option<String>,
}

impl ConfigError {
    /// For something that is missing, and so has no place.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), hint: None }
    }

    /// Something is wrong where an option is set.
    pub(super) fn at(place: impl Display, message: impl Into<String>) -> Self {
        Self { place: Some(place.to_string()), ..Self::new(message) }
    }

    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What the user may do about it, if more is known than the message says.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}
