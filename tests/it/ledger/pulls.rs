//! What is read from the account: that it is known, that it replaces what was sent, and that runs can be undone.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use attrsync::input::{Attribute, IdType};
use attrsync::ledger::{
    KnownAttribute, Ledger, LedgerError, LedgerLocation, LedgerReader, Origin, PullRecorder, RunId,
    RunOutcome, SkipScope, TargetKey, UndoError, ValueState,
};
use attrsync::plan::{Compare, KnownPlan, Plan, SentValue, User};
use attrsync::spill::Resources;
use proptest::prelude::*;

use super::place::{Store, in_each_store, stores};
use super::world::{
    Changes, Facts, Resume, all_facts, at, begin, bounds, plan, row, some, target, tight, undone,
};

/// A standard attribute and a custom one.
const ATTRIBUTES: [&str; 2] = ["city", "tier"];

type Rows<'r> = &'r [(u64, String, String)];

/// What is left of a plan, what is missing, and the counts.
type Known = (Plan, Option<Plan>, KnownPlan);

/// What a server has: users, and their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    pub(super) users: BTreeSet<u64>,
    pub(super) values: BTreeMap<(String, u64), String>,
}

impl Account {
    fn set(&mut self, facts: &Facts) {
        for ((attribute, user), value) in facts {
            let user = user.parse().unwrap();
            if self.users.contains(&user) {
                self.values.insert((attribute.clone(), user), value.clone());
            }
        }
    }

    /// The value of an attribute; null if the user has none.
    fn value(&self, attribute: &str, user: u64) -> String {
        self.values.get(&(attribute.to_owned(), user)).cloned().unwrap_or_else(|| "null".to_owned())
    }
}

fn sent(text: &str) -> SentValue<'static> {
    if text == "null" { SentValue::Null } else { SentValue::Text(text.to_owned().into()) }
}

/// Reads these users of the account, as far as `pages` of three users go, and returns those that were read.
pub(super) fn pull(
    path: &LedgerLocation,
    account: &Account,
    pages: usize,
    outcome: Option<RunOutcome>,
    now: i64,
) -> BTreeSet<u64> {
    let ledger = Ledger::open(path, &target(), at(now)).unwrap();
    let unfinished = ledger.reader().unfinished_pull(&target(), true).unwrap();
    let mut recorder = PullRecorder::begin(ledger, true, unfinished.as_ref(), at(now)).unwrap();
    let begun: usize = unfinished.map_or(0, |unfinished| unfinished.next.parse().unwrap());
    let users: Vec<u64> = account.users.iter().copied().collect();
    let chunks: Vec<&[u64]> = users.chunks(3).collect();
    let mut read = BTreeSet::new();
    for (number, users) in chunks.iter().enumerate().skip(begun).take(pages) {
        for &user in *users {
            read.insert(user);
            // Null is explicit for a standard attribute, and absent for a custom one.
            let values = ATTRIBUTES.into_iter().map(|name| (name, account.value(name, user)));
            let values = values.filter(|(name, value)| *name == "city" || value != "null");
            recorder.add(User::Id(user), true, values.map(|(name, value)| (name, sent(&value))));
        }
        let next = number + 1;
        recorder.end_page((next < chunks.len()).then(|| next.to_string()));
        recorder.commit(at(now)).unwrap();
    }
    if let Some(outcome) = outcome {
        recorder.finish(outcome, at(now)).unwrap();
    }
    read
}

pub(super) fn pull_all(path: &LedgerLocation, account: &Account, now: i64) {
    pull(path, account, usize::MAX, Some(RunOutcome::Complete), now);
}

pub(super) fn known_of(path: &LedgerLocation, plan: Plan, scope: SkipScope) -> Known {
    let reader = LedgerReader::open(path).unwrap();
    let known = reader.known_values(&target(), &plan.fingerprint(), scope, Compare::Yes, None).unwrap();
    let known = |attribute: &Attribute| Ok::<_, LedgerError>(known.of(&attribute.name));
    plan.skip_known(&tight(), Compare::Yes, known, KnownAttribute::replay).unwrap()
}

pub(super) fn run(path: &LedgerLocation, rows: Rows<'_>, account: &mut Account, now: i64) -> RunId {
    let mut begun = begin(path, rows, Changes::All, Resume::No, at(now)).unwrap();
    let mut server = Facts::new();
    begun.send_all(&mut server, at(now));
    account.set(&server);
    let run = begun.run;
    begun.finish(RunOutcome::Complete, at(now));
    run
}

pub(super) fn compact(path: &LedgerLocation, keep_since: i64, now: i64) {
    let mut ledger = Ledger::open(path, &target(), at(now)).unwrap();
    // Every other time with hardly any memory.
    let resources = if now % 2 == 0 { bounds() } else { Resources { memory: 400, ..bounds() } };
    ledger.compact(at(keep_since), &resources).unwrap();
}

pub(super) fn account(users: impl IntoIterator<Item = u64>) -> Account {
    Account { users: users.into_iter().collect(), values: BTreeMap::new() }
}

fn what_was_read_replaces_what_was_sent_and_the_other_way_round(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=4);
    run(path, &[row(1, "city", "Oslo"), row(2, "city", "Rome")], &mut account, 0);
    account.values.insert(("city".to_owned(), 2), "Lima".to_owned());
    pull_all(path, &account, 10);
    let rows: Vec<_> = [(1, "Oslo"), (2, "Rome"), (3, "Bonn"), (9, "Rome")]
        .map(|(user, city)| row(user, "city", city))
        .into();
    for _ in 0..2 {
        let (left, missing, known) = known_of(path, plan(&rows, 3), SkipScope::EveryRun);
        let total = known.total();
        assert_eq!((total.unchanged, total.changed, total.missing), (1, 2, 1));
        let expected = [
            (("city".to_owned(), "2".to_owned()), "Rome".to_owned()),
            (("city".to_owned(), "3".to_owned()), "Bonn".to_owned()),
        ];
        assert_eq!(all_facts(&left), expected.into());
        assert_eq!(all_facts(&missing.unwrap()).len(), 1);
        compact(path, 0, 11);
    }
    run(path, &[row(2, "city", "Rome")], &mut account, 20);
    let (left, _, known) = known_of(path, plan(&[row(2, "city", "Rome")], 3), SkipScope::EveryRun);
    assert_eq!((left.rows(), known.total().unchanged), (0, 1));

    let reader = LedgerReader::open(path).unwrap();
    let values = reader.user(&User::Id(2)).unwrap();
    let told: Vec<_> =
        values.iter().map(|value| (value.origin, value.value.to_string(), value.standing)).collect();
    assert_eq!(
        told,
        [
            (Origin::Sent, "Rome".to_owned(), ValueState::Replaced),
            (Origin::Read, "Lima".to_owned(), ValueState::Replaced),
            (Origin::Sent, "Rome".to_owned(), ValueState::Current),
        ]
    );
}

fn users_are_missing_only_after_a_complete_reading(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=9);
    let rows: Vec<_> = (1..=12).map(|user| row(user, "city", "Oslo")).collect();
    let missing = || known_of(path, plan(&rows, 3), SkipScope::EveryRun).2.total().missing;
    pull(path, &account, 2, Some(RunOutcome::Interrupted), 0);
    assert_eq!(missing(), 0, "the list was not read to its end");
    // A kill leaves no end.
    pull(path, &account, 0, None, 1);
    assert_eq!(missing(), 0);
    pull(path, &account, 9, Some(RunOutcome::Complete), 2);
    assert_eq!(missing(), 3);
    // Someone adds a user, and a run sends to it.
    account.users.insert(10);
    run(path, &[row(10, "tier", "1")], &mut account, 3);
    assert_eq!(missing(), 3, "it says nothing about an attribute that wasn't sent");
    run(path, &[row(10, "city", "Oslo")], &mut account, 4);
    assert_eq!(missing(), 2);
    compact(path, 0, 5);
    assert_eq!(missing(), 2);
    // What was sent since the reading began is no longer kept.
    compact(path, 1_000, 1_000);
    assert_eq!(missing(), 0);
}

fn a_run_that_goes_on_is_not_disturbed_by_a_reading(store: Store) {
    let place = store.place();
    let path = place.location();
    let account = account(1..=9);
    let rows: Vec<_> = (1..=9).map(|user| row(user, "city", "Oslo")).collect();
    for changes in [Changes::All, Changes::Only] {
        let mut server = Facts::new();
        let mut begun = begin(path, &rows, changes, Resume::No, at(0)).unwrap();
        let sent = some(&begun.plan, |place| place == 0);
        begun.send(sent, &mut server, at(0));
        begun.finish(RunOutcome::Interrupted, at(0));
        if changes == Changes::All {
            // The reading shows an account where nothing was sent.
            pull_all(path, &account, 1);
            compact(path, 0, 1);
            let mut again = begin(path, &rows, changes, Resume::Yes, at(2)).unwrap();
            assert_eq!(again.spared.resumed, 3);
            again.send_all(&mut server, at(2));
            again.finish(RunOutcome::Complete, at(2));
        }
    }
}

fn a_run_that_is_undone_twice_is_where_it_was(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=6);
    run(path, &[row(1, "city", "Oslo"), row(2, "city", "Rome"), row(1, "tier", "gold")], &mut account, 0);
    pull_all(path, &account, 1);
    let start = account.clone();
    let rows: Vec<_> = (1..=7).flat_map(|user| ATTRIBUTES.map(|name| row(user, name, "new"))).collect();
    let first = run(path, &rows, &mut account, 2);
    let after = account.clone();
    compact(path, 0, 2);
    let undo = |run: RunId| -> Vec<_> {
        let undone = undone(path, run);
        let null = |value: String| if value == "null" { "-".to_owned() } else { value };
        undone.into_iter().map(|((attribute, user), value)| row(user, &attribute, &null(value))).collect()
    };
    let back = undo(first);
    assert_eq!(back.len(), 12, "nothing was known of user 7");
    let second = run(path, &back, &mut account, 3);
    let is_alike = |one: &Account, other: &Account| {
        (1..=6).all(|user| ATTRIBUTES.iter().all(|name| one.value(name, user) == other.value(name, user)))
    };
    assert!(is_alike(&account, &start), "{account:?} {start:?}");
    assert_eq!(undo(first).len(), 0, "all of it has changed since");
    let forth = undo(second);
    run(path, &forth, &mut account, 4);
    assert!(is_alike(&account, &after), "{account:?} {after:?}");
}

fn what_was_read_after_the_value_was_sent_again_is_a_later_change(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    run(path, &[row(1, "city", "Oslo")], &mut account, 0);
    let first = run(path, &[row(1, "city", "Rome")], &mut account, 1);
    let second = run(path, &[row(1, "city", "Rome")], &mut account, 2);
    account.values.insert(("city".to_owned(), 1), "Lima".to_owned());
    pull_all(path, &account, 3);
    for _ in 0..2 {
        assert_eq!((undone(path, first).len(), undone(path, second).len()), (0, 0));
        compact(path, 0, 4);
    }
    // A later run that sends the value again makes it the present one.
    run(path, &[row(1, "city", "Rome")], &mut account, 5);
    assert_eq!(undone(path, first).len(), 1);
}

fn requests_that_failed_before_the_run_was_continued_hide_nothing(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    run(path, &[row(1, "city", "Oslo"), row(2, "city", "Rome")], &mut account, 0);
    let rows = [row(1, "city", "Lima"), row(2, "city", "Lima")];
    let mut stopped = begin(path, &rows, Changes::All, Resume::No, at(1)).unwrap();
    let batches: Vec<_> = stopped.plan.batches().collect();
    stopped.mark_uncertain(&batches);
    stopped.finish(RunOutcome::Stopped, at(1));
    let mut again = begin(path, &rows, Changes::All, Resume::Yes, at(2)).unwrap();
    assert!(again.continues.is_some());
    again.send_all(&mut Facts::new(), at(2));
    let run = again.run;
    again.finish(RunOutcome::Complete, at(2));
    for _ in 0..2 {
        let values: Vec<_> = undone(path, run).into_values().collect();
        assert_eq!(values, ["Oslo", "Rome"]);
        compact(path, 0, 3);
    }
}

fn what_can_not_be_undone_says_why(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=3);
    run(path, &[row(1, "city", "Oslo")], &mut account, 0);
    pull_all(path, &account, 1);
    let why = |run| LedgerReader::open(path).unwrap().undo(RunId(run)).err().unwrap();
    assert!(matches!(why(2), UndoError::Pull(_)));
    assert!(matches!(why(3), UndoError::NoRun(_)));
    compact(path, 1_000, 1_000);
    assert!(matches!(why(1), UndoError::Expired(_)));
}

fn users_who_got_other_ids_are_undone_by_these(store: Store) {
    let place = store.place();
    let path = place.location();
    let key = TargetKey { id_type: IdType::CustomId, ..target() };
    let send = |rows: &[(&str, &str, &str)], now| {
        let plan = super::renames::plan(IdType::CustomId, rows);
        let mut ledger = Ledger::open(path, &key, at(now)).unwrap();
        let run = ledger.begin(&super::world::description(&plan), None, at(now)).unwrap();
        plan.batches().for_each(|batch| ledger.record(&plan, batch, 1));
        ledger.commit(run, at(now)).unwrap();
        ledger.finish(run, RunOutcome::Complete, &attrsync::ledger::RowCounts::default(), at(now)).unwrap();
        run
    };
    send(&[("a", "city", "Oslo"), ("b", "city", "Rome")], 0);
    let renaming = send(&[("a", "city", "Lima"), ("b", "city", "Lima"), ("a", "custom_id", "x")], 1);
    let reader = LedgerReader::open(path).unwrap();
    let mut rows = BTreeSet::new();
    let undo = reader.undo(renaming).unwrap();
    undo.each::<LedgerError>(1, |user, attribute, value| {
        rows.insert(format!("{user} {attribute} {value}"));
        Ok(())
    })
    .unwrap();
    assert_eq!(rows, ["x city Oslo", "b city Rome", "x custom_id a"].map(str::to_owned).into());
}

/// What happens to an account and its ledger.
#[derive(Clone, Debug)]
enum Step {
    /// A run sends these values, to all of these users or to those for whom they are not known.
    Sync(Vec<(u64, usize, u8)>, bool),
    /// Values are changed in User.com.
    Edit(Vec<(u64, usize, u8)>),
    /// A user is added.
    Join(u64),
    /// The account is read, this many pages of it.
    Pull(usize),
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let values = || prop::collection::vec((1_u64..14, 0..ATTRIBUTES.len(), 0_u8..3), 1..8);
    prop_oneof![
        (values(), any::<bool>()).prop_map(|(rows, only_changed)| Step::Sync(rows, only_changed)),
        values().prop_map(Step::Edit),
        (10_u64..14).prop_map(Step::Join),
        prop_oneof![Just(9_usize), 0..3_usize].prop_map(Step::Pull),
        Just(Step::Compact),
    ]
}

/// An attribute and a user.
type Key = (String, u64);

/// What a run set, and what was known before.
type Set = BTreeMap<Key, (String, Option<String>)>;

/// What the ledger should know.
#[derive(Default)]
struct Oracle {
    known: BTreeMap<(String, u64), String>,
    /// Users of the last complete reading, and who was sent to since it began, by attribute.
    list: Option<(BTreeSet<u64>, BTreeSet<Key>)>,
    /// The same of a reading that was interrupted.
    begun: (BTreeSet<u64>, BTreeSet<(String, u64)>),
    runs: BTreeMap<RunId, Set>,
}

impl Oracle {
    fn sent(&mut self, run: RunId, facts: &Facts) {
        let mut set = BTreeMap::new();
        for ((attribute, user), value) in facts {
            let key = (attribute.clone(), user.parse::<u64>().unwrap());
            set.insert(key.clone(), (value.clone(), self.known.get(&key).cloned()));
            self.known.insert(key.clone(), value.clone());
            self.begun.1.insert(key.clone());
            if let Some((_, since)) = &mut self.list {
                since.insert(key);
            }
        }
        self.runs.insert(run, set);
    }

    fn read(&mut self, account: &Account, users: &BTreeSet<u64>, is_complete: bool) {
        for &user in users {
            for name in ATTRIBUTES {
                self.known.insert((name.to_owned(), user), account.value(name, user));
            }
        }
        self.begun.0.extend(users);
        if is_complete {
            self.list = Some(std::mem::take(&mut self.begun));
        } else if let Some((listed, _)) = &mut self.list {
            listed.extend(users);
        }
    }

    fn is_missing(&self, key: &(String, u64)) -> bool {
        self.list.as_ref().is_some_and(|(users, since)| !users.contains(&key.1) && !since.contains(key))
    }

    /// What undoing a run should restore.
    fn undone(&self, run: RunId) -> BTreeMap<(String, u64), String> {
        let is_current = |key, value: &String| self.known.get(key) == Some(value);
        let set = self.runs[&run].iter().filter(|(key, (value, _))| is_current(*key, value));
        set.filter_map(|(key, (_, before))| Some((key.clone(), before.clone()?))).collect()
    }
}

fn value(number: u8) -> String {
    ["Oslo", "Rome", "Lima"][usize::from(number)].to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn the_ledger_knows_what_was_sent_and_read(store in stores(), steps in prop::collection::vec(step(), 1..14)) {
        let place = store.place();
        let path = place.location();
        let mut account = account(1..=9);
        let mut oracle = Oracle::default();
        // A ledger that is there from the start.
        drop(Ledger::open(path, &target(), at(0)).unwrap());
        for (step, now) in steps.iter().zip(1..) {
            match step {
                Step::Sync(rows, only_changed) => {
                    let rows: Vec<_> =
                        rows.iter().map(|(user, attribute, number)| row(*user, ATTRIBUTES[*attribute], &value(*number))).collect();
                    let changes = if *only_changed { Changes::Only } else { Changes::All };
                    let mut begun = begin(path, &rows, changes, Resume::No, at(now)).unwrap();
                    let mut server = Facts::new();
                    begun.send_all(&mut server, at(now));
                    oracle.sent(begun.run, &server);
                    account.set(&server);
                    begun.finish(RunOutcome::Complete, at(now));
                }
                Step::Edit(rows) => {
                    for (user, attribute, number) in rows {
                        if account.users.contains(user) {
                            account.values.insert((ATTRIBUTES[*attribute].to_owned(), *user), value(*number));
                        }
                    }
                }
                Step::Join(user) => {
                    // A list that was begun goes on as it was.
                    if oracle.begun.0.is_empty() {
                        account.users.insert(*user);
                    }
                }
                Step::Pull(pages) => {
                    let was_begun = LedgerReader::open(path).unwrap().unfinished_pull(&target(), true).unwrap();
                    if was_begun.is_none() {
                        oracle.begun = Default::default();
                    }
                    let left = account.users.len().div_ceil(3)
                        - was_begun.map_or(0, |unfinished| unfinished.next.parse::<usize>().unwrap());
                    let is_complete = *pages >= left;
                    let outcome = if is_complete { RunOutcome::Complete } else { RunOutcome::Interrupted };
                    let read = pull(path, &account, *pages, Some(outcome), now);
                    oracle.read(&account, &read, is_complete);
                }
                Step::Compact => compact(path, 0, now),
            }
            let rows: Vec<_> = (1..14)
                .flat_map(|user| ATTRIBUTES.map(|name| row(user, name, "Oslo")))
                .collect();
            let (left, missing, _) = known_of(path, plan(&rows, 3), SkipScope::EveryRun);
            let left: BTreeSet<_> = all_facts(&left).into_keys().collect();
            let missing: BTreeSet<_> =
                missing.as_ref().map(all_facts).unwrap_or_default().into_keys().collect();
            for user in 1..14_u64 {
                for name in ATTRIBUTES {
                    let key = (name.to_owned(), user);
                    let told = (name.to_owned(), user.to_string());
                    prop_assert_eq!(missing.contains(&told), oracle.is_missing(&key), "missing {:?}", key);
                    let is_known = oracle.known.get(&key).is_some_and(|value| value == "Oslo");
                    let is_sent = !oracle.is_missing(&key) && !is_known;
                    prop_assert_eq!(left.contains(&told), is_sent, "{:?} after {:?}", key, step);
                }
            }
            for run in oracle.runs.keys() {
                prop_assert_eq!(undone(path, *run), oracle.undone(*run), "run {}", run);
            }
        }
    }
}

in_each_store! {
    what_was_read_replaces_what_was_sent_and_the_other_way_round,
    users_are_missing_only_after_a_complete_reading,
    a_run_that_goes_on_is_not_disturbed_by_a_reading,
    a_run_that_is_undone_twice_is_where_it_was,
    what_was_read_after_the_value_was_sent_again_is_a_later_change,
    requests_that_failed_before_the_run_was_continued_hide_nothing,
    what_can_not_be_undone_says_why,
    users_who_got_other_ids_are_undone_by_these,
}
