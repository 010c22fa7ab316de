//! Where a ledger is.

use std::fmt;
use std::path::{Path, PathBuf};
#[cfg(feature = "postgres")]
use std::sync::Arc;

#[cfg(feature = "postgres")]
use super::postgres::Address;

/// Where a ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerLocation {
    /// In a file at this path.
    File(PathBuf),
    /// In a database.
    #[cfg(feature = "postgres")]
    Postgres(Arc<Address>),
}

impl LedgerLocation {
    /// The database at this address. `password` is for an address without one. The error doesn't quote the address, as a
    /// password may stand in it.
    #[cfg(feature = "postgres")]
    pub fn of_database(address: &str, password: Option<&str>) -> Result<Self, String> {
        Address::parse(address, password).map(|address| Self::Postgres(Arc::new(address)))
    }

    /// Without the feature, there is none.
    #[cfg(not(feature = "postgres"))]
    pub fn of_database(_address: &str, _password: Option<&str>) -> Result<Self, String> {
        Err("this attrsync was built without PostgreSQL: build it with the feature `postgres`".to_owned())
    }

    /// The path, if it is a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
        }
    }

    /// Whether the address that it was made of holds a password.
    pub fn has_password(&self) -> bool {
        match self {
            Self::File(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => address.has_password_in_text(),
        }
    }

    /// What the user should know before it is used.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::File(_) => Vec::new(),
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => address.warnings(),
        }
    }
}

impl From<PathBuf> for LedgerLocation {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for LedgerLocation {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

/// As it may be shown: without a password.
impl fmt::Display for LedgerLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_password_and_nothing_to_warn_of() {
        let file = LedgerLocation::from(Path::new("/srv/ledger.db"));
        assert_eq!((file.has_password(), file.warnings()), (false, Vec::new()));
        assert_eq!(
            (file.path(), file.to_string()),
            (Some(Path::new("/srv/ledger.db")), "/srv/ledger.db".into())
        );
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_database_may_have_a_password_and_something_to_warn_of() {
        let of = |address| LedgerLocation::of_database(address, Some("kept apart")).unwrap();
        let open = of("postgres://me:secret@db.example.com/ledger?sslmode=disable");
        assert_eq!((open.path(), open.has_password(), open.warnings().len()), (None, true, 1));
        let closed = of("postgres://me@db.example.com/ledger");
        assert_eq!((closed.has_password(), closed.warnings().len()), (false, 0));
        assert!(!open.to_string().contains("secret"), "{open}");
    }
}
