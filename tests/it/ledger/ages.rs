//! What is believed of values by their age.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;

use attrsync::input::Attribute;
use attrsync::ledger::{KnownAttribute, LedgerError, LedgerLocation, LedgerReader, SkipScope};
use attrsync::plan::Compare;

use super::place::{Store, in_each_store};
use super::pulls::{account, compact, pull_all, run};
use super::world::{all_facts, at, plan, row, target, tight};

/// The cities that are believed, of users 1 and 2.
fn believed(path: &LedgerLocation, since: i64) -> BTreeSet<String> {
    let reader = LedgerReader::open(path).unwrap();
    let of_city = |city: &str| {
        let plan = plan(&[row(1, "city", city), row(2, "city", city)], 3);
        let content = plan.fingerprint();
        let known = reader.known_values(&target(), &content, SkipScope::EveryRun, Compare::No, None).unwrap();
        let known = known.not_before(Some(at(since))).unwrap();
        let of = |attribute: &Attribute| Ok::<_, LedgerError>(known.of(&attribute.name));
        let (left, _, _) = plan.skip_known(&tight(), Compare::No, of, KnownAttribute::replay).unwrap();
        let left = all_facts(&left);
        let is_left = |user: &&str| left.contains_key(&("city".to_owned(), (*user).to_owned()));
        ["1", "2"]
            .into_iter()
            .filter(|user| !is_left(user))
            .map(|user| format!("{user} {city}"))
            .collect::<Vec<_>>()
    };
    ["Oslo", "Rome", "Lima", "Bern"].into_iter().flat_map(of_city).collect()
}

fn a_value_is_believed_as_long_as_it_is_young_enough(store: Store) {
    let place = store.place();
    let path = place.location();
    let mut account = account(1..=2);
    let check = |since: i64, expected: &[&str]| {
        let expected = expected.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(believed(path, since), expected, "since {since}");
    };
    run(path, &[row(1, "city", "Oslo"), row(2, "city", "Rome")], &mut account, 10);
    for merged in [false, true] {
        check(5, &["1 Oslo", "2 Rome"]);
        check(10, &["1 Oslo", "2 Rome"]);
        check(15, &[]);
        if !merged {
            compact(path, 0, 11);
        }
    }
    run(path, &[row(1, "city", "Lima")], &mut account, 20);
    compact(path, 0, 21);
    check(5, &["1 Lima", "2 Rome"]);
    check(15, &["1 Lima"]);
    check(25, &[]);

    // Someone changes a value, and the account is read.
    account.values.insert(("city".to_owned(), 2), "Bern".to_owned());
    pull_all(path, &account, 30);
    for _ in 0..2 {
        check(5, &["1 Lima", "2 Bern"]);
        check(25, &["1 Lima", "2 Bern"]);
        check(35, &[]);
        compact(path, 0, 31);
    }
    run(path, &[row(2, "city", "Oslo")], &mut account, 40);
    compact(path, 0, 41);
    check(25, &["1 Lima", "2 Oslo"]);
    check(35, &["2 Oslo"]);
    check(45, &[]);

    // The dates of what was sent are forgotten, but not that of the reading.
    compact(path, 1000, 1000);
    check(35, &[]);
    check(25, &["1 Lima"]);
}

in_each_store! {
    a_value_is_believed_as_long_as_it_is_young_enough,
}
