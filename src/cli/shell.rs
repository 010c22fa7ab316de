//! `attrsync completions`: completions for shells, and the manual page.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use super::args::Cli;
use super::console::Console;
use super::failure::Failure;
use super::manual;
use crate::report::ExitCode;

#[derive(Args, Debug)]
pub(super) struct ShellFlags {
    /// Shell to print completions for, or man for the manual page
    #[arg(value_name = "SHELL")]
    reader: Reader,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reader {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Zsh,
    Man,
}

/// Prints what was asked for.
pub(super) fn run(flags: &ShellFlags) -> ExitCode {
    let mut text = Vec::new();
    let mut command = Cli::command();
    let shell = match flags.reader {
        Reader::Bash => Some(Shell::Bash),
        Reader::Elvish => Some(Shell::Elvish),
        Reader::Fish => Some(Shell::Fish),
        Reader::PowerShell => Some(Shell::PowerShell),
        Reader::Zsh => Some(Shell::Zsh),
        Reader::Man => None,
    };
    let rendered = match shell {
        Some(shell) => {
            clap_complete::generate(shell, &mut command, "attrsync", &mut text);
            Ok(())
        }
        None => manual::render(&mut text),
    };
    let printed = rendered.and_then(|()| {
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()
    });
    Console::plain().end(printed.map(|()| ExitCode::Complete).map_err(|error| Failure::of_stdout(&error)))
}
