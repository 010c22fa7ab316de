//! A ledger in a file: `SQLite`.

mod lock;
mod owner_only;
mod path;
mod schema;

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, ffi, params, params_from_iter};

use super::LedgerError;
use super::error::LockHolder;
use super::rows::{Field, Fields, JournalEntry, LedgerState, Record, Table};
use super::store::{Change, Selection, Store};
use lock::{Lock, LockInfo};
use schema::{APPLICATION, FORMS};

pub use path::{BESIDE, is_foreign, is_planted};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// All of it is read as it is at one moment, even if it is written at the same time.
    Read,
    /// It is created if there is none. The caller must hold the lock.
    Write,
}

/// An open ledger file.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    /// Several threads may read, one after the other.
    connection: Mutex<Connection>,
    /// The number of its form. It is the newest one if the file can be written.
    form: usize,
    /// What keeps other runs away while the file is written.
    lock: Option<Mutex<HeldLock>>,
}

/// The lock of a ledger that is written, and the newest entry that is not noted in it.
#[derive(Debug)]
struct HeldLock {
    lock: Lock,
    newest: Option<u64>,
}

impl File {
    /// Opens the ledger at this path for a run that begins now. Creates it if there is none.
    pub(super) fn open_to_write(path: &Path, now: Timestamp) -> Result<Self, LedgerError> {
        let path = &path::create(path)?;
        path::check_beside(path)?;
        let (mut lock, note) = Lock::take(path)?;
        make_private(path)?;
        let mut file = Self::open_as(path, Access::Write, Connection::open_with_flags(path, FLAGS))?;
        // Between the first look and `SQLite`, another user may have been quicker. From now on nobody can be.
        path::check_beside(path)?;
        let (identity, last) = file.check_progress(note.as_ref())?;
        lock.write_line(&LockInfo::of_this_process(identity, last, now))?;
        file.lock = Some(Mutex::new(HeldLock { lock, newest: None }));
        Ok(file)
    }

    /// Opens an existing ledger. It is read as it is at this moment, even if a run writes it at the same time.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, LedgerError> {
        let path = &path::resolve(path).map_err(|_not_found| missing(path))?;
        path::check_beside(path)?;
        let note = LockInfo::beside(path);
        if !path.exists() {
            return Err(missing(path));
        }
        let file = match Self::open_as(path, Access::Read, Connection::open_with_flags(path, FLAGS)) {
            Err(LedgerError::Unusable { .. }) if is_readable(path) => Self::open_unchangeable(path),
            opened => opened,
        }?;
        file.check_progress(note.as_ref())?;
        Ok(file)
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
        let connection = Mutex::new(connection);
        let mut database = Self { path: path.to_owned(), connection, form: 0, lock: None };
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

    fn damaged(&self, what: &str) -> LedgerError {
        LedgerError::Damaged { ledger: self.path.clone().into(), what: what.to_owned() }
    }

    fn batch(&self, sql: &str) -> Result<(), LedgerError> {
        self.sql(|connection| connection.execute_batch(sql))
    }

    fn sql<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        run(&connection).map_err(|error| fault(&self.path, &error))
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
            form if form > known => {
                Err(LedgerError::TooNew { ledger: self.path.clone().into(), found: form, known })
            }
            form => Ok(form),
        }
    }

    /// Brings a file that can be written to the newest form. Returns the form that it has.
    fn migrate(&self, form: usize, access: Access) -> Result<usize, LedgerError> {
        match access {
            Access::Read if form == 0 => return Err(missing(&self.path)),
            Access::Read => return Ok(form),
            Access::Write if form == FORMS.len() => return Ok(form),
            Access::Write => {}
        }
        self.begin()?;
        let migrated = self.migrate_from(form).and_then(|()| self.commit());
        if migrated.is_err() {
            self.roll_back();
        }
        migrated.map(|()| FORMS.len())
    }

    fn migrate_from(&self, form: usize) -> Result<(), LedgerError> {
        self.sql(|connection| {
            FORMS[form..].iter().try_for_each(|step| connection.execute_batch(step))?;
            connection.pragma_update(None, "application_id", APPLICATION)?;
            connection.pragma_update(None, "user_version", FORMS.len())
        })?;
        if form > 0 {
            return Ok(());
        }
        let state = LedgerState::new();
        let mut fields = state.fields();
        fields.push(state.sum().into());
        self.change(Change::Put(LedgerState::TABLE, fields))
    }

    /// Rejects a ledger that has fewer entries than it once had. Returns its identity and its newest entry.
    fn check_progress(&self, note: Option<&LockInfo>) -> Result<(u64, u64), LedgerError> {
        let state = self.rows(&LedgerState::TABLE, &Selection::All)?.pop();
        let state = state.and_then(|fields| LedgerState::of(&mut Fields::from(fields)));
        let state = state.ok_or_else(|| self.damaged("its first row is missing"))?;
        let last = self.last_key(&JournalEntry::TABLE)?.unwrap_or(state.expired);
        match note {
            Some(note) if note.identity == state.identity && last < note.last => {
                Err(self.damaged("it has lost what it recorded last"))
            }
            _ => Ok((state.identity, last)),
        }
    }

    /// Notes the newest entry beside the ledger, once it is committed.
    fn note_progress(&self) -> Result<(), LedgerError> {
        let Some(lock) = &self.lock else { return Ok(()) };
        let HeldLock { lock, newest } = &mut *lock.lock().unwrap_or_else(PoisonError::into_inner);
        newest.take().map_or(Ok(()), |newest| lock.advance(newest))
    }

    /// Rejects a file whose structure is broken. The content has checksums of its own.
    fn check_structure(&self) -> Result<(), LedgerError> {
        let verdict: String =
            self.sql(|connection| connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)))?;
        if verdict == "ok" { Ok(()) } else { Err(self.damaged("its structure is broken")) }
    }
}

impl Store for File {
    fn holder(&self) -> Option<LockHolder> {
        lock::holder(&self.path)
    }

    fn form(&self) -> usize {
        self.form
    }

    fn rows(&self, table: &Table, selection: &Selection) -> Result<Vec<Vec<Field>>, LedgerError> {
        let (name, key) = (table.name, table.key());
        let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        let select = format!("SELECT {} FROM {name}", columns.join(", "));
        let read = |sql: &str, numbers: &[u64]| {
            self.sql(|connection| {
                let mut statement = connection.prepare_cached(sql)?;
                let mut found = statement.query(params_from_iter(numbers))?;
                let mut rows = Vec::new();
                while let Some(row) = found.next()? {
                    let fields = (0..columns.len()).map(|column| field(row.get_ref(column)?));
                    rows.push(fields.collect::<rusqlite::Result<_>>()?);
                }
                Ok(rows)
            })
        };
        match selection {
            Selection::All => read(&format!("{select} ORDER BY {key}"), &[]),
            Selection::After(number) => read(&format!("{select} WHERE {key} > ? ORDER BY {key}"), &[*number]),
            Selection::Keys(keys) => {
                let sql = format!("{select} WHERE {key} = ?");
                let rows: Result<Vec<_>, _> = keys.iter().map(|key| read(&sql, &[*key])).collect();
                Ok(rows?.into_iter().flatten().collect())
            }
            Selection::Where(conditions) => {
                let (terms, numbers): (Vec<_>, Vec<_>) =
                    conditions.iter().map(|(column, number)| (format!("{column} = ?"), *number)).unzip();
                read(&format!("{select} WHERE {} ORDER BY {key}", terms.join(" AND ")), &numbers)
            }
        }
    }

    fn last_key(&self, table: &Table) -> Result<Option<u64>, LedgerError> {
        let sql = format!("SELECT max({}) FROM {}", table.key(), table.name);
        self.sql(|connection| connection.prepare_cached(&sql)?.query_row((), |row| row.get(0)))
    }

    fn change(&self, change: Change) -> Result<(), LedgerError> {
        if let (Some(lock), Change::Put(Table { name: "journal", .. }, fields)) = (&self.lock, &change)
            && let Some(Field::Number(entry)) = fields.first()
        {
            let mut held = lock.lock().unwrap_or_else(PoisonError::into_inner);
            held.newest = held.newest.max(u64::try_from(*entry).ok());
        }
        self.sql(|connection| match change {
            Change::Put(table, fields) => {
                let marks = vec!["?"; fields.len()].join(", ");
                let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
                let sql = format!("REPLACE INTO {} ({}) VALUES ({marks})", table.name, columns.join(", "));
                connection.prepare_cached(&sql)?.execute(params_from_iter(fields)).map(drop)
            }
            Change::Remove { table, column, first, last } => {
                let sql = format!("DELETE FROM {} WHERE {column} BETWEEN ? AND ?", table.name);
                connection.execute(&sql, params![first, last]).map(drop)
            }
        })
    }

    fn begin(&self) -> Result<(), LedgerError> {
        self.batch("BEGIN IMMEDIATE")
    }

    fn commit(&self) -> Result<(), LedgerError> {
        self.batch("COMMIT")?;
        self.note_progress()
    }

    fn roll_back(&self) {
        // An entry that was not committed must not be missed later.
        if let Some(lock) = &self.lock {
            lock.lock().unwrap_or_else(PoisonError::into_inner).newest = None;
        }
        // It can be that the error has done this already. Who meets it stops writing in any case.
        let _rolled_back = self.batch("ROLLBACK");
    }

    /// Moves commits from the write-ahead log into the file, and makes the file smaller.
    fn shrink(&self) -> Result<(), LedgerError> {
        self.sql(|connection| {
            // It frees a page with each row that is asked for.
            connection.pragma_query(None, "incremental_vacuum", |_| Ok(()))?;
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        })
    }
}

impl ToSql for Field {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Number(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::None => ToSqlOutput::Owned(Value::Null),
        })
    }
}

fn field(value: ValueRef<'_>) -> rusqlite::Result<Field> {
    Ok(match value {
        ValueRef::Null => Field::None,
        ValueRef::Integer(number) => Field::Number(number),
        ValueRef::Text(_) => Field::Text(value.as_str()?.to_owned()),
        ValueRef::Blob(bytes) => Field::Bytes(bytes.to_owned()),
        ValueRef::Real(_) => return Err(rusqlite::types::FromSqlError::InvalidType.into()),
    })
}

fn missing(path: &Path) -> LedgerError {
    LedgerError::Missing { ledger: path.to_owned().into() }
}

/// How a file is opened that can be written.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// What stands for something else in the address of a file.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// Whether there are records in the file beside this one that it doesn't have yet.
fn has_records_beside(path: &Path) -> bool {
    path::beside(path, "-wal").metadata().is_ok_and(|found| found.len() > 0)
}

fn is_readable(path: &Path) -> bool {
    fs::File::open(path).is_ok()
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
    let damaged = |what: &str| LedgerError::Damaged { ledger: path.clone().into(), what: what.to_owned() };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => damaged("its structure is broken"),
        Some(ErrorCode::NotADatabase) => LedgerError::NoLedger { path },
        Some(ErrorCode::Unknown) => damaged("its tables are not what they should be"),
        Some(ErrorCode::SystemIoFailure) if is_of_locks(error) => {
            LedgerError::NoLocks { path, error: error.to_string() }
        }
        Some(ErrorCode::FileLockingProtocolFailed) => LedgerError::NoLocks { path, error: error.to_string() },
        Some(_) => LedgerError::Unusable { ledger: path.into(), error: error.to_string() },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_told_from_one_with_errors() {
        let found = |extended_code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(extended_code), None);
            fault(Path::new("ledger.db"), &error)
        };
        for code in [ffi::SQLITE_IOERR_LOCK, ffi::SQLITE_IOERR_SHMMAP, ffi::SQLITE_PROTOCOL] {
            assert!(matches!(found(code), LedgerError::NoLocks { .. }), "{code}");
        }
        for code in [ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_FULL] {
            assert!(matches!(found(code), LedgerError::Unusable { .. }), "{code}");
        }
    }

    #[test]
    fn a_file_without_a_form_or_with_a_broken_structure_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l");
        let refused = |path: &Path| File::open_to_read(path).unwrap_err();
        fs::write(&path, "").unwrap();
        assert!(matches!(refused(&path), LedgerError::Missing { .. }));
        let changes = [
            ("PRAGMA user_version = 0", "its form has no number"),
            (
                "PRAGMA writable_schema = ON;
                 UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'prior')
                 WHERE name = 'known'",
                "its structure is broken",
            ),
        ];
        for (number, (change, expected)) in changes.into_iter().enumerate() {
            let path = folder.path().join(number.to_string());
            drop(File::open_to_write(&path, Timestamp::UNIX_EPOCH).unwrap());
            drop(File::open_to_read(&path).unwrap());
            Connection::open(&path).unwrap().execute_batch(change).unwrap();
            let LedgerError::Damaged { what, .. } = refused(&path) else { panic!("{change}") };
            assert_eq!(what, expected);
        }
    }
}
