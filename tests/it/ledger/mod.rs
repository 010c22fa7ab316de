//! The ledger, on real files and with real kills.

mod ages;
mod compaction;
mod copies;
mod damage;
mod files;
mod history;
mod kills;
mod lists;
mod marks;
pub(crate) mod place;
mod pulls;
mod readings;
mod recording;
mod renames;
mod runs;
mod undo;
mod world;
