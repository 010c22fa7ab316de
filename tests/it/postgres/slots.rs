//! What one process takes of a quota, as the row in the database shows it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use attrsync::clock::boot_now;
use attrsync::deliver::SharedRate as _;
use attrsync::ledger::postgres::Quota;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use super::quota::{join, rate};
use super::{Database, Relay, Session, database};

/// The server is asked this often.
const GLANCE: Duration = Duration::from_millis(2);

/// A rate so high that only a large tolerance moves slots apart.
const REQUESTS: u32 = 100_000;

/// If another process needs this tolerance, in microseconds, slots are this much farther apart for all.
const TOLERANCE: (i64, Duration) = (30_000_020_000, Duration::from_millis(300));

const TABLE: &str = "attrsync_quota.quota";

/// A process that starts nothing but what a test wants.
struct Process {
    quota: Arc<Quota>,
    session: Session,
    runtime: Runtime,
}

/// A block of slots.
#[derive(Clone, Copy)]
struct Ask {
    interval: Duration,
    /// How long others have the slots before it.
    others: Duration,
    /// How long the database takes to answer, at least.
    answer: Duration,
    /// Whether another process needs much tolerance.
    is_stretched: bool,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            interval: Duration::from_micros(100),
            others: Duration::from_secs(1),
            answer: Duration::ZERO,
            is_stretched: true,
        }
    }
}

impl Process {
    fn new(database: &Database) -> Self {
        Self {
            quota: join(&database.direct, rate(REQUESTS)).unwrap(),
            session: Session::open(&database.direct),
            runtime: Builder::new_current_thread().enable_time().build().unwrap(),
        }
    }

    /// One that gets large blocks, because it needs slots faster than it gets them.
    fn with_large_blocks(database: &Database) -> Self {
        let process = Self::new(database);
        for _ in 0..20 {
            // Slots hold so long that a slow machine loses none.
            process.set(
                "paused_until = 'epoch', next_free = clock_timestamp(),
                 tolerance = 2000000, tolerant_until = 'infinity'",
            );
            process.start(300, Duration::from_micros(50));
            // No block with a shorter interval is cut to what is worth it.
            if process.block(Ask { interval: Duration::from_millis(1), ..Ask::default() }) >= 8 {
                return process;
            }
        }
        panic!("blocks stay small");
    }

    /// Starts this many requests.
    fn start(&self, requests: u32, interval: Duration) {
        self.runtime.block_on(async {
            for _ in 0..requests {
                self.quota.permit(interval).await;
                self.quota.started();
            }
        });
    }

    /// Gives up its slots, and then changes the row. No slot is after the end of the pause that this takes.
    fn set(&self, columns: &str) {
        self.session.execute(&format!("UPDATE {TABLE} SET paused_until = 'epoch'"));
        self.quota.pause(Duration::from_hours(1));
        let is_paused = format!("SELECT paused_until > clock_timestamp() FROM {TABLE}");
        while self.session.query(&is_paused) != [["t"]] {
            self.rest();
        }
        self.session.execute(&format!("UPDATE {TABLE} SET {columns}"));
    }

    fn rest(&self) {
        self.runtime.block_on(async { sleep(GLANCE).await });
    }

    /// In microseconds.
    fn next_free(&self) -> i64 {
        let sql = format!("SELECT (extract(epoch FROM next_free) * 1000000)::int8 FROM {TABLE}");
        self.session.query(&sql)[0][0].parse().unwrap()
    }

    /// By how many microseconds it moves the next free slot on, when it needs one and has none. All of it is in a pause, so that no
    /// slot comes up. Returns what waits for the slot as well.
    fn ask(&self, ask: Ask) -> (i64, Pin<Box<dyn Future<Output = ()> + Send + '_>>) {
        let (others, tolerance) = (ask.others.as_micros(), TOLERANCE.0);
        let holds = if ask.is_stretched { "infinity" } else { "epoch" };
        self.set("paused_until = clock_timestamp() + interval '30 minutes'");
        self.session.execute("BEGIN");
        self.session.execute(&format!(
            "UPDATE {TABLE} SET next_free = paused_until + {others} * interval '1 microsecond',
                 tolerance = {tolerance}, tolerant_until = '{holds}'"
        ));
        let (before, begun) = (self.next_free(), boot_now());
        let mut permit = self.quota.permit(ask.interval);
        let mut wait = || {
            self.runtime.block_on(async {
                tokio::select! {
                    () = &mut permit => panic!("there is a pause"),
                    () = sleep(GLANCE) => {}
                }
            });
        };
        while boot_now() < begun + ask.answer {
            wait();
        }
        self.session.execute("COMMIT");
        while self.next_free() == before {
            wait();
        }
        (self.next_free() - before, permit)
    }

    /// How many slots it reserves.
    fn block(&self, ask: Ask) -> i64 {
        let stretch = if ask.is_stretched { TOLERANCE.1 } else { Duration::ZERO };
        let step = i64::try_from((ask.interval + stretch).as_micros()).unwrap();
        let (moved, _permit) = self.ask(ask);
        assert_eq!(moved % step, 0, "{moved} is no multiple of {step}");
        moved / step
    }
}

#[test]
fn blocks_are_no_larger_than_what_others_leave() {
    let Some(database) = database() else { return };
    let process = Process::with_large_blocks(&database);
    let block = process.block(Ask::default());
    assert!(block >= 8, "{block}");
    // Others have fewer slots before it than it has itself.
    assert_eq!(process.block(Ask::default()), block);
    // Then they have more, and then so many that they must be waiting.
    assert_eq!(process.block(Ask { is_stretched: false, ..Ask::default() }), block);
    assert_eq!(process.block(Ask::default()), block / 2);
    let queue = Ask { others: Duration::from_secs(3), ..Ask::default() };
    assert_eq!(process.block(queue), block / 2);
    assert_eq!(process.block(Ask::default()), 1);
}

#[test]
fn a_database_that_answers_slowly_is_asked_for_more_at_once() {
    let Some(database) = database() else { return };
    let process = Process::with_large_blocks(&database);
    let block = process.block(Ask { answer: Duration::from_secs(1), ..Ask::default() });
    assert!(block >= 8, "{block}");
    let block = process.block(Ask { interval: Duration::from_millis(10), ..Ask::default() });
    assert!(block >= 8, "{block}");
}

#[test]
fn slots_of_a_large_block_are_as_far_apart_as_in_the_database() {
    let Some(database) = database() else { return };
    let process = Process::with_large_blocks(&database);
    let tolerance = format!("tolerance = {}, tolerant_until = 'infinity'", TOLERANCE.0);
    process.set(&format!("paused_until = 'epoch', next_free = clock_timestamp(), {tolerance}"));
    let begun = boot_now();
    process.start(5, Duration::from_millis(1));
    let took = boot_now().saturating_sub(begun);
    assert!(took >= 4 * TOLERANCE.1, "{took:?}");
    let is_ahead = format!("SELECT next_free > clock_timestamp() FROM {TABLE}");
    assert_eq!(process.session.query(&is_ahead), [["t"]], "the last ones belong to others");
}

#[test]
fn intervals_are_rounded_up_to_what_the_database_can_hold() {
    let Some(database) = database() else { return };
    let process = Process::new(&database);
    let interval = Duration::from_nanos(2001);
    assert_eq!(process.ask(Ask { interval, is_stretched: false, ..Ask::default() }).0, 3);
}

#[test]
fn a_slot_that_is_far_away_is_reserved_once() {
    let Some(database) = database() else { return };
    let process = Process::new(&database);
    let interval = Duration::from_millis(20);
    let (moved, mut permit) = process.ask(Ask { interval, is_stretched: false, ..Ask::default() });
    assert_eq!(moved, 20_000);
    let before = process.next_free();
    // Meanwhile it asks for pauses of others.
    process.runtime.block_on(async {
        tokio::select! {
            () = &mut permit => panic!("there is a pause"),
            () = sleep(Duration::from_secs(1)) => {}
        }
    });
    assert_eq!(process.next_free(), before);
}

#[test]
fn who_joins_compares_the_clocks_some_times_but_not_often_if_the_database_is_near() {
    let Some(database) = database() else { return };
    drop(join(&database.direct, rate(100)).unwrap());
    let relay = Relay::to(&database.direct);
    let _quota = join(&relay.address(&database.direct), rate(100)).unwrap();
    assert!((3..10).contains(&relay.requests()), "{}", relay.requests());
}

#[test]
fn a_process_whose_connection_was_cut_gets_slots_again() {
    let Some(database) = database() else { return };
    let relay = Relay::to(&database.direct);
    let quota = join(&relay.address(&database.direct), rate(100)).unwrap();
    relay.cut();
    database.execute(&format!("UPDATE {TABLE} SET next_free = clock_timestamp()"));
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let permit = runtime
        .block_on(async { timeout(Duration::from_mins(1), quota.permit(Duration::from_millis(10))).await });
    assert!(permit.is_ok());
}
