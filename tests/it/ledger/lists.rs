//! Lists of users that were read, and what is known by them.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use attrsync::ledger::{LedgerLocation, RunOutcome, SkipScope};
use attrsync::spill::Resources;

use super::compaction::pull_without_values;
use super::place::{Store, in_each_store};
use super::pulls::{account, compact, known_of, pull, pull_all, run};
use super::world::{Changes, Resume, at, begin, bounds, plan, row, target};

/// How many of these users the account doesn't have.
fn missing(path: &LedgerLocation, attribute: &str, users: &[u64]) -> u64 {
    let rows: Vec<_> = users.iter().map(|user| row(*user, attribute, "Oslo")).collect();
    known_of(path, plan(&rows, 3), SkipScope::EveryRun).2.total().missing
}

/// Whether it is known that a user has no tier.
fn is_cleared(path: &LedgerLocation, user: u64) -> bool {
    known_of(path, plan(&[row(user, "tier", "-")], 3), SkipScope::EveryRun).2.total().unchanged == 1
}

fn a_list_has_nobody_of_the_one_just_before(store: Store) {
    let place = store.place();
    let path = place.location();
    pull_without_values(path, &target(), 1..=3, true, 0);
    pull_without_values(path, &target(), 1..=2, true, 1);
    for now in 2..4 {
        assert_eq!(missing(path, "city", &[1, 2, 3]), 1);
        compact(path, 0, now);
    }
}

fn a_killed_run_makes_no_difference_to_which_users_there_are(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    pull_all(path, &account, 0);
    drop(begin(path, &[row(1, "city", "Rome")], Changes::All, Resume::No, at(1)).unwrap());
    run(path, &[row(2, "city", "Bonn")], &mut account, 2);
    for now in 3..5 {
        assert_eq!(missing(path, "city", &[1, 2, 3, 9]), 1);
        compact(path, 0, now);
    }
}

fn who_was_sent_another_attribute_while_the_list_was_read_is_missing_all_the_same(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=6);
    pull(path, &account, 1, Some(RunOutcome::Interrupted), 0);
    run(path, &[row(9, "tier", "gold")], &mut account, 1);
    pull_all(path, &account, 2);
    for now in 3..5 {
        assert_eq!([missing(path, "city", &[1, 9]), missing(path, "tier", &[1, 9])], [1, 0]);
        compact(path, 0, now);
    }
}

fn that_a_user_had_no_value_is_known_whatever_is_compacted_with_it(store: Store) {
    for compacts_first in [false, true] {
        for asks_again in [false, true] {
            let place = store.place();
            let path = place.location();
            let mut account = account(1..=3);
            pull_without_values(path, &target(), 1..=3, true, 0);
            if compacts_first {
                compact(path, 0, 1);
            }
            run(path, &[row(1, "tier", "gold")], &mut account, 2);
            if asks_again {
                // This reading doesn't show custom attributes.
                pull_without_values(path, &target(), 1..=3, false, 3);
            }
            for now in 4..6 {
                assert!(is_cleared(path, 2) && !is_cleared(path, 1), "{compacts_first} {asks_again} {now}");
                compact(path, 0, now);
            }
        }
    }
}

#[test]
fn what_does_not_fit_the_memory_is_compacted_all_the_same() {
    let place = Store::File.place();
    let path = place.location();
    let rows: Vec<_> = (1..=9000).map(|user| row(user, "city", &format!("{user:0100}"))).collect();
    run(path, &rows, &mut account(1..=1), 0);
    let mut ledger = attrsync::ledger::Ledger::open(path, &target(), at(1)).unwrap();
    ledger.compact(at(1_000), &Resources { memory: 400, ..bounds() }).unwrap();
    drop(ledger);
    let known = known_of(path, plan(&rows, 3), SkipScope::EveryRun).2.total();
    assert_eq!(known.unchanged, 9000);
}

in_each_store! {
    a_list_has_nobody_of_the_one_just_before,
    a_killed_run_makes_no_difference_to_which_users_there_are,
    who_was_sent_another_attribute_while_the_list_was_read_is_missing_all_the_same,
    that_a_user_had_no_value_is_known_whatever_is_compacted_with_it,
}
