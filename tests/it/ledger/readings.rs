//! Readings of the account that were interrupted: which one goes on.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::iter;

use attrsync::input::Attribute;
use attrsync::ledger::{
    KnownAttribute, Ledger, LedgerError, LedgerLocation, LedgerReader, PullRecorder, RunOutcome, SkipScope,
    TargetKey,
};
use attrsync::plan::{Compare, SentValue, User};
use rusqlite::Connection;

use super::place::{Store, in_each_store};
use super::pulls::{account, compact, known_of, pull, run};
use super::world::{Changes, Resume, at, begin, bounds, description, plan, row, target, undone};

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

fn known_city(path: &LedgerLocation, user: u64, city: &str) -> (u64, u64) {
    let known = known_of(path, plan(&[row(user, "city", city)], 3), SkipScope::EveryRun).2.total();
    (known.unchanged, known.missing)
}

fn a_reading_that_begins_again_keeps_values_but_lists_nobody_who_was_read_before(store: Store) {
    let place = store.place();
    let path = place.location();
    let ledger = Ledger::open(path, &target(), at(0)).unwrap();
    let mut recorder = PullRecorder::begin(ledger, true, None, at(0)).unwrap();
    let city = || iter::once(("city", SentValue::Text("Oslo".into())));
    recorder.add(User::Id(1), true, city());
    recorder.add(User::Id(9), true, city());
    recorder.end_page(Some("expired".to_owned()));
    assert_eq!((recorder.pending(), recorder.users(), recorder.pages()), (2, 2, 1));
    recorder.restart(at(1)).unwrap();
    assert_eq!((recorder.pending(), recorder.users(), recorder.pages()), (0, 0, 0));
    recorder.add(User::Id(1), true, iter::empty());
    recorder.end_page(None);
    recorder.finish(RunOutcome::Complete, at(2)).unwrap();
    for now in [3, 4] {
        assert_eq!(known_city(path, 1, "Oslo"), (1, 0));
        assert_eq!(known_city(path, 9, "Rome"), (0, 1), "it was removed before the list began again");
        compact(path, 0, now);
    }
}

fn what_an_interrupted_reading_showed_is_known_of_attributes_that_come_up_later(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=9);
    // The first three users have no value for any custom attribute.
    pull(path, &account, 1, Some(RunOutcome::Interrupted), 0);
    run(path, &[row(1, "city", "Oslo")], &mut account, 1);
    compact(path, 0, 2);
    let mut runs = Vec::new();
    for (user, now) in [(1, 3), (2, 5)] {
        runs.push((user, run(path, &[row(user, "tier", "gold")], &mut account, now)));
        for now in now..now + 2 {
            for (user, run) in &runs {
                let before = [(("tier".to_owned(), *user), "null".to_owned())].into();
                assert_eq!(undone(path, *run), before, "{user} {now}");
            }
            compact(path, 0, now);
        }
    }
    let last = run(path, &[row(4, "tier", "gold")], &mut account, 7);
    assert_eq!(undone(path, last).len(), 0, "it was not read");
}

fn who_was_read_since_the_list_is_not_missing(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(2..=10);
    super::pulls::pull_all(path, &account, 0);
    account.users.insert(1);
    pull(path, &account, 1, Some(RunOutcome::Interrupted), 1);
    run(path, &[row(2, "city", "Bonn")], &mut account, 2);
    for now in 3..6 {
        let rows = [1, 2, 98, 99].map(|user| row(user, "city", "Oslo"));
        let known = known_of(path, plan(&rows, 3), SkipScope::EveryRun).2.total();
        assert_eq!((now, known.missing), (now, 2), "user 1 was read since");
        compact(path, 0, now);
    }
}

fn what_was_read_just_before_a_run_is_compared_when_the_run_goes_on(store: Store) {
    let place = store.place();
    let path = place.location();
    pull(path, &account(1..=3), 1, Some(RunOutcome::Complete), 0);
    let rows: Vec<_> =
        (1..=3).flat_map(|user| [row(user, "city", "Oslo"), row(user, "tier", "gold")]).collect();
    begin(path, &rows, Changes::All, Resume::No, at(1)).unwrap().finish(RunOutcome::Interrupted, at(1));
    let reader = LedgerReader::open(path).unwrap();
    let whole = plan(&rows, 3);
    let unfinished = reader.unfinished(&target(), &description(&whole)).unwrap();
    assert!(unfinished.is_some());
    let (content, scope) = (whole.fingerprint(), SkipScope::ContinuedRun);
    let known = reader.known_values(&target(), &content, scope, Compare::Yes, unfinished.as_ref()).unwrap();
    let known = |attribute: &Attribute| Ok::<_, LedgerError>(known.of(&attribute.name));
    let (_, _, found) = whole.skip_known(&bounds(), Compare::Yes, known, KnownAttribute::replay).unwrap();
    assert_eq!(found.total().changed, 6, "they had no values");
}

#[test]
fn what_could_not_be_recorded_is_recorded_once_with_what_is_read_next() {
    let place = Store::File.place();
    let path = place.location();
    let ledger = Ledger::open(path, &target(), at(0)).unwrap();
    let mut recorder = PullRecorder::begin(ledger, true, None, at(0)).unwrap();
    let city = |city: &'static str| iter::once(("city", SentValue::Text(city.into())));
    recorder.add(User::Id(1), true, city("Oslo"));
    recorder.add(User::Id(2), true, city("Oslo"));
    recorder.end_page(Some("2".to_owned()));
    let refuses = Connection::open(path.path().unwrap()).unwrap();
    refuses
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON journal BEGIN SELECT RAISE(FAIL, 'full'); END")
        .unwrap();
    recorder.commit(at(1)).unwrap_err();
    assert_eq!(recorder.pending(), 2);
    assert_eq!(goes_on_at(path, &target(), true), None, "the cursor waits for the users before it");
    refuses.execute_batch("DROP TRIGGER full").unwrap();
    drop(refuses);
    // The user comes again with another value.
    recorder.add(User::Id(1), true, city("Rome"));
    recorder.commit(at(2)).unwrap();
    assert_eq!(goes_on_at(path, &target(), true).as_deref(), Some("2"));
    recorder.end_page(None);
    recorder.finish(RunOutcome::Complete, at(3)).unwrap();
    for now in [4, 5] {
        assert_eq!([known_city(path, 1, "Rome"), known_city(path, 2, "Oslo")], [(1, 0), (1, 0)]);
        compact(path, 0, now);
    }
}

in_each_store! {
    what_was_read_just_before_a_run_is_compared_when_the_run_goes_on,
    who_was_read_since_the_list_is_not_missing,
    a_reading_goes_on_where_it_ended_whatever_was_run_or_read_of_another_account_since,
    a_reading_that_is_no_longer_kept_does_not_go_on,
    what_an_interrupted_reading_showed_is_known_of_attributes_that_come_up_later,
    a_reading_that_begins_again_keeps_values_but_lists_nobody_who_was_read_before,
}
