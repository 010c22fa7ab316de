use std::collections::BTreeMap;
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};

use proptest::prelude::*;

use super::*;
use crate::input::{Dictionary, ReadOptions, Row, Sink};
use crate::plan::{Batch, Builder, OnConflict};

const ATTRIBUTES: [&str; 3] = ["city", "country", "email"];

type Fact = (String, String, String);

/// Users that go by either kind of id: one number stands for each.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Id,
    Custom,
}

fn plan(kind: Kind, rows: &[(u64, usize, String)], batch_size: u32) -> Plan {
    let options = ReadOptions { null_token: Some("-".to_owned()), ..ReadOptions::default() };
    let mut dictionary = Dictionary::new(&options);
    let mut builder = Builder::new(OnConflict::Last);
    for (user, attribute, value) in rows {
        let attribute = dictionary.attribute_id(ATTRIBUTES[*attribute]).unwrap();
        let value = dictionary.intern(attribute, value);
        let user = match kind {
            Kind::Id => *user,
            Kind::Custom => dictionary.intern_user(&format!("u{user}")),
        };
        builder.accept(Row { user, attribute, value });
    }
    builder.finish(dictionary, NonZeroU32::new(batch_size).unwrap()).unwrap()
}

fn facts(plan: &Plan) -> Vec<Fact> {
    let fact = |batch: Batch| {
        let (attribute, value) =
            (&plan.attribute(batch.group).name, plan.sent_value(batch.group).to_string());
        plan.users(batch).map(move |user| (attribute.clone(), user.to_string(), value.clone()))
    };
    plan.batches().flat_map(fact).collect()
}

/// A plan without what is known of each attribute.
fn without(
    plan: Plan,
    memory: u64,
    tell: impl Fn(&Attribute, &mut SkipFilter<'_>) -> io::Result<()> + Sync,
) -> io::Result<(Plan, Option<Plan>, KnownPlan)> {
    let threads = NonZeroUsize::MIN.saturating_add(1);
    let resources = Resources { threads, memory, temp_dir: None };
    plan.skip_known(
        &resources,
        Compare::Yes,
        |attribute| Ok(attribute.clone()),
        |attribute, filter| tell(attribute, filter),
    )
}

/// Tells groups, which come oldest first.
fn tell(
    kind: Kind,
    decided: &[(usize, String, u8, Vec<u64>)],
) -> impl Fn(&Attribute, &mut SkipFilter<'_>) -> io::Result<()> {
    move |attribute, filter| {
        for (_, value, reason, users) in
            decided.iter().rev().filter(|(about, ..)| ATTRIBUTES[*about] == attribute.name)
        {
            let value = if value == "-" { SentValue::Null } else { SentValue::Text(value.into()) };
            let reason = [None, Some(SkipReason::Unchanged), Some(SkipReason::Resumed)][usize::from(*reason)];
            let mut users = users.clone();
            match kind {
                Kind::Id => users.sort_unstable(),
                Kind::Custom => users.sort_by_key(u64::to_string),
            }
            users.dedup();
            let texts: Vec<String> = users.iter().map(|user| format!("u{user}")).collect();
            let users = users.iter().zip(&texts).map(|(user, text)| match kind {
                Kind::Id => User::Id(*user),
                Kind::Custom => User::Custom(text.into()),
            });
            filter.mark_sent(&value, reason, users);
        }
        Ok(())
    }
}

fn user() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 1_u64..30,
        2 => (1_u64..20).prop_map(|user| user * 1_000),
        1 => (1_u64..10).prop_map(|user| user * (u64::MAX / 40)),
    ]
}

/// Users whose ids are dense, or far apart, or absurdly far apart, or all of it.
fn users(most: usize) -> impl Strategy<Value = Vec<u64>> {
    let dense = prop::collection::vec(1_u64..40, 1..most);
    let apart = prop::collection::vec((1_u64..40).prop_map(|user| user * 997), 1..most);
    prop_oneof![dense, apart, prop::collection::vec(user(), 1..most)]
}

fn value() -> impl Strategy<Value = String> {
    "[a-c-]"
}

proptest! {
    #[test]
    fn a_plan_without_what_is_known_is_what_a_plain_map_says(
        custom in any::<bool>(),
        rows in users(80).prop_flat_map(|users| {
            let row = |user| (Just(user), 0_usize..3, value());
            users.into_iter().map(row).collect::<Vec<_>>()
        }),
        decided in prop::collection::vec((0_usize..3, value(), 0_u8..3, users(30)), 0..12),
        memory in prop_oneof![Just(u64::MAX), 0_u64..2000],
    ) {
        let kind = if custom { Kind::Custom } else { Kind::Id };
        let whole = plan(kind, &rows, 3);
        let (superseded, rows_before) = (whole.superseded(), whole.rows());

        let mut held: BTreeMap<(String, String), (String, u8)> = BTreeMap::new();
        for (about, value, reason, users) in &decided {
            for user in users {
                let user = if custom { format!("u{user}") } else { user.to_string() };
                let value = if value == "-" { "null".to_owned() } else { value.clone() };
                held.insert((ATTRIBUTES[*about].to_owned(), user), (value, *reason));
            }
        }
        let mut expected = Vec::new();
        let mut skipped = KnownRows::default();
        let mut changes: BTreeMap<(String, String, String), u64> = BTreeMap::new();
        for (attribute, user, value) in facts(&whole) {
            match held.get(&(attribute.clone(), user.clone())) {
                Some((same, 1)) if *same == value => skipped.unchanged += 1,
                Some((same, 2)) if *same == value => skipped.resumed += 1,
                known => {
                    match known {
                        Some((same, _)) if *same == value => skipped.equal += 1,
                        Some((other, _)) => {
                            skipped.changed += 1;
                            let change = (attribute.clone(), other.clone(), value.clone());
                            *changes.entry(change).or_default() += 1;
                        }
                        None => {}
                    }
                    expected.push((attribute, user, value));
                }
            }
        }

        let (left, _, found) = without(whole, memory, tell(kind, &decided)).unwrap();
        prop_assert_eq!(facts(&left), expected);
        prop_assert_eq!(found.total(), skipped);
        for change in &found.changes {
            let texts = (change.attribute.clone(), change.from.to_string(), change.to.to_string());
            prop_assert_eq!(changes.get(&texts), Some(&change.users));
        }
        prop_assert_eq!(left.rows() + skipped.unchanged + skipped.resumed, rows_before);
        prop_assert_eq!(left.superseded(), superseded);
    }

    #[test]
    fn a_fingerprint_is_that_of_the_facts_in_any_order(
        rows in prop::collection::vec((1_u64..6, 0_usize..2, "[ab-]"), 1..6),
        others in prop::collection::vec((1_u64..6, 0_usize..2, "[ab-]"), 1..6),
    ) {
        let facts_of = |rows| {
            let mut facts = facts(&plan(Kind::Id, rows, 2));
            facts.sort();
            facts
        };
        let fingerprint = |rows| plan(Kind::Id, rows, 2).fingerprint();
        prop_assert_eq!(facts_of(&rows) == facts_of(&others), fingerprint(&rows) == fingerprint(&others));
        let mut settled: Vec<_> = rows.iter().rev().cloned().collect();
        let mut seen = std::collections::BTreeSet::new();
        settled.retain(|(user, attribute, _)| seen.insert((*user, *attribute)));
        prop_assert_eq!(fingerprint(&rows), fingerprint(&settled));
    }
}

#[test]
fn a_fingerprint_in_an_old_ledger_is_still_that_of_its_input() {
    let rows = [(1, 0, "a".to_owned()), (2, 0, "a".to_owned()), (3, 1, "-".to_owned())];
    assert_eq!(plan(Kind::Id, &rows, 2).fingerprint(), "3-319226df0c18d8ed");
    assert_eq!(plan(Kind::Custom, &rows, 2).fingerprint(), "3-19649bd3ce44b32b");
}

#[test]
fn the_meaning_of_what_is_sent_is_compared_and_not_what_stands_in_the_input() {
    let mut options = ReadOptions::default();
    let gender = options.attributes.entry("gender".to_owned()).or_default();
    gender.json = crate::input::JsonType::Integer;
    gender.map.extend([("m".to_owned(), "2".to_owned()), ("male".to_owned(), "2".to_owned())]);
    let plan = || {
        let mut dictionary = Dictionary::new(&options);
        let mut builder = Builder::new(OnConflict::Last);
        let attribute = dictionary.attribute_id("gender").unwrap();
        for (user, value) in (1..=12).zip(["male", "3", "m"].into_iter().cycle()) {
            let value = dictionary.intern(attribute, value);
            builder.accept(Row { user, attribute, value });
        }
        builder.finish(dictionary, NonZeroU32::MIN).unwrap()
    };
    let left_after = |value: SentValue<'_>| {
        let tell = |_: &Attribute, filter: &mut SkipFilter<'_>| {
            filter.mark_sent(
                &value,
                Some(SkipReason::Unchanged),
                (1..=12_u64).collect::<Vec<_>>().iter().map(|id| User::Id(*id)),
            );
            Ok(())
        };
        without(plan(), u64::MAX, tell).unwrap().0.rows()
    };
    assert_eq!(left_after(SentValue::Json("2".into())), 4);
    assert_eq!(left_after(SentValue::Text("Male".into())), 4);
    assert_eq!(left_after(SentValue::Json("3".into())), 8);
    assert_eq!(left_after(SentValue::Text("m".into())), 12);
    assert_eq!(left_after(SentValue::Null), 12);
}

#[test]
fn rows_whose_value_is_known_are_all_but_those_of_missing_users() {
    let rows = KnownRows { unchanged: 1, resumed: 20, equal: 300, changed: 4_000, missing: 50_000 };
    assert_eq!(rows.known(), 4_321);
}

#[test]
fn what_is_known_of_all_attributes_is_added_up() {
    let rows = |from| KnownRows {
        unchanged: from,
        resumed: from + 1,
        equal: from + 2,
        changed: from + 3,
        missing: from + 4,
    };
    let plan = KnownPlan {
        attributes: vec![("city".to_owned(), rows(10)), ("email".to_owned(), rows(20))],
        changes: Vec::new(),
    };
    let sum = KnownRows { unchanged: 30, resumed: 32, equal: 34, changed: 36, missing: 38 };
    assert_eq!(plan.total(), sum);
    assert_eq!(plan.attributes_with_values().collect::<Vec<_>>(), ["city", "email"]);
    let new = KnownRows { missing: 1, ..KnownRows::default() };
    let attributes =
        [("city", new), ("email", KnownRows { equal: 1, ..new })].map(|(name, rows)| (name.to_owned(), rows));
    let plan = KnownPlan { attributes: attributes.into(), changes: Vec::new() };
    assert_eq!(plan.attributes_with_values().collect::<Vec<_>>(), ["email"]);
}

#[test]
fn rows_that_are_taken_out_are_not_superseded() {
    // Users 1 to 3 have the value, of 4 to 6 it was sent by the run that is continued, and 7 and 8 are missing.
    let ids: Vec<u64> = (1..=10).collect();
    let text = SentValue::Text("a".into());
    let tell = |_: &Attribute, filter: &mut SkipFilter<'_>| {
        let users = |ids: std::ops::Range<usize>| ids.map(|at| User::Id(at as u64));
        filter.mark_sent(&text, Some(SkipReason::Unchanged), users(1..4));
        filter.mark_sent(&text, Some(SkipReason::Resumed), users(4..7));
        filter.mark_listed(users(9..11));
        filter.end_list();
        Ok(())
    };
    // The last two rows supersede two others.
    let rows: Vec<_> = ids.iter().chain([&9, &10]).map(|user| (*user, 0, "a".to_owned())).collect();
    let (left, missing, found) = without(plan(Kind::Id, &rows, 100), u64::MAX, tell).unwrap();
    let missing = missing.unwrap();
    assert_eq!((left.rows(), left.superseded()), (2, 2));
    assert_eq!((missing.rows(), missing.superseded()), (2, 0));
    assert_eq!(found.total(), KnownRows { unchanged: 3, resumed: 3, missing: 2, ..KnownRows::default() });
}

#[test]
fn rows_that_are_done_are_skipped_whatever_value_they_have() {
    let (text, resumed) = (SentValue::Text("a".into()), Some(SkipReason::Resumed));
    let tell = |_: &Attribute, filter: &mut SkipFilter<'_>| {
        filter.mark_sent(&text, resumed, [User::Id(2)].into_iter());
        filter.mark_done([1, 2, 4, 9].map(User::Id).into_iter());
        filter.mark_sent(&text, resumed, [1, 3].map(User::Id).into_iter());
        Ok(())
    };
    let rows: Vec<_> = [(1, "a"), (2, "b"), (3, "a"), (4, "b"), (5, "b")]
        .map(|(user, text)| (user, 0, text.to_owned()))
        .into();
    for memory in [1, u64::MAX] {
        let (left, _, found) = without(plan(Kind::Id, &rows, 100), memory, tell).unwrap();
        // The second user's newer value is another one, so the row is sent.
        assert_eq!((left.rows(), found.total().resumed), (2, 3));
    }
}

#[test]
fn a_value_of_one_user_is_compared_by_its_meaning() {
    // Each user has a value of its own, so values are compared user by user.
    let rows: Vec<_> = (1..=8).map(|user| (user, 2, format!("U{user}@x.test"))).collect();
    let tell = |_: &Attribute, filter: &mut SkipFilter<'_>| {
        for (user, text) in [(1_u64, "u1@x.test"), (2, "U2@x.test"), (3, "other@x.test")] {
            let value = SentValue::Text(text.into());
            filter.mark_sent(&value, Some(SkipReason::Unchanged), [User::Id(user)].into_iter());
        }
        Ok(())
    };
    let (left, _, found) = without(plan(Kind::Id, &rows, 1), u64::MAX, tell).unwrap();
    assert_eq!((left.rows(), found.total().unchanged, found.total().changed), (6, 2, 1));
}

#[test]
fn the_most_frequent_changes_come_first_and_only_some_are_kept() {
    // 25 other values are known: the first of one user, the second of two, and so on.
    let known: Vec<(u64, usize)> = (0_usize..25)
        .flat_map(|value| vec![value; value + 1])
        .zip(1..)
        .map(|(value, user)| (user, value))
        .collect();
    let rows: Vec<_> = known.iter().map(|(user, _)| (*user, 0, "new".to_owned())).collect();
    let tell = |_: &Attribute, filter: &mut SkipFilter<'_>| {
        for value in 0..25 {
            let users = known.iter().filter(|(_, held)| *held == value).map(|(user, _)| User::Id(*user));
            filter.mark_sent(&SentValue::Text(format!("{value}").into()), None, users);
        }
        Ok(())
    };
    let (left, _, found) = without(plan(Kind::Id, &rows, 1_000), u64::MAX, tell).unwrap();
    assert_eq!(left.rows(), 325);
    let kept: Vec<_> = found.changes.iter().map(|change| (change.from.to_string(), change.users)).collect();
    let expected: Vec<_> = (5_u64..25).rev().map(|value| (value.to_string(), value + 1)).collect();
    assert_eq!(kept, expected);
    assert!(found.changes.iter().all(|change| change.to.to_string() == "new" && change.attribute == "city"));
}

#[test]
fn an_attribute_whose_rows_are_all_skipped_has_no_group() {
    let rows: Vec<_> = [0, 1, 2].map(|attribute| (7, attribute, "a".to_owned())).into();
    let tell = |attribute: &Attribute, filter: &mut SkipFilter<'_>| {
        if attribute.name != "country" {
            let text = SentValue::Text("a".into());
            filter.mark_sent(&text, Some(SkipReason::Resumed), [User::Id(7)].into_iter());
        }
        Ok(())
    };
    let whole = plan(Kind::Id, &rows, 1);
    assert_eq!(whole.first_groups().collect::<Vec<_>>(), [0, 1, 2]);
    let (left, ..) = without(whole, u64::MAX, tell).unwrap();
    assert_eq!(left.first_groups().collect::<Vec<_>>(), [0]);
    assert_eq!(left.attribute(0).name, "country");
}
