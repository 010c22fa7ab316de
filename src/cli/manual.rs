//! The manual page: one for all commands.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::help::{self, EXAMPLES};
use crate::report::ExitCode;

const DESCRIPTION: [&str; 3] = [
    "attrsync reads CSV files and sets attributes of contacts in User.com. Contacts that get the same value are updated \
     together, up to 1,000 with one request. It stays within the rate limit, retries what failed, and reports what \
     happened to every row.",
    "An input is wide (a column user_id, and one column for each attribute) or long (the columns user_id, attribute and \
     value). Begin with attrsync plan, which uses no network, or with attrsync sync --sandbox, which needs no account.",
    "Every option of sync and plan that is not marked otherwise can also be set by an environment variable and in the \
     settings file. A flag overrides a variable, and a variable overrides the file.",
];

/// Variables, each with what it sets.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("ATTRSYNC_TOKEN", "The API key. A file that --token-file names overrides it."),
    (
        "ATTRSYNC_*",
        "Any option: ATTRSYNC_BATCH_SIZE for --batch-size. Switches take true or false. An empty variable sets nothing.",
    ),
    (
        "HTTPS_PROXY, ALL_PROXY, NO_PROXY",
        "The HTTP proxy, such as http://proxy.example.com:3128, and the hosts that are reached without it.",
    ),
    (
        "SSL_CERT_FILE, SSL_CERT_DIR",
        "CA certificates to trust instead of the system's: a PEM file, or a directory of such files.",
    ),
    ("NO_COLOR", "Turns off colours."),
];

/// Files, each with what it is for.
const FILES: [(&str, &str); 4] = [
    ("attrsync.toml", "Settings, read from the working directory unless --config names another file."),
    (
        "attrsync.ledger",
        "What was sent, kept between runs. Beside it are attrsync.ledger-lock and, after a kill, attrsync.ledger-wal. They \
         belong together.",
    ),
    (
        "failures.csv",
        "The rows that are invalid, failed or unsent, written at the end of a run. It is itself an input.",
    ),
    ("user-com.token", "The API key, in a file of any name that only its owner can read."),
];

/// Writes the page.
pub(super) fn render(command: Command, page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = help::shown(command).disable_help_subcommand(true).disable_help_flag(true);
    command = shown_in_full(command);
    command.build();
    let whole = Man::new(command.clone());
    whole.render_title(page)?;
    whole.render_name_section(page)?;
    let mut start = Roff::new();
    start.control("SH", ["SYNOPSIS"]);
    usages(&command, &mut start);
    start.control("SH", ["DESCRIPTION"]);
    for paragraph in DESCRIPTION {
        start.control("PP", []);
        start.text([roman(paragraph)]);
    }
    start.control("PP", []);
    start.text([
        bold("-h"),
        roman(" after a command prints a short help, "),
        bold("--help"),
        roman(" all of it, and "),
        bold("attrsync -V"),
        roman(" the version."),
    ]);
    start.to_writer(page)?;
    command.get_subcommands().try_for_each(|subcommand| section(subcommand, page))?;
    end().to_writer(page)?;
    whole.render_version_section(page)
}

/// The manual leaves out what short help leaves out, unless it is told not to.
fn shown_in_full(command: Command) -> Command {
    command.mut_args(|option| option.hide_short_help(false)).mut_subcommands(shown_in_full)
}

/// How each command is called, a line for each.
fn usages(command: &Command, page: &mut Roff) {
    for below in command.get_subcommands() {
        if !below.has_subcommands() || !below.is_subcommand_required_set() {
            usage(below, page);
        }
        usages(below, page);
    }
}

fn usage(command: &Command, page: &mut Roff) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let mut line = vec![bold(name)];
    if command.get_arguments().any(|argument| !argument.is_positional()) {
        line.extend([roman(" ["), italic("OPTIONS"), roman("]")]);
    }
    for argument in command.get_positionals() {
        let name = argument.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
        if argument.is_required_set() {
            line.extend([roman(" "), italic(name)]);
        } else {
            line.extend([roman(" ["), italic(name), roman("]...")]);
        }
    }
    page.text(line);
    page.control("br", []);
}

/// A command, and then those below it.
fn section(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let mut start = Roff::new();
    start.control("SH", [name.to_uppercase().as_str()]);
    usage(command, &mut start);
    start.control("PP", []);
    start.text([roman(format!("{}.", command.get_about().map(ToString::to_string).unwrap_or_default()))]);
    start.to_writer(page)?;
    let mut options = Vec::new();
    Man::new(command.clone()).render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options);
    // A heading of its own, and not one of the page's.
    page.extend_from_slice(options.replace(".SH ", ".SS ").as_bytes());
    command.get_subcommands().try_for_each(|below| section(below, page))
}

/// What holds for all commands.
fn end() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["EXIT STATUS"]);
    for exit in ExitCode::ALL {
        page.control("TP", []);
        page.text([bold(exit.code().to_string()), roman(format!(" ({})", exit.outcome()))]);
        page.text([roman(help::meaning(exit))]);
    }
    for (heading, entries) in [("ENVIRONMENT", ENVIRONMENT.as_slice()), ("FILES", FILES.as_slice())] {
        page.control("SH", [heading]);
        for (name, text) in entries {
            page.control("TP", []);
            page.text([bold(*name)]);
            page.text([roman(*text)]);
        }
    }
    page.control("SH", ["EXAMPLES"]);
    for (what, command) in EXAMPLES {
        page.control("PP", []);
        page.text([roman(what)]);
        page.control("PP", []);
        page.control("RS", ["4"]);
        page.control("nf", []);
        page.text([roman(command)]);
        page.control("fi", []);
        page.control("RE", []);
    }
    page
}
