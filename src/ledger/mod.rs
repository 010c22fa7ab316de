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
mod id_changes;
mod known_values;
mod lock;
mod owner_only;
mod path;
mod reader;
mod recorder;
mod run;
mod sqlite;
mod varint;
mod writer;

pub use error::LedgerError;
pub use fingerprint::{Fingerprint, INPUTS};
pub use history::{PastRun, SentRows, UserValue, ValueState};
pub use known_values::{KnownAttribute, KnownValues, SkipScope};
pub use lock::Holder;
pub use path::is_planted;
pub use reader::LedgerReader;
pub use recorder::Recorder;
pub use run::{
    InputState, NotContinued, NotContinuedRun, RowCounts, RunDescription, RunId, RunOutcome, TargetKey,
    UnfinishedRun,
};
pub use writer::Ledger;
