//! What an undo restores after other runs and readings, and what it leaves alone.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use attrsync::ledger::{LedgerError, LedgerReader, RunId, RunOutcome, UndoCounts};

use super::place::{Store, in_each_store};
use super::pulls::{account, compact, pull_all, run};
use super::world::{Changes, Facts, Resume, at, begin, row, undone};
use attrsync::ledger::LedgerLocation;

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

in_each_store! {
    nothing_is_restored_while_a_later_run_that_was_killed_may_have_sent_anything,
    the_last_of_several_readings_and_runs_says_what_a_user_has,
    what_a_run_acknowledged_and_then_found_otherwise_has_changed,
}
