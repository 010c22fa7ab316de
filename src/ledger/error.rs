//! The errors of a ledger, and what a user can do about each.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::LedgerLocation;

/// One renewal of a lease. If it changes, the run that holds the lease is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// How many holders there have been.
    pub epoch: i64,
    /// When the lease ends, by the server's clock, in microseconds since 1970.
    pub expires_at: i64,
}

/// The process that is writing a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// The machine, if it may be another one.
    pub host: Option<String>,
    /// The number of the process.
    pub process: u32,
    /// When it took the lock.
    pub since: Timestamp,
}

/// Why a ledger can't be used. A run has to stop then, because nothing that it does would be recorded.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another run has the lease of the database. Nothing was changed.
    #[error("another run is using the ledger `{ledger}`{}", describe(Some(holder)))]
    Leased {
        /// The ledger.
        ledger: LedgerLocation,
        /// The other run's process.
        holder: LockHolder,
        /// When its lease ends unless it is renewed.
        renewal: Renewal,
    },
    /// Another run took the lease from this one, which had not renewed it in time.
    #[error(
        "another run has taken over the ledger `{ledger}`, as this one could not renew its lease in time"
    )]
    LeaseLost {
        /// The ledger.
        ledger: LedgerLocation,
    },
    /// Its database can't be reached, and waiting may help.
    #[error("the database of the ledger `{ledger}` is away: {error}")]
    Away {
        /// The ledger.
        ledger: LedgerLocation,
        /// Why.
        error: String,
    },
    /// Its database refuses something, and waiting does not help: a password, a missing right, a certificate.
    #[error("the ledger `{ledger}` can't be used: {error}")]
    Refused {
        /// The ledger.
        ledger: LedgerLocation,
        /// Why, and what to do about it.
        error: String,
    },
    /// Another run is using it. Nothing was changed.
    #[error("another run is using the ledger `{}`{}", path.display(), describe(holder.as_ref()))]
    Locked {
        /// The ledger.
        path: PathBuf,
        /// The other run's process, where the system lets it be known.
        holder: Option<LockHolder>,
    },
    /// There is none to read.
    #[error("there is no ledger `{ledger}`")]
    Missing {
        /// Where it should be.
        ledger: LedgerLocation,
    },
    /// The file is something else.
    #[error("`{}` is not a ledger", path.display())]
    NoLedger {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program changed its form.
    #[error(
        "the ledger `{ledger}` has form {found}, and this version of attrsync knows no later one than {known}"
    )]
    TooNew {
        /// The ledger.
        ledger: LedgerLocation,
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
    /// Someone put a file there that is not for this ledger. What is written to it might go elsewhere.
    #[error("the ledger can't use `{}`: {what}", path.display())]
    NotOurs {
        /// The ledger, or the file beside it.
        path: PathBuf,
        /// What is wrong with the file.
        what: &'static str,
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
    #[error("the ledger `{ledger}` is damaged: {what}")]
    Damaged {
        /// The ledger.
        ledger: LedgerLocation,
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
    #[error("the ledger `{ledger}` can't be used: {error}")]
    Unusable {
        /// The ledger.
        ledger: LedgerLocation,
        /// The system's words.
        error: String,
    },
}

impl LedgerError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "wait until the other run ends, or name another file with `--ledger`",
            Self::Leased { .. } => {
                "wait until the other run ends, for instance with `--wait 30m`, or add `?schema=NAME` to the address for \
                 another ledger"
            }
            Self::LeaseLost { .. } => "the same command continues the run, once the other one has ended",
            Self::Away { .. } => "see to the database, then give the same command again",
            Self::Refused { .. } => "see to the database, its rights, or the address in `--ledger`",
            Self::Damaged { ledger, .. } if ledger.path().is_none() => {
                "add `?schema=NAME` to the address to start a new ledger, or run with `--no-ledger`; either sends every row \
                 again"
            }
            Self::Unusable { ledger, .. } if ledger.path().is_none() => "see to the database; then run again",
            Self::Missing { .. } => "name another one with `--ledger`; `attrsync sync` makes one",
            Self::NoLedger { .. } => "name another file with `--ledger`",
            Self::TooNew { .. } => "update attrsync, or name another file with `--ledger`",
            Self::Damaged { .. } => {
                "move the file away to start a new ledger, or run with `--no-ledger`; either sends every row again"
            }
            Self::NoPlace { .. } => "name another path with `--ledger`, or keep none with `--no-ledger`",
            Self::NotOurs { .. } => {
                "remove the file if nobody needs it, or keep the ledger in a directory of your own with `--ledger`"
            }
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
    pub(in crate::ledger) fn unopened(path: &Path, error: &io::Error) -> Self {
        let (path, words) = (path.to_owned(), in_words(error));
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Unusable { ledger: path.into(), error: words }
            }
            _ => Self::NoPlace { path, error: words },
        }
    }

    pub(in crate::ledger) fn no_locks(path: &Path, error: &io::Error) -> Self {
        Self::NoLocks { path: path.to_owned(), error: in_words(error) }
    }
}

fn describe(holder: Option<&LockHolder>) -> String {
    holder.map_or_else(String::new, |LockHolder { host, process, since }| {
        let host = host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        format!(": process {process}{host}, started at {since:.0}")
    })
}

/// The system's message, without its error number.
pub(in crate::ledger) fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

impl From<io::Error> for LedgerError {
    fn from(error: io::Error) -> Self {
        Self::NoTemporaryFile { error: in_words(&error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_wrong_place() {
        use io::ErrorKind::{FileTooLarge, NotADirectory, PermissionDenied, QuotaExceeded, StorageFull};
        let of = |kind: io::ErrorKind| LedgerError::unopened(Path::new("l"), &kind.into());
        for kind in [StorageFull, QuotaExceeded, FileTooLarge] {
            assert!(matches!(of(kind), LedgerError::Unusable { .. }), "{kind:?}");
        }
        for kind in [PermissionDenied, NotADirectory] {
            assert!(matches!(of(kind), LedgerError::NoPlace { .. }), "{kind:?}");
        }
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn nobody_is_told_to_move_a_database() {
        let database = LedgerLocation::of_database("postgres://ada@localhost/crm", None).unwrap();
        for (ledger, has_file) in [(Path::new("l").into(), true), (database, false)] {
            let unusable = LedgerError::Unusable { ledger: ledger.clone(), error: "full".to_owned() };
            assert_eq!(unusable.hint().contains("the file"), has_file);
            let damaged = LedgerError::Damaged { ledger, what: "torn".to_owned() };
            assert_eq!(damaged.hint().contains("the file"), has_file);
        }
    }
}
