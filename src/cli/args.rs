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
#[command(version, max_term_width = 100, arg_required_else_help = true, args_override_self = true)]
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
#[command(
    after_help = "Every option but --format, --bodies and --top can be set by a variable, too, named like ATTRSYNC_BATCH_SIZE, and in the configuration file, as batch_size."
)]
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
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Write the exact request bodies, one a line; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(super) bodies: Option<PathBuf>,
    /// How many of the largest groups to show
    #[arg(long, value_name = "N", default_value_t = OutputFlags::default().top)]
    pub(super) top: usize,
}

impl Default for OutputFlags {
    /// The plan that is printed where nothing else is asked for.
    fn default() -> Self {
        Self { format: Format::Text, bodies: None, top: 5 }
    }
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
        let help = plan.get_after_help().unwrap().to_string();
        let (exceptions, _) = help.split_once(" can be set").unwrap();
        let words = exceptions.split([' ', ',']).filter(|word| word.starts_with("--"));
        assert_eq!(words.map(str::to_owned).collect::<BTreeSet<_>>(), own);
    }
}
