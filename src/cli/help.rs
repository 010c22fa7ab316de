//! What help says beside the options: examples, exit codes, and where more is written.

use std::fmt::Write as _;

use clap::{ArgAction, Command, value_parser};

use crate::config::OTHER_PLACES;
use crate::report::ExitCode;

/// Where to begin.
pub(super) const BEGIN: &str = "\
Try it:          attrsync sync --sandbox contacts.csv  (needs no account)
Help for sync:   attrsync sync -h (short), attrsync sync --help (all)
Manual page:     attrsync completions man | man -l -";

pub(super) const SYNC: &str = "\
Examples:
  attrsync sync --sandbox contacts.csv
  attrsync sync --subdomain acme --token-file user-com.token contacts.csv

attrsync plan contacts.csv shows what would be sent.
All options and the exit codes: attrsync sync --help";

pub(super) const PLAN: &str = "\
Examples:
  attrsync plan contacts.csv
  attrsync plan --columns 'user_id=Contact no.,email=E-mail' export.csv

All options: attrsync plan --help";

pub(super) const PULL: &str = "\
Examples:
  attrsync pull --subdomain acme --token-file user-com.token
  attrsync plan --only-changed --subdomain acme contacts.csv

All options: attrsync pull --help";

pub(super) const UNDO: &str = "\
Examples:
  attrsync undo 12 --null-token NULL --output before-12.csv
  attrsync sync --null-token NULL before-12.csv";

pub(super) const HISTORY: &str = "\
Examples:
  attrsync history
  attrsync history show 12
  attrsync history user 501";

/// Below the help of `ledger`.
pub(super) const LEDGER: &str = "\
Examples:
  attrsync ledger copy attrsync.ledger postgres://attrsync@db.example.com/crm
  attrsync ledger copy attrsync.ledger @/run/secrets/ledger";

pub(super) const SANDBOX: &str = "\
Example:
  attrsync sandbox --listen 127.0.0.1:8080 --latency 50ms --error-rate 5%

In another terminal:
  ATTRSYNC_TOKEN=any attrsync sync --base-url http://127.0.0.1:8080/api/public/ contacts.csv
  curl http://127.0.0.1:8080/sandbox/state.csv";

pub(super) const COMPLETIONS: &str = "\
Examples:
  attrsync completions man | man -l -
  attrsync completions zsh > ~/.zfunc/_attrsync  (where fpath has ~/.zfunc)
  attrsync completions fish > ~/.config/fish/completions/attrsync.fish
  source <(attrsync completions bash)  (in ~/.bashrc)";

/// Commands that a reader can copy, each with what it is for.
pub(super) const EXAMPLES: [(&str, &str); 6] = [
    ("Rehearse on a simulated User.com:", "attrsync sync --sandbox contacts.csv"),
    ("Show what would be sent:", "attrsync plan contacts.csv"),
    ("Update an account:", "attrsync sync --subdomain acme --token-file user-com.token contacts.csv"),
    (
        "Use your own ids and column names:",
        "attrsync sync --id-type custom-id --columns 'user_id=Contact no.' export.csv",
    ),
    (
        "Every night, send what changed and print only problems:",
        "attrsync sync --quiet --only-changed --config attrsync.toml contacts.csv",
    ),
    ("Retry what failed, after correcting it:", "attrsync sync failures.csv"),
];

/// What `sync --help` ends with.
pub(super) fn sync() -> String {
    format!("{}\n\nExit codes:\n{}\n{OTHER_PLACES}", examples(), exit_codes())
}

/// What `plan --help` ends with.
pub(super) fn plan() -> String {
    format!("{PLAN_EXAMPLES}\n\n--format, --bodies, --save and --top are flags alone. {OTHER_PLACES}")
}

/// What `pull --help` ends with.
pub(super) fn pull() -> String {
    let (examples, _) = PULL.rsplit_once("\n\n").unwrap_or((PULL, ""));
    format!("{examples}\n\n{OTHER_PLACES}")
}

const PLAN_EXAMPLES: &str = "\
Examples:
  attrsync plan contacts.csv
  attrsync plan --only-changed --subdomain acme contacts.csv
  attrsync plan --bodies - contacts.csv | head
  attrsync plan --subdomain acme --save plan.jsonl contacts.csv
  attrsync sync --plan plan.jsonl";

fn examples() -> String {
    EXAMPLES.iter().fold("Examples:".to_owned(), |mut text, (what, command)| {
        write!(text, "\n  {what}\n    {command}").expect("a string can be written");
        text
    })
}

fn exit_codes() -> String {
    ExitCode::ALL.iter().fold(String::new(), |mut text, &exit| {
        let (code, outcome) = (exit.code(), exit.outcome());
        writeln!(text, "  {code:<3}  {outcome:<11}  {}", meaning(exit)).expect("a string can be written");
        text
    })
}

/// What an exit code means, in a line.
pub(super) fn meaning(exit: ExitCode) -> &'static str {
    match exit {
        ExitCode::Complete => "all valid rows are in User.com, and no row is invalid",
        ExitCode::Incomplete => "the run ended normally, but some rows are invalid or failed",
        ExitCode::Usage => "wrong options, or the ledger is in use: nothing was sent",
        ExitCode::Refused => "the input was refused as a whole: nothing was sent",
        ExitCode::Stopped => "stopped early: wrong key, API down, or out of time",
        ExitCode::Internal => "a bug, a full disk, or a damaged ledger",
        ExitCode::HungUp => "the terminal was closed (SIGHUP)",
        ExitCode::Interrupted => "Ctrl-C (SIGINT)",
        ExitCode::Terminated => "stopped by the system (SIGTERM)",
    }
}

/// The command line as help and manual show it. What is only on or off takes a value, too, but nobody needs it to
/// understand the option.
pub(super) fn shown(command: Command) -> Command {
    let command = command.mut_args(|option| {
        if !option.is_require_equals_set() {
            return option;
        }
        let option = option.action(ArgAction::SetTrue).require_equals(false).hide_default_value(false);
        option.value_parser(value_parser!(bool)).num_args(0).default_missing_value("true")
    });
    command.mut_subcommands(shown)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::args::Cli;
    use super::*;

    #[test]
    fn the_command_line_that_is_shown_has_the_options_of_the_one_that_is_read() {
        fn names(command: &Command) -> Vec<String> {
            let own = command.get_arguments().map(|option| option.get_id().to_string());
            own.chain(command.get_subcommands().flat_map(names)).collect()
        }
        let mut shown = shown(Cli::command());
        shown.build();
        let mut read = Cli::command();
        read.build();
        assert_eq!(names(&shown), names(&read));
    }

    #[test]
    fn lines_of_help_fit_a_terminal_of_80_columns() {
        let texts =
            [BEGIN, SYNC, PLAN, PULL, UNDO, HISTORY, COMPLETIONS, PLAN_EXAMPLES, &examples(), &exit_codes()];
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
