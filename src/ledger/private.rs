//! Files for their owner's eyes only.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// The same of a file that lies here, and nowhere else: a link that somebody put in its place is an error.
pub(super) fn open_here(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let is_link = || io::Error::new(io::ErrorKind::InvalidInput, "is a link");
    if path.is_symlink() {
        return Err(is_link());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

        // A link may have come meanwhile: before its target is touched, what was opened is compared with what is here.
        let (opened, here) = (options.mode(0o600).open(path)?.metadata()?, path.symlink_metadata()?);
        if (opened.dev(), opened.ino()) != (here.dev(), here.ino()) {
            return Err(is_link());
        }
    }
    open(options, path)
}

/// Opens a file that only its owner can read, and takes the right from others who had it.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

        let file = options.mode(0o600).open(path)?;
        let mut rights = file.metadata()?.permissions();
        if rights.mode() & 0o077 != 0 {
            rights.set_mode(0o600);
            file.set_permissions(rights)?;
        }
        Ok(file)
    }
    #[cfg(not(unix))]
    options.open(path)
}
