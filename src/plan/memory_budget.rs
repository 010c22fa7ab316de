//! How much memory there is for settling, and where to go when it is not enough.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::column::Column;
use crate::spill::{Space, Store};

/// The fewest bytes that are worth dividing anything for.
const LEAST: u64 = 1 << 10;

/// What one attribute may take while it is settled, and what becomes of it then.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    bytes: u64,
    holding: PlanStorage,
    space: Space,
    /// Where columns are, once there is one.
    columns: Mutex<Option<Store>>,
}

/// Where a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlanStorage {
    /// In memory, except for what has to be divided to be settled.
    Memory,
    /// In temporary files.
    Files,
}

impl MemoryBudget {
    /// So many bytes for each attribute that is settled at a time.
    pub(super) fn new(bytes: u64, holding: PlanStorage, space: Space) -> Self {
        Self { bytes: bytes.max(LEAST), holding, space, columns: Mutex::default() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The column, where the plan is.
    pub(super) fn keep(&self, column: Column) -> io::Result<Column> {
        match self.holding {
            PlanStorage::Memory => Ok(column),
            PlanStorage::Files => column.store(&self.columns()?),
        }
    }

    /// A file for columns of the plan.
    pub(super) fn columns(&self) -> io::Result<Store> {
        let mut columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match columns.take() {
            Some(store) => store,
            None => self.space.store()?,
        };
        Ok(columns.insert(store).clone())
    }

    /// A file for what is needed until an attribute is settled.
    pub(super) fn scratch(&self) -> io::Result<Store> {
        self.space.store()
    }
}
