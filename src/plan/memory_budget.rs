//! How much memory resolving an attribute may take, and the files for what does not fit.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::attribute_plan::AttributePlan;
use crate::spill::{TempFile, TempFiles};

/// The smallest budget. Dividing an attribute further would gain nothing.
const LEAST: u64 = 1 << 10;

/// The memory for resolving one attribute, and where its plan goes.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    bytes: u64,
    storage: PlanStorage,
    files: TempFiles,
    /// The file of the plan, once there is one.
    plan_file: Mutex<Option<TempFile>>,
}

/// Where a plan is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlanStorage {
    /// In memory, except for attributes that are resolved in parts.
    Memory,
    /// In a temporary file.
    File,
}

impl MemoryBudget {
    /// This number of bytes for each attribute that is resolved at the same time.
    pub(super) fn new(bytes: u64, storage: PlanStorage, files: TempFiles) -> Self {
        Self { bytes: bytes.max(LEAST), storage, files, plan_file: Mutex::default() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Moves the plan of an attribute to where the whole plan is kept.
    pub(super) fn store(&self, mut plan: AttributePlan) -> io::Result<AttributePlan> {
        if self.storage == PlanStorage::File {
            plan.move_to(&self.plan_file()?)?;
        }
        Ok(plan)
    }

    /// The file of the plan.
    pub(super) fn plan_file(&self) -> io::Result<TempFile> {
        self.files.get_or_create(&mut self.plan_file.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A file for what is needed until an attribute is resolved.
    pub(super) fn scratch_file(&self) -> io::Result<TempFile> {
        self.files.create()
    }
}
