//! Turns rows into batches: which users get which value by one request.
//!
//! A [`Builder`] takes rows in the order of the input and makes a [`Plan`]. For each user and attribute one row counts.
//! Users that get the same value of the same attribute form a group, and a group is cut into batches. A plan does not
//! change while it is sent. A [`Cursor`] walks through its batches; a [`Batch`] is three numbers. Any other range or
//! selection of a group's users can be sent as well as a planned batch, so that splitting a batch copies nothing.
//!
//! Planning cannot fail because of a row: rows are numbers that reading has checked. Texts are looked up in the
//! dictionary of the reading only to be shown or sent. Nothing here does I/O unless memory is short, or a plan is saved
//! to be sent later (`saved`).
//!
//! # How it works
//!
//! Rows are never hashed, and never sorted as a whole. An attribute passes these steps:
//!
//! 1. **Rows** (`rows`). A few hundred rows at a time are stored in a `block` of two parallel columns. Users take 32
//!    bits each if the upper halves of their numbers agree, otherwise 64. Values take one, two or four bytes, as the
//!    largest one needs. Blocks never move. The blocks of a fork are taken over as they are, with tables of their new
//!    numbers.
//! 2. **Resolving** (`resolve`). The rows that count are found in one of two ways, which `strategy` selects by the span
//!    of the users' numbers:
//!    - by a table (`dense`) with a slot for each number in the span, if that takes at most 24 bytes a row. A slot is
//!      as wide as the number of values needs. Each row overwrites its user's slot, so that the last row wins;
//!    - otherwise by a stable sort by user (`sparse`): two passes of a radix sort by the highest 22 bits that differ,
//!      then a comparison sort of the few rows that agree in these. It needs 24 bytes a row while it runs.
//! 3. **Grouping** (`grouping`). Both ways leave the users in ascending order and count the users of each value. A
//!    counting sort by value keeps the order, so that ids ascend in each group.
//! 4. **The result** (`attribute_plan`): one `id_column` with the ids of all groups, as offsets from the smallest where
//!    these fit 32 bits, and the position where each of the `groups` ends.
//!
//! The client's own ids are texts, and are ranked by their bytes first. After that they are numbers like others,
//! without gaps.
//!
//! # Costs
//!
//! | | bytes | passes |
//! |---|---|---|
//! | a row, before it is resolved | 5, 6 or 8; with far-apart users 9, 10 or 12 | one, and one to store it |
//! | resolving by a table | 1, 2 or 4 for each number in the span | one over the rows to find the span, one to resolve; one over the table |
//! | resolving by sorting | 24 for each row of the attribute | seven over its rows |
//! | a row that counts | 4; with far-apart users 8 | |
//! | a group | 4; 8 in an attribute that has values without users | |
//!
//! Attributes are resolved one after the other, or one in each of [`Resources::threads`], and blocks are freed as
//! they are read. So the peak is little above the size of the rows: about 7.5 bytes a row for the whole program, with
//! a hundred million rows of eight attributes with few values.
//!
//! The strategies differ in cost alone; the same test oracle checks both.
//!
//! # When memory is short
//!
//! [`Resources::memory`] sets a bound. Each step has its share of it:
//!
//! | | share |
//! |---|---|
//! | rows, while they are taken | 1/2, divided among the threads that read |
//! | distinct texts | 1/8, divided likewise; a table that grows takes up to three times as much |
//! | resolving | 3/4, or 1/2 if all rows are in memory, divided among the attributes that are resolved at a time |
//!
//! When rows exceed their share, all blocks move to a temporary file as they are ([`spill`](crate::spill)), and only
//! their places stay in memory. When texts exceed theirs, the dictionary *spills* them: it writes them to a file,
//! sorted, and starts to number from 0 again. Each block has the number of its spill. After reading, the texts of all
//! spills are merged, and each text gets the number of its first occurrence, so that the order of groups is the same
//! as without spills. When blocks are drained, the numbers of their spill are replaced by these. The new numbers of
//! one spill are in memory at a time.
//!
//! An attribute with too many rows, users or values is resolved in parts: its users are divided into at most 64 equal
//! ranges, and these again, until each fits. Dividing keeps the order of rows, so that a range is resolved as a whole
//! attribute would be, with the same conflicts. The results are merged by value. As the ranges ascend, so do the ids
//! of a group. Once anything is in a file, so is the plan, and its groups, ids and texts are read when they are
//! needed.
//!
//! | written for | bytes |
//! |---|---|
//! | a row | what it takes in memory, and as much again each time its attribute is divided |
//! | a row that counts | 4 or 8; twice if its attribute was divided |
//! | a group | 4 or 8; twice if its attribute was divided, and once more for each range that has it |
//! | a distinct text of a spill | its length and 20 |
//! | a conflict that [`OnConflict::Error`] reports | 16, and 8 for each value; twice if its attribute was divided |
//!
//! What stays in memory are the places of blocks and of texts: some hundred bytes for each block, and for each
//! attribute that has texts in a spill. To keep these smaller than what they stand for, each attribute beyond the
//! first thousand adds two kilobytes to the shares of rows and texts ([`least_worth`](crate::spill::least_worth)).
//! While spills are merged, one text of each is in memory, however long it is; and so are all values of a user whose
//! conflict is reported.
//!
//! # Limits
//!
//! Batches number groups, and the users of a group, in 32 bits. An attribute with more users, or a plan with more
//! groups, panics. Either would need tens of gigabytes.
//!
//! [`Resources::threads`]: crate::spill::Resources::threads
//! [`Resources::memory`]: crate::spill::Resources::memory

mod attribute_plan;
mod block;
mod body;
mod builder;
mod conflicts;
mod cursor;
mod dense;
mod fingerprint;
mod grouping;
mod groups;
mod id_column;
mod meaning;
mod memory_budget;
mod phase;
#[expect(clippy::module_inception, reason = "the plan is what this layer makes")]
mod plan;
mod resolve;
mod rows;
mod saved;
mod sent_value;
mod skip;
mod sparse;
mod strategy;
mod summary;
mod unresolved_rows;
mod users;

pub use builder::Builder;
pub use cursor::{Batches, Cursor};
pub use meaning::meaning;
pub use phase::Phase;
pub use plan::{Conflict, Plan};
pub use saved::{
    Figures, SavedHeader, SavedLedger, SavedPlan, SavedPlanError, SavedPlanning, SavedSettings, SavedTarget,
};
pub use sent_value::SentValue;
pub use skip::{Compare, KnownPlan, KnownRows, SkipFilter, SkipReason, ValueChange};
pub use summary::{AttributeSummary, GroupSummary, PlanSummary, PlanTotals, SharedValues};
pub use users::User;

/// The size of a buffer between a column and its file.
const BUFFER: usize = 64 << 10;

/// The users of one request: a range of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Batch {
    /// The group, by its number in the plan.
    pub group: u32,
    /// The position of the first user in the group.
    pub first: u32,
    /// The number of users, at least 1.
    pub len: u32,
}

/// Which row counts if a user has several values for one attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// The last row wins.
    #[default]
    Last,
    /// The first row wins.
    First,
    /// None: the input is refused.
    Error,
}

/// A number as an index into what is in memory.
#[inline]
fn index(number: u64) -> usize {
    usize::try_from(number).expect("what is in memory can be indexed")
}
