//! Where a ledger really is.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::LedgerError;

/// Makes the file if there is none, also where a link leads to; returns the path without that link, as what belongs to a
/// ledger lies beside the file itself. Nothing is done to a file that is there.
pub(super) fn make(path: &Path) -> Result<PathBuf, LedgerError> {
    let wrong = |error: &io::Error| LedgerError::unopened(path, error);
    if is_planted(path) {
        return Err(LedgerError::NoPlace {
            path: path.to_owned(),
            error: "it is a link that another user made, in a directory that all may write".to_owned(),
        });
    }
    refuse_foreign(path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| wrong(&error))?;
    real(path).map_err(|error| wrong(&error))
}

/// The path of a ledger that there is, without a link at its end.
pub(super) fn real(path: &Path) -> io::Result<PathBuf> {
    if path.is_symlink() { path.canonicalize() } else { Ok(path.to_owned()) }
}

/// Refuses a file that is no store before anything is done to it: it may be somebody's input.
fn refuse_foreign(path: &Path) -> Result<(), LedgerError> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start));
    match read {
        // What can't be read is told of by whoever opens it.
        Err(_unread) => Ok(()),
        Ok(0) => Ok(()),
        Ok(_) if start == MAGIC => Ok(()),
        Ok(_) => Err(LedgerError::NoLedger { path: path.to_owned() }),
    }
}

/// Whether the path is a link that neither this user nor the owner of the directory made, where all may make some. Linux
/// can refuse to follow these by itself, but need not.
fn is_planted(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;

        const STICKY_FOR_ALL: u32 = 0o1002;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new(".")).metadata();
        let (Ok(link), Ok(directory)) = (path.symlink_metadata(), directory) else { return false };
        // The owner of this process's entry is its user.
        let own = Path::new("/proc/self").metadata().ok().map(|own| own.uid());
        link.is_symlink()
            && directory.mode() & STICKY_FOR_ALL == STICKY_FOR_ALL
            && link.uid() != directory.uid()
            && own != Some(link.uid())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}
