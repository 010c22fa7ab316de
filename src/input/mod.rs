//! From bytes to rows.
//!
//! `source` opens, decompresses and decodes, `ahead` of the rows, what is of a `format` that can be read; `fed_back` knows the failures report of an earlier run; `header`, behind a `prelude`, and `columns` find out what the columns hold; `records` reads on behind a `splitter`, which drives the
//! csv crate's parser; `intake` makes rows of records, with the `dictionary`, which checks each distinct value once by
//! its `rules`; `ranges` lets several threads do so. What is wrong with a row is a `complaint`; it goes to the
//! `tally`, and the row to the `invalid` rows. What is wrong with an input as a whole is a `refusal`.
//!
//! Rows are numbers, so that nothing behind this has to hash, compare or copy a text. Memory grows with the distinct
//! texts, not with the rows; and where it is short, these are put away on a `shelf` of the `archive`, and `merge`d when
//! all is read.

mod ahead;
mod archive;
mod artefact;
mod code_page;
mod columns;
mod complaint;
mod dictionary;
mod excerpt;
mod fed_back;
mod format;
mod gzip;
mod header;
mod intake;
mod invalid;
mod json;
mod merge;
mod near;
mod options;
mod prelude;
mod ranges;
mod reading;
mod record;
mod records;
mod refusal;
mod rules;
mod shape;
mod shelf;
mod source;
mod splitter;
mod suggest;
mod tally;
mod texts;
mod unseen;
mod watch;

pub use dictionary::{
    Attribute, AttributeId, Dictionary, Operation, Renumber, STANDARD, STANDARD_COUNT, ValueId,
};
pub use fed_back::{FAILURES_HEADER, is_failures_report};
pub use invalid::{InvalidRow, InvalidRows};
pub use json::Json;
pub use options::{AttributeRule, Empty, IdType, Layout, Options, Source, UnknownColumns, Vocabulary};
pub use reading::{Reading, SourceRead, read};
pub use refusal::{Blame, Refusal};
pub use source::Compression;
pub use suggest::nearest_standard;
pub use tally::{Cause, Counts, Place, Warning};
pub use unseen::is_unseen;

use std::io;

use excerpt::excerpt;

/// One valid row: numbers into the [`Dictionary`] of the reading that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// User.com's own id; or, where users go by the client's ids, a number into [`Dictionary::user`].
    pub user: u64,
    /// The attribute to set.
    pub attribute: AttributeId,
    /// The value to set it to.
    pub value: ValueId,
}

/// Where valid rows go, in the order of the input.
pub trait Sink: Send + Sized {
    /// Takes the next row.
    fn accept(&mut self, row: Row);

    /// Called every few thousand rows: the time to move to a disk what is too much for memory. An error ends the reading.
    fn relieve(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Says that the rows since the last epoch's end are of this one, which is over. From now on values, and the client's
    /// ids of users, are numbered from 0 again; [`Dictionary::renamed_values`] tells, after reading, what the numbers of
    /// an epoch stand for. There are no epochs unless [`Options::memory`] is exceeded.
    fn end_epoch(&mut self, epoch: u32);

    /// An empty sink for the rows of a later byte range, which another thread reads at the same time.
    #[must_use]
    fn fork(&self) -> Self;

    /// Appends what a fork took, as if its rows had come now, after giving each number its new one.
    fn join(&mut self, later: Self, renumber: &Renumber);
}
