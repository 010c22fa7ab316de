//! Records what the API acknowledged, so that later runs can use it.
//!
//! With the ledger, a killed run can be continued, a nightly run can send only what changed, and `attrsync history` can say
//! when a user got a value. It has two parts. The journal gets an entry for each commit and attribute. From time to time it is
//! compacted into the known values, in which each user of an attribute has one value.
//!
//! A ledger must never claim something that was not recorded. Every row has a checksum, entries are numbered without gaps, and
//! a ledger that fails one of these tests is an error. A run that can't record what it does stops.
//!
//! - `writer` records a run ([`Ledger`]), and `recorder` holds events back until they are committed ([`Recorder`]);
//! - `reader` opens a ledger and finds the run to continue ([`LedgerReader`]), `known_values` says which rows need not be sent,
//!   and `history` lists what was sent;
//! - `mark` says what has happened since a plan was saved;
//! - `pull` records what was read from the account, `prior` finds what was known before a run, and `undo` what of it a run
//!   would restore;
//! - `compact` compacts the journal; `id_changes` handles users whose own ids were changed;
//! - `database` reads and writes the ledger's rows, which `rows` defines; `groups` and `varint` encode what is in them;
//! - `store` is what that takes: `sqlite` stores rows in a file, `postgres` in a database. No other module uses SQL;
//! - `lease` says how long a run may use a ledger that other machines can reach.

mod compact;
mod copy;
mod database;
mod error;
mod fingerprint;
mod groups;
mod history;
mod id_changes;
mod known_values;
#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "a file needs no lease"))]
mod lease;
mod location;
mod mark;
#[cfg(feature = "postgres")]
pub mod postgres;
mod prior;
mod pull;
mod reader;
mod recorder;
mod rows;
mod run;
mod set_rows;
mod sqlite;
mod store;
mod undo;
mod varint;
mod writer;

pub use copy::{Copied, CopyError, copy};
pub use database::Waits;
pub use error::{LedgerError, LockHolder, Renewal};
pub use fingerprint::{Fingerprint, INPUTS};
pub use history::{Origin, PastPull, PastRun, SentRows, UserValue, ValueState};
pub use known_values::{KnownAttribute, KnownValues, SkipScope};
pub use lease::{Lease, LeaseState};
pub use location::LedgerLocation;
pub use mark::{LedgerMark, SinceMark};
pub use pull::{PullRecorder, UnfinishedPull};
pub use reader::LedgerReader;
pub use recorder::Recorder;
pub use run::{
    InputState, NotContinued, NotContinuedRun, RowCounts, RunDescription, RunId, RunOutcome, TargetKey,
    UnfinishedRun,
};
pub use sqlite::{BESIDE, is_foreign, is_planted};
pub use undo::{UndoCounts, UndoError, UndoRun};
pub use writer::Ledger;
