//! Whom a refusal is for.

use std::collections::BTreeSet;
use std::time::Duration;

use attrsync::deliver::End;
use proptest::prelude::*;

use super::scripted::{Act, Asked, LATENCY, Script, ok, status};
use super::{one_city, options, plan, run};

/// Refuses requests that hold one of these users, without naming him.
fn refusing(poison: &BTreeSet<u64>, answer: fn(&[u64]) -> Act) -> Script {
    let poison = poison.clone();
    Box::new(move |asked| {
        let bad: Vec<u64> = asked.ids.iter().copied().filter(|id| poison.contains(id)).collect();
        if bad.is_empty() { ok() } else { answer(&bad) }
    })
}

fn unnamed(_: &[u64]) -> Act {
    status(400, r#"{"detail": "Bad request."}"#)
}

fn naming(bad: &[u64]) -> Act {
    let said: Vec<String> =
        bad.iter().map(|id| format!("Invalid pk \\\"{id}\\\" - object does not exist.")).collect();
    status(400, &format!(r#"{{"ids": ["{}"]}}"#, said.join(r#"", ""#)))
}

fn not_found(_: &[u64]) -> Act {
    status(404, r#"{"detail": "Not found."}"#)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn good_users_are_served_and_bad_ones_found(
        users in 5u64..3000,
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        batch_size in 5u32..1500,
        way in 0usize..3,
    ) {
        let poison: BTreeSet<u64> = picks.iter().map(|pick| pick.index(usize::try_from(users).unwrap()) as u64 + 1).collect();
        // Where the message doesn't tell, a value fails when the first and the last user of a batch are refused, and all
        // between them; of a small batch, the first two and the last two.
        let are_ends = |first: u64| {
            let last = users.min(first + u64::from(batch_size) - 1);
            let more = u64::from(last - first < 16);
            [first, first + more, last - more.min(last - first), last].iter().all(|user| poison.contains(user))
        };
        prop_assume!(way == 1 || poison.len() < 3 || !(1..=users).step_by(batch_size as usize).any(are_ends));
        let answer = [unnamed, naming, not_found][way];
        let run = run(&one_city(users, batch_size), &options(), refusing(&poison, answer));
        prop_assert_eq!(&run.end, &End::Complete);
        let failed: BTreeSet<u64> = run.failed().into_iter().collect();
        prop_assert_eq!(failed, poison);
        prop_assert_eq!(run.acknowledged().len() + run.failed().len(), usize::try_from(users).unwrap());
        let log = run.api.log();
        prop_assert!(log.applied.values().all(|(_, times)| *times == 1), "applied once");
        // Users whom the server names are refused together.
        let is_alone = |id: &u64| log.refused_alone.contains(&("city".to_owned(), *id));
        prop_assert!(way == 1 || run.failed().iter().all(is_alone));
    }
}

#[test]
fn a_value_that_is_refused_costs_a_handful_of_requests_for_its_whole_group() {
    for (body, most) in [
        (r#"{"value": ["too long"]}"#, 8),
        (r#"{"detail": "\"Oslo\" is no city"}"#, 8),
        (r#"{"detail": "no"}"#, 9),
    ] {
        let run = run(&one_city(100_000, 1000), &options(), Box::new(|_| status(400, body)));
        assert_eq!((run.end.clone(), run.failed().len()), (End::Complete, 100_000));
        // Two batches, and six to be sure, or seven if nothing is said of the value.
        assert!(run.sent.len() <= most, "{body}: {} requests", run.sent.len());
    }
}

#[test]
fn unknown_users_in_a_row_do_not_condemn_the_value() {
    for poison in [1..=2, 1..=3, 1..=40, 999..=1000, 1..=999] {
        let poison: BTreeSet<u64> = poison.collect();
        for answer in [unnamed, naming, not_found] {
            let run = run(&one_city(1000, 1000), &options(), refusing(&poison, answer));
            assert_eq!(run.end, End::Complete);
            assert_eq!(run.acknowledged().len(), 1000 - poison.len(), "{poison:?}");
        }
    }
}

#[test]
fn one_unknown_user_with_many_attributes_does_not_speak_of_the_address() {
    let mut rows = vec![(1, "city", "A"), (1, "country", "B"), (1, "region", "C"), (1, "timezone", "UTC")];
    rows.extend((2..100).map(|user| (user, "score", "5")));
    let run = run(&plan(rows, 1000), &options(), refusing(&BTreeSet::from([1]), not_found));
    assert_eq!((run.end.clone(), run.failed(), run.acknowledged().len()), (End::Complete, vec![1; 4], 98));
}

#[test]
fn users_who_are_all_unknown_fail() {
    let nobody = |asked: &Asked| if asked.ids.is_empty() { ok() } else { not_found(&[]) };
    let run = run(&one_city(2, 1000), &options(), Box::new(nobody));
    assert_eq!((run.end.clone(), run.failed()), (End::Complete, vec![1, 2]));
}

#[test]
fn a_refused_value_does_not_touch_other_groups() {
    let rows = (1..=4000).map(|user| (user, "city", if user % 2 == 0 { "Oslo" } else { "Bergen" }));
    let refuse = |asked: &Asked| if asked.value == "Oslo" { status(400, "no") } else { ok() };
    let run = run(&plan(rows, 100), &options(), Box::new(refuse));
    assert_eq!((run.end.clone(), run.failed().len(), run.acknowledged().len()), (End::Complete, 2000, 2000));
    assert!(run.sent.len() < 20 + 20 + 20, "{}", run.sent.len());
}

#[test]
fn two_users_who_are_refused_at_both_ends_of_a_batch_do_not_condemn_the_value() {
    for users in [3, 5, 1000] {
        let poison = BTreeSet::from([1, users]);
        let run = run(&one_city(users, 1000), &options(), refusing(&poison, unnamed));
        assert_eq!((run.end.clone(), run.failed()), (End::Complete, vec![1, users]));
        assert!(run.sent.len() <= 15, "{users}: {} requests", run.sent.len());
    }
}

#[test]
fn users_who_are_refused_at_both_ends_and_between_do_not_condemn_the_value() {
    for poison in [vec![1, 2, 5], vec![1, 3, 5], vec![1, 2, 4, 5], vec![1, 4, 5]] {
        for answer in [unnamed, not_found] {
            let poison: BTreeSet<u64> = poison.iter().copied().collect();
            let run = run(&one_city(5, 5), &options(), refusing(&poison, answer));
            assert_eq!((run.end.clone(), run.failed()), (End::Complete, poison.into_iter().collect()));
        }
    }
}

#[test]
fn one_user_in_the_last_batch_does_not_condemn_the_value() {
    let poison = BTreeSet::from([5, 1005, 2001]);
    let rows = [(3000, "city", "Bergen")].into_iter().chain((1..=2001).map(|user| (user, "city", "Oslo")));
    let mut answer = refusing(&poison, unnamed);
    let slow = move |asked: &Asked| {
        // The last batch is answered long before the others.
        let after = if asked.ids.len() > 1 { Duration::from_secs(2) } else { LATENCY };
        Act { after, ..answer(asked) }
    };
    let run = run(&plan(rows, 1000), &options(), Box::new(slow));
    assert_eq!((run.end.clone(), run.failed()), (End::Complete, poison.into_iter().collect()));
}

#[test]
fn users_that_the_server_names_cost_little() {
    let poison = BTreeSet::from([17, 400, 401, 999]);
    let run = run(&one_city(1000, 1000), &options(), refusing(&poison, naming));
    assert_eq!(run.failed(), poison.into_iter().collect::<Vec<_>>());
    assert!(run.sent.len() <= 10, "{}", run.sent.len());
}

#[test]
fn users_are_found_wherever_in_a_long_text_they_are_named_and_the_text_is_not_repeated_for_each() {
    fn at_length(bad: &[u64]) -> Act {
        let said: Vec<String> = bad.iter().map(|id| format!("no user {id}")).collect();
        status(400, &format!("{}{}", "who is this? ".repeat(4000), said.join(", ")))
    }
    let poison: BTreeSet<u64> = (301..=700).collect();
    let run = run(&one_city(1000, 1000), &options(), refusing(&poison, at_length));
    assert_eq!(run.failed(), poison.into_iter().collect::<Vec<_>>());
    assert!(run.sent.len() <= 1 + 400 + 2, "{}", run.sent.len());
    assert!(run.reasons().keys().all(|reason| reason.chars().count() < 600), "{:?}", run.reasons());
}

#[test]
fn a_body_that_is_too_large_teaches_all_later_batches() {
    let limit = |asked: &Asked| if asked.bytes > 3000 { status(413, "<html>too large</html>") } else { ok() };
    let run = run(&one_city(100_000, 1000), &options(), Box::new(limit));
    assert_eq!((run.end.clone(), run.acknowledged().len()), (End::Complete, 100_000));
    let log = run.api.log();
    let refused = run.sent.len() - log.sizes.iter().filter(|size| **size <= 500).count();
    // The limit is found to the length of an id.
    assert!(refused <= 20, "{refused} batches were too large");
    assert!(log.applied.values().all(|(_, times)| *times == 1));
}

#[test]
fn a_limit_of_ids_that_shows_as_a_plain_refusal_is_learnt() {
    let limit = |asked: &Asked| {
        if asked.ids.len() > 300 {
            status(400, r#"{"ids": ["Ensure this field has no more than 300 elements."]}"#)
        } else {
            ok()
        }
    };
    let run = run(&one_city(50_000, 1000), &options(), Box::new(limit));
    assert_eq!((run.end.clone(), run.acknowledged().len()), (End::Complete, 50_000));
    assert!(run.sent.len() < 50 * 4 + 8 * 8, "{}", run.sent.len());
}

#[test]
fn an_address_without_the_operation_stops_the_run_after_a_few_requests() {
    for (users, batch_size) in [(1000, 1000), (5000, 1000), (50, 1)] {
        let run = run(
            &one_city(users, batch_size),
            &options(),
            Box::new(|_| status(404, "<html>nothing here</html>")),
        );
        assert!(
            matches!(run.end, End::Stopped(attrsync::deliver::Stop::WrongAddress { .. })),
            "{:?}",
            run.end
        );
        assert!(run.sent.len() <= 5, "{}", run.sent.len());
        assert_eq!(run.acknowledged().len(), 0);
    }
}
