//! One rate for the requests of several processes on several machines.
//!
//! A row in the database holds the time of the next free slot. A process reserves some slots with one statement, which moves
//! that time on, and starts one request within the tolerance after the beginning of each slot. What it doesn't use is lost;
//! nothing is returned, so that nothing has to be agreed on. Slots are so far apart that a window holds no more starts than the
//! rate allows, however late in its slot each one is.
//!
//! - `statements` is the row and the table;
//! - `server_clock` maps the server's time to ours;
//! - `slots` holds the slots of this process, and decides how many to reserve at once;
//! - `keeper` is the task that reserves them.

mod keeper;
mod server_clock;
mod slots;
mod statements;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use self::keeper::{FAR, Keeper, LOOK_EVERY, Task};
use self::slots::{Next, Slot, Slots};
use self::statements::QuotaRow;
use super::address::{Access, Address};
use super::background::Background;
use super::error::DatabaseError;
use super::session::Session;
use crate::clock;
use crate::deliver::{HEADROOM, Rate, SharedRate, TOLERANCE};

// The limiter chooses the time between two slots such that starts which are late by the tolerance are still in the window.
const _: () = assert!(TOLERANCE.as_millis() < HEADROOM.as_millis());

/// A caller that asks for the next permit within this time after a start could have started then.
const AT_ONCE: Duration = Duration::from_millis(2);

/// How long a process that ends waits until a pause is in the database.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// This process's part of a quota. When it is dropped, it gives up its slots, and waits until a pause that the API asked for
/// is in the database.
#[derive(Debug)]
pub struct Quota {
    shared: Arc<Shared>,
    keeper: AbortHandle,
    /// The thread of the keeper.
    background: Background,
}

/// What the callers and the keeper share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There may be something to do for the keeper.
    need: Notify,
    /// There may be another slot to wait for.
    changed: Notify,
}

/// All times are those of [`clock::boot_now`], so that a slot doesn't survive a suspended machine.
#[derive(Debug, Default)]
struct State {
    slots: Slots,
    /// How many callers wait for a permit.
    waiting: usize,
    /// When the last request started.
    started: Duration,
    /// Whether a caller waits for the next permit since about then, so that the time until it is not the caller's.
    is_eager: bool,
    /// The time between slots that the last caller asked for.
    interval: Duration,
    /// A pause until then is not in the database yet.
    to_report: Option<Duration>,
    paused_until: Option<Duration>,
    away: Option<Away>,
}

#[derive(Clone, Debug)]
struct Away {
    since: Duration,
    why: String,
}

impl Quota {
    /// Joins the quota with this name, which is made if there is none.
    ///
    /// # Errors
    /// When the database is away, or the user lacks a right. Later, permits are given once it is back.
    pub fn start(
        background: &Background,
        address: &Address,
        name: &str,
        rate: Rate,
    ) -> Result<Arc<Self>, DatabaseError> {
        let shared = Arc::new(Shared::default());
        let session = Session::new(address.clone(), Access::Write);
        let row = QuotaRow { name: name.to_owned(), rate };
        let mut keeper = Keeper::new(Arc::clone(&shared), session, row);
        let keeper = background.run(async move { keeper.prepare().await.map(|()| keeper) })?;
        let keeper = background.spawn(keeper.run()).abort_handle();
        Ok(Arc::new(Self { shared, keeper, background: background.clone() }))
    }

    /// For how long the database has given no slots although they were needed, and why.
    pub fn away(&self) -> Option<(Duration, String)> {
        let away = self.shared.lock().away.clone()?;
        Some((clock::boot_now().saturating_sub(away.since), away.why))
    }
}

impl SharedRate for Quota {
    fn permit(&self, interval: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.shared.permit(interval))
    }

    fn started(&self) {
        let now = clock::boot_now();
        let mut state = self.shared.lock();
        state.slots.take(now);
        state.started = now;
        state.is_eager = false;
        drop(state);
        self.shared.need.notify_one();
    }

    fn pause(&self, pause: Duration) {
        let until = clock::boot_now() + pause;
        self.shared.pause_until(until);
        let mut state = self.shared.lock();
        state.to_report = state.to_report.max(Some(until));
        drop(state);
        self.shared.need.notify_one();
    }

    fn pause_left(&self) -> Option<Duration> {
        let until = self.shared.lock().paused_until?;
        until.checked_sub(clock::boot_now()).filter(|left| !left.is_zero())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        if self.shared.lock().to_report.is_some() {
            let shared = Arc::clone(&self.shared);
            let reported = async move { timeout(LEAVE_WITHIN, shared.reported()).await };
            if self.background.run(reported).is_err() {
                warn!(
                    "a pause that the API asked for is not in the database: others who share the quota don't know of it"
                );
            }
        }
        self.keeper.abort();
        let forfeited = self.shared.lock().slots.forfeited();
        debug!(forfeited, "leaves the quota");
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn permit(&self, interval: Duration) {
        let _waiting = Waiting::new(self, interval);
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = clock::boot_now();
            let next = self.lock().slots.next(now);
            // The keeper may have something to do when slots were forfeited, or there are few of them.
            self.need.notify_one();
            match next {
                Next::Now => return,
                Next::At(at) => tokio::select! {
                    () = &mut changed => {}
                    () = sleep(at.saturating_sub(now)) => {}
                },
                Next::Unknown => changed.await,
            }
        }
    }

    /// What the keeper does next. Its last answer came at `asked_at`.
    fn task(&self, now: Duration, asked_at: Duration) -> Task {
        let mut state = self.lock();
        state.to_report = state.to_report.filter(|until| *until > now);
        if let Some(until) = state.to_report {
            return Task::Pause(until);
        }
        if state.waiting == 0 {
            return Task::Wait(None);
        }
        let next = state.slots.next(now);
        if state.slots.is_low() {
            return Task::Reserve(state.interval);
        }
        match next {
            Next::At(at) if at > now + FAR && now >= asked_at + LOOK_EVERY => Task::Look,
            Next::At(at) if at > now + FAR => Task::Wait(Some(asked_at + LOOK_EVERY)),
            _ => Task::Wait(None),
        }
    }

    /// How many slots to reserve, if `most` are worth it.
    fn block(&self, most: u32) -> u32 {
        self.lock().slots.block(most)
    }

    /// A block begins as early as it can, so that the slots before it were lost if there was someone to use them.
    fn came_late(&self) {
        let mut state = self.lock();
        if state.is_eager {
            state.slots.came_late();
        }
    }

    /// Others have more slots before a block than it has itself.
    fn came_early(&self) {
        self.lock().slots.came_early();
    }

    fn add(&self, block: impl IntoIterator<Item = Slot>) {
        self.lock().slots.add(block);
        self.changed.notify_waiters();
    }

    fn drop_slots(&self) {
        self.lock().slots.clear();
        self.changed.notify_waiters();
    }

    fn pause_until(&self, until: Duration) {
        let mut state = self.lock();
        state.paused_until = state.paused_until.max(Some(until));
        state.slots.drop_before(until);
        drop(state);
        self.changed.notify_waiters();
    }

    /// The pause until then is in the database.
    fn paused(&self, until: Duration) {
        let mut state = self.lock();
        state.to_report = state.to_report.filter(|later| *later > until);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until no pause is missing in the database.
    async fn reported(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = clock::boot_now();
            if self.lock().to_report.is_none_or(|until| until <= now) {
                return;
            }
            changed.await;
        }
    }

    /// The database is away.
    fn lose(&self, error: &DatabaseError) {
        let why = error.to_string();
        let mut state = self.lock();
        let is_first = state.away.is_none();
        let since = state.away.take().map_or_else(clock::boot_now, |away| away.since);
        state.away = Some(Away { since, why: why.clone() });
        drop(state);
        self.drop_slots();
        if is_first {
            warn!(
                reason = why,
                "the database that holds the quota can't be used: no request starts until it can"
            );
        }
    }

    /// The database answers. Returns whether it was away.
    fn found(&self) -> bool {
        self.lock().away.take().is_some()
    }
}

/// A caller that waits for a permit.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared, interval: Duration) -> Self {
        let mut state = shared.lock();
        state.waiting += 1;
        state.is_eager |= clock::boot_now() <= state.started + AT_ONCE;
        state.interval = interval;
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn slot(at: Duration) -> Slot {
        Slot { at, until: at + Duration::from_mins(1) }
    }

    fn task(shared: &Shared, now: u64, asked_at: u64) -> String {
        format!("{:?}", shared.task(ms(now), ms(asked_at)))
    }

    #[test]
    fn while_a_slot_is_far_away_pauses_of_others_are_asked_for_now_and_then() {
        let shared = Shared::default();
        let _waiting = Waiting::new(&shared, ms(7));
        assert_eq!(task(&shared, 0, 0), "Reserve(7ms)");
        assert_eq!(shared.block(1), 1);
        shared.add([slot(ms(2000))]);
        for (now, asked_at, what) in [
            (1000, 1000, "Wait(Some(1.25s))"),
            (1249, 1000, "Wait(Some(1.25s))"),
            (1250, 1000, "Look"),
            (1699, 1000, "Look"),
            (1699, 1600, "Wait(Some(1.85s))"),
            (1700, 1000, "Wait(None)"),
            (1701, 1700, "Wait(None)"),
            (2000, 1000, "Wait(None)"),
        ] {
            assert_eq!(task(&shared, now, asked_at), what, "{now} {asked_at}");
        }
    }

    #[test]
    fn nothing_is_done_for_nobody_but_to_tell_of_a_pause_until_that_is_known_or_over() {
        let shared = Shared::default();
        let waiting = [ms(7), ms(8)].map(|interval| Waiting::new(&shared, interval));
        assert_eq!(task(&shared, 0, 0), "Reserve(8ms)");
        drop(waiting);
        assert_eq!(task(&shared, 0, 0), "Wait(None)");
        shared.lock().to_report = Some(ms(5000));
        shared.paused(ms(4000));
        assert_eq!(task(&shared, 0, 0), "Pause(5s)", "it was made longer meanwhile");
        shared.paused(ms(5000));
        assert_eq!(task(&shared, 0, 0), "Wait(None)");
        shared.lock().to_report = Some(ms(5000));
        assert_eq!(task(&shared, 6000, 0), "Wait(None)");
    }

    #[test]
    fn blocks_that_come_late_are_enlarged_only_for_one_who_waited_all_the_time() {
        let shared = Shared::default();
        shared.came_late();
        assert_eq!(shared.block(8), 1);
        shared.lock().is_eager = true;
        shared.came_late();
        assert_eq!(shared.block(8), 2);
        shared.came_early();
        assert_eq!(shared.block(8), 1);
    }

    #[test]
    fn a_database_that_is_away_is_back_once() {
        let shared = Shared::default();
        assert!(!shared.found());
        shared.add([slot(ms(0))]);
        shared.lose(&DatabaseError::away("it is"));
        assert_eq!(shared.lock().slots.next(ms(0)), Next::Unknown);
        assert_eq!([shared.found(), shared.found()], [true, false]);
    }

    #[tokio::test]
    async fn a_permit_comes_at_the_time_of_its_slot() {
        let shared = Shared::default();
        let mut permit = pin!(shared.permit(ms(7)));
        tokio::select! {
            biased;
            () = &mut permit => panic!("there is no slot"),
            () = ready(()) => {}
        }
        assert_eq!(shared.lock().waiting, 1);
        let at = clock::boot_now() + ms(30);
        shared.add([slot(at)]);
        permit.await;
        assert!(clock::boot_now() >= at);
    }
}
