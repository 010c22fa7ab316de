//! The path of a ledger: links are resolved, and what is not a ledger is left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::ledger::LedgerError;

/// Creates the file if there is none, and returns its path with the link at its end resolved, because the files that
/// belong to a ledger lie beside the file itself. A file that exists is not changed.
pub(super) fn create(path: &Path) -> Result<PathBuf, LedgerError> {
    let unopened = |error: io::Error| LedgerError::unopened(path, &error);
    if is_planted(path) {
        return Err(LedgerError::NoPlace {
            path: path.to_owned(),
            error: "it is a link that another user made, in a directory that all may write".to_owned(),
        });
    }
    check_file_type(path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(unopened)?;
    resolve(path).map_err(unopened)
}

/// The path of an existing ledger, with the link at its end resolved.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    if path.is_symlink() { path.canonicalize() } else { Ok(path.to_owned()) }
}

/// Rejects a file that is not a database before anything is written to it: it may be an input by mistake.
fn check_file_type(path: &Path) -> Result<(), LedgerError> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start));
    match read {
        // If it can't be read, opening it as a database gives the better error.
        Err(_unread) => Ok(()),
        Ok(0) => Ok(()),
        Ok(_) if start == MAGIC => Ok(()),
        Ok(_) => Err(LedgerError::NoLedger { path: path.to_owned() }),
    }
}

/// Whether another user put a link or a FIFO at this path, in a directory where everyone may create files, such as
/// `/tmp`. Following it would write to a place that the other user chose.
pub fn is_planted(path: &Path) -> bool {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::symlink_metadata(path), fs::metadata(parent)) {
        (Ok(file), Ok(directory)) if file.is_symlink() || file.file_type().is_fifo() => {
            is_foreign(file.uid(), (directory.mode(), directory.uid()), geteuid().as_raw())
        }
        _ => false,
    }
}

/// The rule of Linux's `fs.protected_symlinks`, which is not switched on everywhere.
fn is_foreign(owner: u32, (mode, directory_owner): (u32, u32), user: u32) -> bool {
    const STICKY_AND_WORLD_WRITABLE: u32 = 0o1002;
    mode & STICKY_AND_WORLD_WRITABLE == STICKY_AND_WORLD_WRITABLE && owner != user && owner != directory_owner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_others_are_not_followed_where_everyone_may_put_them() {
        let (me, other, root) = (1000, 1001, 0);
        let shared = (0o41777, root);
        assert!(is_foreign(other, shared, me) && is_foreign(other, shared, root));
        assert!(!is_foreign(me, shared, me) && !is_foreign(root, shared, me));
        assert!(!is_foreign(other, (0o40755, root), me));
    }
}
