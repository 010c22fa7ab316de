//! Errors, warnings and notes for people. All of them are formatted here.

use std::error::Error;
use std::fmt::{self, Display};

use anstyle::Style;

use super::StopReason;
use super::style::{ADVICE, BAD, DOUBTFUL, Styled};
use super::visible::Visible;
use super::wrap::wrapped;

/// Something that went wrong, for a person: what, why, and what to do about it. Displayed over several lines with ANSI
/// styles, without a line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    severity: Severity,
    text: String,
    causes: Vec<String>,
    hint: Option<String>,
    reason: Option<StopReason>,
}

/// A message for a screen of limited width.
#[derive(Clone, Copy, Debug)]
struct InColumns<'a> {
    message: &'a Message,
    columns: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
    Note,
}

impl Message {
    /// An error that ends the run.
    pub fn error(text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, text: text.into(), causes: Vec::new(), hint: None, reason: None }
    }

    /// A warning: the run goes on.
    pub fn warning(text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(text) }
    }

    /// What is good to know.
    pub fn note(text: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(text) }
    }

    /// An error that ends the run, with the causes below it.
    pub fn from_error(error: &dyn Error) -> Self {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        Self { causes: causes.map(ToString::to_string).collect(), ..Self::error(error.to_string()) }
    }

    /// Whether it is only good to know.
    pub fn is_note(&self) -> bool {
        self.severity == Severity::Note
    }

    /// What happened, without label, causes and hint.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Why the run ends, for scripts, where more is known than the exit code says.
    pub fn reason(&self) -> Option<StopReason> {
        self.reason
    }

    /// The message in lines of at most this many columns, divided between words; `None`: lines may be of any length.
    pub fn in_columns(&self, columns: Option<usize>) -> impl Display {
        InColumns { message: self, columns }
    }

    /// Adds why the run ends, for scripts.
    #[must_use]
    pub fn because(self, reason: StopReason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// Adds what the user can do, in the imperative.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<Option<String>>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

impl Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.in_columns(None).fmt(f)
    }
}

impl Display for InColumns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message: Message { severity, text, causes, hint, .. }, columns } = *self;
        let (word, style) = match severity {
            Severity::Error => ("error", BAD),
            Severity::Warning => ("warning", DOUBTFUL),
            Severity::Note => ("note", ADVICE),
        };
        let mut lines = part("", (word, style), text, columns);
        for cause in causes {
            lines.extend(part("  ", ("caused by", Style::new()), cause, columns));
        }
        if let Some(hint) = hint {
            lines.extend(part("", ("hint", ADVICE), hint, columns));
        }
        f.write_str(&lines.join("\n"))
    }
}

/// The lines of a labelled text. Those after the first are indented to it.
pub(super) fn part(
    indent: &str,
    (label, style): (&str, Style),
    text: &str,
    columns: Option<usize>,
) -> Vec<String> {
    let start = format!("{indent}{label}: ");
    let below = start.len();
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let before = if lines.is_empty() { start.clone() } else { " ".repeat(below) };
        let line = format!("{before}{}", Visible(&without_numbers(line)));
        lines.extend(wrapped(&line, below, columns));
    }
    if let Some(words) = lines.first().and_then(|first| first.strip_prefix(start.trim_end())) {
        lines[0] = format!("{indent}{}{words}", Styled(style, format_args!("{label}:")));
    }
    lines
}

/// The system's errors without their numbers: `No space left on device (os error 28)`.
fn without_numbers(line: &str) -> String {
    let mut parts = line.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(')'));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(message: &Message) -> String {
        anstream::adapter::strip_str(&message.to_string()).to_string()
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write `failures.csv`")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_stand_below_what_they_caused_and_the_hint_comes_last() {
        let error = Outer(std::io::Error::other("the disk\nis full"));
        let message = Message::from_error(&error).with_hint("free some space".to_owned());
        insta::assert_snapshot!(plain(&message), @"
        error: cannot write `failures.csv`
          caused by: the disk
                     is full
        hint: free some space
        ");
    }

    #[test]
    fn a_warning_is_no_error() {
        let message = Message::warning("the column `colour` is ignored");
        insta::assert_snapshot!(plain(&message), @"warning: the column `colour` is ignored");
    }

    #[test]
    fn narrow_screens_have_the_same_words_on_more_lines() {
        let error = Outer(std::io::Error::other("the disk is full, and has been for some time by now"));
        let message = Message::from_error(&error)
            .with_hint("free some space, or run `attrsync sync --failures -`".to_owned());
        let narrow = message.in_columns(Some(32)).to_string();
        insta::assert_snapshot!(anstream::adapter::strip_str(&narrow), @"
        error: cannot write
               `failures.csv`
          caused by: the disk is full,
                     and has been for
                     some time by now
        hint: free some space, or run
              `attrsync sync --failures -`
        ");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&narrow), words(&message.to_string()));
    }

    #[test]
    fn errors_of_the_system_have_words_and_no_numbers() {
        let error = std::io::Error::from_raw_os_error(28).to_string();
        assert_eq!(plain(&Message::error(format!("`x`: {error}!"))), "error: `x`: No space left on device!");
    }

    #[test]
    fn no_text_steers_the_terminal() {
        let message = Message::warning("the column `\u{1b}[2J` is ignored");
        assert!(!message.to_string().contains("\u{1b}[2J"));
        assert!(message.to_string().contains('\u{1b}'));
    }
}
