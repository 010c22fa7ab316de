//! Runs, one after the other: what each sends, and what the server holds in the end.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use attrsync::input::Attribute;
use attrsync::ledger::{
    INPUTS, InputState, KnownAttribute, Ledger, LedgerError, LedgerReader, NotContinued, RowCounts,
    RunDescription, RunOutcome, SkipScope,
};
use attrsync::plan::{Compare, KnownRows};
use proptest::prelude::*;

use super::place::{Place, Store, in_each_store, stores};
use super::world::{
    Begun, Changes, Facts, Resume, all_facts, at, begin, bounds, description, keys, left_of, of_inputs, plan,
    row, some, target, tight,
};

type Rows = Vec<(u64, String, String)>;

/// How a run goes.
#[derive(Clone, Debug)]
enum Course {
    /// All is acknowledged.
    Complete,
    /// Batches whose bit is set fail, though those whose bit is set in the second are applied; the rest is acknowledged.
    Failures(u64, u64),
    /// Batches whose bit is set are acknowledged and recorded, then it is told to stop.
    Stopped(u64),
    /// The same, but killed, after those whose bit is set in the second were acknowledged without being recorded.
    Killed(u64, u64),
}

#[derive(Clone, Debug)]
struct Step {
    input: usize,
    changes: Changes,
    resume: Resume,
    course: Course,
    compact: Option<i64>,
}

fn rows() -> impl Strategy<Value = Rows> {
    let row = (1_u64..12, "city|score", "[ab-]");
    prop::collection::vec(row, 0..25)
}

fn step() -> impl Strategy<Value = Step> {
    let course = prop_oneof![
        2 => Just(Course::Complete),
        1 => any::<(u64, u64)>().prop_map(|(failed, applied)| Course::Failures(failed, applied)),
        2 => any::<u64>().prop_map(Course::Stopped),
        2 => any::<(u64, u64)>().prop_map(|(recorded, lost)| Course::Killed(recorded, lost)),
    ];
    let changes = prop_oneof![Just(Changes::All), Just(Changes::Only)];
    let resume = prop_oneof![3 => Just(Resume::Yes), 1 => Just(Resume::No)];
    let compact = prop_oneof![Just(None), (0_i64..100).prop_map(Some)];
    (0_usize..3, changes, resume, course, compact).prop_map(|(input, changes, resume, course, compact)| {
        Step { input, changes, resume, course, compact }
    })
}

fn has(bits: u64, place: usize) -> bool {
    bits >> (place % 64) & 1 == 1
}

/// Runs one step; returns whether the run went to its end.
fn take(run: Begun, step: &Step, server: &mut Facts, now: i64) -> Option<Ledger> {
    let mut run = run;
    match step.course {
        Course::Complete => {
            run.send_all(server, at(now));
            Some(run.finish(RunOutcome::Complete, at(now)))
        }
        Course::Failures(failed, applied) => {
            let lost = some(&run.plan, |place| has(failed, place));
            run.lose(&lost, |place| has(applied, place), server);
            run.mark_uncertain(&lost);
            run.send(some(&run.plan, |place| !has(failed, place)), server, at(now));
            Some(run.finish(RunOutcome::Incomplete, at(now)))
        }
        Course::Stopped(bits) => {
            run.send(some(&run.plan, |place| has(bits, place)), server, at(now));
            Some(run.finish(RunOutcome::Stopped, at(now)))
        }
        Course::Killed(recorded, lost) => {
            run.send(some(&run.plan, |place| has(recorded, place)), server, at(now));
            let lost = some(&run.plan, |place| has(lost, place) && !has(recorded, place));
            run.lose(&lost, |_| true, server);
            for batch in lost {
                run.ledger.record(&run.plan, batch, 1);
            }
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_runs_end_with_the_server_equal_to_the_last_input(
        store in stores(),
        inputs in prop::array::uniform3(rows()),
        steps in prop::collection::vec(step(), 1..10),
        last in (0_usize..3, prop_oneof![Just(Changes::All), Just(Changes::Only)], prop_oneof![Just(Resume::Yes), Just(Resume::No)]),
    ) {
        let place = store.place();
        let path = place.location();
        let mut server = Facts::new();
        for (now, step) in (0..).zip(&steps) {
            let run = begin(path, &inputs[step.input], step.changes, step.resume, at(now * 10)).unwrap();
            if let Some(mut ledger) = take(run, step, &mut server, now * 10)
                && let Some(keep_since) = step.compact
            {
                let bounds = if now % 2 == 0 { bounds() } else { tight() };
                ledger.compact(at(keep_since), &bounds).unwrap();
            }
        }
        let (input, changes, resume) = last;
        let mut run = begin(path, &inputs[input], changes, resume, at(1000)).unwrap();
        run.send_all(&mut server, at(1000));
        run.finish(RunOutcome::Complete, at(1000)).compact(at(1000), &bounds()).unwrap();
        for (place, value) in all_facts(&plan(&inputs[input], 3)) {
            prop_assert_eq!(server.get(&place), Some(&value), "{:?}", place);
        }
    }
}

fn ten() -> Rows {
    (1..=10).map(|user| row(user, "city", if user % 2 == 0 { "Oslo" } else { "Rome" })).collect()
}

struct House {
    place: Place,
    server: Facts,
    now: i64,
}

impl House {
    fn new(store: Store) -> Self {
        Self { place: store.place(), server: Facts::new(), now: 0 }
    }

    fn begin(&mut self, rows: &Rows, changes: Changes, resume: Resume) -> Begun {
        self.now += 10;
        begin(self.place.location(), rows, changes, resume, at(self.now)).unwrap()
    }

    fn complete(&mut self, mut run: Begun) {
        run.send_all(&mut self.server, at(self.now));
        run.finish(RunOutcome::Complete, at(self.now));
    }
}

fn a_run_that_was_killed_goes_on_where_its_records_end(store: Store) {
    let mut house = House::new(store);
    let mut run = house.begin(&ten(), Changes::All, Resume::Yes);
    assert_eq!(run.continues, None);
    let recorded = some(&run.plan, |place| place == 1);
    run.send(recorded, &mut house.server, at(house.now));
    drop(run);

    let run = house.begin(&ten(), Changes::All, Resume::Yes);
    assert_eq!(run.continues.unwrap().input, InputState::Same);
    assert_eq!(run.spared, KnownRows { resumed: 2, ..KnownRows::default() });
    house.complete(run);
    assert_eq!(house.server, all_facts(&plan(&ten(), 3)));

    let run = house.begin(&ten(), Changes::All, Resume::Yes);
    assert_eq!(
        (run.continues, run.spared),
        (None, KnownRows::default()),
        "what is complete is not continued"
    );
}

fn a_changed_input_goes_on_with_what_is_still_equal(store: Store) {
    let mut house = House::new(store);
    let mut run = house.begin(&ten(), Changes::All, Resume::Yes);
    run.send_all(&mut house.server, at(house.now));
    run.finish(RunOutcome::Stopped, at(house.now));

    let mut changed = ten();
    "Oslo".clone_into(&mut changed[4].2);
    changed.rotate_left(3);
    let run = house.begin(&changed, Changes::All, Resume::Yes);
    assert_eq!(run.continues.unwrap().input, InputState::Changed);
    assert_eq!((run.plan.rows(), run.spared.resumed), (1, 9));
}

fn a_ledger_is_settled_when_every_run_went_to_its_end(store: Store) {
    let mut house = House::new(store);
    let is_settled =
        |house: &House| LedgerReader::open(house.place.location()).unwrap().is_settled().unwrap();
    for _ in 0..2 {
        let run = house.begin(&ten(), Changes::All, Resume::Yes);
        house.complete(run);
        assert!(is_settled(&house));
    }
    drop(house.begin(&ten(), Changes::All, Resume::Yes));
    assert!(!is_settled(&house));
    let run = house.begin(&vec![row(1, "city", "Bonn")], Changes::All, Resume::No);
    house.complete(run);
    assert!(!is_settled(&house), "the run before may still be continued");
}

fn no_resume_starts_anew(store: Store) {
    let mut house = House::new(store);
    let mut run = house.begin(&ten(), Changes::All, Resume::Yes);
    run.send_all(&mut house.server, at(house.now));
    drop(run);
    let run = house.begin(&ten(), Changes::All, Resume::No);
    assert_eq!(run.spared, KnownRows::default());
    house.complete(run);
    assert_eq!(house.begin(&ten(), Changes::All, Resume::Yes).continues, None);
}

fn only_changes_are_sent_and_a_change_back_is_one(store: Store) {
    let mut house = House::new(store);
    let run = house.begin(&ten(), Changes::All, Resume::Yes);
    house.complete(run);
    let run = house.begin(&ten(), Changes::Only, Resume::Yes);
    assert_eq!((run.plan.rows(), run.spared), (0, KnownRows { unchanged: 10, ..KnownRows::default() }));
    house.complete(run);

    let mut changed = ten();
    "Lima".clone_into(&mut changed[0].2);
    for rows in [&changed, &ten()] {
        let run = house.begin(rows, Changes::Only, Resume::Yes);
        assert_eq!(keys(&run.plan).into_iter().map(|(_, user)| user).collect::<Vec<_>>(), ["1"]);
        house.complete(run);
    }
    let run = house.begin(&ten(), Changes::All, Resume::Yes);
    assert_eq!(run.plan.rows(), 10, "without the flag all is sent");
}

fn what_went_wrong_is_not_known_any_more(store: Store) {
    let mut house = House::new(store);
    let run = house.begin(&ten(), Changes::All, Resume::Yes);
    house.complete(run);
    let mut changed = ten();
    "Lima".clone_into(&mut changed[0].2);
    let mut run = house.begin(&changed, Changes::Only, Resume::Yes);
    let batches: Vec<_> = run.plan.batches().collect();
    run.mark_uncertain(&batches);
    run.finish(RunOutcome::Incomplete, at(house.now));
    let run = house.begin(&ten(), Changes::Only, Resume::Yes);
    assert_eq!(run.plan.rows(), 1, "the server may have taken `Lima`");
}

fn what_a_killed_run_may_have_sent_is_not_known_to_another_one(store: Store) {
    let mut house = House::new(store);
    let run = house.begin(&ten(), Changes::All, Resume::Yes);
    house.complete(run);
    let mut changed = ten();
    "Lima".clone_into(&mut changed[0].2);
    drop(house.begin(&changed, Changes::Only, Resume::Yes));
    assert_eq!(house.begin(&ten(), Changes::Only, Resume::Yes).plan.rows(), 10);

    let run = house.begin(&changed, Changes::Only, Resume::Yes);
    assert_eq!(run.plan.rows(), 10, "the run before was killed, too, and of other content");
    house.complete(run);
    let run = house.begin(&ten(), Changes::All, Resume::Yes);
    house.complete(run);
    assert_eq!(house.begin(&ten(), Changes::Only, Resume::Yes).plan.rows(), 0);
}

fn merging_changes_nothing_that_is_known(store: Store) {
    let mut house = House::new(store);
    for value in ["Lima", "Oslo"] {
        let rows: Rows =
            (1..=1000).map(|user| row(user, "city", if user < 600 { value } else { "-" })).collect();
        let mut run = house.begin(&rows, Changes::All, Resume::Yes);
        run.send_all(&mut house.server, at(house.now));
        let mut ledger = run.finish(RunOutcome::Complete, at(house.now));
        ledger.compact(at(1000), &bounds()).unwrap();
        drop(ledger);
        assert_eq!(house.begin(&rows, Changes::Only, Resume::No).plan.rows(), 0);
    }
}

fn nothing_is_known_to_another_target(store: Store) {
    let mut house = House::new(store);
    let run = house.begin(&ten(), Changes::All, Resume::Yes);
    house.complete(run);
    let reader = LedgerReader::open(house.place.location()).unwrap();
    for other in [
        attrsync::ledger::TargetKey { base_url: "https://other.user.com/api/public/".to_owned(), ..target() },
        attrsync::ledger::TargetKey { id_type: attrsync::input::IdType::CustomId, ..target() },
    ] {
        let whole = plan(&ten(), 3);
        let known = reader
            .known_values(&other, &whole.fingerprint(), SkipScope::EveryRun, Compare::No, None)
            .unwrap();
        let (left, _, _) = whole
            .skip_known::<_, LedgerError>(
                &bounds(),
                Compare::No,
                |attribute| Ok(known.of(&attribute.name)),
                KnownAttribute::replay,
            )
            .unwrap();
        assert_eq!(left.rows(), 10);
        assert_eq!(reader.unfinished(&other, &description(&plan(&ten(), 3))).unwrap(), None);
    }
    let (left, spared) = left_of(&reader, plan(&ten(), 3), SkipScope::EveryRun, None).unwrap();
    assert_eq!((left.rows(), spared.unchanged), (0, 10));
}

fn a_run_that_ended_early_leaves_no_doubt_of_what_was_sent_before(store: Store) {
    for outcome in [RunOutcome::Stopped, RunOutcome::Interrupted] {
        let mut house = House::new(store);
        let run = house.begin(&ten(), Changes::All, Resume::Yes);
        house.complete(run);
        let mut changed = ten();
        "Lima".clone_into(&mut changed[0].2);
        house.begin(&changed, Changes::Only, Resume::Yes).finish(outcome, at(house.now));
        assert_eq!(house.begin(&ten(), Changes::Only, Resume::Yes).plan.rows(), 0, "{outcome:?}");
    }
}

fn a_run_that_ended_early_settles_nothing_that_a_killed_one_left(store: Store) {
    for outcome in [RunOutcome::Stopped, RunOutcome::Interrupted] {
        let mut house = House::new(store);
        let run = house.begin(&ten(), Changes::All, Resume::Yes);
        house.complete(run);
        let mut changed = ten();
        "Lima".clone_into(&mut changed[0].2);
        drop(house.begin(&changed, Changes::Only, Resume::Yes));
        house.begin(&changed, Changes::Only, Resume::Yes).finish(outcome, at(house.now));
        assert_eq!(house.begin(&ten(), Changes::Only, Resume::Yes).plan.rows(), 10, "{outcome:?}");
    }
}

fn what_a_killed_run_may_have_sent_is_not_known_though_all_was_compacted_just_before(store: Store) {
    let mut house = House::new(store);
    let compact = |house: &House| {
        let mut ledger = Ledger::open(house.place.location(), &target(), at(house.now)).unwrap();
        ledger.compact(at(0), &bounds()).unwrap();
    };
    let left = |house: &House| {
        let reader = LedgerReader::open(house.place.location()).unwrap();
        left_of(&reader, plan(&ten(), 3), SkipScope::EveryRun, None).unwrap().0.rows()
    };
    let run = house.begin(&ten(), Changes::All, Resume::Yes);
    house.complete(run);
    compact(&house);
    assert_eq!(left(&house), 0);
    drop(house.begin(&vec![row(1, "city", "Lima")], Changes::All, Resume::No));
    assert_eq!(left(&house), 10);
    // Enough to be worth compacting.
    let others = (11..=20).map(|user| row(user, "city", "Bonn")).collect();
    let run = house.begin(&others, Changes::All, Resume::No);
    house.complete(run);
    compact(&house);
    assert_eq!(left(&house), 10);
}

fn why_the_last_run_is_not_continued_is_told(store: Store) {
    let mut house = House::new(store);
    let why = |house: &House, name: &str| {
        let reader = LedgerReader::open(house.place.location()).unwrap();
        let described = RunDescription { fingerprint: of_inputs(&[name]), ..description(&plan(&ten(), 3)) };
        let (unfinished, told) = (
            reader.unfinished(&target(), &described).unwrap(),
            reader.not_continued(&target(), &described).unwrap(),
        );
        (unfinished.map(|run| run.run.0), told.map(|told| (told.run.0, told.why)))
    };
    let run = house.begin(&ten(), Changes::All, Resume::Yes);
    house.complete(run);
    assert_eq!(why(&house, "users.csv"), (None, None), "it went to its end");

    let mut run = house.begin(&ten(), Changes::All, Resume::Yes);
    let first = some(&run.plan, |place| place == 0);
    run.send(first, &mut house.server, at(house.now));
    drop(run.finish(RunOutcome::Interrupted, at(house.now)));
    assert_eq!(why(&house, "users.csv"), (Some(2), None));
    let inputs = NotContinued::OtherSettings(vec![INPUTS.to_owned()]);
    assert_eq!(why(&house, "others.csv"), (None, Some((2, inputs))));

    let compact = |house: &House, keep_since| {
        let mut ledger = Ledger::open(house.place.location(), &target(), at(house.now)).unwrap();
        ledger.compact(at(keep_since), &bounds()).unwrap();
    };
    // What was sent before it is no longer kept, but all of its own is.
    house.now += 10;
    let whole = plan(&[row(77, "city", "Bonn")], 3);
    let described = RunDescription { fingerprint: of_inputs(&["others.csv"]), ..description(&whole) };
    let mut ledger = Ledger::open(house.place.location(), &target(), at(house.now)).unwrap();
    let other = ledger.begin(&described, None, at(house.now)).unwrap();
    whole.batches().for_each(|batch| ledger.record(&whole, batch, 1));
    ledger.finish(other, RunOutcome::Complete, &RowCounts::default(), at(house.now)).unwrap();
    drop(ledger);
    compact(&house, 20);
    let mut run = house.begin(&ten(), Changes::All, Resume::Yes);
    let next = some(&run.plan, |place| place == 0);
    run.send(next, &mut house.server, at(house.now));
    drop(run.finish(RunOutcome::Interrupted, at(house.now)));
    assert_eq!(why(&house, "users.csv"), (Some(4), None));
    compact(&house, 1_000);
    assert_eq!(why(&house, "users.csv"), (None, Some((4, NotContinued::Expired))));
}

fn four_targets_are_kept_apart(store: Store) {
    let mut house = House::new(store);
    let path = house.place.location().clone();
    let key = |n: usize| attrsync::ledger::TargetKey {
        base_url: format!("https://account{n}.user.com/api/public/"),
        ..target()
    };
    for n in 0..4 {
        house.now += 10;
        let whole = plan(&[row(n as u64 + 1, "city", "Oslo")], 3);
        let mut ledger = Ledger::open(&path, &key(n), at(house.now)).unwrap();
        let run = ledger.begin(&description(&whole), None, at(house.now)).unwrap();
        whole.batches().for_each(|batch| ledger.record(&whole, batch, 1));
        ledger.commit(run, at(house.now)).unwrap();
        ledger.finish(run, RunOutcome::Complete, &RowCounts::default(), at(house.now)).unwrap();
    }
    let reader = LedgerReader::open(&path).unwrap();
    for n in 0..4 {
        let whole = plan(&(1..=4).map(|user| row(user, "city", "Oslo")).collect::<Vec<_>>(), 3);
        let known = reader
            .known_values(&key(n), &whole.fingerprint(), SkipScope::EveryRun, Compare::No, None)
            .unwrap();
        let known = |attribute: &Attribute| Ok::<_, LedgerError>(known.of(&attribute.name));
        let (left, _, _) = whole.skip_known(&bounds(), Compare::No, known, KnownAttribute::replay).unwrap();
        let left: Vec<_> = keys(&left).into_iter().map(|(_, user)| user).collect();
        let expected: Vec<_> =
            (1..=4).filter(|user| *user != n + 1).map(|user: usize| user.to_string()).collect();
        assert_eq!(left, expected);
    }
    let urls: Vec<_> = reader.runs().unwrap().into_iter().map(|run| run.base_url).collect();
    assert_eq!(urls, [0, 1, 2, 3].map(|n| key(n).base_url));
}

in_each_store! {
    a_run_that_ended_early_leaves_no_doubt_of_what_was_sent_before,
    a_run_that_ended_early_settles_nothing_that_a_killed_one_left,
    what_a_killed_run_may_have_sent_is_not_known_though_all_was_compacted_just_before,
    why_the_last_run_is_not_continued_is_told,
    four_targets_are_kept_apart,
    a_run_that_was_killed_goes_on_where_its_records_end,
    a_changed_input_goes_on_with_what_is_still_equal,
    a_ledger_is_settled_when_every_run_went_to_its_end,
    no_resume_starts_anew,
    only_changes_are_sent_and_a_change_back_is_one,
    what_went_wrong_is_not_known_any_more,
    what_a_killed_run_may_have_sent_is_not_known_to_another_one,
    merging_changes_nothing_that_is_known,
    nothing_is_known_to_another_target,
}
