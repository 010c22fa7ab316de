//! Readings of the account that were interrupted: which one goes on.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::iter;

use attrsync::ledger::{Ledger, LedgerLocation, LedgerReader, PullRecorder, RunOutcome, TargetKey};
use attrsync::plan::User;

use super::place::{Store, in_each_store};
use super::pulls::{account, compact, run};
use super::world::{at, row, target};

fn another_account() -> TargetKey {
    TargetKey { base_url: "https://other.user.com/api/public/".to_owned(), ..target() }
}

/// Reads a page with this user, after which there is another page or not.
fn read_page(path: &LedgerLocation, key: &TargetKey, custom: bool, next: Option<&str>, now: i64) {
    let ledger = Ledger::open(path, key, at(now)).unwrap();
    let mut recorder = PullRecorder::begin(ledger, custom, None, at(now)).unwrap();
    recorder.add(User::Id(1), custom, iter::empty());
    recorder.end_page(next.map(str::to_owned));
    let outcome = if next.is_some() { RunOutcome::Interrupted } else { RunOutcome::Complete };
    recorder.finish(outcome, at(now)).unwrap();
}

/// The cursor with which a reading of this account goes on.
fn goes_on_at(path: &LedgerLocation, key: &TargetKey, custom: bool) -> Option<String> {
    let reader = LedgerReader::open(path).unwrap();
    reader.unfinished_pull(key, custom).unwrap().map(|unfinished| unfinished.next)
}

fn a_reading_goes_on_where_it_ended_whatever_was_run_or_read_of_another_account_since(store: Store) {
    let place = store.place();
    let path = place.location();
    read_page(path, &another_account(), false, Some("theirs"), 0);
    read_page(path, &target(), true, Some("ours"), 1);
    run(path, &[row(1, "city", "Oslo")], &mut account(1..=3), 2);
    for _ in 0..2 {
        assert_eq!(goes_on_at(path, &target(), true).as_deref(), Some("ours"));
        assert_eq!(goes_on_at(path, &another_account(), false).as_deref(), Some("theirs"));
        // One that reads custom attributes as well can't go on where they were not read, or the other way round.
        assert_eq!(goes_on_at(path, &target(), false), None);
        assert_eq!(goes_on_at(path, &another_account(), true), None);
        compact(path, 0, 3);
    }
    read_page(path, &another_account(), false, None, 4);
    assert_eq!(goes_on_at(path, &another_account(), false), None, "it was read to its end");
    assert_eq!(goes_on_at(path, &target(), true).as_deref(), Some("ours"));
}

fn a_reading_that_is_no_longer_kept_does_not_go_on(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    run(path, &[row(1, "city", "Oslo")], &mut account, 0);
    read_page(path, &target(), true, Some("2"), 1);
    run(path, &[row(1, "city", "Rome")], &mut account, 2);
    compact(path, 1_000, 1_000);
    assert_eq!(goes_on_at(path, &target(), true), None);
}

in_each_store! {
    a_reading_goes_on_where_it_ended_whatever_was_run_or_read_of_another_account_since,
    a_reading_that_is_no_longer_kept_does_not_go_on,
}
