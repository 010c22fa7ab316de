//! `attrsync ledger`: what can be done with a ledger beside using it.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::console::Console;
use super::failure::Failure;
use crate::clock;
use crate::config::{Environment, parse_ledger};
use crate::ledger::{CopyError, LedgerLocation, copy};
use crate::report::{ExitCode, Message, counted};

#[derive(Args, Debug)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub(super) struct LedgerFlags {
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Copy a ledger, for instance from a file to a PostgreSQL database
    Copy {
        /// Ledger to copy: a file, or the address of a database. With @, a file that holds the address
        from: OsString,
        /// Where to copy it to, in the same form. There must be no ledger yet
        to: OsString,
    },
}

/// Does what was asked for.
pub(super) fn run(flags: &LedgerFlags, environment: &Environment) -> ExitCode {
    let LedgerCommand::Copy { from, to } = &flags.command;
    let console = Console::plain();
    console.end(copy_ledger(from, to, environment, console).map(|()| ExitCode::Complete))
}

fn copy_ledger(
    from: &OsString,
    to: &OsString,
    environment: &Environment,
    console: Console,
) -> Result<(), Failure> {
    let (from, to) = (parse_ledger("FROM", from, environment)?, parse_ledger("TO", to, environment)?);
    for warning in [&from, &to].into_iter().flat_map(LedgerLocation::warnings) {
        console.warning(&Message::warning(warning));
    }
    let copied = copy(&from, &to, clock::utc_now()).map_err(|error| match error {
        CopyError::Ledger(error) => error.into(),
        CopyError::InUse(_) => failure(&error, "wait until the run has ended, then copy the ledger"),
        CopyError::NotEmpty(_) => {
            failure(&error, "copy to another place; in a database, `?schema=NAME` is one")
        }
    })?;
    Console::print(&format_args!(
        "copied {}, {} and {} to `{to}`\n",
        counted(copied.runs, "run"),
        counted(copied.values, "known value"),
        counted(copied.entries, "journal entry"),
    ))
}

fn failure(error: &CopyError, hint: &str) -> Failure {
    Failure::usage(Message::from_error(error).with_hint(hint.to_owned()))
}
