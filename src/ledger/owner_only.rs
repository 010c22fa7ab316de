//! Files for their owner's eyes only.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// The same of a file that lies here, and nowhere else: what a link in its place leads to would be overwritten.
pub(super) fn open_here(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let is_link = || io::Error::new(io::ErrorKind::InvalidInput, "is a link");
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;
        use rustix::io::Errno;

        let opened = open(options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()), path);
        opened.map_err(
            |error| if Errno::from_io_error(&error) == Some(Errno::LOOP) { is_link() } else { error },
        )
    }
    #[cfg(not(unix))]
    if path.is_symlink() { Err(is_link()) } else { open(options, path) }
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
