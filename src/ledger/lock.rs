//! One run at a time.
//!
//! The lock is on a file beside the ledger. It is the system's, so it goes when its holder does, however that ends. A
//! ledger that has several names, by hard links, has several such files; so on Linux the ledger itself is locked, too, in
//! a way of which `SQLite` knows nothing. (Elsewhere both ways are one, and would get into each other's way.) Closing any
//! handle of the ledger drops `SQLite`'s own locks: this one is closed last.
//!
//! The file's one line says who holds it, and how far the ledger had got: a ledger that has since lost its newest
//! records, with its `-wal` file or a part of it, is otherwise as good as any.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::error::in_words;
use super::{LedgerError, owner_only};

/// Where the line says how far the ledger got: after its identity in 16 hexadecimal digits.
const PROGRESS_AT: u64 = 17;

/// Who holds a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The number of the process.
    pub process: u32,
    /// When it took hold.
    pub since: Timestamp,
}

/// The right to write a ledger, for as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
    /// The ledger itself.
    _ledger: Option<File>,
}

/// What the last holder left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockInfo {
    /// Which ledger it was.
    pub(super) identity: u64,
    /// The last entry that it wrote.
    pub(super) last: u64,
    holder: Holder,
}

/// Takes the lock, also if it is given up in this very moment: by a run that just ends, or by a process that another
/// one has just started and that has not yet let go of what it inherited.
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

/// Locks the ledger's file, whatever names it has. Who holds that lock has another name for it, so that nothing beside
/// this one says who it is.
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

/// The run that holds the lock of the ledger at this path at this moment, if it can be known.
pub(super) fn holder(ledger: &Path) -> Option<Holder> {
    let mut file = File::open(path_beside(ledger)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => LockInfo::read(&mut file).ok()?.map(|note| note.holder),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

impl Lock {
    /// Takes the lock of the ledger at this path, where there is a file, or says who has it.
    pub(super) fn take(ledger: &Path) -> Result<(Self, Option<LockInfo>), LedgerError> {
        let path = path_beside(ledger);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let opened = owner_only::open_no_follow(&mut options, &path);
        let mut file = opened.map_err(|error| LedgerError::unopened(&path, &error))?;
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

    /// Names the holder, and how far the ledger has got.
    pub(super) fn introduce(&mut self, note: &LockInfo) -> Result<(), LedgerError> {
        let line = note.to_string();
        self.write(0, line.as_bytes())?;
        let len = line.len() as u64;
        self.file.set_len(len).map_err(|error| self.unusable(&error))
    }

    /// Notes how far the ledger has got. Need not outlive a power cut: it may lag behind, never run ahead.
    pub(super) fn advance(&mut self, last: u64) -> Result<(), LedgerError> {
        self.write(PROGRESS_AT, format!("{last:020}").as_bytes())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), LedgerError> {
        let written = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.write_all(bytes));
        written.map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &io::Error) -> LedgerError {
        LedgerError::Unusable { path: self.path.clone(), error: in_words(error) }
    }
}

impl LockInfo {
    pub(super) fn of_this_process(identity: u64, last: u64, since: Timestamp) -> Self {
        Self { identity, last, holder: Holder { process: std::process::id(), since } }
    }

    /// What the last holder of the lock of the ledger at this path left behind, if that can be known.
    pub(super) fn beside(ledger: &Path) -> Option<Self> {
        Self::read(&mut File::open(path_beside(ledger)).ok()?).ok()?
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
        let holder = Holder { process: words.next()?.parse().ok()?, since: words.next()?.parse().ok()? };
        Some(Self { identity, last, holder })
    }
}

impl fmt::Display for LockInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, last, holder: Holder { process, since } } = self;
        writeln!(f, "{identity:016x} {last:020} {process} {since}")
    }
}

impl Holder {
    pub(super) fn introduce(holder: Option<&Self>) -> String {
        holder.map_or_else(String::new, |Self { process, since }| {
            format!(": process {process}, started at {since:.0}")
        })
    }
}

fn path_beside(ledger: &Path) -> PathBuf {
    let mut path = ledger.as_os_str().to_owned();
    path.push("-lock");
    path.into()
}
