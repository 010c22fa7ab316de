//! Copies of ledgers.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;

use attrsync::ledger::{Copied, LedgerLocation, LedgerReader, RunId, copy};

use super::place::{Store, in_each_store};
use super::pulls::{account, compact, run};
use super::world::{at, row, undone};

fn a_copy_undoes_the_same_runs_and_counts_what_it_has(store: Store) {
    const ATTRIBUTES: [&str; 4] = ["city", "country", "region", "tier"];
    let (from, to) = (store.place(), store.place());
    let mut account = account(1..=9);
    let mut send = |value: &str, now| {
        let rows: Vec<_> =
            (1..=3).flat_map(|user| ATTRIBUTES.map(|attribute| row(user, attribute, value))).collect();
        run(from.location(), &rows, &mut account, now)
    };
    send("one", 0);
    // What was known before these two is stored when the journal is compacted.
    let runs = [send("two", 1), send("three", 2)];
    compact(from.location(), 0, 3);
    send("three", 4);
    // The second one is what the account has, so the first has changed.
    let told = |location: &LedgerLocation, run: RunId| -> BTreeSet<_> {
        undone(location, run).into_iter().map(|((attribute, _), value)| (attribute, value)).collect()
    };
    let before = ATTRIBUTES.map(|attribute| (attribute.to_owned(), "two".to_owned())).into();
    assert_eq!(runs.map(|run| told(from.location(), run)), [BTreeSet::new(), before]);

    let copied = copy(from.location(), to.location(), at(5)).unwrap();
    assert_eq!(copied, Copied { runs: 4, entries: 16, values: 12 });
    assert_eq!(runs.map(|run| told(to.location(), run)), runs.map(|run| told(from.location(), run)));
    let reader = LedgerReader::open(to.location()).unwrap();
    assert_eq!(reader.runs().unwrap(), LedgerReader::open(from.location()).unwrap().runs().unwrap());
}

in_each_store! {
    a_copy_undoes_the_same_runs_and_counts_what_it_has,
}
