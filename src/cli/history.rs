//! `attrsync history`: past runs, from the ledger.

use std::fmt::Display;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::console::Console;
use super::failure::Failure;
use super::output::OutputFormat;
use crate::config::{Environment, resolve_ledger};
use crate::input::IdType;
use crate::ledger::{LedgerReader, PastRun, RunId};
use crate::plan::User;
use crate::report::{ExitCode, Message, RunScreen, RunsScreen, UserScreen, visible_json};

#[derive(Args, Debug)]
#[command(disable_help_subcommand = true)]
pub(super) struct HistoryFlags {
    /// Ledger to read: a file, the address of a database, or @ and a file that holds such an address [default: the one that
    /// sync uses in this directory]
    #[arg(long, value_name = "LEDGER", global = true)]
    ledger: Option<PathBuf>,
    /// How the answer is printed: for people or for programs
    #[arg(long, value_enum, global = true, default_value_t)]
    format: OutputFormat,
    #[command(subcommand)]
    about: Option<HistoryCommand>,
}

/// What to show.
#[derive(Debug, Subcommand)]
enum HistoryCommand {
    /// Show one run and what it sent
    Show {
        /// Number of the run, as attrsync history lists it
        run: u64,
        /// How many values to show, those with the most users first. With --format json all are shown
        #[arg(long, value_name = "N", default_value_t = 20)]
        top: usize,
    },
    /// Show what was set for one user, and when
    User {
        /// Id of the user
        id: String,
        /// Whose id it is: User.com's (id) or your own (custom-id)
        #[arg(long, value_name = "TYPE", value_enum, default_value_t)]
        id_type: IdType,
    },
}

/// Prints what was asked for.
pub(super) fn run(flags: &HistoryFlags, environment: &Environment) -> ExitCode {
    Console::plain().end(show(flags, environment).map(|()| ExitCode::Complete))
}

fn show(flags: &HistoryFlags, environment: &Environment) -> Result<(), Failure> {
    let reader = LedgerReader::open(&resolve_ledger(flags.ledger.as_deref(), environment)?)?;
    let (format, columns) = (flags.format, Console::columns_of_output());
    match &flags.about {
        None => print(&RunsScreen { runs: &reader.runs()?, columns }, format),
        Some(HistoryCommand::Show { run, top }) => {
            let run = find(RunId(*run), reader.runs()?)?;
            print(
                &RunScreen { run: &run, sent_rows: &reader.sent_rows(run.run)?, top: *top, columns },
                format,
            )
        }
        Some(HistoryCommand::User { id, id_type }) => {
            let user = user(id, *id_type)?;
            let facts = reader.user(&user)?;
            print(&UserScreen { user, facts: &facts, columns }, format)
        }
    }
}

fn find(id: RunId, runs: Vec<PastRun>) -> Result<PastRun, Failure> {
    let last = runs.last().map(|run| run.run);
    runs.into_iter().find(|run| run.run == id).ok_or_else(|| {
        let hint = match last {
            Some(last) => format!("choose one from 1 to {last}: `attrsync history` lists them"),
            None => "run `attrsync sync` first".to_owned(),
        };
        Failure::usage(Message::error(format!("the ledger has no run {id}")).with_hint(hint))
    })
}

fn user(id: &str, id_type: IdType) -> Result<User<'_>, Failure> {
    match id_type {
        IdType::CustomId => Ok(User::Custom(id.into())),
        IdType::Id => id.parse().map(User::Id).map_err(|_not_a_number| {
            let message = Message::error(format!("`{id}` is not a User.com id: expected a number"))
                .with_hint("add `--id-type custom-id` if it is your own id".to_owned());
            Failure::usage(message)
        }),
    }
}

fn print<T: Display + Serialize>(screen: &T, format: OutputFormat) -> Result<(), Failure> {
    match format {
        OutputFormat::Text => Console::print(screen),
        OutputFormat::Json => {
            let json = serde_json::to_string_pretty(screen).expect("texts, numbers and times are JSON");
            Console::print(&format_args!("{}\n", visible_json(&json)))
        }
    }
}
