//! The lease in the database: taking, renewing and releasing it.
//!
//! All times are the server's. What this process has to know of them, it derives from when it asked.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use tokio_postgres::Row;
use tracing::{debug, warn};

use super::address::{Access, Address};
use super::error::DatabaseError;
use super::parameter::Parameter;
use super::session::{Session, Statement};
use crate::clock;
use crate::ledger::error::{LockHolder, Renewal};
use crate::ledger::lease::{Lease, LeaseState};

/// After an error, the lease is renewed again this soon.
const AGAIN: Duration = Duration::from_secs(1);

/// What shows the server that a statement comes from the run that has the lease.
#[derive(Clone, Debug)]
pub(super) struct Fence {
    schema: String,
    epoch: i64,
    token: String,
    ttl: Duration,
}

/// What came of asking for the lease.
#[derive(Debug)]
pub(super) enum Taken {
    /// This run has it. Requests of the run before may arrive for some time.
    Mine { fence: Fence, asked_at: Duration, quiet: Duration },
    /// Another run has it.
    Others { holder: LockHolder, renewal: Renewal },
}

/// Takes the lease, if no other run has it.
pub(super) async fn take(
    session: &mut Session,
    address: &Address,
    timeout: Duration,
) -> Result<Taken, DatabaseError> {
    let schema = &address.quoted_schema();
    let token = format!("{:032x}", rand::random::<u128>());
    // Were the answer lost, the same statement would give it again.
    let sql = format!(
        "INSERT INTO {schema}.lease AS l
             (id, epoch, token, host, process, taken_at, expires_at, request_timeout, quiet_until, newest)
         VALUES (1, 1, $1, $2, $3, clock_timestamp(), clock_timestamp() + $4 * interval '1 millisecond',
             $5 * interval '1 millisecond', to_timestamp(0), 0)
         ON CONFLICT (id) DO UPDATE SET
             epoch = l.epoch + (l.token <> excluded.token)::int,
             token = excluded.token, host = excluded.host, process = excluded.process,
             taken_at = excluded.taken_at, expires_at = excluded.expires_at,
             request_timeout = excluded.request_timeout,
             quiet_until = CASE WHEN l.token = excluded.token THEN l.quiet_until
                 ELSE greatest(l.quiet_until, l.expires_at + l.request_timeout) END
         WHERE l.token = excluded.token OR l.expires_at < clock_timestamp()
         RETURNING epoch,
             greatest(0, extract(epoch FROM quiet_until - clock_timestamp()) * 1000)::int8"
    );
    let parameters = || {
        vec![
            Parameter::from(token.as_str()),
            Parameter::from(host()),
            i64::from(std::process::id()).into(),
            millis(address.lease()).into(),
            millis(timeout).into(),
        ]
    };
    loop {
        let asked_at = clock::boot_now();
        let taken = match session.query(&sql, parameters()).await {
            // Another token would find the lease taken, and nobody there who renews it.
            Err(error) if error.is_away() => session.query(&sql, parameters()).await?,
            taken => taken?,
        };
        if let Some(row) = taken.first() {
            let fence = Fence {
                schema: schema.to_owned(),
                epoch: row.get(0),
                token: token.clone(),
                ttl: address.lease(),
            };
            let quiet = Duration::from_millis(u64::try_from(row.get::<_, i64>(1)).unwrap_or_default());
            return Ok(Taken::Mine { fence, asked_at, quiet });
        }
        if let Some((holder, renewal)) = holder(session, schema, "").await? {
            return Ok(Taken::Others { holder, renewal });
        }
    }
}

/// The run that has the lease at present, if one has.
pub(super) async fn current_holder(
    session: &mut Session,
    schema: &str,
) -> Result<Option<LockHolder>, DatabaseError> {
    let found = holder(session, schema, "WHERE expires_at > clock_timestamp()").await?;
    Ok(found.map(|(holder, _)| holder))
}

async fn holder(
    session: &mut Session,
    schema: &str,
    condition: &str,
) -> Result<Option<(LockHolder, Renewal)>, DatabaseError> {
    let sql = format!(
        "SELECT host, process, (extract(epoch FROM taken_at) * 1000)::int8, epoch,
             (extract(epoch FROM expires_at) * 1000000)::int8
         FROM {schema}.lease {condition}"
    );
    let rows = session.query(&sql, Vec::new()).await?;
    Ok(rows.first().map(read_holder))
}

fn read_holder(row: &Row) -> (LockHolder, Renewal) {
    let holder = LockHolder {
        host: Some(row.get(0)),
        process: row.get::<_, i64>(1).try_into().unwrap_or_default(),
        since: Timestamp::from_millisecond(row.get(2)).unwrap_or(Timestamp::UNIX_EPOCH),
    };
    (holder, Renewal { epoch: row.get(3), expires_at: row.get(4) })
}

impl Fence {
    /// Renews the lease. Returns whether this run still had it. Within a transaction, no other run can take it before the end,
    /// and the server ends it soon if this process goes away.
    pub(super) async fn renew(&self, session: &mut Session) -> Result<bool, DatabaseError> {
        let (sql, parameters) = self.renewal(None);
        Ok(!session.query(&sql, parameters).await?.is_empty())
    }

    /// The statement that renews the lease, and notes the newest entry if there is a new one. It has a row if this run still had
    /// the lease.
    pub(super) fn renewal(&self, newest: Option<u64>) -> Statement {
        let Self { schema, epoch, token, ttl } = self;
        let sql = format!(
            "UPDATE {schema}.lease SET expires_at = clock_timestamp() + $1 * interval '1 millisecond',
                 newest = greatest(newest, $4)
             WHERE id = 1 AND epoch = $2 AND token = $3
             RETURNING set_config('idle_in_transaction_session_timeout', '20s', true)"
        );
        let newest = newest.unwrap_or(0).cast_signed();
        (sql, vec![millis(*ttl).into(), (*epoch).into(), Parameter::from(token.as_str()), newest.into()])
    }

    /// Lets the next run have the lease. It waits this long before its first request. The number of the holder is kept, so
    /// that it only grows.
    pub(super) async fn release(&self, session: &mut Session, quiet: Duration) -> Result<(), DatabaseError> {
        let Self { schema, epoch, token, ttl: _ } = self;
        let sql = format!(
            "UPDATE {schema}.lease
             SET expires_at = clock_timestamp() - interval '1 millisecond',
                 request_timeout = $1 * interval '1 millisecond'
             WHERE id = 1 AND epoch = $2 AND token = $3"
        );
        let parameters = vec![millis(quiet).into(), (*epoch).into(), Parameter::from(token.as_str())];
        session.query(&sql, parameters).await.map(drop)
    }

    /// How long a renewal holds.
    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }
}

/// Renews a lease in time, on a connection of its own, until it is lost.
pub(super) async fn keep(fence: Fence, lease: Arc<Lease>, address: Address) {
    let mut session = Session::new(address, Access::Write);
    let mut reached_at = clock::boot_now();
    let (mut wait, mut is_told) = (fence.ttl / 3, false);
    loop {
        sleep(wait).await;
        let asked_at = clock::boot_now();
        match fence.renew(&mut session).await {
            Ok(true) => {
                lease.renewed(asked_at, fence.ttl);
                (reached_at, wait, is_told) = (asked_at, fence.ttl / 3, false);
            }
            Ok(false) => {
                warn!("another run has taken over the ledger: no more requests are started");
                return lease.end(LeaseState::Lost);
            }
            Err(error) => {
                debug!(%error, "the lease was not renewed");
                if !lease.is_valid() && !std::mem::replace(&mut is_told, true) {
                    warn!(
                        "the database of the ledger is away ({error}): no request is started until it is back"
                    );
                }
                wait = AGAIN.min(fence.ttl / 3);
                if lease.patience().left(reached_at).is_zero() {
                    return lease.end(LeaseState::Unreachable);
                }
            }
        }
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::said::Said;
    use super::*;
    use crate::ledger::LedgerLocation;

    /// How often it is said that the database is away, by a run that gives up at last. Its lease was renewed for this long.
    async fn times_said(holds: Duration) -> usize {
        // Nobody listens on the discard port.
        let address = Address::parse("postgres://ada@127.0.0.1:9/crm", None).unwrap();
        let max_outage = Duration::from_millis(300);
        let location = LedgerLocation::File("ledger".into());
        let lease = Arc::new(Lease::new(location, clock::boot_now(), holds, Duration::ZERO, max_outage));
        let ttl = Duration::from_millis(30);
        let fence = Fence { schema: "night".to_owned(), epoch: 1, token: String::new(), ttl };
        let said = Said::from_now_on();
        keep(fence, Arc::clone(&lease), address).await;
        assert_eq!(lease.ended().await, LeaseState::Unreachable);
        said.take().matches("no request is started until it is back").count()
    }

    #[tokio::test]
    async fn that_no_request_is_started_is_said_once_and_only_when_it_is_so() {
        assert_eq!(times_said(Duration::ZERO).await, 1);
        assert_eq!(times_said(Duration::from_hours(1)).await, 0);
    }

    #[test]
    fn the_machine_is_known_by_its_own_name() {
        let name = Command::new("uname").arg("-n").output().unwrap().stdout;
        assert_eq!(host(), String::from_utf8_lossy(&name).trim_end());
    }
}
