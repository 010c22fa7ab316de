//! The limiter against models of servers and networks, in virtual time: what is refused, and how long it takes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::*;

const MILLI: Duration = Duration::from_millis(1);

/// How a server counts, at the arrival of each request.
#[derive(Clone, Copy, Debug)]
enum Counting {
    /// Django REST framework: the accepted ones in a sliding window; `retry-after` in whole seconds.
    Sliding,
    /// The ones in a window of the clock.
    Fixed,
    /// nginx's `limit_req`: a bucket that leaks a request an interval, and holds this many more.
    Leaky { burst: u32 },
}

struct Server {
    counting: Counting,
    rate: Rate,
    accepted: VecDeque<Instant>,
    /// nginx's excess, in thousandths of a request.
    excess: f64,
    last: Instant,
    begun: Instant,
}

impl Server {
    fn new(counting: Counting, rate: Rate) -> Self {
        Self {
            counting,
            rate,
            accepted: VecDeque::new(),
            excess: 0.0,
            last: clock::monotonic_now(),
            begun: clock::monotonic_now(),
        }
    }

    fn arrives(&mut self, at: Instant) -> LimitSignal {
        let Rate { requests, window } = self.rate;
        match self.counting {
            Counting::Sliding | Counting::Fixed => {
                let start = match self.counting {
                    Counting::Fixed => {
                        let into = (at - self.begun).as_nanos();
                        at - Duration::from_nanos(u64::try_from(into % window.as_nanos()).unwrap())
                    }
                    _ => at.checked_sub(window).unwrap_or(at),
                };
                self.accepted.retain(|accepted| *accepted > start);
                if self.accepted.len() < requests.get() as usize {
                    self.accepted.push_back(at);
                    return LimitSignal::Served;
                }
                let left = self.accepted[0] + window - at;
                LimitSignal::Throttled {
                    retry_after: Some(Duration::from_secs_f64(left.as_secs_f64().ceil())),
                }
            }
            Counting::Leaky { burst } => {
                let per_second = f64::from(requests.get()) / window.as_secs_f64();
                let passed = (at - self.last).as_secs_f64();
                let first = self.accepted.is_empty();
                let excess = (self.excess - 1000.0 * per_second * passed).max(-1000.0) + 1000.0;
                let excess = if first { 0.0 } else { excess.max(0.0) };
                if excess > 1000.0 * f64::from(burst) {
                    return LimitSignal::Throttled { retry_after: None };
                }
                self.accepted = [at].into();
                (self.excess, self.last) = (excess, at);
                LimitSignal::Served
            }
        }
    }
}

/// What lies between the programs and the server.
#[derive(Clone, Copy, Debug)]
struct Network {
    round_trip: Duration,
    /// The most that a request is delayed beyond that on its way up, and the answer on its way down.
    jitter: Duration,
    /// Round trips before a connection is there.
    handshakes: u32,
    /// One connection carries all requests (HTTP/2).
    shared: bool,
    /// The first request takes this much longer before it counts.
    cold: Duration,
    /// How long the server works on each, at least and at most.
    work: (Duration, Duration),
}

const NEAR: Network = Network {
    round_trip: Duration::ZERO,
    jitter: Duration::ZERO,
    handshakes: 2,
    shared: true,
    cold: Duration::ZERO,
    work: (Duration::from_millis(5), Duration::from_millis(5)),
};

/// What came of it.
#[derive(Clone, Debug, Default)]
struct Simulated {
    refused: usize,
    /// When each program had its last answer, since the start.
    took: Vec<Duration>,
}

struct World {
    network: Network,
    server: Mutex<(Server, bool)>,
    chance: Mutex<StdRng>,
}

impl World {
    fn between(&self, (least, most): (Duration, Duration)) -> Duration {
        let share: f64 = self.chance.lock().unwrap().random();
        least + most.saturating_sub(least).mul_f64(share)
    }
}

/// Connections of one program, as hyper pools them: a request opens one when none is idle, and takes what comes first.
#[derive(Clone)]
struct Pool {
    idle: Arc<Semaphore>,
    opening: Arc<Mutex<bool>>,
}

async fn request(world: Arc<World>, pool: Pool) -> (LimitSignal, Duration) {
    let network = world.network;
    let begun = clock::monotonic_now();
    let opened = Arc::new(Mutex::new(None));
    let connection = if let Ok(connection) = Arc::clone(&pool.idle).try_acquire_owned() {
        connection
    } else {
        let may_open = !network.shared || !std::mem::replace(&mut *pool.opening.lock().unwrap(), true);
        let (idle, when) = (Arc::clone(&pool.idle), Arc::clone(&opened));
        if may_open {
            *opened.lock().unwrap() = Some(Duration::MAX);
            tokio::spawn(async move {
                sleep(network.round_trip * network.handshakes).await;
                *when.lock().unwrap() = Some(clock::monotonic_now() - begun);
                idle.add_permits(if network.shared { 1000 } else { 1 });
            });
        }
        Arc::clone(&pool.idle).acquire_owned().await.unwrap()
    };
    let up = network.round_trip / 2 + world.between((Duration::ZERO, network.jitter));
    sleep(up).await;
    let work = world.between(network.work);
    let cold = !std::mem::replace(&mut world.server.lock().unwrap().1, true);
    // A front counts before the application wakes up, the application when it has.
    let front = matches!(world.server.lock().unwrap().0.counting, Counting::Leaky { .. });
    let early = front.then(|| world.server.lock().unwrap().0.arrives(clock::monotonic_now()));
    if cold {
        sleep(network.cold).await;
    }
    let signal = early.unwrap_or_else(|| world.server.lock().unwrap().0.arrives(clock::monotonic_now()));
    let work = if signal == LimitSignal::Served { work } else { MILLI };
    sleep(work + network.round_trip / 2 + world.between((Duration::ZERO, network.jitter))).await;
    drop(connection);
    let waited = opened.lock().unwrap().unwrap_or_default();
    (signal, waited.min(clock::monotonic_now() - begun))
}

/// A program that sends this number of requests, as delivery does: the first one alone.
async fn program(world: Arc<World>, rate: Rate, requests: usize) -> (usize, Instant) {
    const CONCURRENCY: usize = 16;
    let pool = Pool { idle: Arc::new(Semaphore::new(0)), opening: Arc::default() };
    let mut limiter = Limiter::new(rate);
    let (mut left, mut refused, mut proven) = (requests, 0, false);
    let mut in_flight: JoinSet<(Instant, (LimitSignal, Duration))> = JoinSet::new();
    while left > 0 || !in_flight.is_empty() {
        let most = if proven { CONCURRENCY } else { 1 };
        tokio::select! {
            biased;
            Some(answered) = in_flight.join_next() => {
                let (start, (signal, connecting)) = answered.unwrap();
                limiter.answered(start, connecting, clock::monotonic_now(), signal);
                if signal == LimitSignal::Served {
                    proven = true;
                } else {
                    refused += 1;
                    left += 1;
                }
            }
            () = limiter.permit(), if left > 0 && in_flight.len() < most => {
                let start = clock::monotonic_now();
                limiter.started(start);
                left -= 1;
                let (world, pool) = (Arc::clone(&world), pool.clone());
                in_flight.spawn(async move { (start, request(world, pool).await) });
            }
        }
    }
    (refused, clock::monotonic_now())
}

fn rate(requests: u32, seconds: u64) -> Rate {
    Rate { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(seconds) }
}

/// Runs several programs against one server, each with the whole rate, and starts them a little apart.
fn simulate(counting: Counting, network: Network, rate: Rate, programs: &[usize], seed: u64) -> Simulated {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let begin = clock::monotonic_now();
        let world = Arc::new(World {
            network,
            server: Mutex::new((Server::new(counting, rate), false)),
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
        });
        let mut running = JoinSet::new();
        for (number, requests) in programs.iter().copied().enumerate() {
            let world = Arc::clone(&world);
            running.spawn(async move {
                sleep_until(begin + 137 * MILLI * u32::try_from(number).unwrap()).await;
                (number, program(world, rate, requests).await)
            });
        }
        let mut ends: Vec<_> = running.join_all().await;
        ends.sort_unstable_by_key(|(number, _)| *number);
        let refused = ends.iter().map(|(_, (refused, _))| refused).sum();
        Simulated { refused, took: ends.iter().map(|(_, (_, end))| *end - begin).collect() }
    })
}

/// Ten a second, of 300 requests: the most that were refused, and the longest that it took, compared with the rate and the
/// handshakes, of several runs.
fn worst(counting: Counting, network: Network) -> (usize, f64) {
    let runs: Vec<_> = (0..4).map(|seed| simulate(counting, network, rate(10, 1), &[300], seed)).collect();
    let ideal = Duration::from_secs(30) + network.round_trip * network.handshakes;
    let took = runs.iter().flat_map(|run| &run.took).max().unwrap();
    (runs.iter().map(|run| run.refused).max().unwrap(), took.div_duration_f64(ideal))
}

fn network(round_trip: u32, jitter: u32, shared: bool) -> Network {
    Network { round_trip: MILLI * round_trip, jitter: MILLI * jitter, cold: MILLI * 110, shared, ..NEAR }
}

const ROUND_TRIPS: [u32; 5] = [0, 20, 60, 100, 150];

#[test]
fn none_is_refused_at_any_round_trip_whatever_the_network_delays() {
    for counting in [Counting::Sliding, Counting::Fixed, Counting::Leaky { burst: 10 }] {
        for (round_trip, jitter) in ROUND_TRIPS.iter().flat_map(|trip| [0, 30].map(|jitter| (*trip, jitter)))
        {
            let (refused, took) = worst(counting, network(round_trip, jitter, true));
            assert_eq!(refused, 0, "{counting:?} {round_trip} {jitter}");
            assert!(took <= 1.05, "{counting:?} {round_trip} {jitter}: {took}");
        }
    }
}

#[test]
fn connections_that_are_opened_on_the_way_cost_little() {
    for (round_trip, jitter) in ROUND_TRIPS.iter().flat_map(|trip| [0, 30].map(|jitter| (*trip, jitter))) {
        let (refused, took) = worst(Counting::Sliding, network(round_trip, jitter, false));
        assert!(refused <= usize::from(round_trip >= 100), "{round_trip} {jitter}: {refused}");
        assert!(took <= if round_trip >= 100 { 1.09 } else { 1.05 }, "{round_trip} {jitter}: {took}");
    }
}

#[test]
fn a_bucket_that_holds_no_more_than_one_is_met_where_the_network_is_even() {
    for round_trip in ROUND_TRIPS {
        let (refused, took) = worst(Counting::Leaky { burst: 0 }, network(round_trip, 0, true));
        assert_eq!(refused, 0, "{round_trip}");
        assert!(took <= 1.05, "{round_trip}: {took}");
        // It refuses whatever comes a millisecond too early: the pace is found.
        let (refused, took) = worst(Counting::Leaky { burst: 0 }, network(round_trip, 30, true));
        assert!(refused <= 10 && took <= 2.3, "{round_trip}: {refused}, {took}");
    }
}

#[test]
fn more_jitter_than_there_is_headroom_for_costs_a_few_pauses() {
    for (round_trip, jitter) in ROUND_TRIPS.iter().flat_map(|trip| [60, 100].map(|jitter| (*trip, jitter))) {
        let (refused, took) = worst(Counting::Sliding, network(round_trip, jitter, true));
        assert!(refused <= 5 && took <= 1.3, "{round_trip} {jitter}: {refused}, {took}");
    }
}

#[test]
fn the_servers_own_work_is_not_taken_for_lateness() {
    let network = Network { work: (MILLI * 50, MILLI * 500), ..network(40, 10, true) };
    let (refused, took) = worst(Counting::Sliding, network);
    assert_eq!(refused, 0);
    assert!(took <= 1.05 + 0.5 / 30.0, "{took}");
}

#[test]
fn programs_with_one_key_share_its_limit() {
    let network = Network { round_trip: MILLI * 40, jitter: MILLI * 10, ..NEAR };
    for (programs, least_fair, longest, on_average) in
        [(&[200, 200][..], 2.0, 1.3, 1.16), (&[134, 134, 134], 3.0, 1.6, 1.31)]
    {
        for counting in [Counting::Sliding, Counting::Leaky { burst: 10 }] {
            let mut sum = 0.0;
            for seed in 0..12 {
                let run = simulate(counting, network, rate(10, 1), programs, seed);
                let (first, last) = (run.took.iter().min().unwrap(), run.took.iter().max().unwrap());
                let took = last.as_secs_f64() / 40.0;
                assert!(last.div_duration_f64(*first) <= least_fair, "{counting:?} {seed}: {run:?}");
                assert!(took <= longest, "{counting:?} {seed}: {run:?}");
                sum += took;
            }
            assert!(sum / 12.0 <= on_average, "{counting:?} {programs:?}: {}", sum / 12.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_request_keeps_its_interval_to_the_arrival_of_the_first_one() {
    let mut limiter = Limiter::new(rate(2, 60));
    let connecting = Duration::from_secs(5);
    limiter.permit().await;
    let start = clock::monotonic_now();
    limiter.started(start);
    sleep(connecting).await;
    limiter.answered(start, connecting, clock::monotonic_now(), LimitSignal::Served);
    limiter.permit().await;
    assert!(clock::monotonic_now() - start >= connecting + limiter.interval());
}
