//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::history::HistoryFlags;
use super::sandbox::SandboxFlags;
use super::shell::ShellFlags;
use crate::config::{PlanOptions, SyncOptions, Typed};

/// Make User.com agree with a CSV of (user_id, attribute, value): the fewest mass updates, inside the API's limit, every
/// row accounted for
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true)]
#[expect(clippy::doc_markdown, reason = "the help's text")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the API agree with the inputs
    Sync(Typed<SyncOptions>),
    /// Say what sync would do: no network, nothing sent
    Plan(PlanFlags),
    /// Tell of past runs, and of what users got, from the ledger
    History(HistoryFlags),
    /// Run a local stand-in for the API, for rehearsals and tests
    Sandbox(SandboxFlags),
    /// Print completions for a shell, or the man page
    Completions(ShellFlags),
}

#[derive(Args, Debug)]
pub(super) struct PlanFlags {
    #[command(flatten)]
    pub(super) typed: Typed<PlanOptions>,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Write the exact request bodies, one a line; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(super) bodies: Option<PathBuf>,
    /// How many of the largest groups to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(super) top: usize,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}
