//! Files that appear when they are complete.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::ledger::is_planted;

/// A file that replaces its destination once it is complete. Until then it is a temporary file beside the destination,
/// readable by its owner only. Dropping it earlier removes it. A destination that is not a regular file (`/dev/null`, a
/// FIFO, standard output) can't be replaced and is written directly.
///
/// The temporary file's name is derived from the destination's, and its writer holds a lock on it. So two processes can't
/// write the same file at the same time, and the file that a killed process leaves is reused by the next one.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Replaced { temporary: Temporary, destination: PathBuf },
    Direct(File),
}

/// The temporary file. Its name goes before its lock does.
#[derive(Debug)]
struct Temporary {
    name: Discard,
    file: File,
}

/// Removes the temporary file while another thread still writes it, for a process that has to end.
#[derive(Clone, Debug)]
pub struct Discard(Arc<Mutex<Option<PathBuf>>>);

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} `{}`", path.display())]
pub struct WriteError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl AtomicFile {
    /// Creates the temporary file, which shows that the path can be written. The destination stays as it is until
    /// [`publish`](Self::publish).
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let target = open(path).map_err(|source| WriteError::new("create", path, source))?;
        Ok(Self { path: path.to_owned(), target })
    }

    /// Lets everybody read it.
    pub fn readable_by_all(self) -> Result<Self, WriteError> {
        if let Target::Replaced { temporary, .. } = &self.target {
            let readable = temporary.file.set_permissions(fs::Permissions::from_mode(0o644));
            readable.map_err(|source| WriteError::writing(&self.path, source))?;
        }
        Ok(self)
    }

    /// Replaces the destination, once the whole file is on the disk.
    pub fn publish(self) -> Result<(), WriteError> {
        let Self { path, target } = self;
        match target {
            Target::Direct(mut file) => file.flush(),
            Target::Replaced { temporary, destination } => {
                temporary.file.sync_all().and_then(|()| temporary.name.rename(&destination))
            }
        }
        .map_err(|source| WriteError::writing(&path, source))
    }

    /// Where it will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The handle that removes the temporary file, if there is one.
    pub fn discard(&self) -> Option<Discard> {
        match &self.target {
            Target::Replaced { temporary, .. } => Some(temporary.name.clone()),
            Target::Direct(_) => None,
        }
    }
}

impl Discard {
    /// Removes the temporary file, unless it is published already. After that it can't be published.
    pub fn discard(&self) {
        if let Some(name) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A file that can't be removed is reused by the next process.
            let _left = fs::remove_file(name);
        }
    }

    fn rename(&self, destination: &Path) -> io::Result<()> {
        let mut name = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(from) = name.as_deref() else { return Err(io::ErrorKind::NotFound.into()) };
        fs::rename(from, destination)?;
        *name = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.name.discard();
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[expect(clippy::disallowed_methods, reason = "passes the count on to a caller who is to look at it")]
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

impl AtomicFile {
    fn file(&mut self) -> &mut File {
        match &mut self.target {
            Target::Replaced { temporary, .. } => &mut temporary.file,
            Target::Direct(file) => file,
        }
    }
}

impl WriteError {
    /// Writing to this path went wrong.
    pub fn writing(path: &Path, source: io::Error) -> Self {
        Self::new("write", path, source)
    }

    /// Whether another process is writing the same file.
    pub fn is_in_use(&self) -> bool {
        self.source.kind() == io::ErrorKind::ResourceBusy
    }

    /// Whether the file can't be created for its path, and not because the disk failed.
    pub fn is_wrong_path(&self) -> bool {
        use io::ErrorKind::{
            InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
        };
        let wrong =
            [InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem];
        let is_wrong = |error: &io::Error| {
            wrong.contains(&error.kind()) || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
        };
        self.operation == "create" && is_wrong(&self.source)
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Some("create the directory first, or name another path".into())
            }
            io::ErrorKind::ResourceBusy => Some("wait until the other run ends, or name another file".into()),
            io::ErrorKind::InvalidFilename => Some("name a file with a shorter name".into()),
            io::ErrorKind::IsADirectory => Some("name a file in it".into()),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some("name a path that you may write".into())
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("free some space, or name a path on another disk".into())
            }
            _ => None,
        }
    }

    fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), source }
    }
}

/// Standard output, as a path. It is not opened by this name, which fails for a socket, as a journal has.
const STDOUT: &str = "/dev/stdout";

fn open(path: &Path) -> io::Result<Target> {
    if path == Path::new(STDOUT) {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        return Ok(Target::Direct(File::from(stdout)));
    }
    match replaceable(path)? {
        None => OpenOptions::new().append(true).open(path).map(Target::Direct),
        Some(destination) => {
            let temporary = Temporary::beside(&destination)?;
            Ok(Target::Replaced { temporary, destination })
        }
    }
}

impl Temporary {
    /// Opens the temporary file of this destination, and locks it.
    fn beside(destination: &Path) -> io::Result<Self> {
        let Some(name) = destination.file_name() else { return Err(io::ErrorKind::InvalidFilename.into()) };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".attrsync");
        let name = directory(destination).join(hidden);
        loop {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            // A symbolic link at this path is not a file of this program.
            // Nor does it wait for who reads a FIFO.
            let itself = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
            let refused = |what: &str| {
                let text = format!("`{}` {what}", name.display());
                io::Error::new(io::ErrorKind::PermissionDenied, text)
            };
            let file = options.custom_flags(itself).open(&name).map_err(|error| {
                if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) {
                    return refused("is not a regular file");
                }
                error
            })?;
            let opened = file.metadata()?;
            if !opened.is_file() || opened.uid() != geteuid().as_raw() {
                return Err(refused("is not a regular file, or another user's"));
            }
            if opened.nlink() > 1 {
                return Err(refused(
                    "has another name as well (a hard link), and would be emptied under both",
                ));
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another run is writing it"));
                }
                Err(TryLockError::Error(_)) => return Self::unlocked(destination),
            }
            // Before the lock was taken, the last owner may have published or removed the file.
            let is_same = |there: fs::Metadata| (there.dev(), there.ino()) == (opened.dev(), opened.ino());
            if fs::symlink_metadata(&name).is_ok_and(is_same) {
                file.set_permissions(fs::Permissions::from_mode(0o600))?;
                file.set_len(0)?;
                return Ok(Self { name: Discard(Arc::new(Mutex::new(Some(name)))), file });
            }
        }
    }

    /// Some file systems have no locks. There each process writes a temporary file of its own.
    fn unlocked(destination: &Path) -> io::Result<Self> {
        let temporary = tempfile::Builder::new().prefix(".attrsync-").tempfile_in(directory(destination))?;
        let (file, name) = temporary.keep().map_err(|failed| failed.error)?;
        Ok(Self { name: Discard(Arc::new(Mutex::new(Some(name)))), file })
    }
}

/// The file to replace, with all symbolic links followed; `None` if the destination can't be replaced.
fn replaceable(path: &Path) -> io::Result<Option<PathBuf>> {
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        // What a link in /proc points to is an open file, such as a shell's redirection: replacing the file of that
        // name would leave the open one empty.
        if fs::canonicalize(directory(&path))?.starts_with("/proc") {
            return Ok(None);
        }
        if is_planted(&path) {
            let text = "another user put it there, in a directory that everyone may write to";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        match fs::symlink_metadata(&path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Some(path)),
            Err(other) => return Err(other),
            Ok(there) if there.is_symlink() => path = directory(&path).join(fs::read_link(&path)?),
            Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) if there.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "is a socket"));
            }
            Ok(there) if is_kept_for_owner(&there, &fs::metadata(directory(&path))?) => {
                let text = "only its owner may replace it: the directory has the sticky bit";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
            Ok(there) => return Ok(there.is_file().then_some(path)),
        }
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "too many symbolic links"))
}

/// Whether this user may write a file but not replace it. It is better to know that before anything is sent.
fn is_kept_for_owner(file: &fs::Metadata, directory: &fs::Metadata) -> bool {
    const STICKY: u32 = 0o1000;
    let user = geteuid();
    let owns = |metadata: &fs::Metadata| metadata.uid() == user.as_raw();
    file.is_file() && directory.mode() & STICKY != 0 && !user.is_root() && !owns(file) && !owns(directory)
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_draft_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("failures.csv"), directory.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join(".failures.csv.attrsync")).unwrap();
        assert!(AtomicFile::create(&path).unwrap_err().is_wrong_path());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_file_is_drafted_by_one_at_a_time_and_what_is_left_of_a_draft_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("failures.csv");
        fs::write(directory.path().join(".failures.csv.attrsync"), "left by a process that was killed")
            .unwrap();
        let mut first = AtomicFile::create(&path).unwrap();
        assert!(AtomicFile::create(&path).unwrap_err().is_in_use());
        first.write_all(b"first").unwrap();
        first.publish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        drop(AtomicFile::create(&path).unwrap());
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["failures.csv"]);
    }

    #[test]
    fn a_draft_that_was_taken_back_is_not_published() {
        let directory = tempfile::tempdir().unwrap();
        let draft = AtomicFile::create(&directory.path().join("bodies")).unwrap();
        draft.discard().unwrap().discard();
        assert!(draft.publish().is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
