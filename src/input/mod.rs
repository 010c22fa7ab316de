//! Reads CSV inputs and turns them into numbered rows for the planner.
//!
//! The bytes of an input pass these modules in order:
//!
//! 1. `source` opens the input, decompresses it (`gzip`) and decodes it to UTF-8, for long inputs in a thread of its
//!    own (`decode_thread`). `file_type` recognizes files that are not CSV; `utf8_monitor` notices a wrong
//!    `--encoding`.
//! 2. `header` reads the header after an optional `preamble`; `columns` decides which column holds what. A failures
//!    report of an earlier run is recognized by `failures_input`.
//! 3. `record_reader` splits the text into records with `splitter`, which drives the csv crate's parser. Large files
//!    are divided into `byte_ranges`, one for each thread.
//! 4. `row_builder` makes rows of records. The `dictionary` gives every distinct value a number and checks it once, by
//!    the `rules` of its attribute.
//!
//! A row that breaks a rule gets a `row_error` and goes to `invalid_rows`; `issues` counts these errors. An input that
//! cannot be read or understood at all is an `input_error`.
//!
//! Rows are numbers, so that later layers never hash, compare or copy a text. Memory grows with the number of
//! distinct texts, not with the number of rows. When the texts exceed their share of memory, they are written to a
//! temporary file as a `sorted_run`, and all runs are merged at the end of the input (`spilled_texts`).

mod byte_ranges;
mod code_page;
mod columns;
mod decode_thread;
mod dictionary;
mod excerpt;
mod failures_input;
mod file_type;
mod gzip;
mod header;
mod input_error;
mod interner;
mod invalid_rows;
mod invisible;
mod issues;
mod json;
mod options;
mod preamble;
mod read;
mod read_progress;
mod read_records;
mod record;
mod record_reader;
mod row_builder;
mod row_error;
mod rules;
mod sorted_run;
mod source;
mod spilled_texts;
mod splitter;
mod suggest;
mod text_cache;
mod utf8_monitor;
mod value_formats;

pub use dictionary::{
    Attribute, AttributeId, Dictionary, Operation, Renumber, STANDARD, STANDARD_COUNT, ValueId,
};
pub use failures_input::FAILURES_HEADER;
pub use header::is_failures_report;
pub use input_error::InputError;
pub use invalid_rows::{InvalidRow, InvalidRows};
pub use invisible::is_invisible;
pub use issues::{Counts, Issue, Location};
pub use json::JsonType;
pub use options::{AttributeRule, Empty, IdType, Layout, ReadOptions, Source, UnknownColumns, Vocabulary};
pub use read::{Reading, SourceRead, read};
pub use read_progress::{ReadProgress, ReadSoFar};
pub use source::Compression;
pub use suggest::nearest_standard;

use std::io;

use excerpt::excerpt;

/// A valid row. It consists of numbers in the [`Dictionary`] of its reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// User.com's own id; or, if users have the client's ids, a number for [`Dictionary::user`].
    pub user: u64,
    /// The attribute to set.
    pub attribute: AttributeId,
    /// The value to set it to.
    pub value: ValueId,
}

/// Takes valid rows, in the order of the input.
pub trait Sink: Send + Sized {
    /// Takes the next row.
    fn accept(&mut self, row: Row);

    /// Is called every few thousand rows, to move to a temporary file what is too much for memory. An error ends
    /// reading.
    fn check_memory(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Is called when the dictionary has spilled. The numbers in the rows since the last spill are those of this one.
    /// Then values and the client's ids of users are numbered from 0 again. After reading,
    /// [`Dictionary::renumbered_values`] has the final numbers. The dictionary spills only if
    /// [`Resources::memory`](crate::spill::Resources::memory) is exceeded.
    fn dictionary_spilled(&mut self, spill: u32);

    /// An empty sink for a later byte range, which another thread reads at the same time.
    #[must_use]
    fn fork(&self) -> Self;

    /// Appends the rows of a fork, with their new numbers.
    fn join(&mut self, later: Self, renumber: &Renumber);
}
