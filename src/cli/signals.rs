//! How a run is interrupted.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::deliver::Stop;

/// Its number on Linux and on macOS.
const SIGXFSZ: i32 = 25;

/// The signals that ask a run to stop.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal is gone: nobody is there to press a key, so that it is as good as an order to end.
    hangup: Signal,
    /// A limit on the size of files: with somebody listening, writing fails as on a full disk, and nothing is killed.
    _too_large: Signal,
}

impl Signals {
    /// From now on, these signals no longer end the process.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            _too_large: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupted,
            _ = self.terminate.recv() => Stop::Terminated,
            _ = self.hangup.recv() => Stop::Terminated,
        }
    }
}
