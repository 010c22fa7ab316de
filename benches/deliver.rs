//! What delivery costs beside a bare loop over the same HTTP client: CPU per request, throughput, and memory over a long
//! run. Both send the same bodies, with as many in flight, to the same server in another process, in turn.
//!
//! `cargo bench --bench deliver`, Linux alone (it reads `/proc`).

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for people, who see a panic as it is"
)]

use std::io::{BufRead as _, BufReader};
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use attrsync::clock;
use attrsync::deliver::{self, End, Event, Http, Options, Rate, Shutdown, Target};
use attrsync::input::{Dictionary, IdType, Row, Sink as _};
use attrsync::plan::{Builder, OnConflict, Plan};
use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

const IN_FLIGHT: usize = 32;
const REQUESTS: u64 = 10_000;
const USERS: u64 = 200;
const ROUNDS: usize = 5;
const LONG_RUN: u64 = 100_000;

fn main() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let target = Target {
        base_url: server.base_url.parse().unwrap(),
        token: "a".repeat(64).into(),
        id_type: IdType::Id,
    };
    let plan = plan(REQUESTS);
    let bodies: Vec<Bytes> = plan.batches().map(|batch| body(&plan, batch)).collect();
    let (mut cpu, mut speed) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        // Ours first: setting up its transport installs the TLS provider, which the bare client needs, too.
        let ours = measure(|| runtime.block_on(ours(&target, &plan)));
        let bare = measure(|| runtime.block_on(bare(&target, &bodies)));
        // The first round warms up.
        if round > 0 {
            println!("bare {bare:?}, ours {ours:?}");
            cpu.push(ours.cpu / bare.cpu);
            speed.push(bare.wall / ours.wall);
        }
    }
    println!("client CPU, times that of the bare loop: {:.2} (median of {ROUNDS})", median(&mut cpu));
    println!("throughput, times that of the bare loop: {:.2} (median of {ROUNDS})", median(&mut speed));

    let long = self::plan(LONG_RUN);
    let before = resident();
    runtime.block_on(ours(&target, &long));
    println!("memory before and after {LONG_RUN} requests: {before} and {} KiB", resident());
}

#[derive(Debug)]
struct Cost {
    /// Seconds.
    wall: f64,
    /// Seconds, of all threads.
    cpu: f64,
}

fn measure(work: impl FnOnce()) -> Cost {
    let (begun, cpu) = (clock::monotonic_now(), processor_time());
    work();
    Cost { wall: (clock::monotonic_now() - begun).as_secs_f64(), cpu: processor_time() - cpu }
}

fn median(ratios: &mut [f64]) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// This many groups of as many users.
fn plan(groups: u64) -> Arc<Plan> {
    let mut dictionary = Dictionary::new(&attrsync::input::ReadOptions::default());
    let mut builder = Builder::new(OnConflict::Last);
    let attribute = dictionary.attribute_id("city").unwrap();
    for group in 0..groups {
        let value = dictionary.intern(attribute, &format!("City {group}"));
        for user in 0..USERS {
            builder.accept(Row { user: 1_000_000 + group * USERS + user, attribute, value });
        }
    }
    Arc::new(builder.finish(dictionary, NonZeroU32::new(1000).unwrap()).expect("memory is enough"))
}

fn body(plan: &Plan, batch: attrsync::plan::Batch) -> Bytes {
    let mut body = Vec::new();
    plan.body(batch, &mut body);
    body.into()
}

async fn ours(target: &Target, plan: &Arc<Plan>) {
    let options = Options {
        rate: Rate { requests: NonZeroU32::new(Rate::MOST).unwrap(), window: Duration::from_secs(1) },
        concurrency: NonZeroUsize::new(IN_FLIGHT).unwrap(),
        ..Options::default()
    };
    let http = Http::new(target, options.timeout, options.concurrency).unwrap();
    let (_shutdown, shutdown_rx) = watch::channel(Shutdown::No);
    let (events, mut told) = mpsc::channel(4096);
    let listening = tokio::task::spawn_blocking(move || {
        let mut rows = 0;
        while let Some(event) = told.blocking_recv() {
            if let Event::Finished { batch, .. } = event {
                rows += u64::from(batch.len);
            }
        }
        rows
    });
    let chance = StdRng::seed_from_u64(1);
    let end = deliver::deliver(Arc::clone(plan), Arc::new(http), &options, shutdown_rx, events, chance).await;
    assert_eq!(end.map(|delivered| delivered.end), Ok(End::Complete));
    assert_eq!(listening.await.unwrap(), plan.rows());
}

async fn bare(target: &Target, bodies: &[Bytes]) {
    let client = reqwest::Client::builder().pool_max_idle_per_host(IN_FLIGHT).build().unwrap();
    let url = target.base_url.join("users/mass_update_standard_attributes/").unwrap();
    let key = format!("Token {}", "a".repeat(64));
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut requests = JoinSet::new();
    for body in bodies {
        let permit = Arc::clone(&in_flight).acquire_owned().await.unwrap();
        let request = client
            .put(url.clone())
            .header("Authorization", &key)
            .header("Content-Type", "application/json")
            .body(body.clone());
        requests.spawn(async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.bytes().await.unwrap();
            drop(permit);
        });
        while requests.try_join_next().is_some() {}
    }
    while let Some(done) = requests.join_next().await {
        done.unwrap();
    }
}

/// The sandbox, in a process of its own.
struct Server {
    child: Child,
    base_url: String,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_attrsync"))
            .args(["sandbox", "--listen", "127.0.0.1:0", "--rate", "1000000/s"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let base_url = line.split_whitespace().last().unwrap().to_owned();
        Self { child, base_url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// User and system time of this process, in seconds.
fn processor_time() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS_PER_SECOND
}

/// The memory that this process holds, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
