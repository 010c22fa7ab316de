//! Delivery against a server that the tests make up, in paused time.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![expect(clippy::unchecked_time_subtraction, reason = "times since the start of a test, in order")]

mod canary;
mod day;
mod fire;
mod pace;
mod pages;
mod refusals;
mod scripted;
mod stops;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use attrsync::deliver::{
    self, Delivery, End, Event, Options, Outcome, Purpose, Rate, Shutdown, Stop, Verified,
};
use attrsync::input::{Dictionary, Row, Sink as _};
use attrsync::plan::{Batch, Builder, OnConflict, Plan};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};

use scripted::{Api, Script};

/// A plan of these (user, attribute, value).
pub(crate) fn plan<'a>(
    rows: impl IntoIterator<Item = (u64, &'a str, &'a str)>,
    batch_size: u32,
) -> Arc<Plan> {
    let mut dictionary = Dictionary::new(&attrsync::input::ReadOptions::default());
    let mut builder = Builder::new(OnConflict::Last);
    for (user, attribute, value) in rows {
        let attribute = dictionary.attribute_id(attribute).unwrap();
        let value = dictionary.intern(attribute, value);
        builder.accept(Row { user, attribute, value });
    }
    Arc::new(builder.finish(dictionary, NonZeroU32::new(batch_size).unwrap()).unwrap())
}

/// A plan of one group: users from 1 on, all in one city.
fn one_city(users: u64, batch_size: u32) -> Arc<Plan> {
    plan((1..=users).map(|user| (user, "city", "Oslo")), batch_size)
}

/// A plan of many groups of one user each.
fn many_cities(users: u64) -> Arc<Plan> {
    let cities: Vec<String> = (1..=users).map(|user| format!("City {user}")).collect();
    plan((1..=users).map(|user| (user, "city", cities[usize::try_from(user).unwrap() - 1].as_str())), 1000)
}

/// Fast enough not to matter.
fn options() -> Options {
    Options {
        rate: Rate { requests: NonZeroU32::new(1000).unwrap(), window: Duration::from_secs(1) },
        concurrency: NonZeroUsize::new(8).unwrap(),
        ..Options::default()
    }
}

/// What came of a delivery.
struct Run {
    plan: Arc<Plan>,
    end: End,
    verified: Option<Verified>,
    settled: Vec<(Batch, Outcome, u32)>,
    sent: Vec<Purpose>,
    took: Duration,
    api: Arc<Api>,
}

impl Run {
    /// The users of a fate, by group and place, with its reason.
    fn users(&self, fate: fn(&Outcome) -> bool) -> Vec<u64> {
        let mut users: Vec<u64> = self
            .settled
            .iter()
            .filter(|(_, outcome, _)| fate(outcome))
            .flat_map(|(batch, ..)| {
                self.plan.users(*batch).map(|user| user.to_string().parse::<u64>().unwrap())
            })
            .collect();
        users.sort_unstable();
        users
    }

    fn acknowledged(&self) -> Vec<u64> {
        self.users(|outcome| matches!(outcome, Outcome::Acknowledged))
    }

    fn failed(&self) -> Vec<u64> {
        self.users(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for (_, outcome, _) in &self.settled {
            if let Outcome::Failed(reason) | Outcome::Unsent(reason) = outcome {
                *reasons.entry(reason.error.clone()).or_default() += 1;
            }
        }
        reasons
    }
}

/// Delivers a plan to a made-up server, in paused time.
fn run(plan: &Arc<Plan>, options: &Options, script: Script) -> Run {
    run_until(plan, options, script, None)
}

/// The same, stopped after a time.
fn run_until(plan: &Arc<Plan>, options: &Options, script: Script, stop: Option<(Duration, Stop)>) -> Run {
    run_in_paused_time(plan, || options.clone(), script, stop)
}

/// The same with options that are made once the time is paused.
fn run_with(plan: &Arc<Plan>, options: impl FnOnce() -> Options, script: Script) -> Run {
    run_in_paused_time(plan, options, script, None)
}

fn run_in_paused_time(
    plan: &Arc<Plan>,
    options: impl FnOnce() -> Options,
    script: Script,
    stop: Option<(Duration, Stop)>,
) -> Run {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let begun = attrsync::clock::monotonic_now();
        let api = Arc::new(Api::new(script, begun));
        let (events, mut told) = mpsc::channel(64);
        let (shutdown, shutdown_rx) = watch::channel(Shutdown::No);
        let orderly = tokio::spawn(async move {
            if let Some((after, stop)) = stop {
                tokio::time::sleep(after).await;
                shutdown.send(Shutdown::Graceful(stop)).ok();
            }
            std::future::pending::<()>().await;
        });
        let (chance, options) = (StdRng::seed_from_u64(1), options());
        let delivery =
            deliver::deliver(Arc::clone(plan), Arc::clone(&api), &options, shutdown_rx, events, chance);
        let listening = async {
            let (mut settled, mut sent) = (Vec::new(), Vec::new());
            while let Some(event) = told.recv().await {
                match event {
                    Event::Finished { batch, outcome, attempts } => settled.push((batch, outcome, attempts)),
                    Event::Sent { purpose, .. } => sent.push(purpose),
                    Event::Answered { .. } | Event::Status(_) => {}
                }
            }
            (settled, sent)
        };
        let (end, (settled, sent)) = tokio::join!(delivery, listening);
        orderly.abort();
        let took = attrsync::clock::monotonic_now() - begun;
        let Delivery { end, verified } = end.unwrap();
        Run { plan: Arc::clone(plan), end, verified, settled, sent, took, api }
    })
}
