//! Where tests keep a ledger: in a file, or in PostgreSQL.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use attrsync::ledger::LedgerLocation;
use proptest::prelude::*;
use tempfile::TempDir;

#[cfg(feature = "postgres")]
use crate::postgres::Database;

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
    /// PostgreSQL, if there is a server.
    #[cfg(feature = "postgres")]
    pub(crate) fn postgres() -> Option<Self> {
        database().map(|_| Self::Postgres)
    }

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
                let database = database().expect("the store was chosen because there is one");
                let schema = format!("ledger_{}", NEXT.fetch_add(1, Ordering::Relaxed));
                let location =
                    LedgerLocation::of_database(&format!("{}?schema={schema}", database.pooled), None);
                Place { location: location.expect("it is an address"), _folder: None }
            }
        }
    }
}

/// The database for all ledgers, each of which has a schema. Connections go through the pooler.
#[cfg(feature = "postgres")]
fn database() -> Option<&'static Database> {
    static DATABASE: OnceLock<Option<Database>> = OnceLock::new();
    DATABASE.get_or_init(crate::postgres::database).as_ref()
}

/// Any store.
pub(super) fn stores() -> impl Strategy<Value = Store> {
    #[cfg(feature = "postgres")]
    if Store::postgres().is_some() {
        return prop_oneof![7 => Just(Store::File), 1 => Just(Store::Postgres)].boxed();
    }
    Just(Store::File).boxed()
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
                    if let Some(store) = $crate::ledger::place::Store::postgres() {
                        super::$name(store);
                    }
                }
            )+
        }
    };
}
pub(crate) use in_each_store;
