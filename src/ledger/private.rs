//! Files for their owner's eyes only.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

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
