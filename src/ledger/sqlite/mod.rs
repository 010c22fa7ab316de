//! The ledger's file: `SQLite`. No other module uses SQL.
//!
//! It stores rows of a few types, commits several of them at once, and returns them as they were written or reports damage.
//! What the rows mean is decided by the other modules of the ledger.

mod checksum;
mod pulls;
mod read;
mod rows;
mod schema;
mod write;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::{LedgerError, owner_only};
use schema::{APPLICATION, FORMS};

pub(super) use pulls::PullRow;
pub(super) use rows::{AttributeRow, EntryHeader, JournalEntry, LedgerState, RunEnd, RunRow, TargetRow};

/// How a ledger file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// All of it is read as it is at one moment, even if it is written at the same time.
    Read,
    /// It is created if there is none. The caller must hold the lock.
    Write,
}

/// An open ledger file.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    /// Several threads may read, one after the other.
    connection: Mutex<Connection>,
    /// The number of its form. It is the newest one if the file can be written.
    form: usize,
}

impl Database {
    /// Opens the file, and checks its structure.
    pub(super) fn open(path: &Path, access: Access) -> Result<Self, LedgerError> {
        match access {
            Access::Write => {
                make_private(path)?;
                Self::open_as(path, access, Connection::open_with_flags(path, FLAGS))
            }
            Access::Read if !path.exists() => Err(LedgerError::Missing { path: path.to_owned() }),
            Access::Read => match Self::open_as(path, access, Connection::open_with_flags(path, FLAGS)) {
                Err(LedgerError::Unusable { .. }) if is_readable(path) => Self::open_unchangeable(path),
                opened => opened,
            },
        }
    }

    /// Opens a file that can't be written, in a directory that can't be written either.
    fn open_unchangeable(path: &Path) -> Result<Self, LedgerError> {
        if has_records_beside(path) {
            return Err(LedgerError::Unmerged { path: path.to_owned() });
        }
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let name = percent_encode(path.as_os_str().as_encoded_bytes(), ESCAPED);
        let connection = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags);
        Self::open_as(path, Access::Read, connection)
    }

    fn open_as(
        path: &Path,
        access: Access,
        connection: rusqlite::Result<Connection>,
    ) -> Result<Self, LedgerError> {
        let connection = connection.map_err(|error| fault(path, &error))?;
        let mut database = Self { path: path.to_owned(), connection: Mutex::new(connection), form: 0 };
        if access == Access::Read && has_records_beside(path) {
            // Who only reads leaves the file as it is, also where the last one to write it was killed. Otherwise the last
            // one to close it takes away what `SQLite` put beside it.
            database.sql(|connection| {
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
            })?;
        }
        let form = database.read_form()?;
        if form == 0 && access == Access::Write {
            // Only a file without any table takes it on; any other one would be written for nothing.
            database.sql(|connection| connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL"))?;
        }
        database.sql(|connection| configure(connection, access))?;
        database.form = database.migrate(form, access)?;
        database.check_structure()?;
        if access == Access::Read {
            database.sql(|connection| connection.execute_batch("BEGIN"))?;
        }
        Ok(database)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with the file, as an error.
    pub(super) fn damaged(&self, what: impl Into<String>) -> LedgerError {
        LedgerError::Damaged { path: self.path.clone(), what: what.into() }
    }

    /// Groups can't be decoded.
    pub(super) fn malformed(&self) -> LedgerError {
        self.damaged("facts are not what they should be")
    }

    /// Moves commits from the write-ahead log into the file, and shrinks the file.
    pub(super) fn shrink(&self) -> Result<(), LedgerError> {
        self.sql(|connection| {
            // It frees a page with each row that is asked for.
            connection.pragma_query(None, "incremental_vacuum", |_| Ok(()))?;
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        })
    }

    fn sql<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        run(&connection).map_err(|error| fault(&self.path, &error))
    }

    /// Commits everything that `write` writes at once: all of it is on the disk after a success, and nothing after an error.
    pub(super) fn in_one_commit<T>(
        &self,
        write: impl FnOnce() -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let batch = |sql| self.sql(|connection| connection.execute_batch(sql));
        batch("BEGIN IMMEDIATE")?;
        let result = write().and_then(|result| batch("COMMIT").map(|()| result));
        if result.is_err() {
            // It can be that the error has done this already. Who meets it stops writing in any case.
            let _rolled_back = batch("ROLLBACK");
        }
        result
    }

    /// The number of the file's form; 0 for an empty one.
    fn read_form(&self) -> Result<usize, LedgerError> {
        let application: i64 =
            self.sql(|connection| connection.pragma_query_value(None, "application_id", |row| row.get(0)))?;
        let form: usize =
            self.sql(|connection| connection.pragma_query_value(None, "user_version", |row| row.get(0)))?;
        let tables: i64 = self.sql(|connection| {
            connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
        })?;
        let empty = (application, form, tables) == (0, 0, 0);
        if !empty && application != APPLICATION {
            return Err(LedgerError::NoLedger { path: self.path.clone() });
        }
        let known = FORMS.len();
        match form {
            0 if !empty => Err(self.damaged("its form has no number")),
            form if form > known => Err(LedgerError::TooNew { path: self.path.clone(), found: form, known }),
            form => Ok(form),
        }
    }

    /// Brings a file that can be written to the newest form. Returns the form that it has.
    fn migrate(&self, form: usize, access: Access) -> Result<usize, LedgerError> {
        match access {
            Access::Read if form == 0 => return Err(LedgerError::Missing { path: self.path.clone() }),
            Access::Read => return Ok(form),
            Access::Write if form == FORMS.len() => return Ok(form),
            Access::Write => {}
        }
        self.in_one_commit(|| {
            self.sql(|connection| {
                FORMS[form..].iter().try_for_each(|step| connection.execute_batch(step))?;
                connection.pragma_update(None, "application_id", APPLICATION)?;
                connection.pragma_update(None, "user_version", FORMS.len())
            })?;
            if form == 0 { self.put_state(&LedgerState::new()) } else { Ok(()) }
        })?;
        Ok(FORMS.len())
    }

    /// Rejects a file whose structure is broken. The content has checksums of its own.
    fn check_structure(&self) -> Result<(), LedgerError> {
        let verdict: String =
            self.sql(|connection| connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)))?;
        if verdict == "ok" { Ok(()) } else { Err(self.damaged("its structure is broken")) }
    }
}

/// How a file is opened that can be written.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// What stands for something else in the address of a file.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// Whether there are records in the file beside this one that it doesn't have yet.
fn has_records_beside(path: &Path) -> bool {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-wal");
    Path::new(&beside).metadata().is_ok_and(|found| found.len() > 0)
}

fn is_readable(path: &Path) -> bool {
    File::open(path).is_ok()
}

/// Settings that hold for a connection, and those that a new file keeps.
fn configure(connection: &Connection, access: Access) -> rusqlite::Result<()> {
    connection.execute_batch(
        "PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA synchronous = FULL;",
    )?;
    match access {
        Access::Read => Ok(()),
        Access::Write => connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())),
    }
}

/// Makes the file, or takes the right to read it from all but its owner. `SQLite` gives the files that it puts beside
/// it the same rights.
fn make_private(path: &Path) -> Result<(), LedgerError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    owner_only::open(&mut options, path).map(drop).map_err(|error| LedgerError::unopened(path, &error))
}

fn fault(path: &Path, error: &rusqlite::Error) -> LedgerError {
    let path = path.to_owned();
    let damaged = |what: &str| LedgerError::Damaged { path: path.clone(), what: what.to_owned() };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => damaged("its structure is broken"),
        Some(ErrorCode::NotADatabase) => LedgerError::NoLedger { path },
        Some(ErrorCode::Unknown) => damaged("its tables are not what they should be"),
        Some(ErrorCode::SystemIoFailure) if is_of_locks(error) => {
            LedgerError::NoLocks { path, error: error.to_string() }
        }
        Some(ErrorCode::FileLockingProtocolFailed) => LedgerError::NoLocks { path, error: error.to_string() },
        Some(_) => LedgerError::Unusable { path, error: error.to_string() },
        None => damaged("a field is not what it should be"),
    }
}

/// Whether it is a lock, or the memory that processes share to agree on one, that the file system doesn't have.
fn is_of_locks(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    let codes = [
        ffi::SQLITE_IOERR_LOCK,
        ffi::SQLITE_IOERR_RDLOCK,
        ffi::SQLITE_IOERR_UNLOCK,
        ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
        ffi::SQLITE_IOERR_SHMOPEN,
        ffi::SQLITE_IOERR_SHMLOCK,
        ffi::SQLITE_IOERR_SHMMAP,
    ];
    code.is_some_and(|code| codes.contains(&code))
}
