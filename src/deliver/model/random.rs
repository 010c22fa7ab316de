//! Random servers: mixtures of all that can be wrong with one, with kills.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::faulty_server::{FaultyServer, Naming, words};
use super::{ATTRIBUTES, options, plan_of, run_until};
use crate::deliver::event::Stop;
use crate::deliver::options::Options;

/// Random servers that are tried; `ATTRSYNC_RANDOM_SERVERS=3000 cargo test --lib random_servers` tries more.
const RANDOM_SERVERS: u64 = 300;

#[test]
fn random_servers_cost_no_good_row_and_few_requests() {
    let mut ratios = Vec::new();
    let count = option_env!("ATTRSYNC_RANDOM_SERVERS").map_or(RANDOM_SERVERS, |count| count.parse().unwrap());
    for seed in 0..count {
        let ratio = std::panic::catch_unwind(|| random_server(seed));
        ratios.push(ratio.unwrap_or_else(|_| panic!("seed {seed}")));
    }
    ratios.sort_by(f64::total_cmp);
    let at = |percent: usize| ratios[(ratios.len() - 1) * percent / 100];
    // Small plans in which much is wrong: an oracle that knows all of it sends few requests.
    assert!(at(50) <= 3.0 && at(90) <= 16.0, "{} in the middle, {} in nine of ten", at(50), at(90));
}

/// One random server, and the ratio of requests to those of an oracle.
fn random_server(seed: u64) -> f64 {
    let mut dice = StdRng::seed_from_u64(seed * 31 + 7);
    let users = dice.random_range(2..400_u64);
    let count = dice.random_range(1..=5);
    let values = dice.random_range(1..8);
    let names: Vec<String> = (0..values).map(|n| format!("value {n}")).collect();
    let share = dice.random_range(0.2..1.0);
    let mut rows = Vec::new();
    for name in &ATTRIBUTES[..count] {
        for user in 1..=users {
            if dice.random_bool(share) {
                rows.push((user, *name, names[dice.random_range(0..names.len())].clone()));
            }
        }
    }
    if rows.is_empty() {
        return 1.0;
    }
    let batch = dice.random_range(1..200);
    let mut server = FaultyServer { shows_users: dice.random_bool(0.8), ..FaultyServer::default() };
    let some = |dice: &mut StdRng, share: f64| -> BTreeSet<u64> {
        (1..=users).filter(|_| dice.random_bool(share)).collect()
    };
    if dice.random_bool(0.5) {
        let share = [0.005, 0.02, 0.3][dice.random_range(0..3)];
        server.unknown = some(&mut dice, share);
    }
    server.naming =
        [Naming::All, Naming::Some(1), Naming::Some(10), Naming::Positions, Naming::Nobody, Naming::NotFound]
            [dice.random_range(0..6)];
    if dice.random_bool(0.2) {
        server.poison_status = [500, 500, 502, 409][dice.random_range(0..4)];
        // If many users were refused with the same words, these would be of the value, as far as anyone can tell.
        let most = if server.poison_status == 409 { 2 } else { 4 };
        let share = [0.01, 0.01, 0.05, 0.1][dice.random_range(0..most)];
        server.poison = some(&mut dice, share);
    }
    let bodies = [r#"{"value": ["bad"]}"#, r#"{"detail": "no"}"#, "", "<html>403</html>"];
    if dice.random_bool(0.3) {
        let body = bodies[dice.random_range(0..bodies.len())];
        server.bad_values.insert(names[0].clone(), words([400, 422, 403][dice.random_range(0..3)], body));
    }
    if dice.random_bool(0.1) {
        let of_attribute = r#"{"attribute": ["bad"]}"#;
        let body = bodies.get(dice.random_range(0..=bodies.len())).copied().unwrap_or(of_attribute);
        server.bad_attributes.insert(ATTRIBUTES[0].to_owned(), words(400, body));
    }
    if dice.random_bool(0.2) {
        server.most_users = Some((dice.random_range(1..120), dice.random_bool(0.5)));
    }
    if dice.random_bool(0.15) {
        // A single user fits.
        server.most_bytes = Some(dice.random_range(150..1500));
    }
    if dice.random_bool(0.2) {
        server.chance = dice.random_range(0.0..0.03);
    }
    if dice.random_bool(0.2) {
        server.errors = dice.random_range(0.0..0.1);
    }
    if dice.random_bool(0.3) {
        let from = Duration::from_millis(dice.random_range(0..60_000));
        server.outages.push((from, from + Duration::from_secs(dice.random_range(1..200))));
    }
    let kill = dice.random_bool(0.2).then(|| Duration::from_millis(dice.random_range(0..60_000)));
    // Where errors come by chance, a row may run out of few attempts.
    let least = if server.errors > 0.0 { 6 } else { 1 };
    let options =
        Options { max_attempts: NonZeroU32::new(dice.random_range(least..7)).unwrap(), ..options() };
    // Each address is a request of its own, which may be refused twice by chance.
    if server.chance == 0.0 && dice.random_bool(0.2) {
        rows.extend((1..=users).map(|user| (user, "email", format!("user{user}@example.com"))));
    }
    let plan = plan_of(rows.iter().map(|(user, name, value)| (*user, *name, value.as_str())), batch);
    let run = run_until(&plan, &options, &server, seed, kill);
    let value_of: BTreeMap<(String, u64), &str> =
        rows.iter().map(|(user, name, value)| (((*name).to_owned(), *user), value.as_str())).collect();
    for (name, user) in run.failed() {
        let value = value_of[&(name.clone(), user)];
        assert!(
            !server.is_good(user, &name, value),
            "seed {seed}: {name} of {user} failed: {:?}\n{server:?}",
            run.finished[&(name.clone(), user)]
        );
    }
    // An API that accepted nothing and answers 502 is away, as far as anyone can tell.
    let is_away = matches!(run.stop, Some(Stop::Outage { .. })) && run.applied.is_empty();
    if kill.is_none() && !is_away {
        assert!(
            matches!(run.stop, None | Some(Stop::KeyRefused(_) | Stop::Refused(_))),
            "seed {seed}: {:?}\n{server:?}",
            run.stop
        );
    }
    let mut needed = 0;
    for batch in plan.batches() {
        let (name, value) = (&plan.attribute(batch.group).name, plan.value(batch.group).unwrap());
        let good = (batch.first..batch.first + batch.len)
            .filter(|place| server.is_good(plan.user_number(batch.group, *place), name, &value))
            .count();
        let by_number = server.most_users.map_or(usize::MAX, |(most, _)| most);
        // About four bytes a user, and a hundred for the rest.
        let by_bytes = server.most_bytes.map_or(usize::MAX, |most| (most - 100) / 4);
        needed += good.div_ceil(by_number.min(by_bytes));
    }
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let ratio = run.requests as f64 / needed.max(1) as f64;
    ratio
}
