//! From rows to batches.

mod body;
mod builder;
mod column;
mod conflict;
mod cursor;
mod dense;
mod phase;
mod rows;
mod settle;
mod sparse;
mod store;
mod summary;
mod user;
mod users;
mod value;

pub use builder::Builder;
pub use cursor::{Batches, Cursor};
pub use phase::Phase;
pub use store::{Conflict, Plan};
pub use summary::{AttributeSummary, GroupSummary, Shared, Summary, Totals};
pub use user::User;

/// One request's worth of users: a slice of one group, by number. Copies are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Batch {
    /// The group, by its number in the plan.
    pub group: u32,
    /// The place of the first user in the group.
    pub first: u32,
    /// How many users, at least 1.
    pub len: u32,
}

/// What is settled when one user has several values for one attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// The last row wins.
    #[default]
    Last,
    /// The first row wins.
    First,
    /// The input is refused.
    Error,
}
