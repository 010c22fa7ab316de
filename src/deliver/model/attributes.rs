//! Attributes that are refused as a whole, and rows that are sent only to see whether the account is.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use super::faulty_server::{FaultyServer, Naming, words};
use super::{ATTRIBUTES, groups_of, options, plan, run, run_until};
use crate::deliver::event::Outcome;
use crate::deliver::options::{Options, Rate};

#[test]
fn an_attribute_that_is_refused_fails_no_other_that_waits_for_an_answer() {
    // Batches of the country wait until it is known why the first one was refused.
    for naming in [Naming::Nobody, Naming::NotFound] {
        let good = (1..=10).map(|user| (user, "region", "North"));
        let waiting = (1..=6_000).map(|user| (user, "country", "PL"));
        let refused = (1..=3_000).map(|user| (user, "city", "Oslo"));
        let server = FaultyServer {
            unknown: (1..=6_000).filter(|user| user % 1000 == 500).collect(),
            naming,
            bad_attributes: BTreeMap::from([(
                "city".to_owned(),
                words(400, r#"{"attribute": ["No such attribute."]}"#),
            )]),
            ..FaultyServer::default()
        };
        let rate = Rate { requests: NonZeroU32::new(1000).unwrap(), window: Duration::from_secs(1) };
        let run = run(&plan(good.chain(waiting).chain(refused)), &Options { rate, ..options() }, &server);
        let expected: BTreeSet<_> = (1..=3_000)
            .map(|user| ("city".to_owned(), user))
            .chain(server.unknown.iter().map(|user| ("country".to_owned(), *user)))
            .collect();
        assert_eq!((&run.stop, run.failed()), (&None, expected), "{naming:?}");
    }
}

#[test]
fn an_attribute_that_was_accepted_is_not_refused_for_one_of_its_values() {
    let server = FaultyServer {
        bad_values: BTreeMap::from([(
            "Rome".to_owned(),
            words(400, r#"{"attribute": ["No such attribute."]}"#),
        )]),
        ..FaultyServer::default()
    };
    let cities = [("Oslo", 0), ("Rome", 100), ("Lima", 200), ("Bonn", 300)];
    let rows =
        cities.into_iter().flat_map(|(city, first)| (1..=50).map(move |user| (first + user, "city", city)));
    let run = run(&plan(rows), &options(), &server);
    assert_eq!((&run.stop, run.failed_users()), (&None, (101..=150).collect()));
}

#[test]
fn a_row_that_only_showed_how_the_account_is_has_an_end_wherever_the_run_stops() {
    let mut ahead = 0;
    for (status, body) in [(400, r#"{"detail": "Account is frozen."}"#), (402, ""), (404, "")] {
        let server = FaultyServer {
            bad_attributes: ATTRIBUTES.iter().map(|name| ((*name).to_owned(), words(status, body))).collect(),
            ..FaultyServer::default()
        };
        for groups in 1..=30 {
            let rows = groups_of(groups, 2).chain((1..=2).map(|user| (user, "country", "PL".to_owned())));
            let run = run(&plan(rows), &options(), &server);
            assert!(run.applied.is_empty());
            let row = run.finished.get(&("country".to_owned(), 1));
            ahead += u32::from(matches!(row, Some((Outcome::Unsent(_), 1))));
        }
    }
    // The check sends a row of another attribute.
    assert!(ahead > 30, "{ahead}");

    // It shows that the account is well, and the row is sent again with its batch, unless the run ends before.
    let rows = groups_of(60, 5).chain((1..=20).map(|user| (user, "country", "PL".to_owned())));
    let plan = plan(rows);
    let server = FaultyServer {
        bad_attributes: BTreeMap::from([("city".to_owned(), words(400, r#"{"detail": "no"}"#))]),
        ..FaultyServer::default()
    };
    for tenths in 0..50 {
        run_until(&plan, &options(), &server, 1, Some(Duration::from_millis(100 * tenths)));
    }
}
