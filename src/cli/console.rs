//! How the program speaks: data to standard output, all else to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, filter, fmt};

use crate::config::{LogFormat, Progress as Wanted, Settings, Verbosity};
use crate::report::{Bar, Closing, ExitCode, Heartbeat, Message, Progress, Silence};

/// How the program speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Console {
    verbosity: Verbosity,
    format: LogFormat,
}

impl Console {
    /// As long as no settings say otherwise.
    pub(super) fn plain() -> Self {
        Self { verbosity: Verbosity::Normal, format: LogFormat::Text }
    }

    /// As the settings say, without progress.
    pub(super) fn new(settings: &Settings) -> Self {
        let console = Self { verbosity: settings.verbosity, format: settings.log_format };
        console.log_to(BoxMakeWriter::new(io::stderr));
        console
    }

    /// As the settings say, with somebody who shows progress.
    pub(super) fn with_progress(settings: &Settings) -> (Self, Box<dyn Progress + Send>) {
        let console = Self { verbosity: settings.verbosity, format: settings.log_format };
        let terminal = io::stderr().is_terminal() && settings.log_format == LogFormat::Text;
        let shown = settings.verbosity > Verbosity::Quiet;
        match settings.progress {
            Wanted::Always | Wanted::Auto if shown && terminal => {
                let bar = Bar::stderr();
                let above = bar.above();
                console.log_to(BoxMakeWriter::new(move || above.writer(io::stderr())));
                (console, Box::new(bar))
            }
            Wanted::Always | Wanted::Auto if shown => {
                console.log_to(BoxMakeWriter::new(io::stderr));
                (console, Box::new(Heartbeat::new(|line: &str| info!(target: "progress", "{line}"))))
            }
            _ => {
                console.log_to(BoxMakeWriter::new(io::stderr));
                (console, Box::new(Silence))
            }
        }
    }

    fn log_to(self, writer: BoxMakeWriter) {
        let level = match self.verbosity {
            Verbosity::Quiet => LevelFilter::ERROR,
            Verbosity::Normal => LevelFilter::WARN,
            Verbosity::Detailed => LevelFilter::INFO,
            Verbosity::Full => LevelFilter::DEBUG,
        };
        let wanted =
            filter::Targets::new().with_target("attrsync", level).with_target("progress", LevelFilter::INFO);
        let layer = match self.format {
            LogFormat::Text => {
                let ansi = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
                fmt::layer().with_writer(writer).with_ansi(ansi).with_target(false).boxed()
            }
            LogFormat::Json => fmt::layer().json().with_writer(writer).flatten_event(true).boxed(),
        };
        // A second call in one process finds the first one's subscriber in place, which is as good.
        let _installed = tracing_subscriber::registry().with(layer.with_filter(wanted)).try_init();
    }

    /// Says what went wrong.
    pub(super) fn error(self, message: &Message) {
        match self.format {
            LogFormat::Text => say(message),
            LogFormat::Json => error!("{}", unstyled(message)),
        }
    }

    /// Says what looks wrong.
    pub(super) fn warning(self, message: &Message) {
        match (self.verbosity, self.format) {
            (Verbosity::Quiet, _) => {}
            (_, LogFormat::Text) => say(message),
            (_, LogFormat::Json) => warn!("{}", unstyled(message)),
        }
    }

    /// Says how it went. A quiet program has nothing to say when all is well.
    pub(super) fn closing(self, closing: &Closing<'_>) {
        let exit = closing.exit;
        match (self.verbosity, self.format) {
            (Verbosity::Quiet, _) if exit == ExitCode::Complete => {}
            (_, LogFormat::Text) => say(closing),
            (_, LogFormat::Json) => {
                let happened = closing.what_happened();
                info!(target: "progress", outcome = exit.outcome(), exit_code = exit.code(), "{happened}");
            }
        }
    }

    /// Says what is no data because data go to standard output.
    pub(super) fn aside(self, screen: &dyn Display) {
        if self.verbosity > Verbosity::Quiet {
            say(screen);
        }
    }

    /// How wide the screen of standard error is, if it is one.
    pub(super) fn columns() -> Option<usize> {
        let terminal = console::Term::stderr();
        terminal.is_term().then(|| usize::from(terminal.size().1))
    }

    /// Prints data. A reader that has seen enough, like `head`, is no error.
    pub(super) fn print(self, data: &dyn Display) -> Result<(), ExitCode> {
        let mut out = anstream::stdout().lock();
        write!(out, "{data}").and_then(|()| out.flush()).map_err(|error| self.unwritten_output(&error))
    }

    /// Says that standard output can't be written, unless its reader has seen enough.
    pub(super) fn unwritten_output(self, error: &io::Error) -> ExitCode {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return ExitCode::Complete;
        }
        self.error(&Message::error(format!("standard output cannot be written: {error}")));
        ExitCode::Internal
    }
}

fn say(text: &dyn Display) {
    let text = text.to_string();
    // Nobody is left to be told that standard error is gone.
    let _gone = writeln!(anstream::stderr().lock(), "{}", text.trim_end());
}

fn unstyled(text: &dyn Display) -> String {
    anstream::adapter::strip_str(&text.to_string()).to_string()
}
