//! Nothing is shown before it is recorded.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::Arc;
use std::time::Duration;

use attrsync::clock;
use attrsync::deliver::{Event, Outcome, Purpose, Reason};
use attrsync::input::{Dictionary, IdType, ReadOptions, Row, Sink};
use attrsync::ledger::{
    Fingerprint, KnownAttribute, Ledger, LedgerError, LedgerReader, Recorder, RowCounts, RunDescription,
    RunOutcome, SkipScope, TargetKey,
};
use attrsync::plan::{Builder, Compare, OnConflict, Plan};

use super::place::{Store, in_each_store};
use super::world::{Changes, Facts, Resume, at, begin, bounds, keys, left_of, row};

fn events_are_held_back_until_what_they_acknowledge_is_recorded(store: Store) {
    let place = store.place();
    let path = place.location();
    let rows: Vec<_> = (1..=9).map(|user| row(user, "city", "Oslo")).collect();
    let run = begin(path, &rows, Changes::All, Resume::Yes, at(1)).unwrap();
    let (id, plan) = (run.run, Arc::new(run.plan));
    let mut recorder = Recorder::new(run.ledger, id, Arc::clone(&plan));
    let reader = || LedgerReader::open(path).unwrap().sent_rows(id).unwrap();

    let now = clock::monotonic_now();
    let failed = || Outcome::Failed(Reason::default());
    let outcomes = [Outcome::Acknowledged, Outcome::Acknowledged, failed()];
    recorder.take(Event::Sent { at: now, purpose: Purpose::First }, now);
    assert!(!recorder.is_due(now + Duration::from_secs(9)), "there is nothing to record");
    for (batch, outcome) in plan.batches().zip(outcomes) {
        recorder.take(Event::Finished { batch, outcome, attempts: 2 }, now);
    }
    assert_eq!(reader(), []);
    assert!(!recorder.is_due(now + Duration::from_millis(49)));
    assert!(recorder.is_due(now + Duration::from_millis(50)));

    assert_eq!(recorder.commit(at(2)).unwrap().len(), 4);
    let sent_rows = reader();
    assert_eq!((sent_rows[0].users, sent_rows[0].batches, sent_rows[0].attempts), (6, 2, 4));
    assert!(!recorder.is_due(now + Duration::from_secs(9)));
    assert_eq!(recorder.commit(at(3)).unwrap().len(), 0);
}

fn what_was_not_sent_is_not_doubted(store: Store) {
    let place = store.place();
    let path = place.location();
    let rows = |city| -> Vec<_> { (1..=6).map(|user| row(user, "city", city)).collect() };
    let mut run = begin(path, &rows("Oslo"), Changes::All, Resume::No, at(1)).unwrap();
    run.send_all(&mut Facts::new(), at(1));
    run.finish(RunOutcome::Complete, at(1));

    let run = begin(path, &rows("Rome"), Changes::All, Resume::No, at(2)).unwrap();
    let (id, plan) = (run.run, Arc::new(run.plan));
    let mut recorder = Recorder::new(run.ledger, id, Arc::clone(&plan));
    for (batch, attempts) in plan.batches().zip([0, 2]) {
        let outcome = Outcome::Unsent(Reason::default());
        recorder.take(Event::Finished { batch, outcome, attempts }, clock::monotonic_now());
    }
    recorder.commit(at(2)).unwrap();
    recorder.into_ledger().finish(id, RunOutcome::Stopped, &RowCounts::default(), at(2)).unwrap();
    let reader = LedgerReader::open(path).unwrap();
    let (left, _) =
        left_of(&reader, super::world::plan(&rows("Oslo"), 3), SkipScope::EveryRun, None).unwrap();
    let left: Vec<_> = keys(&left).into_iter().map(|(_, user)| user).collect();
    assert_eq!(left, ["4", "5", "6"], "the requests for these broke off");
}

fn what_takes_much_memory_is_recorded_at_once(store: Store) {
    let place = store.place();
    let path = place.location();
    let rows: Vec<_> = [row(1, "city", "Oslo"), row(2, "city", &"x".repeat(1 << 20))].into();
    let run = begin(path, &rows, Changes::All, Resume::No, at(1)).unwrap();
    let plan = Arc::new(run.plan);
    let mut recorder = Recorder::new(run.ledger, run.run, Arc::clone(&plan));
    let now = clock::monotonic_now();
    let mut due = Vec::new();
    for batch in plan.batches() {
        recorder.take(Event::Finished { batch, outcome: Outcome::Acknowledged, attempts: 1 }, now);
        due.push(recorder.is_due(now));
    }
    assert_eq!(due, [false, true]);
    recorder.commit(at(2)).unwrap();
    assert!(!recorder.is_due(now));
}

fn plan_of_custom(count: u64) -> Plan {
    let mut dictionary =
        Dictionary::new(&ReadOptions { id_type: IdType::CustomId, ..ReadOptions::default() });
    let mut builder = Builder::new(OnConflict::Last);
    let attribute = dictionary.attribute_id("city").unwrap();
    for user in 0..count {
        let value = dictionary.intern(attribute, if user % 2 == 0 { "Oslo" } else { "Rome" });
        let user = dictionary.intern_user(&format!("u{user}"));
        builder.accept(Row { user, attribute, value });
    }
    builder.finish(dictionary, 4.try_into().unwrap()).unwrap()
}

fn the_clients_own_ids_are_known_by_their_texts(store: Store) {
    let place = store.place();
    let path = place.location();
    let target = TargetKey { base_url: "https://acme.user.com/".to_owned(), id_type: IdType::CustomId };
    let mut ledger = Ledger::open(path, &target, at(1)).unwrap();
    let plan = plan_of_custom(30);
    let description = RunDescription {
        fingerprint: Fingerprint::default(),
        inputs: Vec::new(),
        content: plan.fingerprint(),
    };
    let run = ledger.begin(&description, None, at(1)).unwrap();
    for batch in plan.batches() {
        ledger.record(&plan, batch, 1);
    }
    ledger.finish(run, RunOutcome::Complete, &RowCounts::default(), at(2)).unwrap();
    for _ in 0..2 {
        let more = plan_of_custom(40);
        let known = ledger
            .reader()
            .known_values(&target, &more.fingerprint(), SkipScope::EveryRun, Compare::No, None)
            .unwrap();
        let (left, _, spared) = more
            .skip_known::<_, LedgerError>(
                &bounds(),
                Compare::No,
                |attribute| Ok(known.of(&attribute.name)),
                KnownAttribute::replay,
            )
            .unwrap();
        assert_eq!((left.rows(), spared.total().unchanged), (10, 30));
        ledger.compact(at(1), &bounds()).unwrap();
    }
}

in_each_store! {
    events_are_held_back_until_what_they_acknowledge_is_recorded,
    what_was_not_sent_is_not_doubted,
    what_takes_much_memory_is_recorded_at_once,
    the_clients_own_ids_are_known_by_their_texts,
}
