//! What has happened to a ledger since a plan was saved.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use attrsync::ledger::{LedgerMark, LedgerReader, RunId, RunOutcome, SinceMark};

use super::place::{Store, in_each_store};
use super::pulls::{account, compact, run};
use super::world::{Changes, Resume, at, begin, of_inputs, row};

fn what_happened_since_a_mark_is_told(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=9);
    let (own, other) = (of_inputs(&["saved.csv"]), of_inputs(&["users.csv"]));
    run(path, &[row(1, "city", "Oslo")], &mut account, 0);
    let reader = || LedgerReader::open(path).unwrap();
    let mark = reader().mark().unwrap();
    let since = |mark: &LedgerMark| reader().since(Some(mark), &own).unwrap();
    assert_eq!(since(&mark), SinceMark::Nothing);
    assert_eq!(reader().since(Some(&mark), &other).unwrap(), SinceMark::Done(RunId(1)));
    assert_eq!(reader().since(None, &own).unwrap(), SinceMark::Nothing);

    // A ledger that was put back to an earlier state lacks a run, or entries.
    for lacking in [LedgerMark { run: mark.run + 1, ..mark }, LedgerMark { entry: mark.entry + 1, ..mark }] {
        assert_eq!(since(&lacking), SinceMark::Lost);
    }
    let identity = mark.identity.map(|identity| identity ^ 1);
    assert_eq!(since(&LedgerMark { identity, ..mark }), SinceMark::OtherLedger);
    // Plans that are older than identities have none.
    assert_eq!(since(&LedgerMark { identity: None, ..mark }), SinceMark::Nothing);

    let begun = begin(path, &[row(1, "city", "Rome")], Changes::All, Resume::No, at(1)).unwrap();
    begun.finish(RunOutcome::Interrupted, at(1));
    assert_eq!(since(&mark), SinceMark::OtherRun(RunId(2)), "although it sent nothing");
}

fn a_mark_whose_entries_are_no_longer_kept_is_lost(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=9);
    let own = of_inputs(&["saved.csv"]);
    run(path, &[row(1, "city", "Oslo")], &mut account, 0);
    let earlier = LedgerReader::open(path).unwrap().mark().unwrap();
    run(path, &[row(1, "city", "Rome")], &mut account, 1);
    let mark = LedgerReader::open(path).unwrap().mark().unwrap();
    compact(path, 1_000, 1_000);
    let since = |mark: &LedgerMark| LedgerReader::open(path).unwrap().since(Some(mark), &own).unwrap();
    assert_eq!(since(&mark), SinceMark::Nothing, "nothing came after it");
    // The run that began before may have gone on.
    assert_eq!(since(&LedgerMark { run: mark.run, ..earlier }), SinceMark::Lost);
}

in_each_store! {
    what_happened_since_a_mark_is_told,
    a_mark_whose_entries_are_no_longer_kept_is_lost,
}
