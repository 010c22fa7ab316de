//! Output for people and logs. Data goes to standard output, everything else to standard error.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, filter, fmt};

use super::failure::Failure;
use super::log_fields;
use super::run_ledger::rerun;
use crate::clock;
use crate::config::{LogFormat, ProgressMode, Settings, Verbosity};
use crate::report::{
    Bar, Beat, EndScreen, ExitCode, Heartbeat, Message, NoProgress, Progress, Visible, formula_warning,
    visible_json,
};

/// Prints messages and logs, as verbosity and log format say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Console {
    verbosity: Verbosity,
    format: LogFormat,
}

impl Console {
    /// For use until the settings are known.
    pub(super) fn plain() -> Self {
        Self { verbosity: Verbosity::Normal, format: LogFormat::Text }
    }

    /// As the settings say, with progress: a bar if the terminal can draw one, otherwise a line every 10 seconds.
    pub(super) fn with_progress(settings: &Settings) -> (Self, Box<dyn Progress + Send>) {
        let console = Self { verbosity: settings.verbosity, format: settings.log_format };
        let is_shown = match settings.progress {
            ProgressMode::Always => true,
            ProgressMode::Auto => settings.verbosity > Verbosity::Quiet,
            ProgressMode::Never => false,
        };
        if !is_shown {
            console.log_to(io::stderr);
            return (console, Box::new(NoProgress));
        }
        let bar = Bar::stderr(rerun(settings));
        if settings.log_format == LogFormat::Text && !bar.is_hidden() {
            let above = bar.above();
            console.log_to(move || above.writer(io::stderr()));
            return (console, Box::new(bar));
        }
        console.log_to(io::stderr);
        // Words for a person: progress was asked for, or the terminal can't draw a bar. Otherwise fields for a log.
        let is_for_people = settings.progress == ProgressMode::Always || io::stderr().is_terminal();
        if settings.log_format == LogFormat::Text && is_for_people {
            return (
                console,
                Box::new(Heartbeat::at_once(|beat: &Beat<'_>| say(&beat.in_words(Self::columns())))),
            );
        }
        match settings.log_format {
            LogFormat::Text => {
                let log = |beat: &Beat<'_>| info!(target: "progress", "{}", beat.logged());
                (console, Box::new(Heartbeat::new(log)))
            }
            LogFormat::Json => (console, Box::new(Heartbeat::new(log_fields::progress))),
        }
    }

    fn log_to<Out: Write + 'static>(self, out: impl Fn() -> Out + Send + Sync + 'static) {
        let level = match self.verbosity {
            Verbosity::Quiet | Verbosity::Normal => LevelFilter::WARN,
            Verbosity::Detailed => LevelFilter::INFO,
            Verbosity::Full => LevelFilter::DEBUG,
        };
        let wanted =
            filter::Targets::new().with_target("attrsync", level).with_target("progress", LevelFilter::INFO);
        let is_styled = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        let format = match self.format {
            LogFormat::Text if is_styled => LineFormat::Styled,
            LogFormat::Text => LineFormat::Plain,
            LogFormat::Json => LineFormat::Json,
        };
        let writer = BoxMakeWriter::new(move || VisibleLines { out: out(), format });
        let layer = match self.format {
            LogFormat::Text => {
                let layer = fmt::layer().with_writer(writer).with_ansi(is_styled).with_target(false);
                // On a terminal, times are noise.
                if io::stderr().is_terminal() && self.verbosity <= Verbosity::Normal {
                    layer.without_time().boxed()
                } else {
                    layer.with_timer(Seconds).boxed()
                }
            }
            LogFormat::Json => fmt::layer().json().with_writer(writer).flatten_event(true).boxed(),
        };
        // A second call in one process finds the first one's subscriber in place, which is as good.
        let _installed = tracing_subscriber::registry().with(layer.with_filter(wanted)).try_init();
    }

    /// Prints why a command failed, if it did. Returns the exit code.
    pub(super) fn end(self, result: Result<ExitCode, Failure>) -> ExitCode {
        result.unwrap_or_else(|failure| {
            let exit = failure.exit();
            match (failure.message(), self.format) {
                (None, _) => {}
                (Some(message), LogFormat::Text) => self.error(message),
                (Some(message), LogFormat::Json) => {
                    error!(outcome = exit.outcome(), exit_code = exit.code(), "{}", unstyled(message));
                }
            }
            exit
        })
    }

    /// Prints an error.
    pub(super) fn error(self, message: &Message) {
        match self.format {
            LogFormat::Text => say(&message.in_columns(Self::columns())),
            LogFormat::Json => error!("{}", unstyled(message)),
        }
    }

    /// Prints a warning or a note. `--quiet` suppresses notes only.
    pub(super) fn warning(self, message: &Message) {
        match self.format {
            _ if self.verbosity == Verbosity::Quiet && message.is_note() => {}
            LogFormat::Text => say(&message.in_columns(Self::columns())),
            LogFormat::Json => warn!("{}", unstyled(message)),
        }
    }

    /// Warns of a CSV file in which rows hold what a spreadsheet would run as a formula. `None`: it goes to standard output.
    pub(super) fn warn_of_formulas(self, rows: u64, file: Option<&Path>) {
        let file = file.filter(|path| *path != Path::new("/dev/stdout"));
        let place = file.map_or_else(|| "the output".to_owned(), |path| format!("`{}`", path.display()));
        if let Some(warning) = formula_warning(rows, &place) {
            self.warning(&warning);
        }
    }

    /// Prints the end screen. `--quiet` suppresses it if all went well.
    pub(super) fn end_screen(self, screen: &EndScreen<'_>) {
        match (self.verbosity, self.format) {
            (Verbosity::Quiet, _) if screen.exit == ExitCode::Complete => {}
            (_, LogFormat::Text) => say(screen),
            (_, LogFormat::Json) => log_fields::end(screen),
        }
    }

    /// Prints commands for the runner of GitHub Actions, which reads standard error as well.
    pub(super) fn workflow_commands(commands: &[String]) {
        for command in commands {
            print_aside(command);
        }
    }

    /// Prints to standard error, while standard output is in use for data.
    pub(super) fn aside(self, screen: &dyn Display) {
        if self.verbosity > Verbosity::Quiet {
            say(screen);
        }
    }

    /// The width of the terminal on standard error, if there is one.
    pub(super) fn columns() -> Option<usize> {
        width(&console::Term::stderr())
    }

    /// The width of the terminal on standard output, if there is one.
    pub(super) fn columns_of_output() -> Option<usize> {
        width(&console::Term::stdout())
    }

    /// Prints data.
    pub(super) fn print(data: &dyn Display) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        write!(out, "{data}").and_then(|()| out.flush()).map_err(|error| Failure::of_stdout(&error))
    }
}

/// The date and time of a log line, to the second.
struct Seconds;

impl FormatTime for Seconds {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        write!(line, "{:.0}", clock::utc_now())
    }
}

/// What is in a log.
#[derive(Clone, Copy, Debug)]
enum LineFormat {
    Plain,
    /// With ANSI styles from this program.
    Styled,
    Json,
}

/// Takes log lines, and escapes what can't be seen in them.
struct VisibleLines<Out> {
    out: Out,
    format: LineFormat,
}

impl<Out: Write> Write for VisibleLines<Out> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        let is_ours = |c: char| c == '\n' || (c == '\u{1b}' && matches!(self.format, LineFormat::Styled));
        let shown = match self.format {
            LineFormat::Json => visible_json(&text).into_owned(),
            LineFormat::Plain | LineFormat::Styled => text
                .split_inclusive(is_ours)
                .map(|part| match part.strip_suffix(is_ours) {
                    Some(start) => {
                        format!("{}{}", Visible(start), part.get(start.len()..).unwrap_or_default())
                    }
                    None => Visible(part).to_string(),
                })
                .collect(),
        };
        self.out.write_all(shown.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn width(terminal: &console::Term) -> Option<usize> {
    terminal.is_term().then(|| usize::from(terminal.size().1))
}

fn say(text: &dyn Display) {
    print_aside(&inert(&text.to_string()));
}

fn print_aside(text: &str) {
    // If standard error is closed, there is nowhere to report it.
    let _gone = writeln!(anstream::stderr().lock(), "{}", text.trim_end());
}

/// A text in which the runner of GitHub Actions finds no command. It looks for `::` where the text of a line begins, and for
/// `##[` anywhere. Names of files may hold both. (A log line begins with a time, a level or a brace.)
fn inert(text: &str) -> Cow<'_, str> {
    let is_command = |line: &str| line.trim_start().starts_with("::");
    if !text.contains("##[") && !text.lines().any(is_command) {
        return Cow::Borrowed(text);
    }
    let inert = |line: &str| {
        let line = line.replace("##[", r"##\u{5b}");
        if is_command(&line) { line.replacen("::", r"\u{3a}:", 1) } else { line }
    };
    text.split_inclusive('\n').map(inert).collect()
}

fn unstyled(text: &dyn Display) -> String {
    anstream::adapter::strip_str(&text.to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_a_command_of_githubs_runner() {
        let check = |text: &str, shown: &str| assert_eq!(inert(text), shown);
        check("error: `a::b` is #1\n  hint: ## [x]", "error: `a::b` is #1\n  hint: ## [x]");
        check("error: `a\n       ::stop-commands::x`\n", "error: `a\n       \\u{3a}:stop-commands::x`\n");
        check("::error::x", "\\u{3a}:error::x");
        check("error: `##[error]x`", "error: `##\\u{5b}error]x`");
    }

    #[test]
    fn log_lines_hide_nothing_and_stay_what_they_are() {
        let check = |format, line: &str, shown: &str| {
            let mut lines = VisibleLines { out: Vec::new(), format };
            lines.write_all(line.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(lines.out).unwrap(), shown);
        };
        check(LineFormat::Plain, "a\u{1b}[2J\u{202e}b\n", "a\\u{1b}[2J\\u{202e}b\n");
        check(
            LineFormat::Styled,
            "\u{1b}[33mWARN\u{1b}[0m \u{9b}2J\n",
            "\u{1b}[33mWARN\u{1b}[0m \\u{9b}2J\n",
        );
        check(LineFormat::Plain, "##[error]x\n", "##\\u{5b}error]x\n");
        check(LineFormat::Json, "{\"a\":\"##[x]\"}\n", "{\"a\":\"##\\u005bx]\"}\n");
        check(LineFormat::Json, "{\"a\":\"\u{9b}\u{200b}\"}\n", "{\"a\":\"\\u009b\\u200b\"}\n");
    }
}
