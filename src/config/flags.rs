//! Every option, as it is typed.
//!
//! A field's name is the option's name in the configuration file; with `-` for `_`, its flag; in capitals after
//! `ATTRSYNC_`, its variable. To add an option, add its field here and say in [`settings`](super::settings) what it sets.

#![expect(clippy::doc_markdown, reason = "doc comments of fields are the help's text")]

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::values::{
    Columns, Delimiter, Encoding, Limit, LogFormat, Period, Progress, Size, count, detail, memory, number,
};
use crate::deliver::{self, Rate};
use crate::input::{self, Empty, IdType, Layout, Vocabulary};
use crate::plan::OnConflict;

/// The options of `sync`, which are all there are.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct SyncOptions {
    #[command(flatten)]
    pub(super) file: FileFlags,
    /// Do what plan does: send nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) target: TargetFlags,
    #[command(flatten)]
    pub(super) pace: PaceFlags,
    #[command(flatten)]
    pub(super) delivery: DeliveryFlags,
    #[command(flatten)]
    pub(super) planning: PlanningFlags,
    #[command(flatten)]
    pub(super) input: InputFlags,
    #[command(flatten)]
    pub(super) ledger: LedgerFlags,
    #[command(flatten)]
    pub(super) failures: FailuresFlags,
    #[command(flatten)]
    pub(super) reports: ReportFlags,
    #[command(flatten)]
    pub(super) logging: LoggingFlags,
}

/// The options that make sense for `plan`.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct PlanOptions {
    #[command(flatten)]
    file: FileFlags,
    #[command(flatten)]
    address: AddressFlags,
    #[command(flatten)]
    pace: PaceFlags,
    #[command(flatten)]
    planning: PlanningFlags,
    #[command(flatten)]
    input: InputFlags,
    #[command(flatten)]
    known: KnownFlags,
    #[command(flatten)]
    failures: FailuresFlags,
    #[command(flatten)]
    logging: LoggingFlags,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(super) struct FileFlags {
    /// Settings in TOML [default: attrsync.toml, if there]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Target")]
pub(super) struct AddressFlags {
    /// Address of the API, down to /api/public/
    // As text: clap would show a wrong address, with the password that may stand in it.
    #[arg(long, value_name = "URL")]
    pub(super) base_url: Option<String>,
    /// Name of the account: shorthand for its address below user.com
    #[arg(long, value_name = "NAME")]
    pub(super) subdomain: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Target")]
pub(super) struct TargetFlags {
    #[command(flatten)]
    pub(super) address: AddressFlags,
    /// File that holds the API key; or set the variable ATTRSYNC_TOKEN to the key itself
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Start a sandbox in this process and sync to it: no account, no key
    #[arg(long)]
    pub(super) sandbox: bool,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Delivery")]
pub(super) struct PaceFlags {
    /// Ceiling for all requests, retries included; evenly spread, no bursts
    #[arg(long, value_name = "N/s", default_value_t = deliver::Options::default().rate)]
    pub(super) rate: Rate,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Delivery")]
pub(super) struct DeliveryFlags {
    /// Most requests in flight
    #[arg(long, value_name = "N", value_parser = count::<NonZeroUsize>,
        default_value_t = deliver::Options::default().concurrency)]
    pub(super) concurrency: NonZeroUsize,
    /// Tries for one batch while the API is otherwise well
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>,
        default_value_t = deliver::Options::default().max_attempts)]
    pub(super) max_attempts: NonZeroU32,
    /// Longest wait before a batch is tried again; doubles each time
    #[arg(long, value_name = "D", default_value_t = Period(deliver::Options::default().retry_initial_delay))]
    pub(super) retry_initial_delay: Period,
    /// Longest wait before any retry
    #[arg(long, value_name = "D", default_value_t = Period(deliver::Options::default().retry_max_delay))]
    pub(super) retry_max_delay: Period,
    /// Longest time for one request, from its start to the end of its answer
    #[arg(long, value_name = "D", value_parser = Period::above_zero,
        default_value_t = Period(deliver::Options::default().timeout))]
    pub(super) timeout: Period,
    /// How long to wait for an API that answers nobody before giving up
    #[arg(long, value_name = "D", default_value_t = Period(deliver::Options::default().max_outage))]
    pub(super) max_outage: Period,
    /// Start no requests after this time
    #[arg(long, value_name = "D")]
    pub(super) max_duration: Option<Period>,
    /// Read this many acknowledged users back and compare
    #[arg(long, value_name = "N", value_parser = number::<usize>, default_value_t = 0)]
    pub(super) verify: usize,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Planning")]
pub(super) struct PlanningFlags {
    /// Most ids in one request
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, default_value_t = super::BATCH_SIZE)]
    pub(super) batch_size: NonZeroU32,
    /// Which row wins where one user has several values for one attribute
    #[arg(long, value_name = "ROW", value_enum, default_value_t)]
    pub(super) on_conflict: OnConflict,
    /// Send nothing if any row is invalid
    #[arg(long)]
    pub(super) strict: bool,
    /// Send nothing if more rows than this are invalid [default: if all are]
    #[arg(long, value_name = "N|N%")]
    pub(super) max_invalid: Option<Limit>,
    /// Plan in temporary files above this, as 512MB or 2GiB [default: half of the memory there is]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(super) memory: Option<Size>,
    /// Where temporary files go [default: where the system has them]
    #[arg(long, value_name = "DIR")]
    pub(super) temp_dir: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Input")]
pub(super) struct InputFlags {
    /// Header names: user_id=A,attribute=B,value=C; -=D ignores D
    #[arg(long, value_name = "NAMES", allow_hyphen_values = true)]
    pub(super) columns: Option<Columns>,
    /// Long: user_id, attribute, value; wide: user_id and one column per attribute
    #[arg(long, value_enum, default_value_t)]
    pub(super) layout: Layout,
    /// Between fields: , ; \t | [default: detected from the header]
    #[arg(long, value_name = "C")]
    pub(super) delimiter: Option<Delimiter>,
    /// Of inputs without a byte-order mark
    #[arg(long, value_name = "NAME", default_value_t = Encoding(input::Options::default().encoding))]
    pub(super) encoding: Encoding,
    /// What becomes of an empty value [default: reject; in the wide layout, skip]
    #[arg(long, value_name = "FATE", value_enum)]
    pub(super) empty: Option<Empty>,
    /// This value clears the attribute (JSON null)
    #[arg(long, value_name = "TEXT")]
    pub(super) null_token: Option<String>,
    /// What user_id holds: User.com's own ids or yours
    #[arg(long, value_name = "TYPE", value_enum, default_value_t)]
    pub(super) id_type: IdType,
    /// Take other attribute names for custom attributes
    #[arg(long)]
    pub(super) allow_custom: bool,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Ledger")]
pub(super) struct KnownFlags {
    /// Where to keep what was acknowledged, between runs; with --sandbox only if named
    #[arg(long, value_name = "FILE", default_value = super::LEDGER)]
    pub(super) ledger: PathBuf,
    /// Keep nothing between runs
    #[arg(long)]
    pub(super) no_ledger: bool,
    /// Skip what the ledger knows the API already holds
    #[arg(long)]
    pub(super) only_changed: bool,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Ledger")]
pub(super) struct LedgerFlags {
    #[command(flatten)]
    pub(super) known: KnownFlags,
    /// Don't continue an interrupted run
    #[arg(long)]
    pub(super) no_resume: bool,
    /// How long to keep what was sent when, in days; what the API holds is kept in any case
    #[arg(long, value_name = "DAYS", value_parser = super::ledger::days, default_value_t = 90)]
    pub(super) history_days: u64,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Reports")]
pub(super) struct FailuresFlags {
    /// Rows that are not acknowledged, as CSV [default: failures.csv; plan: none]
    #[arg(long, value_name = "FILE")]
    pub(super) failures: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Reports")]
pub(super) struct ReportFlags {
    /// The run as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(super) summary: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Screen and log")]
pub(super) struct LoggingFlags {
    /// Warnings and errors alone
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// More detail; twice for still more
    #[arg(long, short, value_name = "N", action = ArgAction::Append, num_args = 0..=1, require_equals = true,
        value_parser = detail, default_missing_value = "1")]
    pub(super) verbose: Vec<u8>,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(super) log_format: LogFormat,
    /// Whether progress is shown; auto: unless --quiet
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(super) progress: Progress,
}

impl InputFlags {
    /// Which attribute names are allowed.
    pub(super) fn vocabulary(&self) -> Vocabulary {
        if self.allow_custom { Vocabulary::Custom } else { Vocabulary::Standard }
    }
}
