//! What answers teach.

use std::num::NonZeroU32;

use super::*;
use crate::input::{Dictionary, ReadOptions, Row, Sink as _};
use crate::plan::{Builder, OnConflict};

#[test]
fn a_class_leaves_out_what_differs_from_request_to_request() {
    assert_eq!(
        pattern(r#"ids: Invalid pk "42" - no such object"#),
        pattern(r#"ids: Invalid pk "7" - no such object"#)
    );
    assert_eq!(pattern("user 42 of 99"), pattern("user 7 of 1000"));
    assert_ne!(pattern("value: too long"), pattern("value: too short"));
    for (one, other) in [("“Oslo” is wrong", "“Rome” is wrong"), ("`a` is wrong", "`b` is wrong")] {
        assert_eq!(pattern(one), pattern(other));
    }
    assert_eq!(pattern(r#"“a "b" c” is “wrong"#), "“” is “", "a quote ends where its own mark says so");
}

/// A plan of these many groups of the attribute `city` with three users each, and one of `country` with the first three.
fn plan(cities: u64) -> Plan {
    let mut dictionary = Dictionary::new(&ReadOptions::default());
    let mut builder = Builder::new(OnConflict::Last);
    let mut add = |user, attribute: &str, value: &str| {
        let attribute = dictionary.attribute_id(attribute).unwrap();
        let value = dictionary.intern(attribute, value);
        builder.accept(Row { user, attribute, value });
    };
    (0..3 * cities).for_each(|user| add(user + 1, "city", &format!("City {}", user / 3)));
    (1..=3).for_each(|user| add(user, "country", "Norway"));
    builder.finish(dictionary, NonZeroU32::new(1000).unwrap()).unwrap()
}

fn groups(plan: &Plan, attribute: &str) -> Vec<UserSet> {
    plan.batches().filter(|batch| plan.attribute(batch.group).name == attribute).map(UserSet::from).collect()
}

#[test]
fn an_acknowledgement_shows_what_exists_and_says_nothing_of_others() {
    let plan = plan(2);
    let mut cities = groups(&plan, "city");
    let country = groups(&plan, "country").remove(0);
    let mut knowledge = Knowledge::new(false);
    let user = |users: &UserSet, nth| plan.user_number(users.group, users.places().nth(nth).unwrap());
    let (one, other) = (user(&cities[0], 0), user(&cities[0], 2));
    knowledge.add_offender(one, Offender::Unknown);
    knowledge.add_offender(other, Offender::Rejected);
    assert!(knowledge.has_offenders() && !knowledge.exists(one, &plan));

    let part = cities[0].split_front(2);
    knowledge.acknowledged(&part, 100, &plan);
    assert!(knowledge.proven && knowledge.address_exists);
    assert!(knowledge.exists(one, &plan) && !knowledge.exists(other, &plan));
    assert_eq!((knowledge.offender(one), knowledge.offender(other)), (None, Some(Offender::Rejected)));
    assert!(knowledge.is_accepted(part.group) && !knowledge.is_accepted(cities[1].group));
    assert_eq!(knowledge.rejected_of_attribute(cities[1].group, "no", &plan), 0);
    assert_eq!(knowledge.rejected_of_attribute(country.group, "no", &plan), 1);

    // A group that was accepted whole needs no memory: nothing of it is sent any more.
    knowledge.acknowledged(&country, 100, &plan);
    assert!(!knowledge.is_accepted(country.group));
    assert_eq!(knowledge.rejected_of_attribute(country.group, "no", &plan), 0);
    knowledge.acknowledged(&cities[0], 100, &plan);
    assert!(!knowledge.has_offenders() && knowledge.exists(other, &plan));
}

#[test]
fn acknowledged_users_are_kept_as_ranges_until_one_is_asked_for() {
    let plan = plan(4);
    let cities = groups(&plan, "city");
    let group = cities[0].group;
    let mut knowledge = Knowledge::new(true);
    for places in [vec![0], vec![1], vec![2]] {
        knowledge.acknowledged(&UserSet::of(group, places), 100, &plan);
    }
    let other = cities[1].group;
    for places in [vec![0], vec![2]] {
        knowledge.acknowledged(&UserSet::of(other, places), 100, &plan);
    }
    let batch = |group, first, len| Batch { group, first, len };
    assert_eq!(knowledge.existing.ranges, [batch(group, 0, 3), batch(other, 0, 1), batch(other, 2, 1)]);
    let exist = |knowledge: &mut Knowledge, group| {
        [0, 1, 2].map(|place| knowledge.exists(plan.user_number(group, place), &plan))
    };
    assert_eq!(exist(&mut knowledge, group), [true; 3]);
    assert_eq!(exist(&mut knowledge, other), [true, false, true]);
    knowledge.add_existing(plan.user_number(cities[2].group, 1));
    assert_eq!(exist(&mut knowledge, cities[2].group), [false, true, false]);
}

#[test]
fn a_rejected_value_or_attribute_is_accepted_again_once_an_answer_shows_it() {
    let plan = plan(2);
    let (cities, country) = (groups(&plan, "city"), groups(&plan, "country").remove(0));
    let mut knowledge = Knowledge::new(true);
    let [value, attribute] =
        ["value", "attribute"].map(|error| Reason { status: Some(400), error: error.into() });
    assert_eq!(knowledge.rejected_because(cities[0].group, &plan), None);
    knowledge.reject_group(cities[0].group, &value);
    assert_eq!(knowledge.rejected_because(cities[0].group, &plan), Some(&value));
    assert_eq!(knowledge.rejected_because(cities[1].group, &plan), None);
    knowledge.reject_attribute(cities[0].group, &attribute, &plan);
    assert_eq!(knowledge.rejected_because(cities[0].group, &plan), Some(&value));
    assert_eq!(knowledge.rejected_because(cities[1].group, &plan), Some(&attribute));
    assert_eq!(knowledge.rejected_because(country.group, &plan), None);
    knowledge.acknowledged(&cities[0], 100, &plan);
    assert!(cities.iter().all(|users| knowledge.rejected_because(users.group, &plan).is_none()));
}

#[test]
fn an_attribute_is_blamed_for_enough_groups_of_which_one_was_confirmed() {
    let plan = plan(12);
    let (cities, country) = (groups(&plan, "city"), groups(&plan, "country").remove(0));
    let mut knowledge = Knowledge::new(true);
    for (n, users) in cities[..GROUPS].iter().enumerate() {
        assert_eq!(knowledge.rejected_of_attribute(users.group, "no", &plan), n + 1);
        assert!(!knowledge.is_attribute_rejected(users.group, "no", &plan), "none was confirmed");
    }
    knowledge.rejected_of_attribute(cities[0].group, "other", &plan);
    for pattern in ["no", "other"] {
        knowledge.show_rejected(cities[0].group, pattern, &plan);
    }
    assert!(knowledge.is_attribute_rejected(cities[11].group, "no", &plan));
    assert!(!knowledge.is_attribute_rejected(cities[11].group, "other", &plan), "only one group");
    assert!(!knowledge.is_attribute_rejected(country.group, "no", &plan));
    knowledge.acknowledged(&country, 100, &plan);
    assert!(knowledge.is_attribute_rejected(cities[11].group, "no", &plan));
    knowledge.acknowledged(&cities[11], 100, &plan);
    assert!(!knowledge.is_attribute_rejected(cities[0].group, "no", &plan));
    assert_eq!(knowledge.rejected_of_attribute(cities[0].group, "no", &plan), 0);

    let mut knowledge = Knowledge::new(true);
    knowledge.add_known_attributes(&["city".to_owned()].into());
    assert_eq!(knowledge.rejected_of_attribute(cities[0].group, "no", &plan), 0, "the account has values");
    assert_eq!(knowledge.rejected_of_attribute(country.group, "no", &plan), 1);
}

#[test]
fn a_message_that_was_for_a_user_is_not_believed_to_be_for_a_value() {
    let mut knowledge = Knowledge::new(true);
    knowledge.confirm("no");
    assert!(knowledge.trusts("no") && !knowledge.trusts_value("no") && !knowledge.was_for_user("no"));
    knowledge.confirm_value("no");
    assert!(knowledge.trusts("no") && knowledge.trusts_value("no") && !knowledge.trusts_value("other"));
    knowledge.confirm_user("no");
    assert!(knowledge.trusts("no") && !knowledge.trusts_value("no") && knowledge.was_for_user("no"));
    knowledge.confirm_value("chance");
    knowledge.add_random_rejection("chance");
    assert!(!knowledge.trusts("chance") && !knowledge.trusts_value("chance"));
}

#[test]
fn causes_are_remembered_for_several_messages_and_not_for_any_number() {
    let mut knowledge = Knowledge::new(true);
    let messages: Vec<_> = (0..MOST_PATTERNS).map(|n| "no ".repeat(n)).collect();
    for message in &messages {
        knowledge.confirm(message);
    }
    assert!(messages.iter().all(|message| knowledge.trusts(message)));
    knowledge.confirm("one more");
    assert_eq!(knowledge.patterns.len(), 1);
    assert!(knowledge.trusts("one more"));
}

#[test]
fn users_who_were_rejected_alone_are_counted_for_each_group() {
    let mut knowledge = Knowledge::new(false);
    let counts = [(0, 2), (0, 3), (1, 4)].map(|(group, users)| knowledge.add_rejected_alone(group, users));
    assert_eq!(counts, [2, 5, 4]);
}

#[test]
fn words_are_trusted_once_a_cause_was_shown_and_never_after_chance() {
    let mut knowledge = Knowledge::new(false);
    assert!(!knowledge.trusts("no"));
    knowledge.confirm("no");
    assert!(knowledge.trusts("no") && !knowledge.rejects_at_random());
    knowledge.add_random_rejection("no");
    assert!(!knowledge.trusts("no") && knowledge.rejects_at_random());
}

#[test]
fn a_streak_is_of_groups_in_the_same_words_and_tests_of_the_account_become_rarer() {
    let mut knowledge = Knowledge::new(true);
    let reject = |knowledge: &mut Knowledge, group| knowledge.is_streak(group, "no", GROUPS);
    assert!((0..9).all(|group| !reject(&mut knowledge, group)));
    assert!(!reject(&mut knowledge, 8), "the same group again");
    assert!(reject(&mut knowledge, 9));
    knowledge.clear_streak();
    assert!((10..29).all(|group| !reject(&mut knowledge, group)) && reject(&mut knowledge, 29));
    let plan = plan(1);
    knowledge.acknowledged(&groups(&plan, "city")[0], 100, &plan);
    assert!((30..49).all(|group| !reject(&mut knowledge, group)) && reject(&mut knowledge, 49));
    assert!(!knowledge.is_streak(1, "other words", GROUPS));
}
