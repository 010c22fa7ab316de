//! Files that hold a secret, read so that no copy is left in memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::{Zeroize as _, Zeroizing};

/// Far more than a key or an address has.
const MOST: usize = 64 << 10;

/// The bytes of a file. They are overwritten when they are dropped.
pub(super) fn bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // There is room for all of it, because a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST + 64));
    File::open(path)?.take(MOST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MOST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is far longer than what should be in it",
        ));
    }
    Ok(bytes)
}

/// The text of a file. It is overwritten when it is dropped.
pub(super) fn text(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut bytes = bytes(path)?;
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|malformed| {
        malformed.into_bytes().zeroize();
        io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_without_growing_and_a_long_one_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x".repeat(MOST)).unwrap();
        let read = text(file.path()).unwrap();
        assert_eq!((read.len(), read.capacity()), (MOST, MOST + 64));
        std::fs::write(file.path(), "x".repeat(MOST + 1)).unwrap();
        assert_eq!(text(file.path()).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(file.path(), b"\xff").unwrap();
        assert_eq!(text(file.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
