//! The commands. Here the layers meet. No other part of the program prints.
//!
//! Each command is a file. What they share is how they speak ([`console`]), how inputs become a plan ([`planned_input`]) and
//! how they are interrupted ([`signals`]).

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator;
mod args;
mod canary;
mod completions;
mod console;
mod failure;
mod fingerprint;
mod help;
mod history;
mod ledger;
mod log_fields;
mod manual;
mod monitor;
mod output;
mod panic;
mod plan;
mod planned_input;
mod pull;
mod run_ledger;
mod run_reports;
mod sandbox;
mod saved_plan;
mod send;
mod signals;
mod sync;
mod undo;
mod waiting;

use std::io::{self, Write as _};
use std::process;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Command};
use console::Console;
use failure::Failure;

use crate::config::Environment;
use crate::report::{ExitCode, Visible, is_invisible};

/// Runs the program with this process's arguments, and returns its exit code.
pub fn main() -> process::ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    allocator::map_large_blocks();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&as_shown(error)),
    };
    let environment = Environment::of_process();
    let ended = panic::catch(|| match cli.command {
        Command::Sync(typed) => sync::run(&typed, &environment),
        Command::Plan(flags) => plan::run(&flags, &environment),
        Command::Pull(typed) => pull::run(&typed, &environment),
        Command::Undo(flags) => undo::run(&flags, &environment),
        Command::History(flags) => history::run(&flags, &environment),
        Command::Ledger(flags) => ledger::run(&flags, &environment),
        Command::Sandbox(flags) => sandbox::run(&flags),
        Command::Completions(flags) => completions::run(&flags, Cli::command()),
    });
    ended.into()
}

/// Help without the values that options which are on or off can have.
fn as_shown(error: clap::Error) -> clap::Error {
    let is_help = |error: &clap::Error| error.kind() == ErrorKind::DisplayHelp;
    if !is_help(&error) {
        return error;
    }
    help::shown(Cli::command()).try_get_matches().err().filter(is_help).unwrap_or(error)
}

/// Prints help and version to standard output, and errors in the arguments to standard error.
fn usage(error: &clap::Error) -> process::ExitCode {
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Complete,
        _ => ExitCode::Usage,
    };
    // The argument may be a file name with characters that control the terminal.
    let text = error.to_string();
    let printed = if text.contains(|c| is_invisible(c) && c != '\n') {
        text.lines().try_for_each(|line| writeln!(io::stderr(), "{}", Visible(line)))
    } else {
        error.print()
    };
    match printed {
        Ok(()) => code.into(),
        Err(error) => Console::plain().end(Err(Failure::of_stdout(&error))).into(),
    }
}
