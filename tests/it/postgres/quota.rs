//! Several processes on one quota. Here they are threads that share nothing but the database.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use attrsync::clock::boot_now;
use attrsync::deliver::{Limiter, Rate, SharedRate};
use attrsync::input::IdType;
use attrsync::ledger::postgres::{Address, Background, DatabaseError, Quota};
use attrsync::ledger::{Ledger, LedgerLocation, LedgerReader, TargetKey};
use jiff::Timestamp;
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::runs::password;
use super::{Cluster, Node, Relay, Session, database};

const NAME: &str = "https://acme.user.com/api/public/";

pub(super) fn rate(requests: u32) -> Rate {
    Rate { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(1) }
}

pub(super) fn join(address: &str, rate: Rate) -> Result<Arc<Quota>, DatabaseError> {
    let address = Address::parse(address, None).unwrap();
    Quota::start(&Background::start().unwrap(), &address, NAME, rate)
}

/// Starts requests without sending any, as fast as the quota allows, as long as `goes_on`. Returns when each started.
fn start_while(quota: Arc<Quota>, rate: Rate, goes_on: impl Fn() -> bool) -> Vec<Duration> {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut limiter = Limiter::new(rate).shared_by(Some(quota));
        let mut starts = Vec::new();
        while goes_on() {
            limiter.permit().await;
            starts.push(boot_now());
            limiter.started(attrsync::clock::monotonic_now());
        }
        starts
    })
}

/// Lets the process of a test end, so that a test which fails does not wait for it.
struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_min(0, Ordering::Relaxed);
    }
}

/// Waits until something is so.
fn until(is_so: impl Fn() -> bool) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    while !is_so() {
        runtime.block_on(async { sleep(Duration::from_millis(10)).await });
    }
}

#[test]
fn processes_hold_one_rate_together_and_each_gets_its_part_also_through_a_pooler() {
    let Some(database) = database() else { return };
    let (rate, all) = (rate(50), AtomicUsize::new(0));
    let goes_on = || all.fetch_add(1, Ordering::Relaxed) < 200;
    let begun = boot_now();
    thread::scope(|scope| {
        let ways = [&database.direct, &database.pooled, &database.direct, &database.pooled];
        let quotas = ways.map(|address| join(address, rate).unwrap());
        let processes = quotas.map(|quota| scope.spawn(|| start_while(quota, rate, goes_on)));
        for process in processes {
            let own = process.join().unwrap();
            assert!(own.len() >= 200 / 4 / 4, "{}", own.len());
        }
    });
    // However slow the machine is, it can only make this more. Without the quota, each would start its 50 at once.
    let took = boot_now().saturating_sub(begun);
    assert!(took >= Duration::from_secs(3), "200 starts within {took:?}");
}

#[test]
fn a_pause_of_one_is_a_pause_of_all() {
    /// So long that the other one joins before its end on a slow machine, too.
    const PAUSE: Duration = Duration::from_secs(5);
    let Some(database) = database() else { return };
    let rate = rate(100);
    let throttled = join(&database.direct, rate).unwrap();
    let begun = boot_now();
    throttled.pause(PAUSE);
    assert!(throttled.pause_left().is_some());
    // It counts even if that process ends at once.
    drop(throttled);
    assert_eq!(database.query("SELECT max(paused_until) > now() FROM attrsync_quota.quota"), [["t"]]);
    let other = join(&database.pooled, rate).unwrap();
    assert!(other.pause_left().is_some());
    let first = AtomicUsize::new(0);
    let starts = start_while(other, rate, || first.fetch_add(1, Ordering::Relaxed) < 2);
    let waited = starts[0].saturating_sub(begun);
    assert!(waited >= PAUSE, "{waited:?}");
}

#[test]
fn a_process_that_ends_waits_until_its_pause_is_in_the_database() {
    let Some(database) = database() else { return };
    let relay = Relay::to(&database.direct);
    let quota = join(&relay.address(&database.direct), rate(100)).unwrap();
    relay.refuse();
    quota.pause(Duration::from_hours(1));
    thread::scope(|scope| {
        let ending = scope.spawn(|| drop(quota));
        // One that doesn't wait ends meanwhile, and the pause is lost.
        let begun = boot_now();
        until(|| ending.is_finished() || boot_now().saturating_sub(begun) > Duration::from_millis(300));
        relay.pass();
        ending.join().unwrap();
    });
    assert_eq!(database.query("SELECT max(paused_until) > now() FROM attrsync_quota.quota"), [["t"]]);
}

#[test]
fn a_server_that_lost_its_memory_gives_no_slot_twice() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let (database, rate) = (cluster.database(), rate(100));
    let quotas = [&database.direct, &database.pooled].map(|address| join(address, rate).unwrap());
    let (all, crashed) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let goes_on = || {
        let started = all.fetch_add(1, Ordering::Relaxed);
        started.saturating_sub(crashed.load(Ordering::Relaxed)) < 40
    };
    thread::scope(|scope| {
        let processes =
            quotas.each_ref().map(|quota| scope.spawn(|| start_while(Arc::clone(quota), rate, goes_on)));
        let _ends = Ends(&crashed);
        until(|| all.load(Ordering::Relaxed) > 20);
        cluster.crash(Node::Primary);
        until(|| quotas.iter().all(|quota| quota.away().is_some()));
        crashed.store(all.load(Ordering::Relaxed), Ordering::Relaxed);
        let begun = boot_now();
        cluster.start_node(Node::Primary);
        for process in processes {
            let starts = process.join().unwrap();
            let next = starts.iter().find(|start| **start > begun).unwrap();
            let waited = next.saturating_sub(begun);
            assert!(waited >= Duration::from_secs(6), "{waited:?}");
        }
    });
    assert_eq!(quotas.map(|quota| quota.away()), [None, None]);
}

#[test]
fn rights_are_asked_for_only_where_there_is_something_to_create() {
    let Some(database) = database() else { return };
    let role = format!("guest_{}", database.name);
    let admin = Session::open(&database.admin);
    admin.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'guest'"));
    let (_, host) = database.direct.split_once('@').unwrap();
    let guest = format!("postgres://{role}:guest@{host}");
    let denied = |right: &str| {
        let error = join(&guest, rate(10)).unwrap_err();
        assert!(matches!(error, DatabaseError::Denied(_)), "{error:?}");
        assert!(error.to_string().contains(right), "{error}");
    };
    denied(&format!("`GRANT CREATE ON DATABASE {} TO {role}`", database.name));
    drop(join(&database.direct, rate(10)).unwrap());
    denied(&format!("SCHEMA attrsync_quota TO {role}`"));
    database.execute(&format!("GRANT USAGE ON SCHEMA attrsync_quota TO {role}"));
    denied(&format!("ON attrsync_quota.quota TO {role}`"));
    database.execute(&format!("GRANT SELECT, INSERT, UPDATE ON attrsync_quota.quota TO {role}"));
    let one = AtomicUsize::new(0);
    let starts =
        start_while(join(&guest, rate(10)).unwrap(), rate(10), || one.fetch_add(1, Ordering::Relaxed) < 1);
    assert_eq!(starts.len(), 1);
}

#[test]
fn rights_of_a_ledger_are_asked_for_by_the_names_of_its_tables() {
    let Some(database) = database() else { return };
    let role = format!("reader_{}", database.name);
    let admin = Session::open(&database.admin);
    admin.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'guest'"));
    let (_, host) = database.direct.split_once('@').unwrap();
    let location = |user: &str| {
        LedgerLocation::of_database(&format!("postgres://{user}@{host}?schema=night"), None).unwrap()
    };
    let target = TargetKey { base_url: NAME.to_owned(), id_type: IdType::Id };
    let own = format!("attrsync:{}", password(&database.direct));
    drop(Ledger::open(&location(&own), &target, Timestamp::UNIX_EPOCH).unwrap());
    let denied = || LedgerReader::open(&location(&format!("{role}:guest"))).unwrap_err().to_string();
    let error = denied();
    assert!(error.contains(&format!("SCHEMA night TO {role}`")), "{error}");
    database.execute(&format!("GRANT USAGE ON SCHEMA night TO {role}"));
    let error = denied();
    let (_, right) = error.split_once("`GRANT ").unwrap_or_else(|| panic!("{error}"));
    assert!(right.starts_with("SELECT, INSERT, UPDATE, DELETE ON night."), "{error}");
    let table = right.split(&['.', ' '][..]).nth(6).unwrap();
    assert_eq!(
        database.query(&format!(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'night' AND tablename = '{table}'"
        )),
        [["1"]],
        "{error}"
    );
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA night TO {role}"));
    LedgerReader::open(&location(&format!("{role}:guest"))).unwrap();
}

#[test]
fn processes_that_start_together_make_one_table() {
    let Some(database) = database() else { return };
    thread::scope(|scope| {
        let joining: Vec<_> = (0..8).map(|_| scope.spawn(|| join(&database.direct, rate(10)))).collect();
        for quota in joining {
            quota.join().unwrap().unwrap();
        }
    });
    assert_eq!(database.query("SELECT count(*) FROM attrsync_quota.quota"), [["1"]]);
}
