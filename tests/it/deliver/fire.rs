//! Accounting under fire: whatever happens to the requests, what is reported of each row is true.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use attrsync::deliver::{Canary, Delivered, End, Options, Outcome, Rate, Stop};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::scripted::{Act, Asked, LATENCY, Script, lost, ok, status, throttled};
use super::{plan, run_until};

/// Schedules that are tried.
const SEEDS: u64 = 2000;

#[test]
fn fates_add_up_and_are_true_under_any_schedule() {
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| check(seed));
        assert!(result.is_ok(), "seed {seed}");
    }
}

fn check(seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let values: Vec<String> = (0..dice.random_range(1..6)).map(|n| format!("value {n}")).collect();
    let users = dice.random_range(1..120);
    let attributes = ["city", "region", "email", "user_id"];
    let rows: Vec<(u64, &str, &str)> = (1..=users)
        .flat_map(|user| attributes.map(|attribute| (user, attribute)))
        .filter_map(|(user, attribute)| {
            let value = &values[dice.random_range(0..values.len())];
            dice.random_bool(0.5).then_some((user, attribute, value.as_str()))
        })
        .collect();
    let plan = plan(rows.iter().copied(), dice.random_range(1..40));
    let requests = dice.random_range(1..200);
    let options = Options {
        rate: Rate { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(1) },
        concurrency: NonZeroUsize::new(dice.random_range(1..20)).unwrap(),
        max_attempts: NonZeroU32::new(dice.random_range(1..6)).unwrap(),
        max_outage: Duration::from_secs(dice.random_range(5..200)),
        timeout: Duration::from_secs(20),
        canary: Canary::choose(&plan, if dice.random_bool(0.3) { dice.random_range(0..9) } else { 0 }),
        max_duration: dice.random_bool(0.1).then(|| Duration::from_millis(dice.random_range(0..20_000))),
        ..Options::default()
    };
    let stop = dice
        .random_bool(0.15)
        .then(|| (Duration::from_millis(dice.random_range(0..20_000)), Stop::Interrupted));
    let run = run_until(&plan, &options, weather(&mut dice, users), stop);

    // Every row has one fate.
    let mut told = BTreeSet::new();
    let log = run.api.log();
    for (batch, outcome, attempts) in &run.settled {
        let attribute = plan.attribute(batch.group).name.clone();
        let value = plan.value(batch.group).unwrap();
        for user in plan.users(*batch) {
            let key = (attribute.clone(), user.to_string().parse::<u64>().unwrap());
            assert!(told.insert(key.clone()), "{key:?} is settled twice");
            match outcome {
                // What is acknowledged is held by the server.
                Outcome::Acknowledged => assert_eq!(log.applied[&key].0, value),
                // What failed was refused or lost at least once, or belongs to a value that was.
                Outcome::Failed(_) => assert!(*attempts == 0 || log.troubled.contains(&key), "{key:?}"),
                // Rows that no request carried are not told at all.
                Outcome::Unsent(_) => assert!(matches!(run.end, End::Stopped(_)) && *attempts > 0),
            }
        }
    }
    if run.end == End::Complete {
        assert_eq!(told.len() as u64, plan.rows(), "all are settled");
    }
    // The limiter was never exceeded.
    let most = requests as usize;
    for window in log.starts.windows(most + 1) {
        assert!(window[most] - window[0] > Duration::from_secs(1), "{} starts in a second", most + 1);
    }
    assert!(log.most_in_flight <= options.concurrency.get());
}

/// A server in a bad mood, of a kind that the dice decide.
fn weather(dice: &mut StdRng, users: u64) -> Script {
    let share = |dice: &mut StdRng| if dice.random_bool(0.5) { dice.random_range(0.0..0.4) } else { 0.0 };
    let (errors, breaks, throttles, odd) = (share(dice), share(dice), share(dice) / 4.0, share(dice) / 4.0);
    let poison: BTreeSet<u64> = (1..=users).filter(|_| dice.random_bool(0.02)).collect();
    let bad_value = dice.random_bool(0.3).then(|| "value 0".to_owned());
    let outage = dice.random_bool(0.3).then(|| {
        let from = Duration::from_millis(dice.random_range(0..10_000));
        (from, from + Duration::from_secs(dice.random_range(1..100)))
    });
    let key_dies = dice.random_bool(0.05).then(|| dice.random_range(0..50));
    let mut dice = StdRng::seed_from_u64(dice.random());
    Box::new(move |asked: &Asked| {
        let after = LATENCY.mul_f64(dice.random_range(0.1..20.0));
        let applied = dice.random_bool(0.5);
        if outage.is_some_and(|(from, to)| asked.at >= from && asked.at < to) {
            let delivered = if dice.random_bool(0.5) { Delivered::No } else { Delivered::Maybe };
            return if dice.random_bool(0.5) { lost(delivered) } else { status(503, "") };
        }
        if key_dies.is_some_and(|number| asked.number >= number) {
            return status(401, "");
        }
        if dice.random_bool(throttles) {
            return throttled(dice.random_range(0..3));
        }
        if bad_value.as_ref() == Some(&asked.value) || asked.ids.iter().any(|id| poison.contains(id)) {
            return Act { after, ..status([400, 404, 422][dice.random_range(0..3)], "") };
        }
        if dice.random_bool(errors) {
            return Act { after, applied, ..status([500, 502, 503, 408][dice.random_range(0..4)], "<html>") };
        }
        if dice.random_bool(breaks) {
            return Act { after, applied, ..lost(Delivered::Maybe) };
        }
        if dice.random_bool(odd) {
            return Act {
                after,
                applied,
                ..status(200, ["", "{", "<html>", r#"{"status":"no"}"#][dice.random_range(0..4)])
            };
        }
        Act { after, ..ok() }
    })
}
