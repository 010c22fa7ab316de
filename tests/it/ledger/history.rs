//! What was sent when.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::time::Duration;

use attrsync::ledger::{LedgerReader, Origin, RowCounts, RunOutcome, ValueState};
use attrsync::plan::{SentValue, User};

use super::place::{Store, in_each_store};
use super::pulls::{account, pull_all, run};
use super::world::{Changes, Facts, Resume, at, begin, bounds, row};

fn it_tells_when_a_user_was_set_to_what_and_by_which_run(store: Store) {
    let place = store.place();
    let path = place.location();
    let values = ["Poland", "Norway", "-"];
    for (now, value) in (1..).zip(values) {
        let rows = [row(42, "country", value), row(43, "country", "Poland")];
        let mut run = begin(path, &rows, Changes::Only, Resume::Yes, at(now * 10)).unwrap();
        run.send_all(&mut Facts::new(), at(now * 10 + 1));
        run.finish(RunOutcome::Complete, at(now * 10 + 2));
    }
    let reader = LedgerReader::open(path).unwrap();

    let facts = reader.user(&User::Id(42)).unwrap();
    let told: Vec<_> =
        facts.iter().map(|fact| (fact.value.to_string(), fact.by.map(|(run, at)| (run.0, at)))).collect();
    let expected: Vec<_> = (1_u64..)
        .zip(["Poland", "Norway", "null"])
        .map(|(run, value)| (value.to_owned(), Some((run, at(run.cast_signed() * 10 + 1)))))
        .collect();
    assert_eq!(told, expected);
    let standings: Vec<_> = facts.iter().map(|fact| fact.standing).collect();
    assert_eq!(standings, [ValueState::Replaced, ValueState::Replaced, ValueState::Current]);
    assert_eq!(reader.user(&User::Id(44)).unwrap(), []);
    assert_eq!(reader.user(&User::Custom("42".into())).unwrap(), []);

    let runs = reader.runs().unwrap();
    assert_eq!(runs.len(), 3);
    assert_eq!(runs[1].outcome, Some(RunOutcome::Complete));
    assert_eq!((runs[1].started_at, runs[1].finished_at), (at(20), Some(at(22))));
    assert_eq!(runs[1].duration(), Some(Duration::from_secs(2)));
    assert_eq!(runs[1].inputs, ["users.csv"]);
    assert_eq!(runs[1].rows, Some(RowCounts { acknowledged: 1, ..RowCounts::default() }));

    let sent_rows = reader.sent_rows(runs[1].run).unwrap();
    assert_eq!(sent_rows.len(), 1);
    assert_eq!(sent_rows[0].value, SentValue::Text("Norway".into()));
    assert_eq!((sent_rows[0].users, sent_rows[0].batches, sent_rows[0].attempts), (1, 1, 1));
}

fn what_a_request_that_went_wrong_may_have_changed_is_doubted_until_one_goes_well(store: Store) {
    let place = store.place();
    let path = place.location();
    let standings = |user| -> Vec<_> {
        let facts = LedgerReader::open(path).unwrap().user(&User::Id(user)).unwrap();
        facts.into_iter().map(|fact| (fact.value.to_string(), fact.standing)).collect()
    };
    let (oslo, rome) = ("Oslo".to_owned(), "Rome".to_owned());

    let rows = [row(1, "city", "Oslo"), row(2, "city", "Oslo")];
    let mut run = begin(path, &rows, Changes::All, Resume::No, at(10)).unwrap();
    run.send_all(&mut Facts::new(), at(10));
    run.finish(RunOutcome::Complete, at(10));

    let mut run = begin(path, &[row(1, "city", "Rome")], Changes::All, Resume::No, at(20)).unwrap();
    let batches: Vec<_> = run.plan.batches().collect();
    run.mark_uncertain(&batches);
    run.finish(RunOutcome::Incomplete, at(20));
    assert_eq!(standings(1), [(oslo.clone(), ValueState::Uncertain)]);
    assert_eq!(standings(2), [(oslo.clone(), ValueState::Current)]);

    let mut run = begin(path, &[row(1, "city", "Rome")], Changes::All, Resume::No, at(30)).unwrap();
    run.send_all(&mut Facts::new(), at(30));
    run.finish(RunOutcome::Complete, at(30)).compact(at(40), &bounds()).unwrap();
    assert_eq!(standings(1), [(rome, ValueState::Current)]);
    assert_eq!(standings(2), [(oslo, ValueState::Current)]);
}

fn what_expired_is_still_known_though_not_since_when(store: Store) {
    let place = store.place();
    let path = place.location();
    for (now, value) in [(10, "Oslo"), (20, "Rome")] {
        let rows = [row(1, "city", value), row(2, "city", "Lima")];
        let mut run = begin(path, &rows, Changes::Only, Resume::Yes, at(now)).unwrap();
        run.send_all(&mut Facts::new(), at(now));
        run.finish(RunOutcome::Complete, at(now)).compact(at(15), &bounds()).unwrap();
    }
    let reader = LedgerReader::open(path).unwrap();
    let told = |user| -> Vec<_> {
        let facts = reader.user(&User::Id(user)).unwrap();
        facts.into_iter().map(|fact| (fact.value.to_string(), fact.by.map(|(run, _)| run.0))).collect()
    };
    assert_eq!(told(1), [("Rome".to_owned(), Some(2))]);
    assert_eq!(told(2), [("Lima".to_owned(), None)]);
}

fn what_was_read_is_told_where_it_says_something(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    let told = |user| -> Vec<_> {
        let values = LedgerReader::open(path).unwrap().user(&User::Id(user)).unwrap();
        values.into_iter().map(|value| (value.attribute, value.origin, value.value.to_string())).collect()
    };
    let city = |origin, value: &str| ("city".to_owned(), origin, value.to_owned());
    account.values.insert(("city".to_owned(), 1), "Oslo".to_owned());
    for now in [0, 1] {
        pull_all(path, &account, now);
    }
    assert_eq!(told(1), [city(Origin::Read, "Oslo")], "once, though it was read twice");
    assert_eq!(told(2), [], "it never had a value");
    account.values.insert(("city".to_owned(), 1), "Rome".to_owned());
    run(path, &[row(2, "city", "-")], &mut account, 2);
    for now in [3, 5] {
        pull_all(path, &account, now);
        let expected = [city(Origin::Read, "Oslo"), city(Origin::Read, "Rome")];
        assert_eq!(told(1), expected);
        // That it was cleared is told although it had no value, and so is that this was read later.
        assert_eq!(told(2), [city(Origin::Sent, "null"), city(Origin::Read, "null")]);
    }
    let reader = LedgerReader::open(path).unwrap();
    let pulls: Vec<_> =
        reader.runs().unwrap().into_iter().map(|run| run.pull.map(|pull| (pull.pages, pull.users))).collect();
    assert_eq!(pulls, [Some((1, 3)), Some((1, 3)), None, Some((1, 3)), Some((1, 3))]);
}

#[test]
fn what_expired_gives_back_its_room() {
    let store = Store::File;
    let place = store.place();
    let path = place.location();
    let rows: Vec<_> = (1..=3000).map(|user| row(user * 977, "city", &(user % 7).to_string())).collect();
    let mut sizes = Vec::new();
    for keep_since in [0, 15] {
        let mut run = begin(path, &rows, Changes::All, Resume::Yes, at(10)).unwrap();
        run.send_all(&mut Facts::new(), at(10));
        run.finish(RunOutcome::Complete, at(10)).compact(at(keep_since), &bounds()).unwrap();
        sizes.push(std::fs::metadata(path.path().unwrap()).unwrap().len());
    }
    assert!(sizes[1] < sizes[0], "{sizes:?}");
    let free = |row: &rusqlite::Row<'_>| row.get::<_, u32>(0);
    let connection = rusqlite::Connection::open(path.path().unwrap()).unwrap();
    assert_eq!(connection.query_row("PRAGMA freelist_count", (), free).unwrap(), 0);
}

in_each_store! {
    it_tells_when_a_user_was_set_to_what_and_by_which_run,
    what_a_request_that_went_wrong_may_have_changed_is_doubted_until_one_goes_well,
    what_expired_is_still_known_though_not_since_when,
    what_was_read_is_told_where_it_says_something,
}
