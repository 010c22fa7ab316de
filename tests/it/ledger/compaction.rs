//! Compaction forgets nothing that a later run relies on.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;
use std::{fs, iter};

use attrsync::input::{Attribute, IdType};
use attrsync::ledger::{
    KnownAttribute, Ledger, LedgerError, LedgerLocation, LedgerReader, PullRecorder, RowCounts, RunOutcome,
    SkipScope, TargetKey, UndoError,
};
use attrsync::plan::{Compare, SentValue, User};

use super::place::{Store, in_each_store};
use super::pulls::{account, compact, known_of, pull, pull_all, run};
use super::renames;
use super::world::{Changes, Facts, Resume, at, begin, bounds, description, plan, row, target, undone};

fn a_run_that_is_kept_can_be_undone_after_older_ones_expired(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    let mut runs = Vec::new();
    for (city, now) in [("Oslo", 0), ("Rome", 1), ("Lima", 100), ("Bonn", 101)] {
        runs.push(run(path, &[row(1, "city", city)], &mut account, now));
    }
    let before = [(("city".to_owned(), 1), "Lima".to_owned())].into();
    for keep_since in [0, 50] {
        compact(path, keep_since, 102);
        assert_eq!(undone(path, runs[3]), before);
        assert_eq!(undone(path, runs[2]).len(), 0, "it has changed since");
    }
    let expired = LedgerReader::open(path).unwrap().undo(runs[1]).err().unwrap();
    assert!(matches!(expired, UndoError::Expired(_)));
}

fn an_undo_knows_what_its_run_continued_and_whether_custom_attributes_were_sent(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    let standard = run(path, &[row(1, "city", "Oslo")], &mut account, 0);
    let custom = run(path, &[row(1, "Plan", "gold"), row(2, "city", "Rome")], &mut account, 1);
    let rows = [row(3, "city", "Bonn")];
    let interrupted = begin(path, &rows, Changes::All, Resume::No, at(2)).unwrap();
    let first = interrupted.run;
    interrupted.finish(RunOutcome::Interrupted, at(2));
    let mut again = begin(path, &rows, Changes::All, Resume::Yes, at(3)).unwrap();
    let last = again.run;
    again.send_all(&mut Facts::new(), at(3));
    again.finish(RunOutcome::Complete, at(3));
    let reader = LedgerReader::open(path).unwrap();
    let of = |run| reader.undo(run).map(|undo| (undo.has_custom(), undo.continued())).unwrap();
    assert_eq!([of(standard), of(custom), of(last)], [(false, None), (true, None), (false, Some(first))]);
}

fn what_a_killed_run_may_have_changed_is_kept_until_it_goes_on_whatever_is_read_meanwhile(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=9);
    let cities: Vec<_> = (1..=9).map(|user| row(user, "city", "Oslo")).collect();
    run(path, &cities, &mut account, 0);
    let rows = [row(1, "city", "Rome"), row(2, "city", "Rome")];
    // A kill leaves no end.
    drop(begin(path, &rows, Changes::All, Resume::No, at(1)).unwrap());
    pull(path, &account, 0, Some(RunOutcome::Interrupted), 2);
    compact(path, 0, 3);
    let unchanged = || known_of(path, plan(&cities, 3), SkipScope::EveryRun).2.total().unchanged;
    assert_eq!(unchanged(), 0, "the run may have sent anything");
    let mut again = begin(path, &rows, Changes::All, Resume::Yes, at(4)).unwrap();
    again.send_all(&mut Facts::new(), at(4));
    again.finish(RunOutcome::Complete, at(4));
    assert_eq!(unchanged(), 7);
}

fn what_a_killed_run_may_have_changed_stays_unknown_when_later_runs_are_compacted(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=9);
    let cities: Vec<_> = (1..=9).map(|user| row(user, "city", "Oslo")).collect();
    run(path, &cities, &mut account, 0);
    drop(begin(path, &[row(1, "city", "Rome")], Changes::All, Resume::No, at(1)).unwrap());
    run(path, &[row(9, "city", "Oslo")], &mut account, 2);
    for now in 3..5 {
        assert_eq!(known_of(path, plan(&cities, 3), SkipScope::EveryRun).2.total().unchanged, 1);
        compact(path, 0, now);
    }
}

fn a_list_that_was_begun_anew_does_not_mix_with_the_complete_one(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(2..=10);
    pull_all(path, &account, 0);
    account.users.insert(1);
    pull(path, &account, 1, Some(RunOutcome::Interrupted), 1);
    for now in 2..4 {
        let rows = [1, 2, 98, 99].map(|user| row(user, "city", "Oslo"));
        let known = known_of(path, plan(&rows, 3), SkipScope::EveryRun).2.total();
        assert_eq!((now, known.missing), (now, 2), "user 1 was read since");
        compact(path, 0, now);
    }
}

fn that_a_user_has_no_value_is_known_after_the_reading_expired(store: Store) {
    let place = store.place();
    let path = place.location();
    pull_all(path, &account(1..=4), 0);
    compact(path, 1_000, 1_000);
    let (left, _, known) = known_of(path, plan(&[row(3, "tier", "-")], 3), SkipScope::EveryRun);
    assert_eq!((left.rows(), known.total().unchanged), (0, 1));
}

fn users_who_got_other_ids_since_the_list_was_read_are_not_missing(store: Store) {
    let place = store.place();
    let path = place.location();
    let key = TargetKey { id_type: IdType::CustomId, ..target() };
    let open = |now| Ledger::open(path, &key, at(now)).unwrap();
    let mut recorder = PullRecorder::begin(open(0), true, None, at(0)).unwrap();
    recorder.add(User::Custom("a".into()), true, iter::empty());
    recorder.end_page(None);
    drop(recorder.finish(RunOutcome::Complete, at(0)).unwrap());

    let rows = renames::plan(IdType::CustomId, &[("a", "city", "b"), ("a", "custom_id", "x")]);
    let mut ledger = open(1);
    let run = ledger.begin(&description(&rows), None, at(1)).unwrap();
    rows.batches().for_each(|batch| ledger.record(&rows, batch, 1));
    ledger.commit(run, at(1)).unwrap();
    ledger.finish(run, RunOutcome::Complete, &RowCounts::default(), at(1)).unwrap();

    for _ in 0..2 {
        let rows = renames::plan(IdType::CustomId, &[("x", "city", "Oslo"), ("b", "city", "Oslo")]);
        let reader = LedgerReader::open(path).unwrap();
        let known = reader.known_values(&key, &rows.fingerprint(), SkipScope::EveryRun, Compare::Yes, None);
        let known = known.unwrap();
        let known = |attribute: &Attribute| Ok::<_, LedgerError>(known.of(&attribute.name));
        let (_, missing, _) =
            rows.skip_known(&bounds(), Compare::Yes, known, KnownAttribute::replay).unwrap();
        let missing = missing.unwrap();
        let users: Vec<_> = missing
            .batches()
            .flat_map(|batch| missing.users(batch).map(|user| user.to_string()).collect::<Vec<_>>())
            .collect();
        assert_eq!(users, ["b"]);
        drop(reader);
        ledger.compact(at(0), &bounds()).unwrap();
    }
}

fn what_was_known_before_a_run_is_kept_whenever_the_journal_is_compacted(store: Store) {
    for compacts_first in [true, false] {
        let place = store.place();
        let path = place.location();
        let mut account = account(1..=3);
        run(path, &[row(1, "city", "Oslo")], &mut account, 0);
        if compacts_first {
            compact(path, 0, 1);
        }
        let second = run(path, &[row(1, "city", "Rome")], &mut account, 2);
        compact(path, 0, 3);
        run(path, &[row(2, "city", "Rome")], &mut account, 4);
        for now in 5..7 {
            compact(path, 0, now);
            assert_eq!(undone(path, second), [(("city".to_owned(), 1), "Oslo".to_owned())].into());
        }
    }
}

fn all_that_was_known_before_a_run_is_kept_also_if_it_takes_several_rows(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=40);
    let rows = |letter: &str| -> Vec<_> {
        (1..=40).map(|user| row(user, "city", &format!("{letter}{user}").repeat(5000))).collect()
    };
    run(path, &rows("a"), &mut account, 0);
    let second = run(path, &rows("b"), &mut account, 1);
    compact(path, 0, 2);
    let before: BTreeMap<_, _> =
        rows("a").into_iter().map(|(user, attribute, value)| ((attribute, user), value)).collect();
    let restored = undone(path, second);
    assert!(restored == before, "{} of {} values", restored.len(), before.len());
}

fn that_a_user_had_no_value_is_restored_after_all_was_compacted(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    pull_all(path, &account, 0);
    compact(path, 0, 1);
    let first = run(path, &[row(1, "tier", "gold")], &mut account, 2);
    for now in 3..5 {
        assert_eq!(undone(path, first), [(("tier".to_owned(), 1), "null".to_owned())].into());
        compact(path, 0, now);
    }
}

fn that_a_user_has_no_value_is_known_after_another_one_got_a_value(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=4);
    pull_all(path, &account, 0);
    compact(path, 0, 1);
    run(path, &[row(1, "tier", "gold")], &mut account, 2);
    for now in [3, 4] {
        let rows = [row(1, "tier", "-"), row(2, "tier", "-")];
        let known = known_of(path, plan(&rows, 3), SkipScope::EveryRun).2.total();
        assert_eq!((known.unchanged, known.changed), (1, 1));
        compact(path, 0, now);
    }
}

fn that_a_user_has_no_value_is_doubted_after_a_run_was_killed(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=4);
    pull_all(path, &account, 0);
    compact(path, 0, 1);
    let cleared = || {
        let (_, missing, known) = known_of(path, plan(&[row(2, "tier", "-")], 3), SkipScope::EveryRun);
        assert!(missing.is_none());
        known.total().unchanged
    };
    assert_eq!(cleared(), 1);
    let rows = [row(2, "tier", "gold")];
    drop(begin(path, &rows, Changes::All, Resume::No, at(2)).unwrap());
    assert_eq!(cleared(), 0, "the run may have sent it");
    let next = run(path, &[row(2, "tier", "silver"), row(4, "tier", "silver")], &mut account, 3);
    for now in [4, 5] {
        assert_eq!(undone(path, next).len(), 0, "nobody knows what was there before");
        let other = known_of(path, plan(&[row(3, "tier", "-")], 3), SkipScope::EveryRun).2.total();
        assert_eq!(other.unchanged, 0);
        compact(path, 0, now);
    }
}

/// Reads these users without a value, with all custom attributes or none.
pub(super) fn pull_without_values(
    path: &LedgerLocation,
    key: &TargetKey,
    users: impl IntoIterator<Item = u64>,
    custom: bool,
    now: i64,
) {
    let ledger = Ledger::open(path, key, at(now)).unwrap();
    let mut recorder = PullRecorder::begin(ledger, custom, None, at(now)).unwrap();
    for user in users {
        recorder.add(User::Id(user), custom, iter::empty());
    }
    recorder.end_page(None);
    recorder.finish(RunOutcome::Complete, at(now)).unwrap();
}

fn another_account() -> TargetKey {
    TargetKey { base_url: "https://other.user.com/api/public/".to_owned(), ..target() }
}

fn of_a_standard_attribute_that_was_not_shown_nothing_is_known(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    pull_without_values(path, &target(), 1..=3, true, 0);
    compact(path, 0, 1);
    let cleared = || known_of(path, plan(&[row(2, "city", "-")], 3), SkipScope::EveryRun).2.total();
    assert_eq!(cleared().unchanged, 0);
    let first = run(path, &[row(1, "city", "Rome")], &mut account, 2);
    for now in 3..5 {
        assert_eq!((cleared().unchanged, undone(path, first).len()), (0, 0));
        compact(path, 0, now);
    }
}

fn what_was_read_of_one_account_says_nothing_of_another(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    pull_without_values(path, &another_account(), 1..=3, true, 0);
    compact(path, 0, 1);
    let first = run(path, &[row(1, "tier", "gold")], &mut account, 2);
    for now in 3..5 {
        let rows = [row(2, "tier", "-"), row(9, "tier", "-")];
        let known = known_of(path, plan(&rows, 3), SkipScope::EveryRun).2.total();
        assert_eq!((known.unchanged, known.missing, undone(path, first).len()), (0, 0, 0));
        compact(path, 0, now);
    }
}

fn values_are_not_forgotten_while_a_killed_run_may_confirm_them_whatever_is_read(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=9);
    let tiers: Vec<_> = (1..=9).map(|user| row(user, "tier", "gold")).collect();
    run(path, &tiers, &mut account, 0);
    let rows = [row(1, "tier", "new"), row(2, "tier", "new")];
    // A kill leaves no end.
    drop(begin(path, &rows, Changes::All, Resume::No, at(1)).unwrap());
    pull_without_values(path, &target(), 1..=9, false, 2);
    compact(path, 0, 3);
    let mut again = begin(path, &rows, Changes::All, Resume::Yes, at(4)).unwrap();
    again.send_all(&mut Facts::new(), at(4));
    again.finish(RunOutcome::Complete, at(4));
    assert_eq!(known_of(path, plan(&tiers, 3), SkipScope::EveryRun).2.total().unchanged, 7);
}

fn a_reading_is_kept_whole_when_the_journal_is_compacted_before_it_goes_on(store: Store) {
    let place = store.place();
    let path = place.location();
    let ledger = Ledger::open(path, &target(), at(0)).unwrap();
    let mut recorder = PullRecorder::begin(ledger, true, None, at(0)).unwrap();
    (1..30).for_each(|user| recorder.add(User::Id(user), true, iter::empty()));
    recorder.end_page(Some("30".to_owned()));
    recorder.finish(RunOutcome::Interrupted, at(0)).unwrap();
    // A run for another account, so that the rest of the reading is too little to compact the journal.
    let rows: Vec<_> = (1..=30).map(|user| row(user, "city", "Oslo")).collect();
    let whole = plan(&rows, 3);
    let mut ledger = Ledger::open(path, &another_account(), at(1)).unwrap();
    let run = ledger.begin(&description(&whole), None, at(1)).unwrap();
    whole.batches().for_each(|batch| ledger.record(&whole, batch, 1));
    ledger.commit(run, at(1)).unwrap();
    ledger.finish(run, RunOutcome::Complete, &RowCounts::default(), at(1)).unwrap();
    ledger.compact(at(0), &bounds()).unwrap();
    drop(ledger);

    let ledger = Ledger::open(path, &target(), at(2)).unwrap();
    let unfinished = ledger.reader().unfinished_pull(&target(), true).unwrap();
    let mut recorder = PullRecorder::begin(ledger, true, unfinished.as_ref(), at(2)).unwrap();
    recorder.add(User::Id(30), true, iter::empty());
    recorder.end_page(None);
    recorder.finish(RunOutcome::Complete, at(2)).unwrap();
    for now in 3..6 {
        compact(path, 0, now);
        let rows: Vec<_> = (1..=31).map(|user| row(user, "city", "Oslo")).collect();
        let missing = known_of(path, plan(&rows, 3), SkipScope::EveryRun).2.total().missing;
        assert_eq!(missing, 1);
    }
}

#[test]
fn what_an_undo_needs_is_kept_no_longer_than_its_run() {
    let place = Store::File.place();
    let path = place.location();
    let mut account = account(1..=3);
    let kept = || {
        let connection = rusqlite::Connection::open(path.path().unwrap()).unwrap();
        let mut runs = connection.prepare("SELECT DISTINCT run FROM prior ORDER BY run").unwrap();
        runs.query_map((), |row| row.get::<_, u64>(0)).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    for (city, now) in [("Oslo", 0), ("Rome", 10), ("Lima", 20), ("Bonn", 30)] {
        run(path, &[row(1, "city", city)], &mut account, now);
        compact(path, 0, now);
    }
    assert_eq!(kept(), [2, 3, 4]);
    compact(path, 15, 40);
    assert_eq!(kept(), [3, 4]);
    compact(path, 1_000, 1_000);
    assert_eq!(kept(), [0; 0]);
}

#[test]
fn readings_take_little_more_space_than_the_account_however_many_there_are() {
    let place = Store::File.place();
    let path = place.location();
    let mut sizes = Vec::new();
    for now in 0..4 {
        let ledger = Ledger::open(path, &target(), at(now)).unwrap();
        let mut recorder = PullRecorder::begin(ledger, true, None, at(now)).unwrap();
        for user in 1..=2000 {
            let value = format!("{user:0100}");
            recorder.add(User::Id(user), true, iter::once(("city", SentValue::Text(value.into()))));
        }
        recorder.end_page(None);
        drop(recorder.finish(RunOutcome::Complete, at(now)).unwrap());
        let size = || fs::metadata(path.path().unwrap()).unwrap().len();
        let read = size();
        Ledger::open(path, &target(), at(now)).unwrap().compact(at(0), &bounds()).unwrap();
        sizes.push(size());
        assert!(sizes[0] < read + read / 2, "it is kept once: {read}, {sizes:?}");
    }
    assert!(sizes[0] > 200_000 && sizes[3] < sizes[0] + sizes[0] / 2, "{sizes:?}");
}

in_each_store! {
    an_undo_knows_what_its_run_continued_and_whether_custom_attributes_were_sent,
    a_run_that_is_kept_can_be_undone_after_older_ones_expired,
    what_a_killed_run_may_have_changed_is_kept_until_it_goes_on_whatever_is_read_meanwhile,
    what_a_killed_run_may_have_changed_stays_unknown_when_later_runs_are_compacted,
    a_list_that_was_begun_anew_does_not_mix_with_the_complete_one,
    that_a_user_has_no_value_is_known_after_the_reading_expired,
    that_a_user_has_no_value_is_known_after_another_one_got_a_value,
    that_a_user_has_no_value_is_doubted_after_a_run_was_killed,
    users_who_got_other_ids_since_the_list_was_read_are_not_missing,
    what_was_known_before_a_run_is_kept_whenever_the_journal_is_compacted,
    all_that_was_known_before_a_run_is_kept_also_if_it_takes_several_rows,
    that_a_user_had_no_value_is_restored_after_all_was_compacted,
    of_a_standard_attribute_that_was_not_shown_nothing_is_known,
    what_was_read_of_one_account_says_nothing_of_another,
    values_are_not_forgotten_while_a_killed_run_may_confirm_them_whatever_is_read,
    a_reading_is_kept_whole_when_the_journal_is_compacted_before_it_goes_on,
}
