//! What each kind of server costs, in requests.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::faulty_server::{FaultyServer, Naming, words};
use super::{ATTRIBUTES, attributes, groups_of, one_group, options, plan, plan_of, run, run_until};
use crate::deliver::event::Stop;
use crate::deliver::options::{Options, Rate};

#[test]
fn an_api_that_refuses_everything_stops_the_run_after_a_handful_of_requests() {
    let plan = plan(groups_of(1000, 1000));
    for status in [400, 402, 405, 407, 415, 422, 451] {
        for body in [r#"{"detail": "Account is frozen."}"#, "<html>no</html>", ""] {
            let server = FaultyServer { refuses_all: Some(words(status, body)), ..FaultyServer::default() };
            let run = run(&plan, &options(), &server);
            assert!(matches!(run.stop, Some(Stop::Refused(_))), "{status} {body}: {:?}", run.stop);
            assert!(run.requests <= 12, "{status} {body}: {}", run.requests);
            assert!(run.failed().is_empty());
        }
    }
    // Nor does it say who exists: a proxy answers instead.
    let frozen = words(400, r#"{"detail": "Account is frozen."}"#);
    let server = FaultyServer {
        bad_attributes: BTreeMap::from([("city".to_owned(), frozen)]),
        pages: 1.0,
        ..FaultyServer::default()
    };
    let run = run(&plan, &options(), &server);
    assert!(matches!(run.stop, Some(Stop::Refused(_))), "{:?}", run.stop);
    assert!(run.requests <= 12 + 5, "{}", run.requests);
    assert!(run.failed().is_empty());
}

#[test]
fn an_account_that_is_frozen_on_the_way_stops_the_run() {
    // One attribute works, the next 100 groups meet a frozen account: modelled as attributes that are all refused.
    let rows = groups_of(100, 50).chain((1..=50).map(|user| (user, "country", "PL".to_owned())));
    let plan = plan(rows);
    let frozen = words(400, r#"{"detail": "Account is frozen."}"#);
    let server = FaultyServer {
        bad_attributes: ATTRIBUTES.iter().map(|name| ((*name).to_owned(), frozen.clone())).collect(),
        ..FaultyServer::default()
    };
    let run = run(&plan, &options(), &server);
    assert!(matches!(run.stop, Some(Stop::Refused(_))), "{:?}", run.stop);
    assert!(run.requests <= 12 + 2, "{}", run.requests);
}

#[test]
fn updates_that_are_nowhere_stop_the_run_although_users_are_found() {
    for users in [1, 50] {
        let nowhere = words(404, r#"{"detail": "Not found."}"#);
        let world = FaultyServer {
            bad_attributes: ATTRIBUTES.iter().map(|name| ((*name).to_owned(), nowhere.clone())).collect(),
            ..FaultyServer::default()
        };
        let run = run(&plan(groups_of(300, users)), &options(), &world);
        assert!(matches!(run.stop, Some(Stop::Refused(_) | Stop::WrongAddress { .. })), "{:?}", run.stop);
        assert!(run.requests <= 90, "{users}: {}", run.requests);
    }
}

#[test]
fn a_refused_attribute_fails_alone() {
    for body in [r#"{"detail": "no"}"#, "", r#"{"attribute": ["No such attribute."]}"#] {
        for first in [true, false] {
            let good = (1..=3000).map(|user| (user, "country", "PL".to_owned()));
            let bad = groups_of(200, 30);
            let rows: Vec<_> = if first { bad.chain(good).collect() } else { good.chain(bad).collect() };
            let plan = plan(rows);
            let server = FaultyServer {
                bad_attributes: BTreeMap::from([("city".to_owned(), words(400, body))]),
                ..FaultyServer::default()
            };
            let run = run(&plan, &options(), &server);
            assert_eq!((&run.stop, run.failed().len()), (&None, 6000), "{body}");
            assert!(run.requests <= 3 + 40, "{body}: {}", run.requests);
        }
    }
}

#[test]
fn a_refused_value_fails_its_group_and_no_other() {
    for body in
        [r#"{"value": ["too long"]}"#, r#"{"detail": "no"}"#, "", r#"{"detail": "\"Oslo\" is not a city"}"#]
    {
        for batches in [1, 2, 10, 100] {
            for first in [true, false] {
                let bad = (1..=batches * 1000).map(|user| (user, "city", "Oslo"));
                let good = (200_001..=203_000).map(|user| (user, "country", "PL"));
                let more = (300_001..=303_000).map(|user| (user, "city", "Bergen"));
                let good = good.chain(more);
                let rows: Vec<_> = if first { bad.chain(good).collect() } else { good.chain(bad).collect() };
                let plan = plan(rows);
                let server = FaultyServer {
                    bad_values: BTreeMap::from([("Oslo".to_owned(), words(400, body))]),
                    ..FaultyServer::default()
                };
                let run = run(&plan, &options(), &server);
                assert_eq!(
                    (&run.stop, run.failed().len() as u64),
                    (&None, batches * 1000),
                    "{body} {batches} {first}"
                );
                // One more where nothing is said of the value.
                let most = if body.contains("value") || body.contains("Oslo") { 6 } else { 7 };
                assert!(run.extra() <= most, "{body} {batches} {first}: {}", run.extra());
            }
        }
    }
}

#[test]
fn unknown_users_who_are_named_cost_two_requests_and_one_for_each_further_attribute() {
    for naming in [Naming::All, Naming::Positions] {
        for count in [1, 2, 10, 499, 500, 501, 900, 999, 1000] {
            let unknown: BTreeSet<u64> = (1..=1000).filter(|user| user * 7919 % 1000 < count).collect();
            let server = FaultyServer { unknown: unknown.clone(), naming, ..FaultyServer::default() };
            let run_one = run(&one_group(1000), &options(), &server);
            assert_eq!(
                (&run_one.stop, run_one.failed_users()),
                (&None, unknown.clone()),
                "{naming:?} {count}"
            );
            assert!(run_one.extra() <= 2, "{naming:?} {count}: {}", run_one.extra());
            let run_five = run(&attributes(5, 1000), &options(), &server);
            assert_eq!(run_five.failed_users(), unknown);
            assert!(run_five.extra() <= 6, "{naming:?} {count}: {}", run_five.extra());
        }
    }
}

#[test]
fn unknown_users_who_are_named_ten_at_a_time_cost_a_tenth_of_a_request_each() {
    for (most, count) in [(10, 100), (10, 1000), (10, 505), (1, 40)] {
        let unknown: BTreeSet<u64> = (1..=1000).filter(|user| user * 7919 % 1000 < count).collect();
        let server =
            FaultyServer { unknown: unknown.clone(), naming: Naming::Some(most), ..FaultyServer::default() };
        let run = run(&one_group(1000), &options(), &server);
        assert_eq!((&run.stop, run.failed_users()), (&None, unknown));
        let bound = i64::try_from(count).unwrap() / i64::try_from(most).unwrap() + 2;
        assert!(run.extra() <= bound, "{most} {count}: {} of {bound}", run.extra());
    }
}

#[test]
fn unknown_users_whom_nobody_names_cost_a_logarithm_each() {
    let mut dice = StdRng::seed_from_u64(11);
    for naming in [Naming::Nobody, Naming::NotFound] {
        for count in [1, 2, 3, 5, 10, 50] {
            let (mut sum, rounds) = (0, 40);
            for _ in 0..rounds {
                let mut unknown = BTreeSet::new();
                while unknown.len() < count {
                    unknown.insert(dice.random_range(1..=1000));
                }
                let server = FaultyServer { unknown: unknown.clone(), naming, ..FaultyServer::default() };
                let run = run(&one_group(1000), &options(), &server);
                assert_eq!((&run.stop, run.failed_users()), (&None, unknown));
                sum += run.extra();
            }
            // Where it is 404 the address is asked first.
            let bound = i64::try_from(count).unwrap() * 11 + 1 + i64::from(naming == Naming::NotFound);
            assert!(sum <= bound * i64::from(rounds) * 11 / 10, "{naming:?} {count}: {sum}");
        }
    }
    let unknown: BTreeSet<u64> = (1..=50).map(|n| n * 19).collect();
    let server = FaultyServer { unknown: unknown.clone(), ..FaultyServer::default() };
    let one = run(&one_group(1000), &options(), &server);
    let five = run(&attributes(5, 1000), &options(), &server);
    assert_eq!(five.failed().len(), 250);
    assert!(five.extra() <= one.extra() + 4 * 50, "{} after {}", five.extra(), one.extra());
}

#[test]
fn a_batch_in_which_nobody_exists_says_nothing_of_the_value() {
    for naming in [Naming::Nobody, Naming::NotFound, Naming::All, Naming::Some(1)] {
        let server = FaultyServer { unknown: (1..=1000).collect(), naming, ..FaultyServer::default() };
        let run = run(&attributes(3, 3000), &options(), &server);
        assert_eq!((&run.stop, run.failed().len()), (&None, 3000), "{naming:?}");
        assert_eq!(run.failed_users(), (1..=1000).collect());
        assert!(run.extra() <= 1050, "{naming:?}: {}", run.extra());
    }
}

#[test]
fn a_wrong_address_costs_two_requests_and_the_right_one_is_never_taken_for_it() {
    let server = FaultyServer { wrong_address: true, ..FaultyServer::default() };
    let plan = groups_of(100, 10);
    let run = run(&self::plan(plan), &options(), &server);
    let Some(Stop::WrongAddress { reason, .. }) = &run.stop else { panic!("{:?}", run.stop) };
    assert_eq!((run.requests, reason.status), (2, Some(404)));
}

#[test]
fn a_user_who_makes_the_server_fail_fails_alone() {
    for (others, count) in [(true, 1), (true, 3), (false, 1)] {
        for user in [1, 2, 500, 777, 1000] {
            let mut rows: Vec<(u64, &str, String)> = Vec::new();
            for name in &ATTRIBUTES[..count] {
                rows.extend((1..=1000).map(|user| (user, *name, "Oslo".to_owned())));
            }
            if others {
                rows.extend((5001..=5500).map(|user| (user, "timezone", format!("zone {user}"))));
            }
            let plan = plan(rows);
            let server = FaultyServer { poison: BTreeSet::from([user]), ..FaultyServer::default() };
            let run = run(&plan, &options(), &server);
            assert_eq!((&run.stop, run.failed().len()), (&None, count), "{user} {others}");
            assert_eq!(run.failed_users(), BTreeSet::from([user]));
            // Alone, each attempt that is to count takes a request that shows the API at work.
            let bound = (16 * i64::try_from(count).unwrap()).max(22) + if others { 0 } else { 8 };
            assert!(run.extra() <= bound, "{user} {others} {count}: {}", run.extra());
        }
    }
}

#[test]
fn batches_that_the_server_chokes_on_at_the_end_are_no_outage() {
    for bad in [1, 2, 3, 5, 8, 10] {
        let good = groups_of(40, 50);
        let poison: BTreeSet<u64> = (1..=bad).map(|n| 100_000 + n * 10).collect();
        let rest = (1..=bad).flat_map(|n| {
            (0..10).map(move |user| (100_000 + n * 10 + user, "email", format!("{n}@x.example")))
        });
        let plan = plan(good.chain(rest));
        let server = FaultyServer { poison: poison.clone(), ..FaultyServer::default() };
        let run = run(&plan, &options(), &server);
        assert_eq!((&run.stop, run.failed_users()), (&None, poison), "{bad}");
    }
}

#[test]
fn unknown_users_fail_also_where_no_others_are_left() {
    for naming in [Naming::All, Naming::Positions, Naming::Nobody, Naming::NotFound] {
        for (users, proven, pages) in [(1, true, 0.0), (1, false, 0.3), (3, true, 0.3), (3, false, 0.0)] {
            // As on the second night, when all others are unchanged.
            let rows = groups_of(12, users).chain((1..=users).map(|user| (user, "country", "PL".to_owned())));
            let plan = plan(rows);
            let unknown = (0..=12 * users).collect();
            let server = FaultyServer { unknown, naming, pages, ..FaultyServer::default() };
            let run = run(&plan, &Options { proven, ..options() }, &server);
            let all = plan.rows();
            assert_eq!((&run.stop, run.failed().len() as u64), (&None, all), "{naming:?} {users} {proven}");
        }
    }
}

#[test]
fn no_other_row_is_sent_after_e_mail_addresses_to_check_the_account() {
    // Nothing was acknowledged, so that the check takes a row of the plan. The model looks at the order.
    let addresses = (3..=30).map(|user| (user, "email", format!("user{user}@example.com")));
    let plan = plan((1..=2).map(|user| (user, "city", "Oslo".to_owned())).chain(addresses));
    let server =
        FaultyServer { poison: [1, 2].into(), unknown: (3..=30).collect(), ..FaultyServer::default() };
    let run = run(&plan, &options(), &server);
    assert_eq!((&run.stop, run.failed().len()), (&None, 30));
}

#[test]
fn users_who_make_the_server_fail_do_not_hide_what_others_are_refused_for() {
    for proven in [true, false] {
        // The first row of another attribute, which is to show whether the account is refused, is such a user's.
        let rows = groups_of(12, 1).chain((20..24).map(|user| (user, "country", format!("C {user}"))));
        let plan = plan(rows);
        let server = FaultyServer {
            unknown: (1..=12).collect(),
            naming: Naming::Nobody,
            poison: (20..24).collect(),
            ..FaultyServer::default()
        };
        let run = run(&plan, &Options { proven, ..options() }, &server);
        assert_eq!((&run.stop, run.failed().len()), (&None, 16), "{proven}");
    }
}

#[test]
fn users_who_make_the_server_fail_fail_also_where_no_others_are_left() {
    for proven in [true, false] {
        let plan = plan(ATTRIBUTES.iter().flat_map(|name| [(7, *name, "a"), (9, *name, "b")]));
        let server = FaultyServer { poison: [7, 9].into(), ..FaultyServer::default() };
        let options = Options { proven, max_outage: Duration::from_mins(1), ..options() };
        let run = run(&plan, &options, &server);
        assert_eq!((&run.stop, run.failed().len()), (&None, 10), "{proven}");
    }
}

#[test]
fn many_users_who_make_the_server_fail_cost_a_few_requests_each_and_the_run_ends() {
    for (failing, others, statuses) in [
        (1..=60, 0, &[500][..]),
        (1..=60, 60, &[500]),
        (11..=70, 10, &[500, 502, 503]),
        (301..=360, 3000, &[500, 502, 503]),
    ] {
        for status in statuses.iter().copied() {
            let row = |user: u64, name| (user, name, format!("{user}"));
            let users = 1..=60 + others;
            let rows = ATTRIBUTES[..2].iter().flat_map(|name| users.clone().map(|user| row(user, *name)));
            let server = FaultyServer {
                poison: failing.clone().collect(),
                poison_status: status,
                ..FaultyServer::default()
            };
            // A run before this one got something acknowledged.
            let options = Options { proven: true, ..options() };
            let run = run(&plan(rows), &options, &server);
            assert_eq!((&run.stop, run.failed_users()), (&None, server.poison), "{status} {others}");
            assert!(run.extra() <= 16 * 120, "{status} {others}: {}", run.extra());
            assert!(run.took < Duration::from_hours(1), "{status} {others}: {:?}", run.took);
        }
    }
}

#[test]
fn one_bad_user_first_does_not_fail_the_group() {
    // Neither where a GET of a user says nothing, nor where the server fails for the user.
    let hidden = FaultyServer { unknown: [1].into(), shows_users: false, ..FaultyServer::default() };
    let poison = FaultyServer { poison: [1, 2].into(), ..FaultyServer::default() };
    for (server, bad) in
        [(hidden.clone(), 1), (FaultyServer { naming: Naming::NotFound, ..hidden }, 1), (poison, 2)]
    {
        for batch_size in [1, 2] {
            let rows = (1..=40).map(|user| (user, "city", "Oslo"));
            let rows = rows.chain((100..110).map(|user| (user, "country", "PL")));
            let run = run(&plan_of(rows, batch_size), &options(), &server);
            assert_eq!((&run.stop, run.failed().len()), (&None, bad), "{batch_size} {server:?}");
        }
    }
}

#[test]
fn a_limit_on_size_is_found_and_kept_to() {
    for most in [7, 100, 512] {
        for said in [true, false] {
            for groups in [1, 20] {
                let plan = plan(groups_of(groups, 1000));
                let server = FaultyServer { most_users: Some((most, said)), ..FaultyServer::default() };
                let run = run(&plan, &options(), &server);
                assert_eq!((&run.stop, run.failed().len()), (&None, 0), "{most} {said}");
                let at_limit =
                    i64::try_from(groups).unwrap() * i64::try_from(1000usize.div_ceil(most)).unwrap();
                // Where it isn't said, ten batches are refused before it is looked into.
                let bound = at_limit + if said { 40 } else { 80 };
                assert!(
                    i64::try_from(run.requests).unwrap() <= bound,
                    "{most} {said} {groups}: {} of {bound}",
                    run.requests
                );
            }
        }
    }
    for most in [4_000, 5_000, 7_777] {
        let plan = plan(groups_of(20, 1000));
        let server = FaultyServer { most_bytes: Some(most), ..FaultyServer::default() };
        let run = run(&plan, &options(), &server);
        assert_eq!((&run.stop, run.failed().len()), (&None, 0), "{most}");
        assert!(run.requests <= 20 * 3 + 40, "{most}: {}", run.requests);
    }
}

#[test]
fn one_413_for_one_value_leaves_the_others_alone() {
    for first in [true, false] {
        let rows = groups_of(20, 1000).chain([(1, "country", "XX".to_owned())]);
        let mut rows: Vec<_> = rows.collect();
        if first {
            rows.rotate_right(1);
        }
        let server = FaultyServer {
            bad_values: BTreeMap::from([("XX".to_owned(), words(413, ""))]),
            ..FaultyServer::default()
        };
        let run = run(&plan(rows), &options(), &server);
        assert_eq!((&run.stop, run.failed().len()), (&None, 1));
        assert!(run.extra() <= 3, "{}", run.extra());
    }
    let long = "x".repeat(100_000);
    let rows = (1..=100)
        .map(|user| (user, "city", long.clone()))
        .chain(groups_of(20, 100).map(|(user, _, value)| (user, "country", value)));
    let server = FaultyServer { most_bytes: Some(50_000), ..FaultyServer::default() };
    let run = run(&plan(rows), &options(), &server);
    assert_eq!((&run.stop, run.failed().len()), (&None, 100));
    assert!(run.extra() <= 3, "{}", run.extra());
}

#[test]
fn a_value_that_is_larger_than_a_limit_fails_once_the_limit_is_known() {
    let long = "x".repeat(5_000);
    let rows = groups_of(3, 1000).chain((1..=20).map(|user| (user, "country", long.clone())));
    let server = FaultyServer { most_bytes: Some(4_000), ..FaultyServer::default() };
    let run = run(&plan(rows), &options(), &server);
    assert_eq!(
        (&run.stop, run.failed()),
        (&None, (1..=20).map(|user| ("country".to_owned(), user)).collect())
    );
}

#[test]
fn refusals_by_chance_cost_about_a_request_each_and_fail_nobody() {
    for percent in [1, 2, 3] {
        let plan = plan(groups_of(1000, 20));
        let mut extra = 0;
        for seed in 0..5 {
            let server = FaultyServer { chance: f64::from(percent) / 100.0, ..FaultyServer::default() };
            let run = run_until(&plan, &options(), &server, seed, None);
            assert_eq!((&run.stop, run.failed().len()), (&None, 0), "{percent}% {seed}");
            extra += run.extra();
        }
        assert!(extra <= 250, "{percent}%: {extra} for 5,000 planned requests");
    }
}

#[test]
fn an_outage_costs_no_row_whatever_it_meets() {
    let mut dice = StdRng::seed_from_u64(5);
    for seed in 0..400 {
        let groups = dice.random_range(1..25);
        let plan = plan(groups_of(groups, dice.random_range(1..30)));
        let rates = [(30, 60), (1, 1), (10, 1), (50, 1)];
        let (requests, seconds) = rates[dice.random_range(0..rates.len())];
        let rate =
            Rate { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(seconds) };
        let options = Options {
            rate,
            concurrency: NonZeroUsize::new(dice.random_range(1..20)).unwrap(),
            max_attempts: NonZeroU32::new(dice.random_range(1..6)).unwrap(),
            max_outage: Duration::from_hours(1),
            ..options()
        };
        let all = (rate.window / requests) * u32::try_from(plan.requests()).unwrap();
        let from = all.mul_f64(dice.random_range(0.0..1.1));
        let length = Duration::from_secs(dice.random_range(1..600));
        let server = FaultyServer { outages: vec![(from, from + length)], ..FaultyServer::default() };
        let run = run_until(&plan, &options, &server, seed, None);
        assert_eq!((&run.stop, run.failed().len()), (&None, 0), "{seed}");
        assert!(run.extra() <= 120, "{seed}: {} extra", run.extra());
        let during = run.starts.iter().filter(|at| **at >= from && **at < from + length).count();
        assert!(during <= 90, "{seed}: {during} requests in an outage of {length:?}");
    }
}
