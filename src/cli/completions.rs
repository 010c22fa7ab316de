//! `attrsync completions`: completion scripts for shells, and the man page.

use std::io::{self, Write as _};

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use super::console::Console;
use super::failure::Failure;
use super::manual;
use crate::report::ExitCode;

#[derive(Args, Debug)]
pub(super) struct CompletionsFlags {
    /// Shell to print completions for, or man for the manual page
    #[arg(value_name = "SHELL")]
    shell: Script,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Script {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Zsh,
    Man,
}

/// Prints what was asked for.
pub(super) fn run(flags: &CompletionsFlags, mut command: Command) -> ExitCode {
    let mut text = Vec::new();
    let shell = match flags.shell {
        Script::Bash => Some(Shell::Bash),
        Script::Elvish => Some(Shell::Elvish),
        Script::Fish => Some(Shell::Fish),
        Script::PowerShell => Some(Shell::PowerShell),
        Script::Zsh => Some(Shell::Zsh),
        Script::Man => None,
    };
    let rendered = match shell {
        Some(shell) => {
            clap_complete::generate(shell, &mut command, "attrsync", &mut text);
            Ok(())
        }
        None => manual::render(command, &mut text),
    };
    let printed = rendered.and_then(|()| {
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()
    });
    Console::plain().end(printed.map(|()| ExitCode::Complete).map_err(|error| Failure::of_stdout(&error)))
}
