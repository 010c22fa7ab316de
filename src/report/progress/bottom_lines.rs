//! The last lines of a terminal, whose size may change at any time.

use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::{measure_text_width, truncate_str};
use indicatif::TermLike;

/// Takes the lines that indicatif draws, and writes them to the terminal in one piece.
///
/// indicatif fills every line up to the last column, and later clears as many lines as it drew. But when the window gets
/// narrower, most terminals divide the lines that have become too long. Then a part of the old lines would remain on the
/// screen at each such change. So these lines have no spaces at their ends, and what is cleared depends on the width that the
/// terminal has by then. A terminal that does not divide long lines, such as xterm, loses a line above them instead.
#[derive(Debug)]
pub(super) struct BottomLines<T> {
    terminal: T,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    next: Vec<String>,
    /// The widths of the lines that are on the screen.
    shown: Vec<usize>,
}

/// The columns that a line may use. A line that fills the last column wraps on some terminals, and the terminal has to find
/// place for `^C` at its end: if that wraps, the bar is not cleared. Very narrow terminals have no such place.
pub(super) fn usable(columns: u16) -> usize {
    let spared = if columns < 20 { 1 } else { 1 + "^C".len() };
    usize::from(columns).saturating_sub(spared)
}

impl<T: TermLike> BottomLines<T> {
    pub(super) fn new(terminal: T) -> Self {
        Self { terminal, lines: Mutex::default() }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: TermLike> TermLike for BottomLines<T> {
    fn width(&self) -> u16 {
        self.terminal.width()
    }

    fn height(&self) -> u16 {
        self.terminal.height()
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        // Spaces alone fill a line.
        if !text.trim().is_empty() {
            self.lines().next.push(text.to_owned());
        }
        Ok(())
    }

    /// Replaces the lines on the screen.
    fn flush(&self) -> io::Result<()> {
        let mut lines = self.lines();
        let Lines { next, shown } = &mut *lines;
        if next.is_empty() && shown.is_empty() {
            return Ok(());
        }
        let columns = usize::from(self.width()).max(1);
        let height: usize = shown.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        let mut text = "\r".to_owned();
        if height > 1 {
            write!(text, "\u{1b}[{}A", height - 1).map_err(io::Error::other)?;
        }
        shown.clear();
        for (number, line) in next.drain(..).enumerate() {
            if number > 0 {
                text.push_str("\u{1b}[K\r\n");
            }
            let line = truncate_str(&line, usable(self.width()), "");
            shown.push(measure_text_width(&line));
            text.push_str(&line);
        }
        text.push_str("\u{1b}[J");
        self.terminal.write_str(&text)?;
        self.terminal.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake_terminal::FakeTerminal;
    use super::*;

    fn draw(lines: &BottomLines<FakeTerminal>, texts: &[&str]) -> String {
        for text in texts {
            lines.write_str(text).unwrap();
            lines.write_str("   ").unwrap();
        }
        lines.flush().unwrap();
        lines.terminal.written().pop().unwrap_or_default()
    }

    #[test]
    fn lines_are_replaced_in_one_piece() {
        let lines = BottomLines::new(FakeTerminal::of_columns(80));
        assert_eq!(draw(&lines, &[]), "", "there is nothing to clear");
        assert_eq!(draw(&lines, &["one"]), "\rone\u{1b}[J");
        assert_eq!(draw(&lines, &["one", "two"]), "\rone\u{1b}[K\r\ntwo\u{1b}[J");
        assert_eq!(draw(&lines, &["three"]), "\r\u{1b}[1Athree\u{1b}[J");
        assert_eq!(draw(&lines, &[]), "\r\u{1b}[J");
        assert_eq!(lines.terminal.written().len(), 4);
    }

    #[test]
    fn a_window_that_gets_narrower_has_more_lines_to_clear() {
        let terminal = FakeTerminal::of_columns(80);
        let lines = BottomLines::new(terminal.clone());
        let long = "\u{1b}[36m━\u{1b}[0m".repeat(79);
        draw(&lines, &[&long, "ten letter"]);
        terminal.resize(30);
        // 79 columns are three lines by now.
        assert_eq!(draw(&lines, &["new"]), "\r\u{1b}[3Anew\u{1b}[J");
        assert_eq!(draw(&lines, &["new"]), "\rnew\u{1b}[J");
        let wide = draw(&lines, &[&"x".repeat(79)]);
        assert_eq!(measure_text_width(wide.trim()), 27, "no line is wider than the window");
    }
}
