//! The signals that stop a run.

use std::fs;
use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use crate::deliver::Stop;
use crate::report::why_stopped;

/// The number of SIGXFSZ on Linux and on macOS.
const SIGXFSZ: i32 = 25;

/// The signals that ask a run to stop. One that was ignored when the program started stays ignored: `nohup` and shells
/// that start a job in the background rely on that.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
    /// SIGXFSZ: a limit on the size of files was hit. While it is caught, the write fails as on a full disk, and the
    /// process is not killed.
    _too_large: Option<Signal>,
}

impl Signals {
    /// From now on, these signals no longer end the process.
    pub(super) fn new() -> Result<Self, Failure> {
        Self::catch().map_err(|error| Failure::internal(format!("signals cannot be caught: {error}")))
    }

    fn catch() -> io::Result<Self> {
        let ignored = ignored();
        let caught = |kind: SignalKind| {
            let is_ignored = ignored & (1 << (kind.as_raw_value() - 1)) != 0;
            (!is_ignored).then(|| signal(kind)).transpose()
        };
        Ok(Self {
            interrupt: caught(SignalKind::interrupt())?,
            terminate: caught(SignalKind::terminate())?,
            hang_up: caught(SignalKind::hangup())?,
            _too_large: caught(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits for work to be done before anything is sent. A signal ends the wait, and the work is abandoned.
    pub(super) async fn or<T>(
        &mut self,
        doing: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            stop = self.next() => {
                let text = format!("{} while it {doing}: nothing was sent", why_stopped(&stop));
                Err(Failure::interrupted(text, &stop))
            }
            done = work => done,
        }
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Stop {
        tokio::select! {
            () = arrival(&mut self.interrupt) => Stop::Interrupted,
            () = arrival(&mut self.terminate) => Stop::Terminated,
            () = arrival(&mut self.hang_up) => Stop::HungUp,
        }
    }
}

async fn arrival(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// The signals that this process ignores, the first one being the lowest bit; none where the system doesn't say, as
/// Linux does.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
