//! The task that reserves slots, on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::Shared;
use super::server_clock::{Continuity, ServerClock, micros};
use super::slots::Slot;
use super::statements::{QuotaRow, Reserved, Times};
use crate::clock;
use crate::deliver::{HEADROOM, TOLERANCE};
use crate::ledger::postgres::error::DatabaseError;
use crate::ledger::postgres::session::Session;

/// How many questions about the time are asked before the first slot is reserved, …
const QUESTIONS: usize = 3;

/// … and how many if the database seems to be far away.
const MOST_QUESTIONS: usize = 10;

/// A block lasts no longer than this, because a process that ends leaves the rest of it unused, …
const LONGEST_BLOCK: Duration = Duration::from_millis(250);

/// … and need not last longer than this, …
const SHORT_BLOCK: Duration = Duration::from_millis(30);

/// … or this many round trips, as the next block is reserved when a half of it is left.
const ROUND_TRIPS: u32 = 4;

/// If slots are this far ahead, others wait as well, and each gets one slot at a time.
const QUEUE: Duration = Duration::from_secs(2);

/// How often to ask for a pause of others while a slot is still far away.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is less far away comes before an answer.
pub(super) const FAR: Duration = Duration::from_millis(300);

/// How late a timer may wake the process.
const WAKE_UP: Duration = Duration::from_millis(10);

/// The longest tolerance, for a database that takes half a second to answer.
const MOST_TOLERANCE: Duration = Duration::from_secs(1);

/// How long a connection that failed is not tried again: this, and twice as long after each further failure, …
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What to do next.
#[derive(Debug)]
pub(super) enum Task {
    /// Tell all to pause until then.
    Pause(Duration),
    /// Reserve slots that are this far apart.
    Reserve(Duration),
    /// Ask whether there is a pause.
    Look,
    /// Wait until there is something to do, but look again at this time.
    Wait(Option<Duration>),
}

#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    session: Session,
    row: QuotaRow,
    clock: ServerClock,
    /// The connection that the clock belongs to, …
    generation: u64,
    /// … and when its server was started. Absent until the clocks are compared.
    server: Option<i64>,
    /// Whether the row was there before, so that slots may have been given out.
    was_there: bool,
    /// Whether slots are reserved so far ahead that others must be waiting.
    is_queued: bool,
    /// When the last answer came.
    asked_at: Duration,
    warned: Warned,
}

/// What was already said.
#[derive(Debug, Default)]
struct Warned {
    far_away: bool,
    other_rate: Option<String>,
    reset_at: Option<i64>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, session: Session, row: QuotaRow) -> Self {
        Self {
            shared,
            session,
            row,
            clock: ServerClock::default(),
            generation: 0,
            server: None,
            was_there: false,
            is_queued: false,
            asked_at: Duration::ZERO,
            warned: Warned::default(),
        }
    }

    /// Does what there is to do, until it is aborted.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            match self.step().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    self.shared.lose(&error);
                    failures += 1;
                    sleep(wait(failures)).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), DatabaseError> {
        let now = clock::boot_now();
        let task = self.shared.task(now, self.asked_at);
        if let Task::Wait(until) = task {
            self.wait(until.map(|until| until.saturating_sub(now))).await;
            return Ok(());
        }
        if !self.session.is_open() || !self.is_prepared() {
            self.prepare().await?;
            if !self.is_prepared() {
                return Ok(());
            }
        }
        match task {
            Task::Pause(until) => self.pause(until).await?,
            Task::Reserve(interval) => self.reserve(interval).await?,
            Task::Look => self.look().await?,
            Task::Wait(_) => {}
        }
        if self.shared.found() {
            info!("the database is back");
        }
        Ok(())
    }

    /// Waits for something to do. If the connection breaks, so may the server, and its successor doesn't know which slots were
    /// given out last.
    async fn wait(&mut self, longest: Option<Duration>) {
        tokio::select! {
            () = self.shared.need.notified() => {}
            () = sleep(longest.unwrap_or_default()), if longest.is_some() => {}
            () = self.session.closed(), if self.session.is_open() => {
                debug!("the connection for the quota is closed");
                self.shared.drop_slots();
            }
        }
    }

    /// Connects, and compares the clocks.
    ///
    /// # Errors
    /// When the database is away, or the user lacks a right.
    pub(super) async fn prepare(&mut self) -> Result<(), DatabaseError> {
        self.shared.drop_slots();
        self.session.connect().await?;
        self.clock.reset();
        self.server = None;
        self.generation = self.session.generation();
        for asked in 1..=MOST_QUESTIONS {
            self.look().await?;
            if asked >= QUESTIONS && self.tolerance() == TOLERANCE {
                break;
            }
        }
        Ok(())
    }

    /// Whether the clock is that of the server that answered last.
    fn is_prepared(&self) -> bool {
        self.server.is_some() && self.session.generation() == self.generation
    }

    /// Asks for the time and for pauses. The row and the table are made if they are not there.
    async fn look(&mut self) -> Result<(), DatabaseError> {
        let sent = clock::boot_now();
        let times = match self.row.look(&mut self.session).await {
            Err(DatabaseError::Absent(_)) => {
                self.row.create(&mut self.session).await?;
                self.generation = self.session.generation();
                None
            }
            looked => looked?,
        };
        match times {
            Some(times) => self.take_times(sent, times),
            None => self.add_row().await?,
        }
        Ok(())
    }

    async fn add_row(&mut self) -> Result<(), DatabaseError> {
        if self.was_there {
            warn!(quota = self.row.name, "the quota was removed from the database; it is added again");
        }
        self.row.add(&mut self.session, self.was_there).await
    }

    async fn pause(&mut self, until: Duration) -> Result<(), DatabaseError> {
        let sent = clock::boot_now();
        match self.row.pause(&mut self.session, until.saturating_sub(sent)).await? {
            Some(times) => {
                self.take_times(sent, times);
                self.shared.paused(until);
            }
            None => self.add_row().await?,
        }
        Ok(())
    }

    async fn reserve(&mut self, interval: Duration) -> Result<(), DatabaseError> {
        let lead = self.clock.lead();
        let enough = (self.clock.round_trip() * ROUND_TRIPS).clamp(SHORT_BLOCK, LONGEST_BLOCK);
        let most = if self.is_queued { 1 } else { enough.as_nanos().div_ceil(interval.as_nanos().max(1)) };
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let slots = self.shared.block(most);
        let tolerance = self.tolerance();
        let sent = clock::boot_now();
        let reserving = self.row.reserve(&mut self.session, slots, interval, (lead, tolerance));
        let Some(reserved) = reserving.await? else { return self.add_row().await };
        self.take_times(sent, reserved.times);
        if !self.is_prepared() {
            return Ok(());
        }
        self.warn(&reserved);
        let ahead = reserved.first - reserved.times.now.max(reserved.times.paused_until);
        self.is_queued = ahead > micros(QUEUE);
        if ahead <= micros(lead) {
            self.shared.came_late();
        } else if ahead > i64::from(slots) * reserved.step {
            self.shared.came_early();
        }
        let usable = reserved.tolerance.saturating_sub(self.clock.least_round_trip());
        let slot = |n: u32| {
            let at = self.clock.local(reserved.first + i64::from(n) * reserved.step);
            Slot { at, until: at + usable }
        };
        self.shared.add((0..slots).map(slot));
        Ok(())
    }

    /// How late a request of this process may start, with the time by which the clocks may differ.
    fn tolerance(&self) -> Duration {
        let needed = self.clock.least_round_trip() + WAKE_UP;
        let millis = u64::try_from(needed.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        Duration::from_millis(millis).clamp(TOLERANCE, MOST_TOLERANCE)
    }

    fn take_times(&mut self, sent: Duration, times: Times) {
        let received = clock::boot_now();
        self.was_there = true;
        self.asked_at = received;
        if self.session.generation() != self.generation {
            return;
        }
        if self.server.is_some_and(|server| server != times.server) {
            // Behind a pooler, the connection may outlive the server.
            info!("the database runs on another server, or was started again");
            self.server = None;
            self.shared.drop_slots();
            return;
        }
        self.server = Some(times.server);
        if self.clock.observe(sent, received, times.now) == Continuity::Stepped {
            warn!("the clock of the database's server was set back, or the one of this machine forward");
            self.shared.drop_slots();
        }
        if times.paused_until > times.now {
            self.shared.pause_until(self.clock.local(times.paused_until));
        }
    }

    fn warn(&mut self, reserved: &Reserved) {
        let round_trip = self.clock.least_round_trip();
        if self.tolerance() > TOLERANCE && reserved.tolerance > TOLERANCE && !self.warned.far_away {
            self.warned.far_away = true;
            let lost = reserved
                .tolerance
                .saturating_sub(TOLERANCE)
                .div_duration_f64(self.row.rate.window + HEADROOM);
            warn!(
                round_trip_ms = round_trip.as_millis(),
                lost_percent = (lost * 100.0).ceil(),
                "the database is far away: all runs of the quota leave a part of the rate unused"
            );
        }
        if let Some(other) = &reserved.other_rate
            && self.warned.other_rate.as_ref() != Some(other)
        {
            self.warned.other_rate = Some(other.clone());
            warn!(
                rate = %self.row.rate,
                other,
                "another run uses the same quota with another `--rate`: together they may reach the larger one"
            );
        }
        let before = self.warned.reset_at.replace(reserved.reset_at);
        if before.is_some_and(|before| before != reserved.reset_at) {
            warn!("the clock of the database's server was set back: the quota starts again");
        }
    }
}

/// How long to wait after this many failures in a row.
fn wait(failures: u32) -> Duration {
    let longest = SHORTEST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_WAIT);
    longest.mul_f64(rand::rng().random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::deliver::Rate;
    use crate::ledger::postgres::address::{Access, Address};
    use crate::ledger::postgres::said::Said;

    /// One whose database takes this long to answer.
    fn keeper(round_trip: Duration) -> Keeper {
        let rate: Rate = "10/s".parse().unwrap();
        let address = Address::parse("postgres://ada@[::1]/crm", None).unwrap();
        let row = QuotaRow { name: "night".to_owned(), rate };
        let mut keeper = Keeper::new(Arc::new(Shared::default()), Session::new(address, Access::Write), row);
        keeper.clock.observe(Duration::ZERO, round_trip, 0);
        keeper
    }

    fn reserved(tolerance: Duration) -> Reserved {
        let times = Times { now: 0, server: 0, paused_until: 0 };
        Reserved { times, first: 0, step: 0, tolerance, reset_at: 0, other_rate: None }
    }

    /// What is said about these slots.
    fn said(keeper: &mut Keeper, reserved: &Reserved) -> String {
        let said = Said::from_now_on();
        keeper.warn(reserved);
        said.take()
    }

    #[test]
    fn a_database_that_costs_a_part_of_the_rate_is_told_of_once() {
        let (near, far) = (Duration::from_millis(10), Duration::from_millis(216));
        let tolerance = far + WAKE_UP;
        // Another process may need more tolerance, which is its own affair.
        for (round_trip, tolerance) in [(near, TOLERANCE), (near, tolerance), (far, TOLERANCE)] {
            assert_eq!(said(&mut keeper(round_trip), &reserved(tolerance)), "");
        }
        let mut keeper = keeper(far);
        let line = said(&mut keeper, &reserved(tolerance));
        // 206 ms more than 20 ms, of 1032 ms for ten requests.
        assert!(line.contains("is far away") && line.contains("round_trip_ms=216 lost_percent=20"), "{line}");
        assert_eq!(said(&mut keeper, &reserved(tolerance)), "");
    }

    #[test]
    fn a_database_that_is_away_is_asked_less_and_less_often() {
        for (failures, longest) in [(1, 100), (2, 200), (3, 400), (6, 3200), (7, 5000), (u32::MAX, 5000)] {
            let longest = Duration::from_millis(longest);
            for _ in 0..100 {
                let wait = wait(failures);
                assert!(wait >= longest / 2 && wait <= longest, "{failures}: {wait:?}");
            }
        }
    }

    #[test]
    fn each_other_rate_is_told_of_once() {
        let mut keeper = keeper(Duration::ZERO);
        let mut with = |other: Option<&str>| {
            let slots = Reserved { other_rate: other.map(str::to_owned), ..reserved(TOLERANCE) };
            said(&mut keeper, &slots)
        };
        assert_eq!(with(None), "");
        for other in ["20/s", "30/s"] {
            let line = with(Some(other));
            assert!(line.contains("another `--rate`") && line.contains(other), "{line}");
            assert_eq!([with(Some(other)), with(None), with(Some(other))], ["", "", ""]);
        }
    }

    #[test]
    fn a_quota_that_starts_again_is_told_of_each_time() {
        let mut keeper = keeper(Duration::ZERO);
        let mut at = |reset_at| said(&mut keeper, &Reserved { reset_at, ..reserved(TOLERANCE) });
        assert_eq!([at(0), at(0)], ["", ""]);
        for reset_at in [5, 9] {
            assert!(at(reset_at).contains("starts again"));
            assert_eq!(at(reset_at), "");
        }
    }

    #[test]
    fn slots_count_on_the_connection_on_which_the_clocks_were_compared() {
        for (server, generation, is_prepared) in [(Some(7), 0, true), (None, 0, false), (Some(7), 1, false)] {
            let keeper = Keeper { generation, server, ..keeper(Duration::ZERO) };
            assert_eq!(keeper.is_prepared(), is_prepared, "{server:?} {generation}");
        }
    }

    #[test]
    fn each_answer_tells_of_a_pause_and_of_a_clock_that_was_set_back() {
        const HOUR: Duration = Duration::from_hours(1);
        let mut keeper = keeper(Duration::ZERO);
        let at = clock::boot_now() + 2 * HOUR;
        keeper.shared.add([Slot { at, until: at }]);
        for (set_back, pause, is_paused, says) in [
            (Duration::ZERO, -1, false, ""),
            (Duration::ZERO, 0, false, ""),
            (Duration::ZERO, micros(HOUR), true, ""),
            (HOUR, 0, true, "was set back"),
        ] {
            let sent = clock::boot_now();
            let now = micros(clock::boot_now()) - micros(set_back);
            let times = Times { now, server: 7, paused_until: now + pause };
            let log = Said::from_now_on();
            keeper.take_times(sent, times);
            let said = log.take();
            assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{said}");
            let state = keeper.shared.lock();
            assert_eq!(state.paused_until.is_some(), is_paused, "{pause}");
            assert_eq!(state.slots.is_low(), !says.is_empty(), "slots of the old time are given up");
        }
    }

    #[tokio::test]
    async fn who_fails_again_and_again_asks_less_and_less_often() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = format!("postgres://ada@127.0.0.1:{port}/crm?sslmode=disable");
        let mut keeper = keeper(Duration::ZERO);
        keeper.session = Session::new(Address::parse(&address, None).unwrap(), Access::Write);
        keeper.shared.lock().waiting = 1;
        let begun = clock::boot_now();
        tokio::select! {
            () = keeper.run() => {}
            () = async { for _ in 0..6 { drop(listener.accept().await.unwrap()); } } => {}
        }
        // At least the halves of 100, 200, 400, 800 and 1600 ms.
        assert!(clock::boot_now() >= begun + Duration::from_millis(1550));
    }
}
