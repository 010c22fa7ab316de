//! Allows one run at a time to write a ledger.
//!
//! The lock is on a file beside the ledger. It belongs to the system, so it is released when its process ends, however that
//! happens. A ledger with several names (hard links) has several such files, so on Linux the ledger itself is locked as well,
//! with a kind of lock that `SQLite` does not use. (On other systems both kinds are one and would conflict.) Closing any handle
//! of the ledger would release `SQLite`'s own locks, so this one is closed last.
//!
//! The one line in the lock file says which process holds the lock, and the newest entry of the ledger. Without that number, a
//! ledger that lost its newest entries, for example with its `-wal` file, would look intact.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::owner_only;
use super::path::{beside, wrong};
use crate::ledger::LedgerError;
use crate::ledger::error::{LockHolder, in_words};

/// Where the line says how far the ledger got: after its identity in 16 hexadecimal digits.
const PROGRESS_AT: u64 = 17;

/// The lock on a ledger. It is released when this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
    /// The ledger itself.
    _ledger: Option<File>,
}

/// The line in the lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockInfo {
    /// Which ledger it was.
    pub(super) identity: u64,
    /// The last entry that it wrote.
    pub(super) last: u64,
    holder: LockHolder,
}

/// Takes the lock, and tries for a fifth of a second if it is held: its process may just be ending, or a child process that
/// was just started may not have closed the inherited file yet.
fn lock_with_retries(file: &File) -> Result<(), TryLockError> {
    const TRIES: u32 = 40;
    const WAIT: Duration = Duration::from_millis(5);
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::park_timeout(WAIT),
            result => return result,
        }
    }
    file.try_lock()
}

/// Locks the ledger's own file. If that is held, the other run uses another name for the ledger, so the lock file beside this
/// name doesn't say which process it is.
fn lock_itself(ledger: &Path) -> Result<Option<File>, LedgerError> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    let file = File::open(ledger).map_err(|error| LedgerError::unopened(ledger, &error))?;
    match lock_with_retries(&file) {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Locked { path: ledger.to_owned(), holder: None }),
        Err(TryLockError::Error(error)) => Err(LedgerError::no_locks(ledger, &error)),
    }
}

/// The process that holds the lock of the ledger at this path, if there is one and it can be found out.
pub(super) fn holder(ledger: &Path) -> Option<LockHolder> {
    let mut file = open_to_read(ledger).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => LockInfo::read(&mut file).ok()?.map(|note| note.holder),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

impl Lock {
    /// Takes the lock of the ledger at this path, where a file exists. The error says which process has it.
    pub(super) fn take(ledger: &Path) -> Result<(Self, Option<LockInfo>), LedgerError> {
        let path = path_beside(ledger);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let unopened = |error: io::Error| LedgerError::unopened(&path, &error);
        let mut file = owner_only::open_itself(&mut options, &path).map_err(unopened)?;
        if let Some(what) = wrong(&file.metadata().map_err(unopened)?, ledger) {
            return Err(LedgerError::NotOurs { path, what });
        }
        owner_only::make_private(&file).map_err(unopened)?;
        let locked = lock_with_retries(&file);
        let note = LockInfo::read(&mut file);
        match locked {
            // What can't be read says nothing: the line is a courtesy and a second guard, not the record.
            Ok(()) => {
                let own = lock_itself(ledger)?;
                Ok((Self { path, file, _ledger: own }, note.ok().flatten()))
            }
            Err(TryLockError::WouldBlock) => {
                let holder = note.ok().flatten().map(|note| note.holder);
                Err(LedgerError::Locked { path: ledger.to_owned(), holder })
            }
            Err(TryLockError::Error(error)) => Err(LedgerError::no_locks(&path, &error)),
        }
    }

    /// Writes the line.
    pub(super) fn write_line(&mut self, note: &LockInfo) -> Result<(), LedgerError> {
        let line = note.to_string();
        self.write(0, line.as_bytes())?;
        let len = line.len() as u64;
        self.file.set_len(len).map_err(|error| self.unusable(&error))
    }

    /// Writes the number of the newest entry. It need not survive a power failure: it may be too low, but never too high.
    pub(super) fn advance(&mut self, last: u64) -> Result<(), LedgerError> {
        self.write(PROGRESS_AT, format!("{last:020}").as_bytes())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), LedgerError> {
        let written = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.write_all(bytes));
        written.map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &io::Error) -> LedgerError {
        LedgerError::Unusable { ledger: self.path.clone().into(), error: in_words(error) }
    }
}

impl LockInfo {
    pub(super) fn of_this_process(identity: u64, last: u64, since: Timestamp) -> Self {
        Self { identity, last, holder: LockHolder { host: None, process: std::process::id(), since } }
    }

    /// The line that the last holder wrote for the ledger at this path, if it can be read.
    pub(super) fn beside(ledger: &Path) -> Option<Self> {
        Self::read(&mut open_to_read(ledger).ok()?).ok()?
    }

    fn read(file: &mut File) -> io::Result<Option<Self>> {
        let mut line = String::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(256).read_to_string(&mut line)?;
        Ok(Self::parse(&line))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let identity = u64::from_str_radix(words.next()?, 16).ok()?;
        let last = words.next()?.parse().ok()?;
        let holder = LockHolder {
            host: None,
            process: words.next()?.parse().ok()?,
            since: words.next()?.parse().ok()?,
        };
        Some(Self { identity, last, holder })
    }
}

impl fmt::Display for LockInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, last, holder: LockHolder { host: _, process, since } } = self;
        writeln!(f, "{identity:016x} {last:020} {process} {since}")
    }
}

fn path_beside(ledger: &Path) -> PathBuf {
    beside(ledger, "-lock")
}

/// Opens the lock file of the ledger at this path, to see what is in it.
fn open_to_read(ledger: &Path) -> io::Result<File> {
    owner_only::open_itself(OpenOptions::new().read(true), &path_beside(ledger))
}
