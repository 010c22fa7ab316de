//! The styles of screens, as ANSI codes in the text. The printer strips them if the output is not a terminal.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};

pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const ADVICE: Style = AnsiColor::Cyan.on_default().bold();

/// A text in a style.
pub(super) struct Styled<T>(pub(super) Style, pub(super) T);

impl<T: Display> Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(style, text) = self;
        write!(f, "{style}{text}{style:#}")
    }
}
