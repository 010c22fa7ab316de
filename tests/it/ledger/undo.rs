//! What an undo restores after other runs and readings, and what it leaves alone.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use attrsync::input::IdType;
use attrsync::ledger::{
    Ledger, LedgerError, LedgerLocation, LedgerReader, RowCounts, RunId, RunOutcome, TargetKey, UndoCounts,
};

use super::place::{Store, in_each_store};
use super::pulls::{account, compact, pull_all, run};
use super::renames;
use super::world::{Changes, Facts, Resume, at, begin, description, row, target, undone};

fn counts(path: &LedgerLocation, run: RunId) -> UndoCounts {
    let reader = LedgerReader::open(path).unwrap();
    reader.undo(run).unwrap().each::<LedgerError>(u64::MAX, |_, _, _| Ok(())).unwrap()
}

fn nothing_is_restored_while_a_later_run_that_was_killed_may_have_sent_anything(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    run(path, &[row(1, "city", "Oslo")], &mut account, 0);
    // This one was killed before: it makes no difference.
    drop(begin(path, &[row(1, "city", "Bonn")], Changes::All, Resume::No, at(1)).unwrap());
    run(path, &[row(1, "city", "Bonn")], &mut account, 2);
    let first = run(path, &[row(1, "city", "Rome"), row(2, "city", "Rome")], &mut account, 3);
    let before = [(("city".to_owned(), 1), "Bonn".to_owned())].into();
    assert_eq!(undone(path, first), before);

    let later = [row(3, "city", "Lima")];
    drop(begin(path, &later, Changes::All, Resume::No, at(4)).unwrap());
    assert_eq!(undone(path, first).len(), 0);
    let all = UndoCounts { acknowledged: 2, undone: 0, changed: 2, unknown: 0 };
    assert_eq!(counts(path, first), all);

    let mut again = begin(path, &later, Changes::All, Resume::Yes, at(5)).unwrap();
    assert!(again.continues.is_some());
    again.send_all(&mut Facts::new(), at(5));
    again.finish(RunOutcome::Complete, at(5));
    assert_eq!(undone(path, first), before);
    assert_eq!(counts(path, first), UndoCounts { acknowledged: 2, undone: 1, changed: 0, unknown: 1 });
}

fn the_last_of_several_readings_and_runs_says_what_a_user_has(store: Store) {
    for last in ["Rome", "Oslo"] {
        let place = store.place();
        let path = place.location();
        let mut account = account(1..=3);
        run(path, &[row(1, "city", "Bonn")], &mut account, 0);
        let first = run(path, &[row(1, "city", "Oslo")], &mut account, 1);
        pull_all(path, &account, 2);
        run(path, &[row(1, "city", "Oslo")], &mut account, 3);
        account.values.insert(("city".to_owned(), 1), last.to_owned());
        pull_all(path, &account, 4);
        for now in [5, 6] {
            assert_eq!(undone(path, first).len(), usize::from(last == "Oslo"), "{last} {now}");
            compact(path, 0, now);
        }
    }
}

fn what_a_run_acknowledged_and_then_found_otherwise_has_changed(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=9);
    let rows = |city| -> Vec<_> { (1..=6).map(|user| row(user, "city", city)).collect() };
    run(path, &rows("Oslo"), &mut account, 0);
    let mut own = begin(path, &rows("Rome"), Changes::All, Resume::No, at(1)).unwrap();
    own.send_all(&mut Facts::new(), at(1));
    // Reading back shows that the second batch was not taken.
    let batches: Vec<_> = own.plan.batches().skip(1).collect();
    own.mark_uncertain(&batches);
    let id = own.run;
    own.finish(RunOutcome::Incomplete, at(1));
    for now in [2, 3] {
        let users: Vec<_> = undone(path, id).into_keys().map(|(_, user)| user).collect();
        assert_eq!(users, [1, 2, 3]);
        assert_eq!(counts(path, id), UndoCounts { acknowledged: 6, undone: 3, changed: 3, unknown: 0 });
        compact(path, 0, now);
    }
}

/// Runs of an account whose users go by the client's own ids.
fn send(path: &LedgerLocation, rows: &[(&str, &str, &str)], now: i64) -> RunId {
    let key = TargetKey { id_type: IdType::CustomId, ..target() };
    let plan = renames::plan(IdType::CustomId, rows);
    let mut ledger = Ledger::open(path, &key, at(now)).unwrap();
    let run = ledger.begin(&description(&plan), None, at(now)).unwrap();
    plan.batches().for_each(|batch| ledger.record(&plan, batch, 1));
    ledger.commit(run, at(now)).unwrap();
    ledger.finish(run, RunOutcome::Complete, &RowCounts::default(), at(now)).unwrap();
    run
}

fn an_id_that_was_given_again_is_what_the_user_has(store: Store) {
    let place = store.place();
    let path = place.location();
    let told = |run| {
        let mut rows = Vec::new();
        let reader = LedgerReader::open(path).unwrap();
        let undo = reader.undo(run).unwrap();
        let counts = undo.each::<LedgerError>(u64::MAX, |user, attribute, value| {
            rows.push(format!("{user} {attribute} {value}"));
            Ok(())
        });
        (rows, counts.unwrap().changed)
    };
    let renaming = send(path, &[("a", "custom_id", "x")], 0);
    assert_eq!(told(renaming), (vec!["x custom_id a".to_owned()], 0));
    send(path, &[("x", "custom_id", "y")], 1);
    assert_eq!(told(renaming), (Vec::new(), 1), "it goes by another id");
    send(path, &[("y", "custom_id", "x")], 2);
    assert_eq!(told(renaming), (Vec::new(), 1), "nobody knows which user has the id");
    send(path, &[("x", "custom_id", "x")], 3);
    assert_eq!(told(renaming), (vec!["x custom_id a".to_owned()], 0));

    // The same id says nothing of the user's other values.
    send(path, &[("x", "city", "Oslo")], 4);
    let city = send(path, &[("x", "city", "Rome")], 5);
    send(path, &[("x", "custom_id", "x")], 6);
    assert_eq!(told(city), (vec!["x city Oslo".to_owned()], 0));
    send(path, &[("z", "custom_id", "x")], 7);
    assert_eq!(told(city), (Vec::new(), 1));
    assert_eq!(told(renaming), (Vec::new(), 1), "another user has it");
}

fn what_others_may_have_changed_before_a_run_is_not_restored(store: Store) {
    let rows = |value: &str| [row(1, "city", value)];
    for killed in [false, true] {
        for compacts_first in [false, true] {
            let place = store.place();
            let path = place.location();
            let mut account = account(1..=3);
            run(path, &rows("Oslo"), &mut account, 0);
            if compacts_first {
                compact(path, 0, 1);
            }
            let mut other = begin(path, &rows("Rome"), Changes::All, Resume::No, at(2)).unwrap();
            if killed {
                drop(other);
            } else {
                let batches: Vec<_> = other.plan.batches().collect();
                other.mark_uncertain(&batches);
                other.finish(RunOutcome::Incomplete, at(2));
            }
            let last = run(path, &rows(&"x".repeat(200)), &mut account, 3);
            for now in [4, 5] {
                let undo = UndoCounts { acknowledged: 1, undone: 0, changed: 0, unknown: 1 };
                assert_eq!(counts(path, last), undo, "{killed} {compacts_first} {now}");
                compact(path, 0, now);
            }
        }
    }
}

in_each_store! {
    an_id_that_was_given_again_is_what_the_user_has,
    what_others_may_have_changed_before_a_run_is_not_restored,
    nothing_is_restored_while_a_later_run_that_was_killed_may_have_sent_anything,
    the_last_of_several_readings_and_runs_says_what_a_user_has,
    what_a_run_acknowledged_and_then_found_otherwise_has_changed,
}
