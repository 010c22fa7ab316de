//! The errors of a ledger, and what a user can do about each.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// The process that is writing a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// The number of the process.
    pub process: u32,
    /// When it took the lock.
    pub since: Timestamp,
}

/// Why a ledger can't be used. A run has to stop then, because nothing that it does would be recorded.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another run is using it. Nothing was changed.
    #[error("another run is using the ledger `{}`{}", path.display(), describe(holder.as_ref()))]
    Locked {
        /// The ledger.
        path: PathBuf,
        /// The other run's process, where the system lets it be known.
        holder: Option<LockHolder>,
    },
    /// There is none to read.
    #[error("there is no ledger `{}`", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("`{}` is not a ledger", path.display())]
    NoLedger {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program changed its form.
    #[error("the ledger `{}` has form {found}, and this version of attrsync knows no later one than {known}", path.display())]
    TooNew {
        /// The ledger.
        path: PathBuf,
        /// The number of its form.
        found: usize,
        /// The last one that is known.
        known: usize,
    },
    /// There can be none at this place.
    #[error("cannot keep a ledger at `{}`: {error}", path.display())]
    NoPlace {
        /// The ledger, or the file beside it that can't be made.
        path: PathBuf,
        /// What is wrong with the place.
        error: String,
    },
    /// It lies where files can't be locked, so that nothing would keep two runs apart.
    #[error("the file system of the ledger `{}` cannot lock files: {error}", path.display())]
    NoLocks {
        /// The ledger, or the file beside it.
        path: PathBuf,
        /// The system's words.
        error: String,
    },
    /// It can only be read, and can't be read whole: a killed run left its newest records beside it.
    #[error("the newest records of the ledger `{}` are in `{}-wal`, which can't be read without writing", path.display(), path.display())]
    Unmerged {
        /// The ledger.
        path: PathBuf,
    },
    /// It doesn't say what was once written to it.
    #[error("the ledger `{}` is damaged: {what}", path.display())]
    Damaged {
        /// The ledger.
        path: PathBuf,
        /// What is wrong, without anything of what it holds.
        what: String,
    },
    /// What it knows needs more memory than there is, and a temporary file can't be written.
    #[error("a temporary file can't be written: {error}")]
    NoTemporaryFile {
        /// The system's words.
        error: String,
    },
    /// The system refuses to read or write it: a full disk, a lack of rights.
    #[error("the ledger `{}` can't be used: {error}", path.display())]
    Unusable {
        /// The ledger.
        path: PathBuf,
        /// The system's words.
        error: String,
    },
}

impl LedgerError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "wait until the other run ends, or name another file with `--ledger`",
            Self::Missing { .. } => "name the file with `--ledger`; `attrsync sync` makes one",
            Self::NoLedger { .. } => "name another file with `--ledger`",
            Self::TooNew { .. } => "update attrsync, or name another file with `--ledger`",
            Self::Damaged { .. } => {
                "move the file away to start a new ledger, or run with `--no-ledger`; either sends every row again"
            }
            Self::NoPlace { .. } => "name another path with `--ledger`, or keep none with `--no-ledger`",
            Self::NoLocks { .. } => {
                "name a file on a local disk with `--ledger`, as network file systems often can't lock; or keep none \
                 with `--no-ledger`"
            }
            Self::Unmerged { .. } => {
                "copy the ledger and the files beside it to a directory that you may write"
            }
            Self::NoTemporaryFile { .. } => "make room, or name another place with `--temp-dir`",
            Self::Unusable { .. } => {
                "make room, or see to the rights of the file and its folder; then run again"
            }
        }
    }
}

impl LedgerError {
    /// A file of the ledger can't be opened or made: the place is wrong, unless the disk is full.
    pub(super) fn unopened(path: &Path, error: &io::Error) -> Self {
        let (path, words) = (path.to_owned(), in_words(error));
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Unusable { path, error: words }
            }
            _ => Self::NoPlace { path, error: words },
        }
    }

    pub(super) fn no_locks(path: &Path, error: &io::Error) -> Self {
        Self::NoLocks { path: path.to_owned(), error: in_words(error) }
    }
}

fn describe(holder: Option<&LockHolder>) -> String {
    holder.map_or_else(String::new, |LockHolder { process, since }| {
        format!(": process {process}, started at {since:.0}")
    })
}

/// The system's message, without its error number.
pub(super) fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

impl From<io::Error> for LedgerError {
    fn from(error: io::Error) -> Self {
        Self::NoTemporaryFile { error: in_words(&error) }
    }
}
