//! Plans against a plain oracle.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};

use attrsync::input::{
    AttributeRule, Dictionary, IdType, JsonType, Operation, ReadOptions, Renumber, Row, Sink, ValueId,
    Vocabulary,
};
use attrsync::plan::{Batch, Builder, OnConflict, Plan, User};
use attrsync::spill::Resources;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::oracle::{Expected, Triple};

/// What rows of these tests set: identity among the ordinary, and a custom attribute.
const ATTRIBUTES: [&str; 6] = ["user_id", "city", "email", "score", "custom_id", "shoe"];

const NULL: &str = "NULL";

/// A row before it has numbers: user, attribute, value.
type Text = (u64, &'static str, String);

/// A sink, and the dictionary that numbers what it takes.
struct Reading {
    builder: Builder,
    dictionary: Dictionary,
    users: fn(u64, &mut Dictionary) -> u64,
}

fn by_id(user: u64, _: &mut Dictionary) -> u64 {
    user
}

fn by_custom_id(user: u64, dictionary: &mut Dictionary) -> u64 {
    dictionary.intern_user(&custom_id(user))
}

fn custom_id(user: u64) -> String {
    format!("ü{user}\"")
}

fn empty_dictionary() -> Dictionary {
    let typed = |name: &str, json, map: &[(&str, &str)]| {
        let map = map.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        (name.to_owned(), AttributeRule { json, map })
    };
    Dictionary::new(&ReadOptions {
        vocabulary: Vocabulary::Custom,
        null_token: Some(NULL.to_owned()),
        attributes: [
            typed("score", JsonType::Integer, &[]),
            typed("gender", JsonType::Integer, &[("male", "2"), ("female", "3")]),
            typed("unsubscribed", JsonType::Boolean, &[]),
            typed("shoe", JsonType::Float, &[]),
        ]
        .into(),
        ..ReadOptions::default()
    })
}

impl Reading {
    fn new(on_conflict: OnConflict, users: fn(u64, &mut Dictionary) -> u64) -> Self {
        Self { builder: Builder::new(on_conflict), dictionary: empty_dictionary(), users }
    }

    fn fork(&self) -> Self {
        Self { builder: self.builder.fork(), dictionary: empty_dictionary(), users: self.users }
    }

    fn read(mut self, rows: &[Text]) -> Self {
        for (user, attribute, value) in rows {
            let user = (self.users)(*user, &mut self.dictionary);
            let attribute = self.dictionary.attribute_id(attribute).expect("all names are allowed");
            let value = self.dictionary.intern(attribute, value);
            self.builder.accept(Row { user, attribute: attribute.column(), value });
        }
        self
    }

    fn join(mut self, later: Self) -> Self {
        let mut renumber = Renumber::default();
        let Self { dictionary, .. } = &mut self;
        let mut id = |name: &str| dictionary.attribute_id(name).expect("all names are allowed");
        for old in later.dictionary.attributes() {
            renumber.attributes.push(id(&later.dictionary.attribute(old).name).column());
        }
        for old in later.dictionary.attributes() {
            let values = (0..u32::try_from(later.dictionary.values(old)).expect("few")).map(ValueId);
            let values = values.map(|value| {
                let name = &later.dictionary.attribute_of(old, value).name;
                let new = self.dictionary.attribute_id(name).expect("all names are allowed");
                self.dictionary.intern(new, &later.dictionary.value(old, value).unwrap_or(NULL.into()))
            });
            renumber.values.push(values.collect());
        }
        let users =
            (0..later.dictionary.users() as u64).map(|user| later.dictionary.user(user).expect("known"));
        renumber.users = users.map(|text| self.dictionary.intern_user(&text)).collect();
        self.builder.join(later.builder, &renumber);
        self
    }

    fn finish(self, batch_size: u32) -> Plan {
        self.builder.finish(self.dictionary, size(batch_size)).expect("all is in memory")
    }
}

fn size(batch_size: u32) -> NonZeroU32 {
    NonZeroU32::new(batch_size).expect("tests have no empty batches")
}

fn plan(rows: &[Text], on_conflict: OnConflict, batch_size: u32) -> Plan {
    Reading::new(on_conflict, by_id).read(rows).finish(batch_size)
}

/// Checks all of a plan against the oracle.
#[track_caller]
fn check(plan: &Plan, rows: &[Text], on_conflict: OnConflict, id_type: IdType) {
    let triple = |(user, attribute, value): &Text| {
        let user = if id_type == IdType::Id { user.to_string() } else { custom_id(*user) };
        (user, (*attribute).to_owned(), (value != NULL).then(|| value.clone()))
    };
    let rows: Vec<Triple> = rows.iter().map(triple).collect();
    let named = ATTRIBUTES.map(str::to_owned);
    Expected::of(&rows, &named, id_type, on_conflict).check(plan);
}

fn any_user() -> impl Strategy<Value = u64> {
    let edge = prop_oneof![Just(1), Just(u64::from(u32::MAX)), Just(1 << 32), Just((1 << 63) - 1)];
    prop_oneof![8 => 1..40_u64, 2 => 1..(1_u64 << 63), 1 => (edge, 0..3_u64).prop_map(|(edge, more)| edge - more.min(edge - 1))]
}

/// Users close together, far apart, or both; few values or many; many repetitions.
fn any_rows() -> impl Strategy<Value = Vec<Text>> {
    let value = prop_oneof![
        Just(NULL.to_owned()),
        (0..4).prop_map(|n| format!("v{n}")),
        (0..900).prop_map(|n| format!("w{n}"))
    ];
    let attribute = prop::sample::select(ATTRIBUTES.to_vec());
    let few_from = |first: u64| (first..first + 5).boxed();
    let users = prop_oneof![
        Just((1..30_u64).boxed()),
        Just(any_user().boxed()),
        (1..(1_u64 << 63) - 5).prop_map(few_from),
        Just(few_from((1 << 32) - 3)),
    ];
    users.prop_flat_map(move |user| prop::collection::vec((user, attribute.clone(), value.clone()), 0..400))
}

fn any_policy() -> impl Strategy<Value = OnConflict> {
    prop_oneof![Just(OnConflict::Last), Just(OnConflict::First), Just(OnConflict::Error)]
}

proptest! {
    #[test]
    fn a_plan_is_what_the_oracle_says(rows in any_rows(), on_conflict in any_policy(), batch_size in 1..9_u32) {
        check(&plan(&rows, on_conflict, batch_size), &rows, on_conflict, IdType::Id);
    }

    #[test]
    fn custom_ids_ascend_by_their_bytes(rows in any_rows(), on_conflict in any_policy(), batch_size in 1..9_u32) {
        let plan = Reading::new(on_conflict, by_custom_id).read(&rows).finish(batch_size);
        check(&plan, &rows, on_conflict, IdType::CustomId);
        let rows = plan.batches().flat_map(|batch| {
            (batch.first..).zip(plan.user_numbers(batch)).map(move |(place, user)| (batch.group, place, user))
        });
        prop_assert!(plan.all_rows().eq(rows));
        for batch in plan.batches() {
            let found = plan.users(batch).map(|user| plan.number_of_custom_id(&user.to_string()));
            prop_assert!(found.eq(plan.user_numbers(batch).map(Some)));
        }
        prop_assert_eq!(plan.number_of_custom_id("nobody's"), None);
    }

    #[test]
    fn forks_that_join_make_the_same_plan(
        rows in any_rows(),
        on_conflict in any_policy(),
        cuts in prop::collection::vec(any::<Index>(), 1..4),
        nested in any::<bool>(),
        custom in any::<bool>(),
    ) {
        let cuts: BTreeSet<usize> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).chain([0]).collect();
        let ends: Vec<usize> = cuts.iter().copied().skip(1).chain([rows.len()]).collect();
        let first = Reading::new(on_conflict, if custom { by_custom_id } else { by_id });
        let mut parts: Vec<Reading> =
            cuts.into_iter().zip(ends).map(|(start, end)| first.fork().read(&rows[start..end])).collect();
        let joined = if nested {
            let last = parts.pop().expect("there is a part");
            first.join(parts.into_iter().rev().fold(last, |later, earlier| earlier.join(later)))
        } else {
            parts.into_iter().fold(first, Reading::join)
        };
        let id_type = if custom { IdType::CustomId } else { IdType::Id };
        check(&joined.finish(5), &rows, on_conflict, id_type);
    }

    #[test]
    fn bodies_say_exactly_what_the_plan_says(
        rows in any_rows(),
        custom in any::<bool>(),
        first in any::<Index>(),
        len in any::<Index>(),
    ) {
        let users: fn(u64, &mut Dictionary) -> u64 = if custom { by_custom_id } else { by_id };
        let plan = Reading::new(OnConflict::Last, users).read(&rows).finish(1000);
        for batch in plan.batches() {
            let first = u32::try_from(first.index(batch.len as usize)).expect("few");
            let len = 1 + u32::try_from(len.index((batch.len - first) as usize)).expect("few");
            let part = Batch { first, len, ..batch };
            let mut body = Vec::new();
            plan.body(part, &mut body);
            let expected: Vec<User<'_>> = plan.users(part).collect();
            prop_assert_eq!(&body, &plain_body(&plan, batch.group, &expected));
        }
    }
}

/// A body of texts, as `serde_json` writes it.
fn plain_body(plan: &Plan, group: u32, users: &[User<'_>]) -> Vec<u8> {
    let value = match plan.value(group) {
        None => serde_json::Value::Null,
        Some(text) => text.into(),
    };
    serde_json::json!({"ids": users, "attribute": plan.attribute(group).name, "value": value})
        .to_string()
        .into_bytes()
}

fn text(user: u64, attribute: &'static str, value: &str) -> Text {
    (user, attribute, value.to_owned())
}

fn only_body(rows: &[Text]) -> String {
    let plan = plan(rows, OnConflict::Last, 1000);
    let mut body = Vec::new();
    plan.body(plan.cursor().next(&plan).expect("there is a batch"), &mut body);
    String::from_utf8(body).expect("JSON is text")
}

/// All bodies of a plan.
fn bodies(plan: &Plan) -> Vec<String> {
    let body = |batch| {
        let mut body = Vec::new();
        plan.body(batch, &mut body);
        String::from_utf8(body).expect("JSON is text")
    };
    plan.batches().map(body).collect()
}

#[test]
fn the_two_names_of_the_clients_own_id_are_one_attribute() {
    let rows = [
        text(1, "user_id", "A"),
        text(1, "custom_id", "B"),
        text(2, "custom_id", "C"),
        text(3, "user_id", "D"),
    ];
    let last = plan(&rows, OnConflict::Last, 1000);
    assert_eq!(
        bodies(&last),
        [
            r#"{"ids":[1],"attribute":"custom_id","value":"B"}"#,
            r#"{"ids":[2],"attribute":"custom_id","value":"C"}"#,
            r#"{"ids":[3],"attribute":"user_id","value":"D"}"#
        ]
    );
    let first = plan(&rows, OnConflict::First, 1000);
    assert_eq!(bodies(&first)[0], r#"{"ids":[1],"attribute":"user_id","value":"A"}"#);
    assert_eq!(plan(&rows, OnConflict::Error, 1000).disputed().count(), 1);
    let equal = [text(1, "user_id", "A"), text(1, "custom_id", "A")];
    let equal = plan(&equal, OnConflict::Error, 1000);
    assert_eq!((equal.disputed().count(), equal.rows(), equal.superseded()), (0, 1, 1));
}

#[test]
fn what_is_sent_decides_about_groups_and_conflicts() {
    let rows = [
        text(1, "gender", "male"),
        text(2, "gender", "2"),
        text(2, "gender", "02"),
        text(3, "gender", "male"),
        text(3, "gender", "female"),
        text(4, "shoe", "42.0"),
        text(5, "shoe", "42"),
        text(6, "unsubscribed", "True"),
        text(7, "unsubscribed", "1"),
    ];
    let plan = plan(&rows, OnConflict::Error, 1000);
    assert_eq!(
        bodies(&plan),
        [
            r#"{"ids":[1,2],"attribute":"gender","value":2}"#,
            r#"{"ids":[6,7],"attribute":"unsubscribed","value":true}"#,
            r#"{"ids":[4,5],"attribute":"shoe","value":42.0}"#
        ]
    );
    let disputed: Vec<_> = plan.disputed().map(|conflict| conflict.user.to_string()).collect();
    assert_eq!(disputed, ["3"]);
    assert_eq!(plan.value(0).as_deref(), Some("male"), "a group shows what the input has first");
}

#[test]
fn a_body_is_compact_and_in_the_order_of_the_specification() {
    let rows = [text(15, "country", "USA"), text(10, "country", "USA")];
    assert_eq!(only_body(&rows), r#"{"ids":[10,15],"attribute":"country","value":"USA"}"#);
}

#[test]
fn values_are_mapped_and_typed_as_their_attribute_says() {
    let value = |attribute, value| {
        let body = only_body(&[text(1, attribute, value)]);
        body.split_once("\"value\":").expect("a body has a value").1.trim_end_matches('}').to_owned()
    };
    assert_eq!(value("gender", "male"), "2");
    assert_eq!(value("score", "007"), "7");
    assert_eq!(value("score", "-000"), "0");
    assert_eq!(value("score", " +5"), "5");
    assert_eq!(value("score", "-12345678901234567890123"), r#""-12345678901234567890123""#);
    assert_eq!(value("score", "many"), r#""many""#);
    assert_eq!(value("unsubscribed", "TRUE"), "true");
    assert_eq!(value("unsubscribed", "0"), "false");
    assert_eq!(value("shoe", "42.50"), "42.50");
    assert_eq!(value("shoe", ".5"), "0.5");
    assert_eq!(value("shoe", "inf"), r#""inf""#);
    assert_eq!(value("city", "007 \"Bond\"\n"), r#""007 \"Bond\"\n""#);
    assert_eq!(value("city", NULL), "null");
}

#[test]
fn a_plan_of_no_rows_is_empty() {
    let plan = plan(&[], OnConflict::Last, 1000);
    assert_eq!((plan.groups(), plan.requests(), plan.rows(), plan.batches().next()), (0, 0, 0, None));
    assert_eq!(plan.summary(10).attributes, []);
}

#[test]
fn custom_attributes_have_their_own_operation() {
    let plan = plan(&[text(1, "shoe", "42"), text(1, "city", "Rome")], OnConflict::Last, 1000);
    let operations: Vec<_> = plan.batches().map(|batch| plan.operation(batch)).collect();
    assert_eq!(operations, [Operation::Standard, Operation::Custom]);
}

/// Rows like those of large inputs: `count` of them, users scattered over `users` numbers that are `apart` apart.
fn many(count: u64, users: u64, apart: u64, values: u64) -> Vec<Text> {
    let scatter = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    (0..count)
        .map(|n| {
            (
                1 + scatter(n) % users * apart,
                ["city", "region"][(n % 2) as usize],
                format!("v{}", scatter(n * 7) % values),
            )
        })
        .collect()
}

#[test]
fn many_rows_are_settled_alike_at_every_width_of_users_and_values() {
    for (users, apart, values) in [
        (1_000, 1, 100),
        (30_000, 1, 200),
        (30_000, 2, 40_000),
        (200_000, 3, 70_000),
        (30_000, 1 << 33, 300),
        (30_000, 1 << 20, 300),
        (1_000, 1 << 50, 70_000),
    ] {
        for on_conflict in [OnConflict::Last, OnConflict::First, OnConflict::Error] {
            let rows = many(100_000, users, apart, values);
            check(&plan(&rows, on_conflict, 100), &rows, on_conflict, IdType::Id);
        }
    }
}

#[test]
fn threads_change_nothing_but_the_time() {
    let rows = many(20_000, 3_000, 1, 300);
    let mut reading = Reading::new(OnConflict::Last, by_id).read(&rows);
    reading.builder = reading
        .builder
        .resources(&Resources { threads: NonZeroUsize::new(3).expect("3 is not 0"), ..Resources::default() });
    check(&reading.finish(100), &rows, OnConflict::Last, IdType::Id);
}

#[test]
fn a_summary_warns_of_what_is_shared_and_of_what_does_not_coalesce() {
    let mut rows: Vec<Text> = (1..2_000).map(|user| (user, "phone_number", format!("+{user}"))).collect();
    rows.extend([text(1, "email", "a@b.c"), text(2, "email", "a@b.c"), text(3, "email", "d@e.f")]);
    rows.extend([text(1, "city", "Rome"), text(1, "city", "Oslo"), text(1, "city", "Rome")]);
    let plan = plan(&rows, OnConflict::Last, 1000);
    let summary = plan.summary(1);
    let uncoalesced: Vec<_> =
        summary.attributes.iter().filter(|it| it.uncoalesced).map(|it| it.name).collect();
    assert_eq!(uncoalesced, ["phone_number"]);
    assert_eq!(summary.costliest[0], "phone_number");
    assert_eq!(
        serde_json::to_value(&summary.shared).expect("a summary is JSON"),
        serde_json::json!([
            {"attribute": "email", "values": 1, "examples": [
                {"attribute": "email", "value": "a@b.c", "users": 2, "requests": 1}
            ]}
        ])
    );
    assert_eq!(
        serde_json::to_value(&summary.conflicts).expect("a summary is JSON"),
        serde_json::json!([
            {"attribute": "city", "user": 1, "values": ["Rome", "Oslo"]}
        ])
    );
}
