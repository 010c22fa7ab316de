//! The settings of the ledger.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use super::endpoint;
use super::error::ConfigError;
use super::flags::{LedgerFlags, SyncOptions};
use super::layer::Layer;
use super::values::Limit;
use crate::ledger::SkipScope;

/// Where the ledger is, and how a run uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerFile {
    /// Where it is.
    pub path: PathBuf,
    /// Which rows are skipped.
    pub skip: SkipScope,
    /// How many known values may change: if there are more, nothing is sent.
    pub max_changes: Option<Limit>,
    /// How old what is known may be; what is older counts as unknown.
    pub max_age: Option<Duration>,
    /// Whether an interrupted run goes on.
    pub resume: Resume,
    /// How long to keep what was sent when.
    pub history_days: u64,
    /// The API whose values it records; `None` for a sandbox that starts with the run.
    pub base_url: Option<Url>,
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
    /// The ledger of a run, if it has one. A rehearsal with a sandbox in this process has none, unless the user names one.
    pub(super) fn resolve(
        flags: &LedgerFlags,
        layer: &Layer,
        base_url: Option<Url>,
    ) -> Result<Option<Self>, ConfigError> {
        let LedgerFlags { known, keeping } = flags;
        let rehearsal = base_url.is_none() && layer.text("ledger").is_none();
        if known.no_ledger || rehearsal {
            let needing = [
                ("only_changed", known.only_changed),
                ("max_changes", known.max_changes.is_some()),
                ("max_age", known.max_age.is_some()),
            ];
            if let Some((name, _)) = needing.into_iter().find(|(_, is_set)| *is_set) {
                let message = "there is no ledger to know what changed";
                return Err(ConfigError::at(layer.place(name), message)
                    .with_hint("leave it out, or name a ledger with `--ledger`"));
            }
            return Ok(None);
        }
        Ok(Some(Self {
            path: known.path.ledger.clone(),
            max_age: known.max_age.map(|age| age.0),
            max_changes: known.max_changes,
            skip: if known.only_changed { SkipScope::EveryRun } else { SkipScope::ContinuedRun },
            resume: if keeping.no_resume { Resume::Never } else { Resume::IfInterrupted },
            history_days: keeping.history_days,
            base_url,
        }))
    }

    /// The ledger that a reading of the account is recorded in.
    pub(super) fn of_pull(flags: &LedgerFlags, base_url: Url) -> Self {
        let LedgerFlags { known, keeping } = flags;
        Self {
            path: known.path.ledger.clone(),
            max_changes: None,
            max_age: None,
            skip: SkipScope::ContinuedRun,
            resume: if keeping.no_resume { Resume::Never } else { Resume::IfInterrupted },
            history_days: keeping.history_days,
            base_url: Some(base_url),
        }
    }

    /// The ledger that a plan needs: only what has changed depends on it, and what is saved for later.
    pub(super) fn resolve_plan(
        options: &SyncOptions,
        layer: &Layer,
        save: Option<&Path>,
    ) -> Result<Option<Self>, ConfigError> {
        let known = &options.ledger.known;
        let name = if known.only_changed {
            "only_changed"
        } else if known.max_changes.is_some() {
            "max_changes"
        } else if save.is_some() {
            "save"
        } else {
            return Ok(None);
        };
        let base_url = if options.target.sandbox {
            None
        } else {
            endpoint::base_url(&options.target.account.address, layer)?
        };
        if base_url.is_none() && !options.target.sandbox {
            return Err(ConfigError::at(
                layer.place(name),
                "what has changed depends on the account, and no account is named",
            )
            .with_hint("add `--subdomain NAME`"));
        }
        Self::resolve(&options.ledger, layer, base_url)
    }
}
