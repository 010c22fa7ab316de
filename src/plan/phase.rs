//! What has to wait for what.

use crate::input::{Attribute, Operation};

/// A stage of sending. All batches of one are settled before any of the next one starts: attributes that change who a
/// user is go last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Attributes that change nothing else.
    Ordinary,
    /// `email`.
    Email,
    /// `user_id` and `custom_id`.
    Identity,
}

impl Phase {
    pub(super) fn of(attribute: &Attribute) -> Self {
        match (attribute.operation, attribute.name.as_str()) {
            (Operation::Standard, "email") => Self::Email,
            (Operation::Standard, "user_id" | "custom_id") => Self::Identity,
            _ => Self::Ordinary,
        }
    }
}
