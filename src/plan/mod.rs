//! From rows to batches.
//!
//! A [`Builder`] takes rows in the order of the input, settles which row of each user and attribute stands, and makes a
//! [`Plan`]: groups of users that get one value of one attribute, cut into batches. The plan never changes. Whoever
//! sends it walks it with a [`Cursor`]; a [`Batch`] is three numbers, and any other range or choice of a group's users
//! can be rendered as well as a planned one, so that splitting a batch copies nothing.
//!
//! No row can fail: rows are numbers that the reading has checked, and texts are looked up in its dictionary only to be
//! shown or sent. Nothing here does I/O, unless memory is short.
//!
//! # How rows are settled
//!
//! No row is ever hashed, and rows are never sorted as a whole. An attribute goes through these forms:
//!
//! 1. **Taking** (`rows`). Rows are staged by the few hundred, then stored in blocks of two parallel columns: users as
//!    the lower halves of their numbers while the upper halves agree, else whole; values in one, two or four bytes,
//!    whatever the largest in sight needs. Blocks never move. A fork's blocks are taken over as they are, together with
//!    the tables that say what their numbers are called now.
//! 2. **Settling** (`resolve`) by one of two ways, whichever fits the users' numbers (`strategy`):
//!    - a table (`dense`) with a slot for each number from the smallest to the largest, if it takes at most 24 bytes a
//!      row. A slot is as wide as the number of values asks for. Writing a row's value over the older one *is* "the last
//!      row wins";
//!    - a stable sort by user (`sparse`) otherwise: two passes of a radix sort over the highest 22 bits that differ, then
//!      what few rows agree in these are sorted by comparing. It needs 24 bytes a row, for as long as it takes.
//! 3. **Grouping** (`grouping`). Both leave the users in ascending order, and count each value's. A counting sort by value
//!    keeps the order, and so ids ascend in each group.
//! 4. **The plan** (`column`): per attribute one array of ids, as offsets from the smallest where these fit 32 bits, and
//!    where each group ends in it.
//!
//! The client's own ids, being texts, are first ranked by their bytes. From there on they are numbers like others,
//! without gaps.
//!
//! # What it costs
//!
//! | | bytes | passes |
//! |---|---|---|
//! | a row that was taken | 5, 6 or 8; with far-apart users 9, 10 or 12 | one, two where it is stored |
//! | settling by a table | 1, 2 or 4 for each number in the span of users | one over rows to find the span, one to settle; one over the table |
//! | settling by sorting | 24 for each row of the attribute | seven over its rows |
//! | a row that stands | 4; with far-apart users 8 | |
//! | a group | 4; 8 in an attribute that has values without users | |
//!
//! Attributes are settled one after the other (or as many at a time as there are [threads](Builder::threads)), and
//! blocks are freed as they are read. So the peak is little above what the rows take: about 7.5 bytes a row for the whole
//! program with a hundred million rows of eight attributes with few values.
//!
//! Which way is taken changes the costs and nothing else; one oracle tests both.
//!
//! # When memory is short
//!
//! [`Builder::within`] sets a bound, of which each step has its share:
//!
//! | | share |
//! |---|---|
//! | rows, while they are taken | 1/2, divided among the threads that read |
//! | distinct texts, likewise | 1/8 until they are put away; growing, a table takes up to three times as much |
//! | settling | 3/4, or 1/2 where all rows are in memory, divided among the attributes that are settled at a time |
//!
//! When rows exceed their share, all blocks move to a temporary file ([`spill`](crate::spill)) as they are, and only their
//! places stay. When texts do, an *epoch* of the dictionary ends: its texts are put away, sorted, and numbers start from 0
//! again. Blocks remember their epoch. After reading, the epochs' texts are merged, so that equal ones meet, and
//! each gets the number of its first coming: that is the order of groups, here as without epochs. While blocks are
//! drained, an epoch's numbers are replaced by these, of which one epoch's are in memory at a time.
//!
//! An attribute that has too many rows, users or values to be settled at once is divided (`resolve_in_parts`) into at most 64 equal
//! ranges of users, and these again, until each fits. Dividing keeps the order of rows, so that settling a range is what
//! settling an attribute is: the same code, and the same conflicts. What comes of the ranges is merged by
//! value (`merge`), and as they ascend, so do the ids of a group. Once anything has gone to a file, the plan itself lies in one, too; groups, ids
//! and texts are then read as they are asked for.
//!
//! | written for | bytes |
//! |---|---|
//! | a row | what it takes in memory, and as much again each time its attribute is divided |
//! | a row that stands | 4 or 8; twice where its attribute was divided |
//! | a group | 8; twice where its attribute was divided, once more for each range that has it |
//! | a distinct text of an epoch | its length and 20 |
//! | a conflict that [`OnConflict::Error`] has to report | 16, and 8 for each value; twice where its attribute was divided |
//!
//! In memory stay the places of blocks and of texts, some hundred bytes for each block, and for each attribute that has
//! texts in an epoch. So that these are fewer than what they stand for, attributes beyond the first thousand add two
//! kilobytes each to the shares of rows and texts ([`least_worth`](crate::spill::least_worth)). While epochs are merged,
//! one text of each is in memory, however long it is; and of a user whose conflict has to be reported, all values.
//!
//! # Bounds
//!
//! Batches number groups, and the users of a group, in 32 bits. An attribute with more users than that, or a plan with
//! more groups, panics; it would need tens of gigabytes to get there.

mod body;
mod builder;
mod column;
mod conflict;
mod cursor;
mod dense;
mod fingerprint;
mod grouping;
mod memory_budget;
mod merge;
mod phase;
#[expect(clippy::module_inception, reason = "the plan is what this layer makes")]
mod plan;
mod resolve;
mod resolve_in_parts;
mod rows;
mod sent_value;
mod skip;
mod sparse;
mod strategy;
mod summary;
mod user;
mod users;
mod value;

pub use builder::Builder;
pub use cursor::{Batches, Cursor};
pub use phase::Phase;
pub use plan::{Conflict, Plan};
pub use sent_value::SentValue;
pub use skip::{SkipFilter, SkipReason, SkippedRows};
pub use summary::{AttributeSummary, GroupSummary, PlanSummary, PlanTotals, SharedValues};
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
