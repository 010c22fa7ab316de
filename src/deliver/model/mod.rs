//! The core against a model of a server, in virtual time: what each kind of server costs, and that nothing good fails.

mod attempts;
mod attributes;
mod conversations;
mod faulty_server;
mod random;
mod request_counts;

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use self::faulty_server::FaultyServer;
use super::core::{ApiCall, Core, StartedRequest};
use super::event::{Event, Outcome, Stop};
use super::limiter::LimitSignal;
use super::options::{Options, Rate};
use super::transport::{Reply, SendError};
use super::user_set::UserSet;
use crate::clock;
use crate::input::{Dictionary, Row, Sink as _};
use crate::plan::{Builder, OnConflict, Plan};

const LATENCY: Duration = Duration::from_millis(50);

fn body_length(plan: &Plan, users: &UserSet) -> usize {
    let mut body = Vec::new();
    plan.body_of(users.group, users.batches(), &mut body);
    body.len()
}

/// What came of a run.
struct Run {
    plan: Arc<Plan>,
    stop: Option<Stop>,
    requests: u64,
    took: Duration,
    /// By attribute and user.
    finished: BTreeMap<(String, u64), (Outcome, u32)>,
    carried: BTreeMap<(String, u64), u32>,
    applied: BTreeMap<(String, u64), String>,
    starts: Vec<Duration>,
    /// What was sent.
    calls: Vec<ApiCall>,
    /// Rows that were sent again to see whether the API or the account is well.
    sent_again: BTreeSet<(String, u64)>,
}

impl Run {
    fn extra(&self) -> i64 {
        i64::try_from(self.requests).unwrap() - i64::try_from(self.plan.requests()).unwrap()
    }

    fn failed(&self) -> BTreeSet<(String, u64)> {
        let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
        self.finished.iter().filter(|(_, (outcome, _))| failed(outcome)).map(|(row, _)| row.clone()).collect()
    }

    fn failed_users(&self) -> BTreeSet<u64> {
        self.failed().into_iter().map(|(_, user)| user).collect()
    }

    /// What was sent, in order.
    fn sent(&self) -> Vec<String> {
        self.calls.iter().map(|call| text(&self.plan, call)).collect()
    }
}

/// A request as text: the value and the users of an update, `Oslo 1-3 7`, or what is read, `GET 7`.
fn text(plan: &Plan, call: &ApiCall) -> String {
    let users = match call {
        ApiCall::Update(users) => users,
        ApiCall::User(user) => return format!("GET {user}"),
        ApiCall::Operation(_) => return "GET".to_owned(),
        ApiCall::Page(_) => return "page".to_owned(),
    };
    let value = plan.value(users.group).unwrap();
    let value: String = value.chars().take(12).collect();
    let ids: Vec<u64> = users.places().map(|place| plan.user_number(users.group, place)).collect();
    let ranges = ids.chunk_by(|one, next| one + 1 == *next).map(|ids| match ids {
        [one] => one.to_string(),
        ids => format!("{}-{}", ids[0], ids[ids.len() - 1]),
    });
    std::iter::once(value).chain(ranges).collect::<Vec<_>>().join(" ")
}

fn options() -> Options {
    Options {
        rate: Rate { requests: NonZeroU32::new(10).unwrap(), window: Duration::from_secs(1) },
        concurrency: NonZeroUsize::new(16).unwrap(),
        ..Options::default()
    }
}

/// Drives the core against a server, and checks what must hold of any run.
fn run(plan: &Arc<Plan>, options: &Options, server: &FaultyServer) -> Run {
    run_until(plan, options, server, 1, None)
}

fn run_until(
    plan: &Arc<Plan>,
    options: &Options,
    server: &FaultyServer,
    seed: u64,
    kill: Option<Duration>,
) -> Run {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut chance = StdRng::seed_from_u64(seed + 1);
    let begun = clock::monotonic_now();
    let mut core = Core::new(Arc::clone(plan), options, None);
    let mut now = begun;
    let interval = options.rate.window / options.rate.requests.get();
    let mut slot = now;
    // By the time of the answer.
    let mut in_flight: BTreeMap<(Instant, u64), (Result<Reply, SendError>, usize)> = BTreeMap::new();
    let mut run = Run {
        plan: Arc::clone(plan),
        stop: None,
        requests: 0,
        took: Duration::ZERO,
        finished: BTreeMap::new(),
        carried: BTreeMap::new(),
        applied: BTreeMap::new(),
        starts: Vec::new(),
        calls: Vec::new(),
        sent_again: BTreeSet::new(),
    };
    let mut addresses_begun = false;
    let row = |group: u32, place: u32| (plan.attribute(group).name.clone(), plan.user_number(group, place));
    loop {
        let at = now - begun;
        if let Some((gives_up, reason)) = core.outage().gives_up(options.max_outage)
            && now >= gives_up
        {
            let reason = reason.clone();
            core.stop_with(Stop::Outage { reason, after: options.max_outage });
        }
        if kill.is_some_and(|kill| at >= kill) {
            core.stop_with(Stop::Interrupted);
        }
        let stopping = core.stop().is_some();
        if stopping && in_flight.is_empty() {
            break;
        }
        let room = !stopping && in_flight.len() < options.concurrency.get();
        let decided = room && core.decide(now);
        if decided && now >= slot {
            let is_again = core.decided_is_check();
            // A request that shows how the API or the account is has no other beside it.
            let is_alone = is_again || core.outage().next_probe().is_some();
            assert!(in_flight.is_empty() || !is_alone, "seed {seed}: {core:?}");
            let StartedRequest { number, call, .. } = core.start(now).unwrap();
            run.requests += 1;
            run.starts.push(at);
            assert!(run.requests < 30_000, "no end: seed {seed} {server:?}");
            let scripted = server.scripted(|| text(plan, &call), || run.sent());
            let (answer, made) = scripted.unwrap_or_else(|| server.answer(plan, &call, at, &mut dice));
            let mut bytes = 0;
            if let ApiCall::Update(users) = &call {
                bytes = body_length(plan, users);
                let name = &plan.attribute(users.group).name;
                addresses_begun |= name == "email";
                for place in users.places() {
                    if is_again {
                        run.sent_again.insert(row(users.group, place));
                    }
                    assert!(
                        name == "email"
                            || !addresses_begun
                            || run.applied.contains_key(&row(users.group, place)),
                        "seed {seed}: {name} after e-mail addresses {server:?}"
                    );
                    *run.carried.entry(row(users.group, place)).or_default() += 1;
                    if made {
                        let value = plan.value(users.group).unwrap().into_owned();
                        run.applied.insert(row(users.group, place), value);
                    }
                }
            }
            run.calls.push(call);
            in_flight.insert((now + LATENCY.mul_f64(dice.random_range(0.5..1.5)), number), (answer, bytes));
            slot = now + interval;
        } else if !decided && !stopping && in_flight.is_empty() && core.is_done() {
            break;
        } else if stopping || core.stop().is_none() {
            let answer = in_flight.first_key_value().map(|((at, _), _)| *at);
            let start = decided.then_some(slot);
            let gives_up = core.outage().gives_up(options.max_outage).map(|(at, _)| at);
            let wake = if decided { None } else { core.wake() };
            let next = [answer, start, gives_up, wake].into_iter().flatten().filter(|at| *at > now).min();
            let next = next.into_iter().chain(kill.map(|kill| begun + kill).filter(|at| *at > now)).min();
            now = next.unwrap_or_else(|| panic!("nothing to wait for: {core:?}"));
            while let Some(entry) = in_flight.first_entry()
                && entry.key().0 <= now
            {
                let ((_, number), (answer, bytes)) = entry.remove_entry();
                let signal = core.answered(number, &answer, bytes, now, &mut chance);
                if let LimitSignal::Throttled { retry_after: pause } = signal {
                    slot = slot.max(now + pause.unwrap_or(Duration::from_secs(1)));
                }
            }
        }
        take(&mut core, &mut run, &row);
    }
    run.took = now - begun;
    run.stop = core.stop().cloned();
    core.finish();
    take(&mut core, &mut run, &row);
    check(&run);
    run
}

fn take(core: &mut Core, run: &mut Run, row: &impl Fn(u32, u32) -> (String, u64)) {
    for event in core.events().drain(..) {
        let Event::Finished { batch, outcome, attempts } = event else { continue };
        for place in batch.first..batch.first + batch.len {
            let row = row(batch.group, place);
            let before = run.finished.insert(row.clone(), (outcome.clone(), attempts));
            assert!(before.is_none(), "{row:?} is finished twice: {before:?}, {outcome:?}");
        }
    }
}

/// What must be true after any run: acknowledged rows were applied, the attempts are the requests that carried a row, rows
/// without an event were not sent, and a run that was not stopped has finished all rows.
fn check(run: &Run) {
    for (row, (outcome, attempts)) in &run.finished {
        let carried = run.carried.get(row).copied().unwrap_or_default();
        match outcome {
            Outcome::Acknowledged => assert!(run.applied.contains_key(row), "{row:?}"),
            Outcome::Failed(reason) => assert!(!reason.error.is_empty(), "{row:?}"),
            Outcome::Unsent(_) => assert!(run.stop.is_some() && *attempts > 0, "{row:?}"),
        }
        let again = if run.sent_again.contains(row) { u32::MAX } else { 0 };
        assert!(
            carried >= *attempts && carried - attempts <= again,
            "{row:?}: {attempts} of {carried}, {outcome:?}"
        );
    }
    if run.stop.is_none() {
        assert_eq!(run.finished.len() as u64, run.plan.rows());
    } else {
        let told = |row: &&(String, u64)| run.finished.contains_key(*row);
        let silent: Vec<_> = run.carried.keys().filter(|row| !told(row)).collect();
        assert!(silent.is_empty(), "sent, and nobody was told: {silent:?}");
    }
}

/// A plan of these (user, attribute, value).
pub(in crate::deliver) fn plan<S: AsRef<str>>(
    rows: impl IntoIterator<Item = (u64, &'static str, S)>,
) -> Arc<Plan> {
    plan_of(rows, 1000)
}

fn plan_of<S: AsRef<str>>(rows: impl IntoIterator<Item = (u64, &'static str, S)>, batch: u32) -> Arc<Plan> {
    let mut dictionary = Dictionary::new(&crate::input::ReadOptions::default());
    let mut builder = Builder::new(OnConflict::Last);
    for (user, attribute, value) in rows {
        let attribute = dictionary.attribute_id(attribute).unwrap();
        let value = dictionary.intern(attribute, value.as_ref());
        builder.accept(Row { user, attribute, value });
    }
    Arc::new(builder.finish(dictionary, NonZeroU32::new(batch).unwrap()).unwrap())
}

/// One value for users 1 to `users`.
fn one_group(users: u64) -> Arc<Plan> {
    plan((1..=users).map(|user| (user, "city", "Oslo")))
}

/// Groups of 1,000 users each, after one group in another attribute.
fn groups_of(groups: u64, users: u64) -> impl Iterator<Item = (u64, &'static str, String)> {
    (0..groups).flat_map(move |group| {
        (1..=users).map(move |user| (group * users + user, "city", format!("City {group}")))
    })
}

const ATTRIBUTES: [&str; 5] = ["city", "country", "region", "first_name", "last_name"];

/// One value in each of `count` attributes, for users 1 to `users`.
fn attributes(count: usize, users: u64) -> Arc<Plan> {
    plan(ATTRIBUTES[..count].iter().flat_map(|name| (1..=users).map(|user| (user, *name, "Oslo"))))
}
