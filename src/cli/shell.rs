//! `attrsync completions`: what a shell and `man` need to know.

use std::io::{self, Write};

use clap::{Args, Command, CommandFactory as _, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

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
        None => manual(command, &mut text),
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

/// One page for all commands: each is a section, and what clap has to say of it stands below.
fn manual(command: Command, page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let whole = Man::new(command.clone());
    whole.render_title(page)?;
    whole.render_name_section(page)?;
    whole.render_synopsis_section(page)?;
    whole.render_options_section(page)?;
    command.get_subcommands().try_for_each(|subcommand| section(subcommand, page))?;
    whole.render_version_section(page)
}

/// A command, and then those below it.
fn section(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
    let section = Man::new(command.clone());
    let mut text = Vec::new();
    section.render_description_section(&mut text)?;
    section.render_synopsis_section(&mut text)?;
    section.render_options_section(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    page.extend_from_slice(text.replace("\n.SH ", "\n.SS ").as_bytes());
    command.get_subcommands().try_for_each(|below| self::section(below, page))
}
