//! What the API acknowledged, kept between runs.
//!
//! A killed run can be continued, a nightly run sends only what changed, and it can be asked when a user got a value.
//! The ledger is one file. Its journal has an entry for each commit and attribute; what the journal says is merged from
//! time to time into what is known, in which each user of an attribute has one value. No row is trusted that doesn't
//! agree with its checksum, and no gap goes unnoticed: a ledger says what was recorded, or that it can't.

mod checksum;
mod compact;
mod error;
mod fingerprint;
mod groups;
mod history;
mod lock;
mod place;
mod private;
mod reader;
mod recall;
mod recorder;
mod renames;
mod run;
mod store;
mod varint;
mod writer;

pub use error::LedgerError;
pub use fingerprint::{Fingerprint, INPUTS};
pub use history::{Deed, PastRun, Standing, UserFact};
pub use lock::Holder;
pub use reader::Reader;
pub use recall::{Extent, Recall, Told};
pub use recorder::Recorder;
pub use run::{
    Description, Input, NotContinued, Outcome, PassedOver, RowCounts, RunId, TargetKey, Unfinished,
};
pub use writer::Ledger;
