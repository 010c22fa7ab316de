//! The path of a ledger: links are resolved, and what is not a ledger is left alone, as are files beside it that others made.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::ledger::LedgerError;

/// How the names of the files end that belong to a ledger, after its own.
pub const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", "-lock"];

/// Creates the file if there is none, and returns its path with the link at its end resolved, because the files that
/// belong to a ledger lie beside the file itself. A file that exists is not changed.
pub(super) fn create(path: &Path) -> Result<PathBuf, LedgerError> {
    let unopened = |error: io::Error| LedgerError::unopened(path, &error);
    if is_foreign(path) {
        return Err(LedgerError::NotOurs { path: path.to_owned(), what: FOREIGN });
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

/// The path of a file that belongs to a ledger.
pub(super) fn beside(ledger: &Path, end: &str) -> PathBuf {
    let mut path = ledger.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// Rejects a ledger if a file beside it was not made by this program. `SQLite` would write to what a link leads to, read
/// what another user wrote, or wait for a FIFO.
pub(super) fn check_beside(ledger: &Path) -> Result<(), LedgerError> {
    BESIDE.iter().try_for_each(|end| {
        let path = beside(ledger, end);
        // What is missing is made by this program. What can't be looked at can't be opened, either.
        let what = fs::symlink_metadata(&path).ok().and_then(|file| wrong(&file, ledger));
        what.map_or(Ok(()), |what| Err(LedgerError::NotOurs { path, what }))
    })
}

/// What is wrong with a file beside this ledger.
pub(super) fn wrong(file: &Metadata, ledger: &Path) -> Option<&'static str> {
    if file.is_symlink() {
        return Some("it is a link");
    }
    if !file.is_file() {
        return Some("it is not a regular file");
    }
    let directory = fs::metadata(directory(ledger)).ok()?;
    let is_of_ledger = || fs::metadata(ledger).is_ok_and(|ledger| ledger.uid() == file.uid());
    if is_foreign_in(file.uid(), (directory.mode(), directory.uid()), geteuid().as_raw()) && !is_of_ledger() {
        return Some(FOREIGN);
    }
    // Where others may put files, the other name may be one of a file of this user.
    (is_shared(directory.mode()) && file.nlink() > 1).then_some("it has another name as well (a hard link)")
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

const FOREIGN: &str = "another user put it there, in a directory that everyone may write to";

/// Whether another user put a file at this path, in a directory where everyone may create files, such as `/tmp`. What is in
/// it is what the other user wants, and a link leads to a place that the other user chose.
pub fn is_foreign(path: &Path) -> bool {
    match (fs::symlink_metadata(path), fs::metadata(directory(path))) {
        (Ok(file), Ok(directory)) => {
            is_foreign_in(file.uid(), (directory.mode(), directory.uid()), geteuid().as_raw())
        }
        _ => false,
    }
}

/// Whether it is a link or a FIFO that another user put there: what is written to it goes to a place that the other user
/// chose.
pub fn is_planted(path: &Path) -> bool {
    let leads_elsewhere = |file: Metadata| file.is_symlink() || file.file_type().is_fifo();
    fs::symlink_metadata(path).is_ok_and(leads_elsewhere) && is_foreign(path)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether everyone may create files in a directory of this mode, and remove only their own.
fn is_shared(mode: u32) -> bool {
    const STICKY_AND_WORLD_WRITABLE: u32 = 0o1002;
    mode & STICKY_AND_WORLD_WRITABLE == STICKY_AND_WORLD_WRITABLE
}

/// The rule of Linux's `fs.protected_symlinks` and `fs.protected_regular`, which are not switched on everywhere.
fn is_foreign_in(owner: u32, (mode, directory_owner): (u32, u32), user: u32) -> bool {
    is_shared(mode) && owner != user && owner != directory_owner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_are_foreign_where_everyone_may_put_them() {
        let (me, other, root) = (1000, 1001, 0);
        let shared = (0o41777, root);
        assert!(is_foreign_in(other, shared, me) && is_foreign_in(other, shared, root));
        assert!(!is_foreign_in(me, shared, me) && !is_foreign_in(root, shared, me));
        assert!(!is_foreign_in(other, (0o40755, root), me));
    }

    #[test]
    fn what_is_left_of_a_ledger_that_is_gone_is_no_ones_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("l-lock"), "").unwrap();
        check_beside(&folder.path().join("l")).unwrap();
    }

    #[test]
    fn other_names_of_a_file_count_where_everyone_may_give_them() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let (ledger, lock) = (folder.path().join("l"), folder.path().join("l-lock"));
        fs::write(&ledger, "").unwrap();
        fs::hard_link(&ledger, &lock).unwrap();
        check_beside(&ledger).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let error = check_beside(&ledger).unwrap_err().to_string();
        assert!(error.ends_with("l-lock`: it has another name as well (a hard link)"), "{error}");
    }
}
