//! Progress on a terminal.

use std::fmt;
use std::io::{self, LineWriter, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Progress, ProgressState, line};

/// A bar on the last line of a terminal. It appears with the first state that it is shown.
pub struct Bar {
    drawn: ProgressBar,
    columns: Box<dyn Fn() -> u16 + Send>,
    begun: bool,
}

/// Makes writers for logs, which do not tear the bar.
#[derive(Clone, Debug)]
pub struct AboveBar {
    bar: ProgressBar,
}

/// Takes the bar away for as long as it writes.
#[derive(Debug)]
pub struct AboveWriter<W> {
    bar: ProgressBar,
    out: W,
}

impl Bar {
    const TICK: Duration = Duration::from_millis(100);

    /// A bar on standard error.
    pub fn stderr() -> Self {
        let terminal = console::Term::stderr();
        Self::new(ProgressDrawTarget::stderr(), move || terminal.size().1)
    }

    /// A bar on any terminal, whose width in columns is asked for before each drawing.
    pub fn new(target: ProgressDrawTarget, columns: impl Fn() -> u16 + Send + 'static) -> Self {
        // Of a length of 0 it would look done until it knows better.
        let drawn = ProgressBar::with_draw_target(Some(1), target);
        Self { drawn, columns: Box::new(columns), begun: false }
    }

    /// Whether nothing of it will be seen: there is no terminal, or one that can't move its cursor (`TERM=dumb`).
    pub fn is_hidden(&self) -> bool {
        self.drawn.is_hidden()
    }

    /// The place above the bar, for logs.
    pub fn above(&self) -> AboveBar {
        AboveBar { bar: self.drawn.clone() }
    }
}

impl Progress for Bar {
    fn show(&mut self, state: &ProgressState) {
        // A line that fills the last column wraps on some terminals.
        let columns = usize::from((self.columns)()).saturating_sub(1);
        let (style, text) = layout(state, columns);
        self.drawn.set_style(style);
        self.drawn.set_message(text);
        self.drawn.update(|drawn| {
            drawn.set_len(state.rows);
            drawn.set_pos(state.finished);
        });
        if !std::mem::replace(&mut self.begun, true) {
            self.drawn.enable_steady_tick(Self::TICK);
        }
    }

    fn close(&mut self) {
        self.drawn.finish_and_clear();
    }
}

impl AboveBar {
    /// A writer to the terminal that the bar is on. It keeps lines whole.
    pub fn writer<W: Write>(&self, out: W) -> LineWriter<AboveWriter<W>> {
        LineWriter::new(AboveWriter { bar: self.bar.clone(), out })
    }
}

impl<W: Write> Write for AboveWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bar.suspend(|| self.out.write_all(bytes).and_then(|()| self.out.flush()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl fmt::Debug for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bar").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

/// The words, beside them a spinner, and a bar that takes the rest of the line.
fn layout(state: &ProgressState, columns: usize) -> (ProgressStyle, String) {
    const SPINNER: usize = 2;
    const SHORTEST: usize = 8;
    let text = line::fitted(state, columns.saturating_sub(SPINNER));
    let room = columns.saturating_sub(SPINNER + text.chars().count() + 1);
    let template = match room {
        _ if columns <= SPINNER => String::new(),
        ..SHORTEST => "{spinner} {msg}".to_owned(),
        _ => format!("{{spinner}} {{bar:{room}.cyan/dim}} {{msg}}"),
    };
    let style = ProgressStyle::with_template(&template).expect("the templates above are well-formed");
    (style.progress_chars("━╸─"), text)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    /// A terminal that keeps what is written on it.
    #[derive(Clone, Debug)]
    struct Paper {
        columns: Arc<AtomicU16>,
        lines: Arc<Mutex<Vec<String>>>,
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            self.columns.load(Ordering::SeqCst)
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
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.lines.lock().unwrap().push(anstream::adapter::strip_str(text).to_string());
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_line_goes_through_whole() {
        let bar = Bar::new(ProgressDrawTarget::hidden(), || 80);
        let mut writer = bar.above().writer(Vec::new());
        write!(writer, "a ").unwrap();
        assert!(writer.get_ref().out.is_empty());
        writeln!(writer, "line").unwrap();
        assert_eq!(writer.get_ref().out, b"a line\n");
    }

    fn drawn_at(columns: u16) -> Vec<String> {
        let columns = Arc::new(AtomicU16::new(columns));
        let paper = Paper { columns: Arc::clone(&columns), lines: Arc::default() };
        let lines = Arc::clone(&paper.lines);
        let target = ProgressDrawTarget::term_like(Box::new(paper));
        let mut bar = Bar::new(target, move || columns.load(Ordering::SeqCst));
        let eta = Some(Duration::from_secs(80));
        bar.show(&ProgressState {
            finished: 4310,
            rows: 10_000,
            requests: 12,
            requests_in_all: 30,
            rate: 9.8,
            eta,
            ..ProgressState::default()
        });
        bar.close();
        let lines = lines.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn the_bar_takes_the_room_that_the_words_leave() {
        let check = |columns, expected: &str| {
            let lines = drawn_at(columns);
            // Without the spinner, which turns.
            let cut = |line: &String| line.chars().skip(2).collect::<String>();
            assert!(lines.iter().any(|line| cut(line) == expected), "{columns} columns: {lines:#?}");
        };
        check(
            120,
            "━━━━━━━━━━━━━━━━━━━━━━━━╸──────────────────────────────── 43%  4,310/10,000 rows  12/30 requests (9.8/s)  1m 20s left",
        );
        check(80, "━━━━━━━╸───────── 43%  4,310/10,000 rows  12/30 requests (9.8/s)  1m 20s left");
        check(60, "━━━━━━━━━╸─────────── 43%  4,310/10,000 rows  1m 20s left");
        check(30, "43%  4,310/10,000 rows");
        check(6, "43%");
    }

    #[test]
    fn the_bar_is_as_long_as_a_wide_terminal_allows() {
        assert!(drawn_at(200).iter().any(|line| line.chars().count() == 199), "{:#?}", drawn_at(200));
    }

    #[test]
    fn no_line_wraps_however_narrow_the_terminal_is() {
        for columns in 1..100 {
            for line in drawn_at(columns) {
                assert!(line.chars().count() <= columns.into(), "{columns} columns: {line:?}");
            }
        }
    }
}
