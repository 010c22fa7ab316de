//! Compaction forgets nothing that a later run relies on.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{fs, iter};

use attrsync::input::{Attribute, IdType};
use attrsync::ledger::{
    KnownAttribute, Ledger, LedgerError, LedgerReader, PullRecorder, RowCounts, RunOutcome, SkipScope,
    TargetKey, UndoError,
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
        let mut ledger = recorder.finish(RunOutcome::Complete, at(now)).unwrap();
        ledger.compact(at(0), &bounds()).unwrap();
        drop(ledger);
        sizes.push(fs::metadata(path.path().unwrap()).unwrap().len());
    }
    assert!(sizes[0] > 200_000 && sizes[3] < sizes[0] + sizes[0] / 2, "{sizes:?}");
}

in_each_store! {
    a_run_that_is_kept_can_be_undone_after_older_ones_expired,
    what_a_killed_run_may_have_changed_is_kept_until_it_goes_on_whatever_is_read_meanwhile,
    what_a_killed_run_may_have_changed_stays_unknown_when_later_runs_are_compacted,
    a_list_that_was_begun_anew_does_not_mix_with_the_complete_one,
    that_a_user_has_no_value_is_known_after_the_reading_expired,
    users_who_got_other_ids_since_the_list_was_read_are_not_missing,
}
