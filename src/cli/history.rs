//! `attrsync history`: past runs, from the ledger.

use std::fmt::Display;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::args::Format;
use super::bookkeeping::failed;
use super::console::Console;
use super::reading::wrong;
use super::sync::Failed;
use crate::config::{Surroundings, settle_ledger};
use crate::input::IdType;
use crate::ledger::{LedgerReader, RunId};
use crate::plan::User;
use crate::report::{ExitCode, Message, RunScreen, RunsScreen, UserScreen, visible_json};

#[derive(Args, Debug)]
#[command(disable_help_subcommand = true)]
pub(super) struct HistoryFlags {
    /// Ledger to read [default: the one that sync uses in this directory]
    #[arg(long, value_name = "FILE", global = true)]
    ledger: Option<PathBuf>,
    /// How the answer is printed: for people or for programs
    #[arg(long, value_enum, global = true, default_value_t)]
    format: Format,
    #[command(subcommand)]
    about: Option<About>,
}

/// What to tell of.
#[derive(Debug, Subcommand)]
enum About {
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

/// Tells what was asked for.
pub(super) fn run(flags: &HistoryFlags, surroundings: &Surroundings) -> ExitCode {
    let console = Console::plain();
    tell(flags, surroundings, console).unwrap_or_else(|(message, code)| {
        console.error(&message);
        code
    })
}

fn tell(flags: &HistoryFlags, surroundings: &Surroundings, console: Console) -> Result<ExitCode, Failed> {
    let path = settle_ledger(flags.ledger.as_deref(), surroundings).map_err(|error| wrong(&error))?;
    let reader = LedgerReader::open(&path).map_err(|error| failed(&error))?;
    match &flags.about {
        None => {
            let runs = reader.runs().map_err(|error| failed(&error))?;
            Ok(print(
                &RunsScreen { runs: &runs, columns: Console::columns_of_output() },
                flags.format,
                console,
            ))
        }
        Some(About::Show { run, top }) => show(RunId(*run), *top, &reader, flags.format, console),
        Some(About::User { id, id_type }) => {
            let user = named(id, *id_type)?;
            let facts = reader.user(&user).map_err(|error| failed(&error))?;
            Ok(print(
                &UserScreen { user, facts: &facts, columns: Console::columns_of_output() },
                flags.format,
                console,
            ))
        }
    }
}

fn show(
    id: RunId,
    top: usize,
    reader: &LedgerReader,
    format: Format,
    console: Console,
) -> Result<ExitCode, Failed> {
    let runs = reader.runs().map_err(|error| failed(&error))?;
    let Some(run) = runs.iter().find(|run| run.run == id) else {
        let hint = match runs.last() {
            Some(last) => format!("choose one from 1 to {}: `attrsync history` lists them", last.run),
            None => "run `attrsync sync` first".to_owned(),
        };
        let message = Message::error(format!("the ledger has no run {id}")).with_hint(hint);
        return Err((message, ExitCode::Usage));
    };
    let sent_rows = reader.sent_rows(id).map_err(|error| failed(&error))?;
    let columns = Console::columns_of_output();
    Ok(print(&RunScreen { run, sent_rows: &sent_rows, top, columns }, format, console))
}

fn named(id: &str, id_type: IdType) -> Result<User<'_>, Failed> {
    match id_type {
        IdType::CustomId => Ok(User::Custom(id.into())),
        IdType::Id => id.parse().map(User::Id).map_err(|_no_number| {
            let message = Message::error(format!("`{id}` is no id of User.com's: expected a number"))
                .with_hint("add `--id-type custom-id` if it is your own id".to_owned());
            (message, ExitCode::Usage)
        }),
    }
}

fn print<T: Display + Serialize>(screen: &T, format: Format, console: Console) -> ExitCode {
    let printed = match format {
        Format::Text => console.print(screen),
        Format::Json => {
            let json = serde_json::to_string_pretty(screen).expect("texts, numbers and times are JSON");
            let json = visible_json(&json);
            console.print(&format_args!("{json}\n"))
        }
    };
    // What could not be printed has been said already.
    printed.err().unwrap_or(ExitCode::Complete)
}
