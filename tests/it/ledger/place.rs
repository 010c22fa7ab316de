//! Where tests keep a ledger: in a file, or in PostgreSQL.

use std::sync::atomic::{AtomicU64, Ordering};

use attrsync::ledger::LedgerLocation;
use proptest::prelude::*;
use tempfile::TempDir;

/// A store for ledgers. Tests of what a ledger does run with each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store {
    File,
    #[cfg(feature = "postgres")]
    Postgres,
}

/// A place for one ledger, which isn't there yet.
pub(crate) struct Place {
    location: LedgerLocation,
    _folder: Option<TempDir>,
}

impl Store {
    /// A new place.
    pub(crate) fn place(self) -> Place {
        match self {
            Self::File => {
                let folder = tempfile::tempdir().expect("there is room for a folder");
                Place { location: folder.path().join("ledger").into(), _folder: Some(folder) }
            }
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                static NEXT: AtomicU64 = AtomicU64::new(0);
                let schema = format!("l{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
                let server = std::env::var("ATTRSYNC_TEST_POSTGRES").expect("a server runs");
                let location = LedgerLocation::of_database(&format!("{server}?schema={schema}"), None);
                Place { location: location.expect("it is an address"), _folder: None }
            }
        }
    }
}

/// Any store.
pub(super) fn stores() -> impl Strategy<Value = Store> {
    prop_oneof![7 => Just(Store::File), 1 => Just(Store::Postgres)]
}

impl Place {
    pub(crate) fn location(&self) -> &LedgerLocation {
        &self.location
    }
}

/// Makes a test of each of these functions for each store.
macro_rules! in_each_store {
    ($($name:ident),+ $(,)?) => {
        mod in_a_file {
            $(
                #[test]
                fn $name() {
                    super::$name($crate::ledger::place::Store::File);
                }
            )+
        }
        #[cfg(feature = "postgres")]
        mod in_postgres {
            $(
                #[test]
                fn $name() {
                    super::$name($crate::ledger::place::Store::Postgres);
                }
            )+
        }
    };
}
pub(crate) use in_each_store;
