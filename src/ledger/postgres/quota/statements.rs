//! The table of quotas, and the statements on it.
//!
//! Times go to the server and come back as whole numbers of microseconds. The server's clock is read with
//! `clock_timestamp()`, which runs on within a statement that waits for a row. In the new row `next_free` stands before
//! `tolerance`, so that it is computed first: if a tolerance runs out in between, slots come later, never earlier.

use std::time::Duration;

use super::super::error::DatabaseError;
use super::super::parameter::Parameter;
use super::super::session::Session;
use super::server_clock::micros;
use crate::deliver::{Rate, TOLERANCE};

/// What a new primary, or one after a crash, may not know of: the window before, and the slots that were given out. Processes
/// whose connections break drop theirs, so it is a matter of those that don't notice that.
const UNKNOWN_TO_A_NEW_SERVER: Duration = Duration::from_secs(5);

/// If the next free slot is later than this, the server's clock was set back.
const FARTHEST: Duration = Duration::from_mins(1);

/// How long a tolerance holds after the last process has asked for it.
const TOLERANT: Duration = Duration::from_mins(1);

/// The longest pause of all. One who asks again after it does no harm.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Two processes use a quota at the same time if their reservations are no farther apart.
const TOGETHER: Duration = Duration::from_secs(10);

/// Without the right to create schemas, an existing one can be used. Versions of this program that start together must not
/// disturb each other, hence the lock.
const CREATE: &str = "
BEGIN;
SELECT pg_advisory_xact_lock(hashtextextended('attrsync_quota', 0));
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'attrsync_quota') THEN
        CREATE SCHEMA attrsync_quota;
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS attrsync_quota.quota (
    name text PRIMARY KEY,
    next_free timestamptz NOT NULL,
    paused_until timestamptz NOT NULL DEFAULT 'epoch',
    server timestamptz NOT NULL,
    tolerance int8 NOT NULL,
    tolerant_until timestamptz NOT NULL DEFAULT 'epoch',
    reset_at timestamptz NOT NULL DEFAULT 'epoch',
    rate text NOT NULL,
    other_rate text
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);
COMMIT;
";

/// Makes the row of a quota. Nothing was reserved in it, unless it was removed, or lost in a crash.
const ADD: &str = "
INSERT INTO attrsync_quota.quota AS q (name, next_free, server, tolerance, rate)
SELECT $1, greatest(clock_timestamp() + CASE WHEN $2 THEN $3 ELSE 0 END * interval '1 microsecond',
                    pg_postmaster_start_time() + $3 * interval '1 microsecond'),
       pg_postmaster_start_time(), $4, $5
ON CONFLICT DO NOTHING";

const LOOK: &str = "
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8,
       (extract(epoch FROM paused_until) * 1000000)::int8
FROM attrsync_quota.quota WHERE name = $1";

/// A crash may lose what was not yet written to the disk, but the server's start time tells.
const PAUSE: &str = "
WITH setting AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS value)
UPDATE attrsync_quota.quota AS q
SET paused_until = greatest(q.paused_until, clock_timestamp() + $2 * interval '1 microsecond')
FROM setting
WHERE q.name = $1 AND setting.value IS NOT NULL
RETURNING (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
          (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8,
          (extract(epoch FROM q.paused_until) * 1000000)::int8";

/// `$2` slots, each `$3` after the one before, from `$4` ahead. `$5` is the tolerance that this process needs, `$6` the requests
/// of a window, `$7` what a new server may not know of, `$8` the farthest that the next free slot may be, `$9` the rate, `$10` the
/// tolerance that is contained in `$3`, `$11` how long a tolerance holds, and `$12` within which time two processes count as
/// running together.
const RESERVE: &str = "
WITH setting AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS value)
UPDATE attrsync_quota.quota AS q
SET next_free = greatest(
        CASE WHEN q.next_free > greatest(clock_timestamp(), q.paused_until) + $8 * interval '1 microsecond'
             THEN 'epoch' ELSE q.next_free END,
        q.paused_until,
        clock_timestamp() + CASE WHEN q.server = pg_postmaster_start_time() THEN $4 ELSE $7 END
            * interval '1 microsecond')
      + $2 * ($3 + greatest(CASE WHEN q.tolerant_until > clock_timestamp() THEN greatest(q.tolerance, $5) ELSE $5 END
                            - $10, 0) / $6) * interval '1 microsecond',
    server = pg_postmaster_start_time(),
    tolerance = CASE WHEN q.tolerant_until > clock_timestamp() THEN greatest(q.tolerance, $5) ELSE $5 END,
    tolerant_until = CASE WHEN q.tolerant_until > clock_timestamp() AND q.tolerance > $5 THEN q.tolerant_until
                          ELSE clock_timestamp() + $11 * interval '1 microsecond' END,
    reset_at = CASE WHEN q.next_free > greatest(clock_timestamp(), q.paused_until) + $8 * interval '1 microsecond'
                    THEN clock_timestamp() ELSE q.reset_at END,
    other_rate = CASE WHEN q.rate <> $9 AND q.next_free > clock_timestamp() - $12 * interval '1 microsecond'
                      THEN q.rate END,
    rate = $9
FROM setting
WHERE q.name = $1 AND setting.value IS NOT NULL
RETURNING (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
          (extract(epoch FROM q.server) * 1000000)::int8,
          (extract(epoch FROM q.paused_until) * 1000000)::int8,
          (extract(epoch FROM q.next_free) * 1000000)::int8,
          $3 + greatest(q.tolerance - $10, 0) / $6,
          q.tolerance,
          (extract(epoch FROM q.reset_at) * 1000000)::int8,
          q.other_rate";

/// What every answer has, in microseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The server's time.
    pub now: i64,
    /// When the server was started.
    pub server: i64,
    /// The end of the last pause.
    pub paused_until: i64,
}

/// Slots that were reserved.
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    pub times: Times,
    /// The first slot.
    pub first: i64,
    /// From one slot to the next.
    pub step: i64,
    /// How late a slot may be used.
    pub tolerance: Duration,
    /// When the row was last reset because the server's clock had been set back.
    pub reset_at: i64,
    /// Another process has another rate.
    pub other_rate: Option<String>,
}

/// A quota in the database.
#[derive(Clone, Debug)]
pub(super) struct QuotaRow {
    pub name: String,
    pub rate: Rate,
}

impl QuotaRow {
    /// Makes the table if there is none.
    pub(super) async fn create(&self, session: &mut Session) -> Result<(), DatabaseError> {
        session.batch(CREATE).await
    }

    /// Makes the row if there is none. `was_there` says whether there was one that others may have used.
    pub(super) async fn add(&self, session: &mut Session, was_there: bool) -> Result<(), DatabaseError> {
        let unknown = micros(self.rate.window + UNKNOWN_TO_A_NEW_SERVER);
        let parameters = [was_there.into(), unknown.into(), micros(TOLERANCE).into(), self.rate_text()];
        session.query(ADD, self.parameters(parameters)).await.map(drop)
    }

    /// The times, if there is such a row.
    pub(super) async fn look(&self, session: &mut Session) -> Result<Option<Times>, DatabaseError> {
        let rows = session.query(LOOK, self.parameters([])).await?;
        Ok(rows.first().map(times))
    }

    /// Lets all pause.
    pub(super) async fn pause(
        &self,
        session: &mut Session,
        pause: Duration,
    ) -> Result<Option<Times>, DatabaseError> {
        let pause = micros(pause.min(LONGEST_PAUSE));
        let rows = session.query(PAUSE, self.parameters([pause.into()])).await?;
        Ok(rows.first().map(times))
    }

    /// Reserves slots that are `interval` apart.
    pub(super) async fn reserve(
        &self,
        session: &mut Session,
        slots: u32,
        interval: Duration,
        (lead, tolerance): (Duration, Duration),
    ) -> Result<Option<Reserved>, DatabaseError> {
        let farthest = micros(FARTHEST.saturating_add(interval.saturating_mul(100)));
        let parameters = [
            i64::from(slots).into(),
            micros(interval + Duration::from_nanos(999)).into(),
            micros(lead).into(),
            micros(tolerance).into(),
            i64::from(self.rate.requests.get()).into(),
            micros(self.rate.window + UNKNOWN_TO_A_NEW_SERVER).into(),
            farthest.into(),
            self.rate_text(),
            micros(TOLERANCE).into(),
            micros(TOLERANT).into(),
            micros(TOGETHER).into(),
        ];
        let rows = session.query(RESERVE, self.parameters(parameters)).await?;
        Ok(rows.first().map(|row| {
            let step: i64 = row.get(4);
            Reserved {
                times: times(row),
                first: row.get::<_, i64>(3) - i64::from(slots) * step,
                step,
                tolerance: Duration::from_micros(u64::try_from(row.get::<_, i64>(5)).unwrap_or_default()),
                reset_at: row.get(6),
                other_rate: row.get(7),
            }
        }))
    }

    fn parameters<const N: usize>(&self, others: [Parameter; N]) -> Vec<Parameter> {
        std::iter::once(self.name.as_str().into()).chain(others).collect()
    }

    fn rate_text(&self) -> Parameter {
        self.rate.to_string().into()
    }
}

fn times(row: &tokio_postgres::Row) -> Times {
    Times { now: row.get(0), server: row.get(1), paused_until: row.get(2) }
}
