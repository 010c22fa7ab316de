//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::completions::CompletionsFlags;
use super::help;
use super::history::HistoryFlags;
use super::ledger::LedgerFlags;
use super::output::OutputFormat;
use super::sandbox::SandboxFlags;
use super::undo::UndoFlags;
use crate::config::{PlanOptions, PullOptions, SyncOptions, Typed};

/// Update contacts in User.com from CSV files
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    args_override_self = true,
    after_help = help::BEGIN,
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Update contacts in User.com from CSV files
    #[command(after_help = help::SYNC, after_long_help = help::sync())]
    Sync(Typed<SyncOptions>),
    /// Show what sync would send, without using the network
    #[command(after_help = help::PLAN, after_long_help = help::plan())]
    Plan(PlanFlags),
    /// Read what the account holds into the ledger; changes nothing
    #[command(after_help = help::PULL, after_long_help = help::pull())]
    Pull(Typed<PullOptions, false>),
    /// Print the values from before a run, as an input for sync
    #[command(after_help = help::UNDO)]
    Undo(UndoFlags),
    /// List past runs and show what they sent, from the ledger
    #[command(after_help = help::HISTORY)]
    History(HistoryFlags),
    /// Copy a ledger, for instance from a file to a database
    #[command(after_help = help::LEDGER)]
    Ledger(LedgerFlags),
    /// Run a simulated User.com API on this computer, for rehearsals and tests
    #[command(after_help = help::SANDBOX)]
    Sandbox(SandboxFlags),
    /// Print completions for a shell, or the manual page
    #[command(after_help = help::COMPLETIONS)]
    Completions(CompletionsFlags),
}

#[derive(Args, Debug)]
pub(super) struct PlanFlags {
    #[command(flatten)]
    pub(super) typed: Typed<PlanOptions>,
    #[command(flatten)]
    pub(super) output: OutputFlags,
}

/// What is printed of a plan.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(super) struct OutputFlags {
    /// How the plan is printed: for people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: OutputFormat,
    /// Where to write the body of each request, one per line. - prints them
    #[arg(long, value_name = "FILE", hide_short_help = true, conflicts_with = "plan")]
    pub(super) bodies: Option<PathBuf>,
    /// Where to save the plan, for review and for attrsync sync --plan
    #[arg(long, value_name = "FILE", hide_short_help = true, conflicts_with = "plan")]
    pub(super) save: Option<PathBuf>,
    /// How many of the most shared values to show
    #[arg(long, value_name = "N", hide_short_help = true, default_value_t = OutputFlags::default().top)]
    pub(super) top: usize,
}

impl Default for OutputFlags {
    /// The plan that is printed where nothing else is asked for.
    fn default() -> Self {
        Self { format: OutputFormat::Text, bodies: None, save: None, top: 5 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_help_of_plan_names_the_options_that_can_only_be_typed() {
        let cli = Cli::command();
        let plan = cli.find_subcommand("plan").unwrap();
        let settings = Typed::<PlanOptions>::augment_args(clap::Command::new("settings"));
        let is_setting = |name: &str| settings.get_arguments().any(|setting| setting.get_id() == name);
        let names = plan.get_arguments().map(|option| option.get_id().as_str());
        let own: BTreeSet<String> =
            names.filter(|name| !is_setting(name)).map(|name| format!("--{name}")).collect();
        let help = plan.get_after_long_help().unwrap().to_string();
        let (before, _) = help.split_once(" are flags alone").unwrap();
        let exceptions = before.rsplit('\n').next().unwrap();
        let words = exceptions.split([' ', ',']).filter(|word| word.starts_with("--"));
        assert_eq!(words.map(str::to_owned).collect::<BTreeSet<_>>(), own);
    }
}
