//! What is kept between runs.

use std::path::PathBuf;

use super::error::ConfigError;
use super::flags::LedgerFlags;
use super::layer::Layer;
use super::target::Target;

/// The ledger, and what to make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is skipped.
    pub memory: Memory,
    /// Whether an interrupted run goes on.
    pub resume: Resume,
    /// How long to keep what was sent when.
    pub history_days: u32,
}

/// What is skipped because the ledger knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// What the run sent that this one continues.
    ContinuedRun,
    /// What any run sent.
    EveryRun,
}

/// Whether an interrupted run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// If there is one, of the same inputs and settings.
    IfInterrupted,
    /// Never.
    Never,
}

impl LedgerFile {
    /// The ledger of a run; none if none is wanted. A sandbox that ends with the process is not worth remembering, unless
    /// somebody asks for it.
    pub(super) fn settle(
        flags: &LedgerFlags,
        layer: &Layer,
        target: &Target,
    ) -> Result<Option<Self>, ConfigError> {
        let rehearsal = matches!(target, Target::Sandbox) && layer.text("ledger").is_none();
        if flags.no_ledger || rehearsal {
            if flags.only_changed {
                return Err(ConfigError::at(
                    layer.place("only_changed"),
                    "there is no ledger to know what changed",
                )
                .with_hint("leave it out, or name a ledger with `--ledger`"));
            }
            return Ok(None);
        }
        Ok(Some(Self {
            path: flags.ledger.clone(),
            memory: if flags.only_changed { Memory::EveryRun } else { Memory::ContinuedRun },
            resume: if flags.no_resume { Resume::Never } else { Resume::IfInterrupted },
            history_days: flags.history_days,
        }))
    }
}
