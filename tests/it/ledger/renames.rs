//! Who goes by an id can change: by `custom_id`, which is `user_id` as well.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::num::NonZeroU32;

use attrsync::input::{Dictionary, IdType, ReadOptions, Row, Sink};
use attrsync::ledger::{
    Fingerprint, KnownAttribute, Ledger, LedgerError, LedgerLocation, LedgerReader, RowCounts,
    RunDescription, RunId, RunOutcome, SkipScope, TargetKey, ValueState,
};
use attrsync::plan::{Batch, Builder, Compare, KnownRows, OnConflict, Plan, User};

use super::place::{Place, Store, in_each_store};
use super::world::{at, tight};

pub(super) type Rows<'r> = &'r [(&'r str, &'r str, &'r str)];

fn target(id_type: IdType) -> TargetKey {
    TargetKey { base_url: "https://acme.user.com/api/public/".to_owned(), id_type }
}

pub(super) fn plan(id_type: IdType, rows: Rows<'_>) -> Plan {
    let mut dictionary = Dictionary::new(&ReadOptions::default());
    let mut builder = Builder::new(OnConflict::Last);
    for (user, attribute, value) in rows {
        let user = match id_type {
            IdType::Id => user.parse().unwrap(),
            IdType::CustomId => dictionary.intern_user(user),
        };
        let attribute = dictionary.attribute_id(attribute).unwrap();
        let value = dictionary.intern(attribute, value);
        builder.accept(Row { user, attribute, value });
    }
    builder.finish(dictionary, NonZeroU32::new(3).unwrap()).unwrap()
}

/// A ledger, and runs of either type of ids.
struct Past {
    place: Place,
}

struct Begun {
    ledger: Ledger,
    run: RunId,
    plan: Plan,
    spared: KnownRows,
}

impl Past {
    fn new(store: Store) -> Self {
        Self { place: store.place() }
    }

    fn location(&self) -> &LedgerLocation {
        self.place.location()
    }

    fn begin(&self, id_type: IdType, rows: Rows<'_>, scope: SkipScope) -> Begun {
        let mut ledger = Ledger::open(self.location(), &target(id_type), at(1)).unwrap();
        let whole = plan(id_type, rows);
        let fingerprint = Fingerprint::default();
        let renames = rows.iter().any(|(_, attribute, _)| attribute.ends_with("_id"));
        let fingerprint = if renames { fingerprint.that_renames() } else { fingerprint };
        let description = RunDescription { fingerprint, inputs: Vec::new(), content: whole.fingerprint() };
        let continued = ledger.reader().unfinished(&target(id_type), &description).unwrap();
        let known = ledger
            .reader()
            .known_values(&target(id_type), &description.content, scope, Compare::No, continued.as_ref())
            .unwrap();
        let (plan, _, spared) = whole
            .skip_known::<_, LedgerError>(
                &tight(),
                Compare::No,
                |attribute| Ok(known.of(&attribute.name)),
                KnownAttribute::replay,
            )
            .unwrap();
        drop(known);
        let run = ledger.begin(&description, continued.as_ref(), at(1)).unwrap();
        Begun { ledger, run, plan, spared: spared.total() }
    }

    fn complete(&self, id_type: IdType, rows: Rows<'_>) {
        self.begin(id_type, rows, SkipScope::ContinuedRun).acknowledge(usize::MAX).finish();
    }

    /// Which rows a run with `--only-changed` would send.
    fn changed(&self, id_type: IdType, rows: Rows<'_>) -> Vec<String> {
        let reader = LedgerReader::open(self.location()).unwrap();
        let whole = plan(id_type, rows);
        let known = reader
            .known_values(&target(id_type), &whole.fingerprint(), SkipScope::EveryRun, Compare::No, None)
            .unwrap();
        let (left, _, _) = whole
            .skip_known::<_, LedgerError>(
                &tight(),
                Compare::No,
                |attribute| Ok(known.of(&attribute.name)),
                KnownAttribute::replay,
            )
            .unwrap();
        all(&left)
    }

    /// The same before and after all that is known was merged and nothing else is kept.
    #[track_caller]
    fn check_changed(&self, id_type: IdType, rows: Rows<'_>, expected: &[&str]) {
        assert_eq!(self.changed(id_type, rows), expected, "as recorded");
        let mut ledger = Ledger::open(self.location(), &target(id_type), at(5)).unwrap();
        ledger.compact(at(1000), &tight()).unwrap();
        drop(ledger);
        assert_eq!(self.changed(id_type, rows), expected, "merged");
    }
}

impl Begun {
    /// Records this many of the batches.
    fn acknowledge(mut self, count: usize) -> Self {
        for batch in self.plan.batches().take(count) {
            self.ledger.record(&self.plan, batch, 1);
        }
        self.ledger.commit(self.run, at(2)).unwrap();
        self
    }

    fn finish(mut self) {
        self.ledger.finish(self.run, RunOutcome::Complete, &RowCounts::default(), at(3)).unwrap();
    }
}

fn all(plan: &Plan) -> Vec<String> {
    let of = |batch: Batch| {
        let (name, value) = (&plan.attribute(batch.group).name, plan.sent_value(batch.group).to_string());
        plan.users(batch).map(|user| format!("{user} {name} {value}")).collect::<Vec<_>>()
    };
    plan.batches().flat_map(of).collect()
}

const CITIES: Rows<'_> = &[("c1", "city", "Oslo"), ("c2", "city", "Rome"), ("c3", "city", "Lima")];

fn nothing_is_known_by_ids_that_were_swapped(store: Store) {
    let past = Past::new(store);
    past.complete(IdType::CustomId, CITIES);
    past.check_changed(IdType::CustomId, CITIES, &[]);
    past.complete(IdType::CustomId, &[("c1", "custom_id", "c2"), ("c2", "custom_id", "c1")]);
    past.check_changed(IdType::CustomId, CITIES, &["c1 city Oslo", "c2 city Rome"]);
    past.complete(IdType::CustomId, CITIES);
    past.check_changed(IdType::CustomId, CITIES, &[]);
}

fn neither_the_old_nor_the_new_id_is_known_by_what_was_before(store: Store) {
    for name in ["custom_id", "user_id"] {
        let past = Past::new(store);
        past.complete(IdType::CustomId, CITIES);
        past.complete(IdType::CustomId, &[("c1", name, "c3")]);
        past.check_changed(IdType::CustomId, CITIES, &["c1 city Oslo", "c3 city Lima"]);
        // Who got an id by it has no other one that a second run could give it again.
        let expected = format!("c1 {name} c3");
        past.check_changed(IdType::CustomId, &[("c1", name, "c3")], &[&expected]);
    }
}

fn a_rename_that_went_wrong_is_doubted_with_the_new_id(store: Store) {
    let past = Past::new(store);
    past.complete(IdType::CustomId, CITIES);
    let mut run = past.begin(IdType::CustomId, &[("c1", "custom_id", "c3")], SkipScope::ContinuedRun);
    for batch in run.plan.batches() {
        run.ledger.mark_uncertain(&run.plan, batch, 3);
    }
    run.finish();
    past.check_changed(IdType::CustomId, CITIES, &["c1 city Oslo", "c3 city Lima"]);
}

fn an_id_that_a_user_has_already_changes_nothing(store: Store) {
    let past = Past::new(store);
    past.complete(IdType::CustomId, CITIES);
    let kept: Rows<'_> = &[("c1", "custom_id", "c1")];
    past.complete(IdType::CustomId, kept);
    past.check_changed(IdType::CustomId, CITIES, &[]);
    past.check_changed(IdType::CustomId, kept, &[]);
}

fn a_run_that_renames_goes_on_by_the_ids_that_its_input_has(store: Store) {
    let past = Past::new(store);
    let rows: Rows<'_> = &[
        ("c1", "city", "Oslo"),
        ("c2", "city", "Rome"),
        ("c1", "custom_id", "c2"),
        ("c2", "custom_id", "c1"),
    ];
    // It is killed between the two renames.
    drop(past.begin(IdType::CustomId, rows, SkipScope::ContinuedRun).acknowledge(3));
    for scope in [SkipScope::ContinuedRun, SkipScope::EveryRun] {
        let run = past.begin(IdType::CustomId, rows, scope);
        assert_eq!(run.spared, KnownRows { resumed: 3, ..KnownRows::default() }, "{scope:?}");
        assert_eq!(all(&run.plan), ["c2 custom_id c1"]);
    }
    past.begin(IdType::CustomId, rows, SkipScope::ContinuedRun).acknowledge(1).finish();
    past.check_changed(IdType::CustomId, &rows[..2], &["c1 city Oslo", "c2 city Rome"]);
}

fn two_names_of_one_attribute_know_of_each_other(store: Store) {
    let past = Past::new(store);
    past.complete(IdType::Id, &[("7", "user_id", "A")]);
    past.check_changed(IdType::Id, &[("7", "custom_id", "A")], &[]);
    past.complete(IdType::Id, &[("7", "custom_id", "B")]);
    past.check_changed(IdType::Id, &[("7", "user_id", "A")], &["7 user_id A"]);
    past.check_changed(IdType::Id, &[("7", "user_id", "B")], &[]);
}

fn ids_that_were_given_to_users_of_the_other_type_are_not_known(store: Store) {
    let past = Past::new(store);
    let ids: Rows<'_> = &[("7", "custom_id", "c1"), ("7", "city", "Oslo")];
    past.complete(IdType::Id, ids);
    past.complete(IdType::CustomId, CITIES);
    past.check_changed(IdType::CustomId, CITIES, &[]);
    past.complete(IdType::Id, &[("7", "custom_id", "c9")]);
    past.check_changed(IdType::CustomId, CITIES, &["c1 city Oslo", "c2 city Rome", "c3 city Lima"]);

    past.complete(IdType::CustomId, &[("c9", "custom_id", "c1")]);
    past.check_changed(IdType::Id, ids, &["7 custom_id c1"]);
}

fn a_killed_run_may_have_given_ids_to_users_of_the_other_type(store: Store) {
    let past = Past::new(store);
    past.complete(IdType::CustomId, CITIES);
    drop(past.begin(IdType::Id, &[("7", "city", "Oslo")], SkipScope::ContinuedRun));
    past.check_changed(IdType::CustomId, CITIES, &[]);
    drop(past.begin(IdType::Id, &[("7", "custom_id", "c1")], SkipScope::ContinuedRun));
    assert_eq!(past.changed(IdType::CustomId, CITIES).len(), 3);
}

fn an_id_is_not_known_if_a_run_of_the_other_type_was_killed_just_after_it_was_given(store: Store) {
    let past = Past::new(store);
    let rows = &[("7", "custom_id", "c1")];
    past.complete(IdType::Id, rows);
    assert_eq!(past.changed(IdType::Id, rows).len(), 0);
    drop(past.begin(IdType::CustomId, &[("c1", "custom_id", "c2")], SkipScope::ContinuedRun));
    assert_eq!(past.changed(IdType::Id, rows).len(), 1);
}

fn what_is_told_of_a_user_is_doubted_once_its_id_is_another_ones(store: Store) {
    let past = Past::new(store);
    past.complete(IdType::CustomId, CITIES);
    past.complete(IdType::CustomId, &[("c1", "custom_id", "c3")]);
    let reader = LedgerReader::open(past.location()).unwrap();
    let city = |id: &'static str| {
        let facts = reader.user(&User::Custom(id.into())).unwrap();
        facts.into_iter().find(|fact| fact.attribute == "city").unwrap().standing
    };
    assert_eq!(
        ["c1", "c2", "c3"].map(city),
        [ValueState::Uncertain, ValueState::Current, ValueState::Uncertain]
    );
}

in_each_store! {
    nothing_is_known_by_ids_that_were_swapped,
    neither_the_old_nor_the_new_id_is_known_by_what_was_before,
    a_rename_that_went_wrong_is_doubted_with_the_new_id,
    an_id_that_a_user_has_already_changes_nothing,
    a_run_that_renames_goes_on_by_the_ids_that_its_input_has,
    two_names_of_one_attribute_know_of_each_other,
    ids_that_were_given_to_users_of_the_other_type_are_not_known,
    a_killed_run_may_have_given_ids_to_users_of_the_other_type,
    what_is_told_of_a_user_is_doubted_once_its_id_is_another_ones,
    an_id_is_not_known_if_a_run_of_the_other_type_was_killed_just_after_it_was_given,
}
