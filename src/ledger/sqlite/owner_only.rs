//! Files that only their owner can read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file so that only its owner can read it. If others could read it until now, they lose that right.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.mode(0o600).open(path)?;
    make_private(&file)?;
    Ok(file)
}

/// Opens the file at this path itself: not what a link leads to, and without waiting for the other end of a FIFO.
pub(super) fn open_itself(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let itself = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    options.custom_flags(itself).mode(0o600).open(path)
}

/// Takes the right to read a file from all but its owner.
pub(super) fn make_private(file: &File) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o600);
        file.set_permissions(permissions)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_leads_to_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        open_itself(&mut options, &link).unwrap_err();
        assert!(!file.exists());
        open_itself(&mut options, &file).unwrap();
    }
}
