//! Progress on a terminal.

use std::fmt;
use std::io::{self, LineWriter, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::bottom_lines::{BottomLines, usable};
use super::reading_back::{self, ReadBackObserver};
use super::wait::{self, WaitObserver};
use super::{Progress, ProgressState, PullState, ReadingState, line};
use crate::report::Rerun;

/// A bar on the last line of a terminal. It appears with the first state that it is shown. While nothing can be sent for some
/// time, two lines below it say why and what to do.
pub struct Bar {
    drawn: ProgressBar,
    columns: Box<dyn Fn() -> u16 + Send>,
    rerun: Rerun,
    waits: WaitObserver,
    read_backs: ReadBackObserver,
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
    /// The most drawings per second.
    const HERTZ: u8 = 20;

    /// A bar on standard error.
    pub fn stderr(rerun: Rerun) -> Self {
        let terminal = console::Term::buffered_stderr();
        if !terminal.is_term() || console::is_dumb() {
            return Self::new(ProgressDrawTarget::hidden(), || 0, rerun);
        }
        // indicatif would ask whether standard output has colors.
        console::set_colors_enabled(console::colors_enabled_stderr());
        Self::on(terminal.clone(), move || terminal.size().1, rerun)
    }

    /// A bar on any terminal, whose width in columns is asked for before each drawing.
    fn on(
        terminal: impl TermLike + 'static,
        columns: impl Fn() -> u16 + Send + 'static,
        rerun: Rerun,
    ) -> Self {
        let lines = Box::new(BottomLines::new(terminal));
        Self::new(ProgressDrawTarget::term_like_with_hz(lines, Self::HERTZ), columns, rerun)
    }

    fn new(target: ProgressDrawTarget, columns: impl Fn() -> u16 + Send + 'static, rerun: Rerun) -> Self {
        // Of a length of 0 it would look done until it knows better.
        let drawn = ProgressBar::with_draw_target(Some(1), target);
        // A log line before the first state would draw it.
        drawn.finish_and_clear();
        let (waits, read_backs) = (WaitObserver::default(), ReadBackObserver::default());
        Self { drawn, columns: Box::new(columns), rerun, waits, read_backs, begun: false }
    }

    /// Whether nothing of it will be seen: there is no terminal, or one that can't move its cursor (`TERM=dumb`).
    pub fn is_hidden(&self) -> bool {
        self.drawn.is_hidden()
    }

    /// The place above the bar, for logs.
    pub fn above(&self) -> AboveBar {
        AboveBar { bar: self.drawn.clone() }
    }

    /// The columns that can be used.
    fn width(&self) -> usize {
        usable((self.columns)())
    }

    /// Draws how much was read, and leaves room for a bar on a wide screen.
    fn draw_read(&mut self, share: Option<(u64, u64)>, fitted: impl Fn(usize) -> String) {
        let columns = self.width();
        let bar = if share.is_some() && columns >= WIDE { BAR + 1 } else { 0 };
        self.draw(columns, fitted(columns.saturating_sub(SPINNER + bar)), share);
    }

    /// Draws the words, and a bar if it is known which part of the whole is done.
    fn draw(&mut self, columns: usize, text: String, share: Option<(u64, u64)>) {
        self.drawn.set_style(style(columns, &text, share.is_some()));
        self.drawn.set_message(text);
        let is_new = !std::mem::replace(&mut self.begun, true);
        if is_new {
            self.drawn.reset();
        }
        let (done, whole) = share.unwrap_or((0, 1));
        self.drawn.update(|drawn| {
            drawn.set_len(whole);
            drawn.set_pos(done);
        });
        if is_new {
            self.drawn.enable_steady_tick(Self::TICK);
        }
    }
}

impl Progress for Bar {
    fn show_reading(&mut self, state: &ReadingState) {
        self.draw_read(state.share(), |width| state.fitted(width));
    }

    fn show_pull(&mut self, state: &PullState) {
        self.draw_read(state.share(), |width| state.fitted(width));
    }

    fn show(&mut self, state: &ProgressState) {
        let columns = self.width();
        let room = columns.saturating_sub(SPINNER);
        self.waits.observe(state);
        if let Some(reading) = self.read_backs.observe(state) {
            self.drawn.println(reading_back::in_words(&reading));
        }
        let text = match wait::why(state, room).filter(|_| self.waits.is_long()) {
            Some(why) => {
                let advice = wait::advice(self.rerun, room);
                format!("{}\n  {why}\n  {advice}", line::without_wait(state, room))
            }
            None => line::fitted(state, room),
        };
        self.draw(columns, text, Some(state.share()));
    }

    fn close(&mut self) {
        self.begun = false;
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

/// The columns of the spinner, with the space after it.
const SPINNER: usize = 2;
/// The shortest bar.
const BAR: usize = 8;
/// A line of this width has columns to spare for a bar.
const WIDE: usize = 50;

/// The first line of a text, beside it a spinner, and a bar that takes the rest of the line.
fn style(columns: usize, text: &str, has_bar: bool) -> ProgressStyle {
    let words = text.lines().next().unwrap_or_default().chars().count();
    let room = columns.saturating_sub(SPINNER + words + 1);
    let template = match room {
        _ if columns <= SPINNER => String::new(),
        BAR.. if has_bar => format!("{{spinner}} {{bar:{room}.cyan/dim}} {{msg}}"),
        _ => "{spinner} {msg}".to_owned(),
    };
    let style = ProgressStyle::with_template(&template).expect("the templates above are well-formed");
    style.progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::super::fake_terminal::FakeTerminal;
    use super::*;
    use crate::deliver::Waiting;
    use crate::input::ReadSoFar;

    #[test]
    fn a_log_line_goes_through_whole() {
        let bar = Bar::new(ProgressDrawTarget::hidden(), || 80, Rerun::Continues);
        let mut writer = bar.above().writer(Vec::new());
        write!(writer, "a ").unwrap();
        assert!(writer.get_ref().out.is_empty());
        writeln!(writer, "line").unwrap();
        assert_eq!(writer.get_ref().out, b"a line\n");
    }

    /// The lines that are drawn, without spinner and styles. An empty text clears the screen.
    fn drawn_at(columns: u16, show: impl FnOnce(&mut Bar)) -> Vec<String> {
        let terminal = FakeTerminal::of_columns(columns);
        let width = terminal.clone();
        let mut bar = Bar::on(terminal.clone(), move || width.width(), Rerun::Continues);
        show(&mut bar);
        bar.close();
        let plain = |text: &String| anstream::adapter::strip_str(text).to_string();
        terminal.written().iter().map(plain).map(|text| text.trim_matches('\r').to_owned()).collect()
    }

    /// What is drawn last, without the spinner, which turns.
    fn last(columns: u16, show: impl FnOnce(&mut Bar)) -> String {
        let lines = drawn_at(columns, show);
        let shown = lines.iter().rfind(|line| !line.is_empty()).expect("something is drawn");
        shown.chars().skip(2).collect::<String>().replace('\r', "")
    }

    fn sending() -> ProgressState {
        ProgressState {
            finished: 4310,
            rows: 10_000,
            requests: 12,
            requests_in_all: 30,
            rate: 9.8,
            eta: Some(Duration::from_secs(80)),
            ..ProgressState::default()
        }
    }

    fn reading() -> ReadingState {
        let so_far = ReadSoFar {
            bytes: 1_234_000_000,
            bytes_total: Some(2_870_000_000),
            rows: 12_345_678,
            has_ended: false,
        };
        let eta = Some(Duration::from_secs(3));
        ReadingState { so_far, rate: 2_345_678.4, eta, ..ReadingState::default() }
    }

    #[track_caller]
    fn check(lines: &[String], expected: &str) {
        // The spinner turns.
        let cut = |line: &String| line.chars().skip(2).collect::<String>();
        assert!(lines.iter().any(|line| cut(line) == expected), "{lines:#?}");
    }

    #[test]
    fn the_bar_takes_the_room_that_the_words_leave() {
        let check = |columns, expected: &str| check(&drawn_at(columns, |bar| bar.show(&sending())), expected);
        check(
            120,
            "━━━━━━━━━━━━━━━━━━━━━━━╸─────────────────────────────── 43%  4,310/10,000 rows  12/30 requests (9.8/s)  1m 20s left",
        );
        check(80, "━━━━━━╸──────── 43%  4,310/10,000 rows  12/30 requests (9.8/s)  1m 20s left");
        check(60, "━━━━━━━━╸────────── 43%  4,310/10,000 rows  1m 20s left");
        check(30, "43%  4,310/10,000 rows");
        check(6, "43%");
    }

    #[test]
    fn reading_has_a_bar_where_the_size_is_known() {
        let pipe = ReadSoFar { bytes_total: None, ..reading().so_far };
        let pipe = ReadingState { so_far: pipe, eta: None, ..reading() };
        let states = [(80, reading()), (60, reading()), (40, reading()), (80, pipe)];
        let lines = states.map(|(columns, state)| last(columns, |bar| bar.show_reading(&state)));
        insta::assert_snapshot!(lines.join("\n"), @"
        ━━━━╸────── reading  42%  1.2/2.8 GB  12,345,678 rows  2.3M rows/s  3s left
        ━━━━━━╸───────── reading  42%  12,345,678 rows  3s left
        reading  42%  12,345,678 rows
        reading  1.2 GB  12,345,678 rows  2.3M rows/s
        ");
    }

    #[test]
    fn sending_is_shown_after_reading() {
        let lines = drawn_at(80, |bar| {
            bar.show_reading(&reading());
            bar.close();
            bar.show(&sending());
        });
        let cleared = lines.iter().position(String::is_empty).expect("the bar for reading is cleared");
        assert!(lines[..cleared].iter().all(|line| line.contains("reading")), "{lines:#?}");
        assert!(lines[cleared..].iter().any(|line| line.contains("4,310/10,000 rows")), "{lines:#?}");
        assert_eq!(lines.last().map(String::as_str), Some(""));
    }

    #[test]
    fn a_long_wait_has_lines_of_its_own() {
        let down = ProgressState {
            held: Some((Waiting::Outage, Duration::from_secs(8))),
            reason: Some("503 Service Unavailable: {an HTML page}".to_owned()),
            gives_up: Some(Duration::from_secs(552)),
            eta: None,
            ..sending()
        };
        insta::assert_snapshot!([80, 60, 40].map(|columns| last(columns, |bar| bar.show(&down))).join("\n\n"), @"
        ━━━━━━━━━━━━━━━╸──────────────────── 43%  4,310/10,000 rows  12/30 requests
          503 Service Unavailable: {an HTML page}; next try in 8s, gives up in 9m 12s
          nothing to do: it goes on by itself; Ctrl-C stops, the same command resumes

        ━━━━━━╸───────── 43%  4,310/10,000 rows  12/30 requests
          503 Service Unavai…; next try in 8s, gives up in 9m 12s
          nothing to do: it goes on by itself; Ctrl-C stops

        ━━━━━╸────── 43%  4,310/10,000 rows
          503 Service Unavai…; next try in 8s
          it goes on by itself; Ctrl-C stops
        ");
    }

    #[test]
    fn the_bar_is_as_long_as_a_wide_terminal_allows() {
        let lines = drawn_at(200, |bar| bar.show(&sending()));
        assert!(lines.iter().any(|line| line.chars().count() == 197), "{lines:#?}");
    }

    #[test]
    fn no_line_wraps_however_narrow_the_terminal_is() {
        for columns in 1..100 {
            for line in drawn_at(columns, |bar| bar.show(&sending())) {
                assert!(line.chars().count() <= columns.into(), "{columns} columns: {line:?}");
            }
        }
    }
}
