//! Torture: random rows, settings, faults, kills and restarts of the whole program, with what must hold after each
//! process. `cargo test` runs a few seeds. For hours:
//!
//! ```sh
//! TORTURE_MINUTES=120 TORTURE_SEED=1 cargo test --test torture -- --ignored --nocapture
//! ```
//!
//! A *life* is a process from its start to its end. A *world* is an account and a ledger with some commands, each of which
//! is repeated until it is done; it is made from a seed. Which process is hit at what moment also depends on the machine, so
//! that the same seed does the same things, but does not always find the same. What was broken is printed, and
//! the world's directory with all it wrote is kept.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
#![expect(clippy::disallowed_methods, reason = "these threads wait for processes, and measure them")]

mod account;
mod commands;
mod input;
mod life;
mod postgres;
mod rules;
mod screen;
mod server;
#[path = "../it/cli/signals.rs"]
mod signals;
mod weather;
mod world;

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Cluster;
use world::{Store, World};

/// The commands of a world before its final check.
const COMMANDS: u32 = 6;

#[test]
fn a_few_worlds_keep_every_promise() {
    let cluster = Cluster::start();
    thread::scope(|scope| {
        let files = scope.spawn(|| live(3, Store::File, 3));
        if let Some(cluster) = &cluster {
            live(4, Store::Postgres(cluster), 2).unwrap();
        } else {
            say("LEFT OUT: torture with PostgreSQL. Install postgresql, pgbouncer and openssl.");
        }
        files.join().unwrap().unwrap();
    });
}

#[test]
#[ignore = "runs for as long as TORTURE_MINUTES says"]
fn worlds_keep_every_promise_for_hours() {
    let minutes: u64 = variable("TORTURE_MINUTES").unwrap_or(10);
    let first: u64 = variable("TORTURE_SEED").unwrap_or(1);
    let workers: u64 = variable("TORTURE_WORKERS").unwrap_or(4);
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let (next, lives, broken) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for worker in 0..workers {
            // Every second worker has a database of its own, because it crashes at times.
            let (next, lives, broken) = (&next, &lives, &broken);
            scope.spawn(move || {
                let cluster = if worker % 2 == 1 { Cluster::start() } else { None };
                let store = cluster.as_ref().map_or(Store::File, Store::Postgres);
                while Instant::now() < until {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    match live(seed, store, COMMANDS) {
                        Ok(lived) => {
                            let all = lives.fetch_add(u64::from(lived), Ordering::SeqCst);
                            say(&format!("seed {seed}: {lived} lives, {} in all", all + u64::from(lived)));
                        }
                        Err(failed) => {
                            broken.fetch_add(1, Ordering::SeqCst);
                            say(&failed);
                        }
                    }
                }
            });
        }
    });
    let (worlds, lives, broken) = (next.into_inner() - first, lives.into_inner(), broken.into_inner());
    say(&format!("{worlds} worlds, {lives} lives, {broken} worlds with broken promises"));
    assert_eq!(broken, 0);
}

/// The number of lives, or what to tell.
fn live(seed: u64, store: Store<'_>, commands: u32) -> Result<u32, String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("torture-{}-{seed}", std::process::id()));
    let result = World::new(seed, store, place.clone()).run(commands);
    match result {
        Ok(lives) => {
            std::fs::remove_dir_all(&place).unwrap();
            Ok(lives)
        }
        Err(broken) => {
            let some: Vec<String> = broken.into_iter().take(10).collect();
            Err(format!("seed {seed} broke a promise, see {}:\n{}", place.display(), some.join("\n")))
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Also where the test passes: what macros print is not shown then.
fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}
