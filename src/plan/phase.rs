//! The order of sending.

use crate::input::{Attribute, Operation};

/// A phase of sending. All batches of a phase are finished before the next one starts. Attributes that identify users
/// go last, since they change which user an id means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// All other attributes.
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
