//! The tables of a ledger, on one connection: reading, changing, and waiting while the database is away.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Row;
use tracing::warn;

use super::address::{Access, Address};
use super::error::DatabaseError;
use super::lease::{self, Fence, Taken};
use super::parameter::Parameter;
use super::schema;
use super::session::Session;
use super::statements::{MOST_BYTES, fields, names, newest, size, statements};
use crate::clock;
use crate::ledger::lease::{Lease, LeaseState};
use crate::ledger::rows::{Field, Table};
use crate::ledger::store::{Change, Selection};
use crate::ledger::{LedgerError, LedgerLocation};

/// The longest wait for a statement that changes rows.
const CHANGE_DEADLINE: Duration = Duration::from_mins(1);

/// The first and the longest pause before a database that is away is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// An attempt has at least this much time, however short the run's patience is.
const LEAST: Duration = Duration::from_secs(2);

/// How often to look whether the run is in a hurry.
const GLANCE: Duration = Duration::from_millis(50);

/// Begins a transaction whose changes survive a crash once they are committed, and which the server ends if this process goes away
/// in the middle of it.
const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '15min'; \
                     SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

#[derive(Debug)]
pub(super) struct Tables {
    location: LedgerLocation,
    /// Its name as SQL text.
    pub(super) schema: String,
    pub(super) session: Session,
    /// Of a run that writes.
    pub(super) fence: Option<(Fence, Arc<Lease>)>,
    /// Changes that are committed together.
    pub(super) transaction: Option<Transaction>,
    /// The newest entry that was committed, and the connection on which that was last checked.
    pub(super) newest: u64,
    checked: u64,
}

/// Changes since [`begin`](crate::ledger::store::Store::begin).
#[derive(Debug, Default)]
pub(super) struct Transaction {
    waiting: Vec<Change>,
    bytes: usize,
    /// Whether some of it is in the database already.
    is_begun: bool,
}

impl Tables {
    pub(super) fn new(address: &Arc<Address>, access: Access) -> Self {
        Self {
            schema: address.quoted_schema(),
            location: LedgerLocation::Postgres(Arc::clone(address)),
            session: Session::new((**address).clone(), access),
            fence: None,
            transaction: None,
            newest: 0,
            checked: 0,
        }
    }

    pub(super) async fn open_to_write(
        &mut self,
        address: &Address,
        request_timeout: Duration,
    ) -> Result<(usize, Taken), LedgerError> {
        let form = schema::migrate(&mut self.session, address).await.map_err(|error| self.failed(error))?;
        self.check_form(form)?;
        let taken = lease::take(&mut self.session, address, request_timeout).await;
        Ok((form, taken.map_err(|error| self.failed(error))?))
    }

    pub(super) async fn open_to_read(&mut self) -> Result<usize, LedgerError> {
        let form = schema::read_form(&mut self.session).await.map_err(|error| self.failed(error))?;
        if form == 0 {
            return Err(LedgerError::Missing { ledger: self.location.clone() });
        }
        self.check_form(form)?;
        let begun = self.session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await;
        begun.map_err(|error| self.failed(error))?;
        self.session.pin();
        Ok(form)
    }

    fn check_form(&self, found: usize) -> Result<(), LedgerError> {
        let known = schema::NEWEST;
        if found > known {
            return Err(LedgerError::TooNew { ledger: self.location.clone(), found, known });
        }
        Ok(())
    }

    fn failed(&self, error: DatabaseError) -> LedgerError {
        failed(self.location.clone(), error)
    }

    pub(super) async fn rows(
        &mut self,
        table: &Table,
        selection: &Selection,
    ) -> Result<Vec<Vec<Field>>, LedgerError> {
        self.send_waiting().await?;
        let (key, columns) = (table.key(), names(table));
        let select = format!("SELECT {columns} FROM {}.{}", self.schema, table.name);
        let found = match selection {
            Selection::All => self.query(&format!("{select} ORDER BY {key}"), Vec::new).await?,
            Selection::After(number) => {
                let sql = format!("{select} WHERE {key} > $1 ORDER BY {key}");
                self.query(&sql, || vec![number.cast_signed().into()]).await?
            }
            Selection::Where(conditions) => {
                let terms =
                    conditions.iter().zip(1..).map(|((column, _), place)| format!("{column} = ${place}"));
                let terms = terms.collect::<Vec<_>>().join(" AND ");
                let numbers = || conditions.iter().map(|(_, number)| number.cast_signed().into()).collect();
                self.query(&format!("{select} WHERE {terms} ORDER BY {key}"), numbers).await?
            }
            Selection::Keys(keys) => {
                let sql = format!("{select} WHERE {key} = ANY ($1)");
                let numbers = || vec![keys.iter().map(|key| key.cast_signed()).collect::<Vec<_>>().into()];
                let found = self.query(&sql, numbers).await?;
                let mut by_key: HashMap<i64, Row> = found.into_iter().map(|row| (row.get(0), row)).collect();
                keys.iter().filter_map(|key| by_key.remove(&key.cast_signed())).collect()
            }
        };
        Ok(found.iter().map(|row| fields(table, row)).collect())
    }

    /// Runs a statement that changes nothing. A run that writes may repeat it, as nobody else changes what it reads.
    pub(super) async fn query(
        &mut self,
        sql: &str,
        parameters: impl Fn() -> Vec<Parameter>,
    ) -> Result<Vec<Row>, LedgerError> {
        let mut outage = self.outage();
        loop {
            let query = self.session.query_within(CHANGE_DEADLINE, sql, parameters());
            match outage.cut_short(query).await {
                Ok(rows) => return Ok(rows),
                Err(error) => self.wait(error, &mut outage).await?,
            }
        }
    }

    pub(super) async fn change(&mut self, change: Change) -> Result<(), LedgerError> {
        let Some(transaction) = &mut self.transaction else {
            let changes = [change];
            return self.commit_all(&changes).await;
        };
        transaction.bytes += size(&change);
        transaction.waiting.push(change);
        if transaction.bytes < MOST_BYTES { Ok(()) } else { self.send_waiting().await }
    }

    /// Sends the changes that wait, so that what is read next has them.
    pub(super) async fn send_waiting(&mut self) -> Result<(), LedgerError> {
        let Some(Transaction { waiting, is_begun, bytes }) = &mut self.transaction else { return Ok(()) };
        if waiting.is_empty() {
            return Ok(());
        }
        let (changes, was_begun) = (std::mem::take(waiting), std::mem::replace(is_begun, true));
        *bytes = 0;
        if !was_begun {
            let began = self.session.batch(BEGIN).await;
            began.map_err(|error| self.failed(error))?;
            self.session.pin();
        }
        self.apply(&changes).await.map_err(|error| self.failed(error))
    }

    pub(super) async fn commit(&mut self) -> Result<(), LedgerError> {
        let Some(Transaction { waiting, is_begun, .. }) = self.transaction.take() else { return Ok(()) };
        if !is_begun {
            return if waiting.is_empty() { Ok(()) } else { self.commit_all(&waiting).await };
        }
        let committed = async {
            self.apply(&waiting).await.map_err(|error| self.failed(error))?;
            self.end_transaction(newest(&waiting)).await
        };
        let committed = committed.await;
        self.session.unpin();
        if committed.is_err() {
            self.session.close();
        }
        committed
    }

    pub(super) fn roll_back(&mut self) {
        self.session.unpin();
        if self.transaction.take().is_some_and(|transaction| transaction.is_begun) {
            self.session.close();
        }
    }

    /// Commits changes. If the answer is lost, they are committed again, which makes no difference.
    async fn commit_all(&mut self, changes: &[Change]) -> Result<(), LedgerError> {
        let mut outage = self.outage();
        loop {
            match outage.cut_short(self.try_to_commit(changes)).await {
                Ok(committed) => return committed,
                Err(error) => self.wait(error, &mut outage).await?,
            }
        }
    }

    async fn try_to_commit(&mut self, changes: &[Change]) -> Result<Result<(), LedgerError>, DatabaseError> {
        if !self.has_newest().await? {
            let what = "its database has lost what it recorded last".to_owned();
            return Ok(Err(LedgerError::Damaged { ledger: self.location.clone(), what }));
        }
        let mut statements = statements(&self.schema, changes);
        let asked_at = clock::boot_now();
        statements.extend(self.fence.as_ref().map(|(fence, _)| fence.renewal(newest(changes))));
        let answers = self.session.begin_with(CHANGE_DEADLINE, BEGIN, &statements).await?;
        let is_renewed = answers.last().is_some_and(|rows| !rows.is_empty());
        let is_mine = self.commit_if(is_renewed, asked_at, newest(changes)).await?;
        self.session.unpin();
        if is_mine {
            return Ok(Ok(()));
        }
        self.session.close();
        Ok(Err(self.lost()))
    }

    async fn end_transaction(&mut self, newest: Option<u64>) -> Result<(), LedgerError> {
        let is_mine = self.finish_transaction(newest).await.map_err(|error| self.failed(error))?;
        if is_mine { Ok(()) } else { Err(self.lost()) }
    }

    /// Commits the transaction if this run still has the lease. Returns whether it has.
    async fn finish_transaction(&mut self, newest: Option<u64>) -> Result<bool, DatabaseError> {
        let asked_at = clock::boot_now();
        let is_renewed = match self.fence.clone() {
            Some((fence, _)) => {
                let (sql, parameters) = fence.renewal(newest);
                !self.session.query(&sql, parameters).await?.is_empty()
            }
            None => false,
        };
        self.commit_if(is_renewed, asked_at, newest).await
    }

    /// Does so with a lease that was renewed in the transaction, at this time, or wasn't.
    async fn commit_if(
        &mut self,
        is_renewed: bool,
        asked_at: Duration,
        newest: Option<u64>,
    ) -> Result<bool, DatabaseError> {
        let Some((fence, lease)) = self.fence.clone() else {
            return self.session.batch("COMMIT").await.map(|()| true);
        };
        if !is_renewed {
            lease.end(LeaseState::Lost);
            return Ok(false);
        }
        self.session.batch("COMMIT").await?;
        lease.renewed(asked_at, fence.ttl());
        self.newest = self.newest.max(newest.unwrap_or(0));
        Ok(true)
    }

    /// On a new connection, finds out whether the database has what it acknowledged: a standby may have taken over that hasn't.
    async fn has_newest(&mut self) -> Result<bool, DatabaseError> {
        self.session.connect().await?;
        if self.session.generation() == self.checked {
            return Ok(true);
        }
        let schema = &self.schema;
        let sql = format!(
            "SELECT greatest((SELECT max(entry) FROM {schema}.journal), (SELECT max(expired) FROM {schema}.state))"
        );
        let rows = self.session.query(&sql, Vec::new()).await?;
        let found = rows.first().and_then(|row| row.get::<_, Option<i64>>(0)).unwrap_or_default();
        self.checked = self.session.generation();
        Ok(found.cast_unsigned() >= self.newest)
    }

    /// The newest entry that a run recorded, as its last commit noted it.
    pub(super) async fn noted(&mut self) -> Result<u64, LedgerError> {
        let sql = format!("SELECT max(newest) FROM {}.lease", self.schema);
        let rows = self.query(&sql, Vec::new).await?;
        let noted = rows.first().and_then(|row| row.get::<_, Option<i64>>(0)).unwrap_or_default();
        Ok(noted.cast_unsigned())
    }

    fn lost(&self) -> LedgerError {
        LedgerError::LeaseLost { ledger: self.location.clone() }
    }

    /// Applies changes, several rows of a table at once.
    pub(super) async fn apply(&mut self, changes: &[Change]) -> Result<(), DatabaseError> {
        for (sql, parameters) in statements(&self.schema, changes) {
            self.session.query_within(CHANGE_DEADLINE, &sql, parameters).await?;
        }
        Ok(())
    }

    pub(super) fn outage(&self) -> Outage {
        let lease = self.fence.as_ref().map(|(_, lease)| Arc::clone(lease));
        Outage { lease, since: clock::boot_now(), pause: PAUSES.0 }
    }

    /// Waits some time after an error, if that can help. Nothing is left of what was tried.
    pub(super) async fn wait(
        &mut self,
        error: DatabaseError,
        outage: &mut Outage,
    ) -> Result<(), LedgerError> {
        self.session.unpin();
        self.session.close();
        let left = outage.left();
        // What is in the database by half can't be repeated.
        let is_over = self.transaction.as_ref().is_some_and(|transaction| transaction.is_begun);
        if !error.is_away() || left.is_zero() || is_over {
            return Err(self.failed(error));
        }
        if outage.pause == PAUSES.0 {
            warn!("the database of the ledger is away ({error}): waiting for it");
        }
        sleep(outage.pause.min(left)).await;
        outage.pause = (outage.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

/// What an error of the database means for the ledger in it.
pub(super) fn failed(ledger: LedgerLocation, error: DatabaseError) -> LedgerError {
    match error {
        DatabaseError::Away(error) => LedgerError::Away { ledger, error },
        DatabaseError::Absent(what) => LedgerError::Damaged { ledger, what },
        DatabaseError::Denied(error) | DatabaseError::Refused(error) => {
            LedgerError::Refused { ledger, error }
        }
    }
}

/// How long something waits for the database already.
pub(super) struct Outage {
    /// Of a run that writes. Nobody else waits.
    lease: Option<Arc<Lease>>,
    since: Duration,
    /// The next pause.
    pause: Duration,
}

impl Outage {
    fn left(&self) -> Duration {
        self.lease.as_ref().map_or(Duration::ZERO, |lease| lease.patience().left(self.since))
    }

    /// Gives up an attempt when the run is in a hurry and its time is up.
    pub(super) async fn cut_short<T>(
        &self,
        attempt: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Result<T, DatabaseError> {
        let begun = clock::boot_now();
        let over = async {
            while let Some(lease) = &self.lease
                && !lease.patience().is_over()
                && !(self.left().is_zero() && clock::boot_now() > begun + LEAST)
            {
                sleep(GLANCE).await;
            }
            if self.lease.is_none() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            result = attempt => result,
            () = over => Err(DatabaseError::away("there was no time to wait for its answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::super::said::Said;
    use super::*;
    use crate::ledger::rows::KNOWN;

    const HOUR: Duration = Duration::from_hours(1);

    /// Of a database that is away: nobody listens on the discard port.
    fn tables() -> Tables {
        let address = Address::parse("postgres://ada@127.0.0.1:9/crm", None).unwrap();
        Tables::new(&Arc::new(address), Access::Write)
    }

    fn outage(max_outage: Duration) -> Outage {
        let location = LedgerLocation::File("ledger".into());
        let lease = Lease::new(location, clock::boot_now(), Duration::ZERO, Duration::ZERO, max_outage);
        Outage { lease: Some(Arc::new(lease)), since: clock::boot_now(), pause: PAUSES.0 }
    }

    #[tokio::test]
    async fn only_a_database_that_may_come_back_is_waited_for_and_only_if_nothing_is_lost_by_then() {
        let (away, refused) = (DatabaseError::away("it is"), DatabaseError::refused("a right is missing"));
        for (error, max_outage, is_begun, waits) in [
            (&away, HOUR, false, true),
            (&refused, HOUR, false, false),
            (&away, Duration::ZERO, false, false),
            (&away, HOUR, true, false),
        ] {
            let mut tables = tables();
            tables.transaction = Some(Transaction { is_begun, ..Transaction::default() });
            let waited = tables.wait(error.clone(), &mut outage(max_outage)).await;
            assert_eq!(waited.is_ok(), waits, "{error:?} {max_outage:?} {is_begun}");
        }
    }

    #[tokio::test]
    async fn pauses_get_longer_and_the_first_one_is_told_of() {
        let (mut tables, mut outage, said) = (tables(), outage(HOUR), Said::from_now_on());
        for (pause, is_told) in [(200, true), (400, false)] {
            tables.wait(DatabaseError::away("it is"), &mut outage).await.unwrap();
            assert_eq!(outage.pause, Duration::from_millis(pause));
            assert_eq!(said.take().contains("waiting for it"), is_told, "{pause}");
        }
    }

    #[tokio::test]
    async fn an_attempt_has_some_time_however_short_the_patience_is() {
        let outage = outage(Duration::ZERO);
        let slow = async {
            sleep(4 * GLANCE).await;
            Ok(7)
        };
        assert_eq!(outage.cut_short(slow).await, Ok(7));
        let begun = clock::boot_now();
        let cut = timeout(20 * LEAST, outage.cut_short(pending::<Result<(), _>>())).await;
        assert!(cut.is_ok_and(|result| result.is_err_and(|error| error.is_away())));
        assert!(clock::boot_now() >= begun + LEAST);
    }

    #[tokio::test]
    async fn changes_that_are_committed_together_wait_until_they_are_too_large() {
        let change = |bytes| {
            Change::Put(KNOWN, vec![Field::Number(1), Field::Bytes(vec![0; bytes]), Field::Number(0)])
        };
        let others = size(&change(0));
        for (bytes, waits) in [
            (vec![0, 1, MOST_BYTES / 2], true),
            (vec![MOST_BYTES / 2, MOST_BYTES / 2 - 2 * others - 1], true),
            (vec![MOST_BYTES / 2, MOST_BYTES / 2 - 2 * others], false),
            (vec![MOST_BYTES], false),
        ] {
            let mut tables = tables();
            tables.transaction = Some(Transaction::default());
            let what = format!("{bytes:?}");
            let mut changed = Ok(());
            for bytes in bytes {
                changed = changed.and(tables.change(change(bytes)).await);
            }
            assert_eq!(changed.is_ok(), waits, "{what}: {changed:?}");
        }
    }
}
