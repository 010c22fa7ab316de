//! A terminal for tests, which keeps what is written on it.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use indicatif::TermLike;

#[derive(Clone, Debug)]
pub(super) struct FakeTerminal {
    columns: Arc<AtomicU16>,
    texts: Arc<Mutex<Vec<String>>>,
}

impl FakeTerminal {
    pub(super) fn of_columns(columns: u16) -> Self {
        Self { columns: Arc::new(AtomicU16::new(columns)), texts: Arc::default() }
    }

    pub(super) fn resize(&self, columns: u16) {
        self.columns.store(columns, Ordering::SeqCst);
    }

    /// All texts, in the order in which they were written.
    pub(super) fn written(&self) -> Vec<String> {
        self.texts.lock().unwrap().clone()
    }
}

impl TermLike for FakeTerminal {
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
        self.texts.lock().unwrap().push(text.to_owned());
        Ok(())
    }
    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
