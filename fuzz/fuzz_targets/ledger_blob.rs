//! Any bytes as groups of users and as rows of the ledger: they are refused, or mean the same after they were written again.
//! What was written is read as it was, and a changed bit of a row changes its checksum.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    reason = "the program uses all of what is compiled here, and a target less"
)]

mod choices;
mod ledger;

/// What the program's files take from its other modules.
mod plan {
    pub(crate) use attrsync::plan::{SentValue, User};
}

use libfuzzer_sys::fuzz_target;

use choices::Choices;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::of(input);
    match choices.byte() % 3 {
        0 => ledger::check_any_groups(choices.rest()),
        1 => ledger::check_written_groups(choices),
        _ => ledger::check_any_row(choices),
    }
});
