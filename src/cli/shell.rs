//! `attrsync completions`: what a shell and `man` need to know.

use std::io::{self, Write};

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use super::args::Cli;
use super::console::Console;
use crate::report::ExitCode;

#[derive(Args, Debug)]
pub(super) struct ShellFlags {
    /// The shell to complete for; man prints the manual page
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
        None => clap_mangen::Man::new(command).render(&mut text),
    };
    let printed = rendered.and_then(|()| {
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()
    });
    match printed {
        Ok(()) => ExitCode::Complete,
        Err(error) => Console::plain().unwritten_output(&error),
    }
}
