//! Files that are there in full or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file in the making. It stands in a temporary file beside its destination, readable by its owner only, until it is
/// published; dropped before that, it leaves nothing behind. What is no regular file (`/dev/null`, a FIFO, standard
/// output) can't be replaced and is written directly.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// The temporary file is made when there is something to write: until then a process that is killed leaves nothing.
    Replaced {
        temporary: Option<NamedTempFile>,
        destination: PathBuf,
    },
    Direct(File),
}

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {deed} `{}`", path.display())]
pub struct Unwritten {
    deed: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Draft {
    /// Makes sure that the path can be written, and begins. What stands there stays until [`publish`](Self::publish).
    pub fn create(path: &Path) -> Result<Self, Unwritten> {
        let target = open(path).map_err(|source| Unwritten::new("create", path, source))?;
        Ok(Self { path: path.to_owned(), target })
    }

    /// Puts the file in its place, once all of it is on the disk.
    pub fn publish(self) -> Result<(), Unwritten> {
        let Self { path, target } = self;
        match target {
            Target::Direct(mut file) => file.flush(),
            Target::Replaced { temporary, destination } => {
                temporary.map_or_else(|| beside(&destination), Ok).and_then(|temporary| {
                    temporary.as_file().sync_all()?;
                    temporary.persist(destination).map(drop).map_err(|refused| refused.error)
                })
            }
        }
        .map_err(|source| Unwritten::writing(&path, source))
    }

    /// Where it will be.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[expect(clippy::disallowed_methods, reason = "passes the count on to a caller who is to look at it")]
        match &mut self.target {
            Target::Replaced { temporary: Some(temporary), .. } => temporary.write(bytes),
            Target::Replaced { temporary, destination } => {
                temporary.insert(beside(destination)?).write(bytes)
            }
            Target::Direct(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Replaced { temporary, .. } => temporary.as_mut().map_or(Ok(()), Write::flush),
            Target::Direct(file) => file.flush(),
        }
    }
}

impl Unwritten {
    /// Writing to this path went wrong.
    pub fn writing(path: &Path, source: io::Error) -> Self {
        Self::new("write", path, source)
    }

    /// Whether it is the path that is wrong, and not the disk that failed.
    pub fn is_wrong_path(&self) -> bool {
        use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
        let wrong = [IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem];
        wrong.contains(&self.source.kind())
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Some("create the directory first, or name another path".into())
            }
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

    fn new(deed: &'static str, path: &Path, source: io::Error) -> Self {
        Self { deed, path: path.to_owned(), source }
    }
}

fn open(path: &Path) -> io::Result<Target> {
    let Some(destination) = replaceable(path)? else {
        return OpenOptions::new().append(true).open(path).map(Target::Direct);
    };
    // Whether it can be made shows now.
    drop(beside(&destination)?);
    Ok(Target::Replaced { temporary: None, destination })
}

fn beside(destination: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".attrsync-").tempfile_in(directory(destination))
}

/// The file that is to be replaced, behind all symbolic links; `None` where there is one that can't be.
fn replaceable(path: &Path) -> io::Result<Option<PathBuf>> {
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        // What a link in /proc points to is an open file, such as a shell's redirection: replacing the file of that
        // name would leave the open one empty.
        let directory = fs::canonicalize(directory(&path))?;
        if directory.starts_with("/proc") {
            return Ok(None);
        }
        match fs::symlink_metadata(&path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Some(path)),
            Err(other) => return Err(other),
            Ok(there) if there.is_symlink() => path = directory.join(fs::read_link(&path)?),
            Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) => return Ok(there.is_file().then_some(path)),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
