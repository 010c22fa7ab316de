//! The settings: checked values, grouped by the stage that uses them.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::environment::Environment;
use super::file::File;
use super::flags::SyncOptions;
use super::ledger::LedgerSettings;
use super::reports::Reports;
use super::values::{Limit, LogFormat, ProgressMode};
use crate::deliver;
use crate::input::{self, Source, UnknownColumns};
use crate::plan::OnConflict;
use crate::spill::Resources;

/// Everything that the stages need, except where requests go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to read, in this order; never empty.
    pub inputs: Vec<Source>,
    /// How to read it.
    pub input: input::ReadOptions,
    /// How many invalid rows are too many.
    pub tolerance: Tolerance,
    /// How few rows are too few: then nothing is sent.
    pub min_rows: Option<u64>,
    /// Which row wins where one user has several values for one attribute.
    pub on_conflict: OnConflict,
    /// Most ids in one request.
    pub batch_size: NonZeroU32,
    /// How to send.
    pub delivery: deliver::Options,
    /// Where to save the plan, and what for.
    pub save: Option<PlanFile>,
    /// The rows of how many users to send and read back before all others.
    pub canary: usize,
    /// What is kept between runs.
    pub ledger: Option<LedgerSettings>,
    /// How long to wait for another run that uses the same ledger or writes the same reports.
    pub wait: Duration,
    /// Which reports to write.
    pub reports: Reports,
    /// How much to print.
    pub verbosity: Verbosity,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Whether progress is shown.
    pub progress: ProgressMode,
    /// Warnings about the settings.
    pub warnings: Vec<String>,
    /// The options in use as text, by name, also those that have their default value. There are no secrets among them.
    pub shown: Vec<(String, String)>,
}

/// Where a plan is saved, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFile {
    /// The file.
    pub path: PathBuf,
    /// The API that it goes to; `None` for a sandbox that starts with the run.
    pub base_url: Option<Url>,
    /// Flags that the command which sends it has to repeat.
    pub flags: Vec<OsString>,
}

/// How many invalid rows are too many: then nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// All of them.
    NotAll,
    /// More than this.
    UpTo(Limit),
    /// One.
    Strict,
}

impl Tolerance {
    /// Whether an input of `read` rows with `invalid` ones among them is refused as a whole.
    pub fn refuses(self, invalid: u64, read: u64) -> bool {
        match self {
            Self::NotAll => invalid > 0 && invalid == read,
            Self::UpTo(limit) => limit.is_exceeded_by(invalid, read),
            Self::Strict => invalid > 0,
        }
    }
}

/// How much to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and errors alone.
    Quiet,
    /// Warnings, and how it went.
    Normal,
    /// `-v`: decisions, too.
    Detailed,
    /// `-vv`: requests, too. Only here do values and ids show.
    Full,
}

impl Settings {
    pub(super) fn of(
        inputs: Vec<Source>,
        options: SyncOptions,
        file: File,
        reports: Reports,
        environment: &Environment,
        warnings: Vec<String>,
    ) -> Self {
        let SyncOptions { pace, delivery, planning, input, ledger, logging, .. } = options;
        let vocabulary = input.names.vocabulary();
        let columns = input.columns.unwrap_or_default();
        let retries = delivery.retries;
        Self {
            inputs,
            input: input::ReadOptions {
                layout: input.layout,
                delimiter: input.delimiter.map(super::Delimiter::byte),
                encoding: input.encoding.0,
                required: columns.theirs(),
                columns: columns.lay_over(file.columns),
                unknown_columns: if planning.strict { UnknownColumns::Refuse } else { UnknownColumns::Warn },
                id_type: input.names.id_type,
                vocabulary,
                empty: input.empty,
                null_token: input.null_token,
                attributes: file.attributes,
                resources: Resources {
                    threads: environment.threads,
                    memory: planning
                        .memory
                        .memory
                        .map_or_else(|| environment.half_of_memory(), |size| size.0.get()),
                    temp_dir: Some(planning.memory.temp_dir.unwrap_or_else(|| environment.temp_dir.clone())),
                },
                ..input::ReadOptions::default()
            },
            tolerance: match planning.max_invalid {
                _ if planning.strict => Tolerance::Strict,
                Some(limit) => Tolerance::UpTo(limit),
                None => Tolerance::NotAll,
            },
            min_rows: planning.min_rows,
            on_conflict: planning.on_conflict,
            batch_size: planning.batch_size,
            delivery: deliver::Options {
                rate: pace.rate,
                concurrency: delivery.concurrency,
                max_attempts: delivery.max_attempts,
                retry_initial_delay: retries.retry_initial_delay.0,
                retry_max_delay: retries.retry_max_delay.0,
                timeout: retries.timeout.0,
                max_outage: retries.max_outage.0,
                max_duration: retries.max_duration.map(|period| period.0),
                elapsed: Duration::ZERO,
                grace: environment.grace(),
                verify: delivery.verify,
                ..deliver::Options::default()
            },
            save: None,
            canary: delivery.canary,
            ledger: None,
            wait: ledger.keeping.wait.0,
            reports,
            verbosity: match logging.verbose.iter().fold(0, |sum: u8, &more| sum.saturating_add(more)) {
                0 if logging.quiet => Verbosity::Quiet,
                0 => Verbosity::Normal,
                1 => Verbosity::Detailed,
                _ => Verbosity::Full,
            },
            log_format: logging.log_format,
            progress: logging.progress,
            warnings,
            shown: Vec::new(),
        }
    }
}
