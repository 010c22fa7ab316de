//! The encodings of the ledger, which no other crate can reach: compiled from the program's files.

#[path = "../../../src/ledger/groups.rs"]
mod groups;
#[path = "../../../src/ledger/rows/mod.rs"]
mod rows;
#[path = "../../../src/ledger/varint.rs"]
mod varint;

mod checks;

pub(crate) use checks::{check_any_groups, check_any_row, check_written_groups};
