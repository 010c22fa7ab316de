//! Every option, as it is typed.
//!
//! A field's name is the option's name in the configuration file; with `-` for `_`, its flag; in capitals after
//! `ATTRSYNC_`, its variable. To add an option, add its field here and say in [`settings`](super::settings) what it sets.
//!
//! Its help has to make sense without the heading above it, and shows a value where the form is not obvious. `-h` shows
//! only the options that [`typed`](super::typed) lists for a first run.

#![expect(clippy::doc_markdown, reason = "doc comments of fields are the help's text")]

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use secrecy::SecretString;

use super::values::{
    Columns, Delimiter, Encoding, Limit, LogFormat, Period, ProgressMode, Size, count, days, detail, memory,
    number,
};
use crate::deliver::{self, Rate, Verify};
use crate::input::{self, Empty, IdType, Layout, Vocabulary};
use crate::plan::OnConflict;

/// The options of `sync`, which are all there are.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct SyncOptions {
    #[command(flatten)]
    pub(super) file: FileFlags,
    /// Send nothing, and show what would be sent, as attrsync plan does
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
    pub(super) saved: SavedPlanFlags,
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
    saved: SavedPlanFlags,
    #[command(flatten)]
    input: InputFlags,
    #[command(flatten)]
    known: KnownFlags,
    #[command(flatten)]
    failures: FailuresFlags,
    #[command(flatten)]
    logging: LoggingFlags,
}

/// The options that make sense for `pull`.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct PullOptions {
    #[command(flatten)]
    file: FileFlags,
    #[command(flatten)]
    account: AccountFlags,
    #[command(flatten)]
    pace: PaceFlags,
    #[command(flatten)]
    retries: RetryFlags,
    #[command(flatten)]
    memory: MemoryFlags,
    #[command(flatten)]
    names: NameFlags,
    #[command(flatten)]
    path: LedgerPathFlags,
    #[command(flatten)]
    keeping: KeepingFlags,
    #[command(flatten)]
    logging: LoggingFlags,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(super) struct FileFlags {
    /// Settings file in TOML [default: attrsync.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Account")]
pub(super) struct AddressFlags {
    // As text: clap would show a wrong address, with the password that may stand in it.
    #[arg(long, value_name = "URL", help = "Address of the API, such as https://acme.user.com/api/public/")]
    pub(super) base_url: Option<String>,
    /// Your account: acme for acme.user.com
    #[arg(long, value_name = "NAME")]
    pub(super) subdomain: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Account")]
pub(super) struct AccountFlags {
    #[command(flatten)]
    pub(super) address: AddressFlags,
    /// File with the API key (or set the variable ATTRSYNC_TOKEN to the key)
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Account")]
pub(super) struct TargetFlags {
    #[command(flatten)]
    pub(super) account: AccountFlags,
    /// Practise on a simulated User.com: no account, no key, nothing leaves this computer
    #[arg(long)]
    pub(super) sandbox: bool,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Sending")]
pub(super) struct PaceFlags {
    /// Most requests per second or minute, such as 10/s or 300/m. Retries are included, and requests are evenly spread
    #[arg(long, value_name = "N/s|N/m", default_value_t = deliver::Options::default().rate)]
    pub(super) rate: Rate,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Sending")]
pub(super) struct DeliveryFlags {
    /// Most requests that may wait for an answer at the same time
    #[arg(long, value_name = "N", value_parser = count::<NonZeroUsize>,
        default_value_t = deliver::Options::default().concurrency)]
    pub(super) concurrency: NonZeroUsize,
    /// How often a request is tried if it keeps failing while the API answers others
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>,
        default_value_t = deliver::Options::default().max_attempts)]
    pub(super) max_attempts: NonZeroU32,
    #[command(flatten)]
    pub(super) retries: RetryFlags,
    /// Send all rows of this many users first and read them back. The rest is sent only if all is as it was sent
    #[arg(long, value_name = "N", value_parser = number::<usize>, default_value_t = 0)]
    pub(super) canary: usize,
    /// Read this many values back at the end, chosen at random, or all of them, and compare them
    #[arg(long, value_name = "N|all", default_value_t)]
    pub(super) verify: Verify,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Sending")]
pub(super) struct RetryFlags {
    /// Longest wait before the first retry of a request, such as 500ms. It doubles with each retry
    #[arg(long, value_name = "TIME", default_value_t = Period(deliver::Options::default().retry_initial_delay))]
    pub(super) retry_initial_delay: Period,
    /// Longest wait before any later retry of a request, such as 30s
    #[arg(long, value_name = "TIME", default_value_t = Period(deliver::Options::default().retry_max_delay))]
    pub(super) retry_max_delay: Period,
    /// Longest time for one request, until its answer is complete, such as 90s
    #[arg(long, value_name = "TIME", value_parser = Period::above_zero,
        default_value_t = Period(deliver::Options::default().timeout))]
    pub(super) timeout: Period,
    /// How long to wait while the API is down before the run stops, such as 10m or 2h
    #[arg(long, value_name = "TIME", default_value_t = Period(deliver::Options::default().max_outage))]
    pub(super) max_outage: Period,
    /// Stop the run after this time, such as 50m. The same command continues it [default: no limit]
    #[arg(long, value_name = "TIME")]
    pub(super) max_duration: Option<Period>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Planning")]
pub(super) struct PlanningFlags {
    /// Most users that one request may update
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, default_value_t = super::BATCH_SIZE)]
    pub(super) batch_size: NonZeroU32,
    /// Which row is sent if rows set the same attribute of the same user to different values. With error, nothing is sent
    #[arg(long, value_name = "WHICH", value_enum, default_value_t)]
    pub(super) on_conflict: OnConflict,
    /// Send nothing if any row is invalid, or if a column would be ignored
    #[arg(long)]
    pub(super) strict: bool,
    /// Send nothing if more rows than this are invalid, such as 100 or 1% [default: only if all are]
    #[arg(long, value_name = "N|N%")]
    pub(super) max_invalid: Option<Limit>,
    /// Send nothing if fewer rows than this were read, such as 1000: the export may be cut off [default: no limit]
    #[arg(long, value_name = "N", value_parser = number::<u64>)]
    pub(super) min_rows: Option<u64>,
    #[command(flatten)]
    pub(super) memory: MemoryFlags,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Planning")]
pub(super) struct MemoryFlags {
    /// Most memory for planning, such as 512MB or 2GiB. Temporary files hold the rest [default: half of the memory]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(super) memory: Option<Size>,
    /// Directory for temporary files [default: the system's]
    #[arg(long, value_name = "DIR")]
    pub(super) temp_dir: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Planning")]
pub(super) struct SavedPlanFlags {
    /// Take the plan that attrsync plan --save wrote to this file, and no inputs
    #[arg(long, value_name = "FILE")]
    pub(super) plan: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Input")]
pub(super) struct InputFlags {
    /// What your columns are called, such as 'user_id=Contact no.,email=E-mail'. -=Notes ignores the column Notes
    #[arg(long, value_name = "NAMES", allow_hyphen_values = true)]
    pub(super) columns: Option<Columns>,
    /// Layout of the input: one value per line (long), or one user per line and one attribute per column (wide)
    #[arg(long, value_enum, default_value_t)]
    pub(super) layout: Layout,
    /// Character between the fields of the input: , or ; or \t or | [default: detected from the header]
    #[arg(long, value_name = "CHAR")]
    pub(super) delimiter: Option<Delimiter>,
    /// Encoding of inputs without a byte-order mark, such as windows-1250
    #[arg(long, value_name = "NAME", default_value_t = Encoding(input::ReadOptions::default().encoding))]
    pub(super) encoding: Encoding,
    /// What to do with an empty value: call the row invalid, leave it out, or send it [default: reject; in a wide input skip]
    #[arg(long, value_name = "ACTION", value_enum)]
    pub(super) empty: Option<Empty>,
    /// Text that clears the attribute (JSON null) where it stands as a value, such as NULL
    #[arg(long, value_name = "TEXT")]
    pub(super) null_token: Option<String>,
    #[command(flatten)]
    pub(super) names: NameFlags,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Input")]
pub(super) struct NameFlags {
    /// Whose ids the column user_id holds: User.com's (id) or your own (custom-id)
    #[arg(long, value_name = "TYPE", value_enum, default_value_t)]
    pub(super) id_type: IdType,
    /// Also send attributes that are not built into User.com, as custom attributes
    #[arg(long)]
    pub(super) allow_custom: bool,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Ledger")]
pub(super) struct LedgerPathFlags {
    /// File that remembers, between runs, what was sent and read; or a PostgreSQL database, such as
    /// postgres://attrsync@db.example.com/crm. With --sandbox there is none unless you name one
    #[arg(long, value_name = "FILE|URL", default_value = super::LEDGER)]
    pub(super) ledger: PathBuf,
    /// File that holds the address for --ledger, if there is a password in it
    #[arg(long, value_name = "FILE")]
    pub(super) ledger_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Ledger")]
pub(super) struct KnownFlags {
    #[command(flatten)]
    pub(super) path: LedgerPathFlags,
    /// Remember nothing between runs
    #[arg(long)]
    pub(super) no_ledger: bool,
    /// Send only what changed: skip values that, according to the ledger, User.com already holds
    #[arg(long)]
    pub(super) only_changed: bool,
    /// Send nothing if more values than this would change, of those that are known, such as 500 or 10% [default: no limit]
    #[arg(long, value_name = "N|N%")]
    pub(super) max_changes: Option<Limit>,
    /// Believe only what was sent or read within this time, such as 24h or 7d; what is older counts as unknown [default: no limit]
    #[arg(long, value_name = "TIME")]
    pub(super) max_age: Option<Period>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Ledger")]
pub(super) struct LedgerFlags {
    #[command(flatten)]
    pub(super) known: KnownFlags,
    #[command(flatten)]
    pub(super) keeping: KeepingFlags,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Ledger")]
pub(super) struct KeepingFlags {
    /// Start from the beginning instead of continuing a run that was cut short
    #[arg(long)]
    pub(super) no_resume: bool,
    /// How long to wait for another run that uses the same ledger or writes the same reports, such as 10m
    #[arg(long, value_name = "TIME", default_value_t = Period(Duration::ZERO))]
    pub(super) wait: Period,
    /// Runs with the same quota share one --rate, on all computers. Needs a ledger in a database [default: the account's address]
    #[arg(long, value_name = "NAME")]
    pub(super) quota: Option<String>,
    /// How many days the ledger keeps the dates of what was sent. It keeps the values for good
    #[arg(long, value_name = "DAYS", value_parser = days, default_value_t = 90)]
    pub(super) history_days: u64,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Reports")]
pub(super) struct FailuresFlags {
    /// Where to write the rows that are invalid, failed or unsent, as CSV [default: failures.csv; plan: none]
    #[arg(long, value_name = "FILE")]
    pub(super) failures: Option<PathBuf>,
}

#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
#[command(next_help_heading = "Reports")]
pub(super) struct ReportFlags {
    /// Where to write the result of the run as JSON. - prints it
    #[arg(long, value_name = "FILE")]
    pub(super) summary: Option<PathBuf>,
    /// Where to write the result of the run as an HTML page, such as run.html
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Where to write Prometheus metrics during and after the run: a file such as attrsync.prom, or a Pushgateway's address
    #[arg(long, value_name = "FILE|URL")]
    pub(super) metrics: Option<PathBuf>,
    /// Address of a dead-man switch. It gets a request to URL/start at the start, and to URL/0 (or another exit code) at the end
    #[arg(long, value_name = "URL")]
    pub(super) ping: Option<SecretString>,
    /// File that holds the address for --ping, which is a secret
    #[arg(long, value_name = "FILE")]
    pub(super) ping_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Screen and log")]
pub(super) struct LoggingFlags {
    /// Print nothing but warnings and errors
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// Log decisions. -vv also logs every request, with ids and values
    #[arg(long, short, value_name = "N", action = ArgAction::Append, num_args = 0..=1, require_equals = true,
        value_parser = detail, default_missing_value = "1")]
    pub(super) verbose: Vec<u8>,
    /// How log lines are written: for people or for programs
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(super) log_format: LogFormat,
    /// When to show progress. auto: unless --quiet
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(super) progress: ProgressMode,
}

impl NameFlags {
    /// Which attribute names are allowed.
    pub(super) fn vocabulary(&self) -> Vocabulary {
        if self.allow_custom { Vocabulary::Custom } else { Vocabulary::Standard }
    }
}
