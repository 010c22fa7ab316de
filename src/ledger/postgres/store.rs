//! The ledger's rows in the database.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::address::{Access, Address};
use super::background::Background;
use super::lease::{self, Fence, Taken};
use super::leased_rate::LeasedRate;
use super::quota::Quota;
use super::tables::{Tables, Transaction, failed};
use crate::clock;
use crate::deliver::{Rate, SharedRate};
use crate::ledger::error::LockHolder;
use crate::ledger::lease::Lease;
use crate::ledger::rows::{Field, Fields, JournalEntry, LedgerState, Record, Table};
use crate::ledger::store::{Change, Selection, Store};
use crate::ledger::{LedgerError, LedgerLocation, Waits};

/// How long releasing the lease may take. It ends by itself otherwise.
const RELEASE: Duration = Duration::from_secs(1);

/// The pause before a quota that could not be joined is tried again.
const QUOTA_AGAIN: Duration = Duration::from_millis(250);

/// An open ledger in a database.
#[derive(Debug)]
pub(in crate::ledger) struct PostgresStore {
    background: Background,
    /// Several threads may read, one after the other.
    tables: Arc<Mutex<Tables>>,
    form: usize,
    held: Option<HeldLease>,
}

/// The lease of a run that writes.
#[derive(Debug)]
struct HeldLease {
    address: Arc<Address>,
    lease: Arc<Lease>,
    fence: Fence,
    /// How long a request may take.
    timeout: Duration,
    /// Renews it.
    keeper: JoinHandle<()>,
}

impl PostgresStore {
    /// Opens the ledger for a run. Creates it if there is none. If the database is away, this doesn't wait for it.
    pub(in crate::ledger) fn open_to_write(
        address: &Arc<Address>,
        waits: Waits,
    ) -> Result<Self, LedgerError> {
        let Waits { request_timeout, max_outage } = waits;
        let background = start(address)?;
        let (location, of_run) = (LedgerLocation::Postgres(Arc::clone(address)), Arc::clone(address));
        let opened = background.run(async move {
            let mut tables = Tables::new(&of_run, Access::Write);
            let opened = tables.open_to_write(&of_run, request_timeout).await;
            opened.map(|taken| (tables, taken))
        });
        let (mut tables, (form, taken)) = opened?;
        let (fence, asked_at, quiet) = match taken {
            Taken::Mine { fence, asked_at, quiet } => (fence, asked_at, quiet),
            Taken::Others { holder, renewal } => {
                return Err(LedgerError::Leased { ledger: location, holder, renewal });
            }
        };
        let lease = Arc::new(Lease::new(location, asked_at, fence.ttl(), quiet, max_outage));
        tables.fence = Some((fence.clone(), Arc::clone(&lease)));
        let keeper = background.spawn(lease::keep(fence.clone(), Arc::clone(&lease), (**address).clone()));
        let held =
            Some(HeldLease { address: Arc::clone(address), lease, fence, timeout: request_timeout, keeper });
        let store = Self { background, tables: Arc::new(Mutex::new(tables)), form, held };
        store.check_newest(address)?;
        Ok(store)
    }

    /// Opens an existing ledger. It is read as it is at this moment, even if a run writes it at the same time.
    pub(in crate::ledger) fn open_to_read(address: &Arc<Address>) -> Result<Self, LedgerError> {
        let background = start(address)?;
        let of_reader = Arc::clone(address);
        let (tables, form) = background.run(async move {
            let mut tables = Tables::new(&of_reader, Access::Read);
            let form = tables.open_to_read().await;
            form.map(|form| (tables, form))
        })?;
        let store = Self { background, tables: Arc::new(Mutex::new(tables)), form, held: None };
        store.check_newest(address)?;
        Ok(store)
    }

    /// Rejects a ledger that has fewer entries than it once had, and remembers the newest one to notice if it loses one.
    fn check_newest(&self, address: &Arc<Address>) -> Result<(), LedgerError> {
        let state = self.rows(&LedgerState::TABLE, &Selection::All)?.pop();
        let state = state.and_then(|fields| LedgerState::of(&mut Fields::from(fields)));
        let expired = state.map_or(0, |state| state.expired);
        let newest = self.last_key(&JournalEntry::TABLE)?.unwrap_or(expired);
        let tables = Arc::clone(&self.tables);
        let noted = self.background.run(async move {
            let mut tables = tables.lock().await;
            tables.newest = newest;
            tables.noted().await
        })?;
        if newest < noted {
            let what = "it has lost what it recorded last".to_owned();
            return Err(LedgerError::Damaged { ledger: LedgerLocation::Postgres(Arc::clone(address)), what });
        }
        Ok(())
    }
}

fn start(address: &Arc<Address>) -> Result<Background, LedgerError> {
    Background::start().map_err(|error| LedgerError::Unusable {
        ledger: LedgerLocation::Postgres(Arc::clone(address)),
        error: error.to_string(),
    })
}

impl Store for PostgresStore {
    fn holder(&self) -> Option<LockHolder> {
        let tables = Arc::clone(&self.tables);
        self.background.run(async move {
            let Tables { session, schema, .. } = &mut *tables.lock().await;
            lease::current_holder(session, schema).await.ok().flatten()
        })
    }

    fn form(&self) -> usize {
        self.form
    }

    fn lease(&self) -> Option<&Arc<Lease>> {
        self.held.as_ref().map(|held| &held.lease)
    }

    fn share_rate(&self, quota: &str, rate: Rate) -> Result<Option<Arc<dyn SharedRate>>, LedgerError> {
        let Some(HeldLease { lease, address, .. }) = &self.held else { return Ok(None) };
        let asked_at = clock::boot_now();
        loop {
            let error = match Quota::start(&self.background, address, quota, rate) {
                Ok(quota) => return Ok(Some(Arc::new(LeasedRate { quota, lease: Arc::clone(lease) }))),
                Err(error) => error,
            };
            let left = lease.patience().left(asked_at);
            if !error.is_away() || left.is_zero() {
                return Err(failed(LedgerLocation::Postgres(Arc::clone(address)), error));
            }
            self.background.run(async move { sleep(QUOTA_AGAIN.min(left)).await });
        }
    }

    fn rows(&self, table: &Table, selection: &Selection) -> Result<Vec<Vec<Field>>, LedgerError> {
        let (tables, table, selection) = (Arc::clone(&self.tables), *table, selection.clone());
        self.background.run(async move { tables.lock().await.rows(&table, &selection).await })
    }

    fn last_key(&self, table: &Table) -> Result<Option<u64>, LedgerError> {
        let (tables, table) = (Arc::clone(&self.tables), *table);
        self.background.run(async move {
            let mut tables = tables.lock().await;
            tables.send_waiting().await?;
            let sql = format!("SELECT max({}) FROM {}.{}", table.key(), tables.schema, table.name);
            let rows = tables.query(&sql, Vec::new).await?;
            let key: Option<i64> = rows.first().and_then(|row| row.get(0));
            Ok(key.map(i64::cast_unsigned))
        })
    }

    fn change(&self, change: Change) -> Result<(), LedgerError> {
        let tables = Arc::clone(&self.tables);
        self.background.run(async move { tables.lock().await.change(change).await })
    }

    fn put_unfenced(&self, table: Table, fields: Vec<Field>) -> Result<(), LedgerError> {
        let tables = Arc::clone(&self.tables);
        self.background.run(async move {
            let mut tables = tables.lock().await;
            let (changes, mut outage) = ([Change::Put(table, fields)], tables.outage());
            loop {
                match outage.cut_short(tables.apply(&changes)).await {
                    Ok(()) => return Ok(()),
                    Err(error) => tables.wait(error, &mut outage).await?,
                }
            }
        })
    }

    fn begin(&self) -> Result<(), LedgerError> {
        let tables = Arc::clone(&self.tables);
        self.background.run(async move { tables.lock().await.transaction = Some(Transaction::default()) });
        Ok(())
    }

    fn commit(&self) -> Result<(), LedgerError> {
        let tables = Arc::clone(&self.tables);
        self.background.run(async move { tables.lock().await.commit().await })
    }

    fn roll_back(&self) {
        let tables = Arc::clone(&self.tables);
        self.background.run(async move { tables.lock().await.roll_back() });
    }

    /// The server does it by itself.
    fn shrink(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        let Some(HeldLease { lease, fence, timeout: request_timeout, keeper, .. }) = self.held.take() else {
            return;
        };
        keeper.abort();
        if !lease.is_valid() {
            return;
        }
        let quiet = if lease.is_settled() { Duration::ZERO } else { request_timeout };
        let tables = Arc::clone(&self.tables);
        self.background.run(async move {
            let Tables { session, .. } = &mut *tables.lock().await;
            session.unpin();
            // If it fails, the lease ends by itself.
            let _released = timeout(RELEASE, fence.release(session, quiet)).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::rows::KNOWN;

    #[test]
    fn changes_that_are_rolled_back_are_never_sent() {
        // Nobody listens on the discard port, so nothing can be sent.
        let address = Arc::new(Address::parse("postgres://ada@127.0.0.1:9/crm", None).unwrap());
        let tables = Arc::new(Mutex::new(Tables::new(&address, Access::Write)));
        let store = PostgresStore { background: start(&address).unwrap(), tables, form: 2, held: None };
        let change = || store.change(Change::Remove { table: KNOWN, column: "place", first: 1, last: 2 });
        store.begin().unwrap();
        change().unwrap();
        store.roll_back();
        store.commit().unwrap();
        assert!(change().is_err());
    }
}
