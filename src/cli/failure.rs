//! The one way in which a command fails.

use std::future::Future;
use std::io;

use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

use crate::config::ConfigError;
use crate::deliver::{Disconnected, HttpError, Stop};
use crate::input::InputError;
use crate::ledger::{LedgerError, Renewal};
use crate::report::{ExitCode, Message, RecordError, StopReason, WriteError};

/// Why a command ends early, and its exit code. Each layer's errors become one with `?`.
#[derive(Debug)]
pub(super) struct Failure {
    /// `None` if there is nothing to say: the reader of standard output has closed it, as `head` does.
    message: Option<Message>,
    exit: ExitCode,
    /// The lease of another run that is in the way.
    lease: Option<Renewal>,
}

impl Failure {
    pub(super) fn new(message: Message, exit: ExitCode) -> Self {
        Self { message: Some(message), exit, lease: None }
    }

    /// What the user typed or configured is wrong.
    pub(super) fn usage(message: Message) -> Self {
        Self::new(message, ExitCode::Usage)
    }

    /// The program or the system it runs on failed.
    pub(super) fn internal(text: impl Into<String>) -> Self {
        Self::new(Message::error(text), ExitCode::Internal)
    }

    /// A signal ended the command before anything was sent.
    pub(super) fn interrupted(text: String, stop: &Stop) -> Self {
        Self::new(Message::error(text).because(StopReason::Signal), ExitCode::of_stop(stop))
    }

    /// Standard output can't be written. If its reader has closed it, that is not an error.
    pub(super) fn of_stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { message: None, exit: ExitCode::Complete, lease: None };
        }
        Self::internal(format!("standard output cannot be written: {error}"))
    }

    pub(super) fn message(&self) -> Option<&Message> {
        self.message.as_ref()
    }

    pub(super) fn exit(&self) -> ExitCode {
        self.exit
    }

    /// The lease of another run that is in the way. It ends by itself if the run doesn't renew it.
    pub(super) fn lease(&self) -> Option<Renewal> {
        self.lease
    }

    /// Why the command failed, for scripts.
    pub(super) fn reason(&self) -> StopReason {
        let reason = self.message.as_ref().and_then(Message::reason);
        reason.unwrap_or(match self.exit {
            ExitCode::Usage => StopReason::Usage,
            ExitCode::Refused => StopReason::UnreadableInput,
            _ => StopReason::Bug,
        })
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(Message::from_error(&error).with_hint(error.hint()))
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        let (exit, reason) = if error.is_disk_error() {
            (ExitCode::Internal, StopReason::Disk)
        } else {
            (ExitCode::Refused, StopReason::UnreadableInput)
        };
        Self::new(Message::from_error(&error).with_hint(error.hint()).because(reason), exit)
    }
}

impl From<WriteError> for Failure {
    /// A file that can't be created has a wrong path, or another run is writing it. Otherwise the disk failed.
    fn from(error: WriteError) -> Self {
        let (exit, reason) = if error.is_in_use() {
            (ExitCode::Usage, StopReason::LedgerHeld)
        } else if error.is_wrong_path() {
            (ExitCode::Usage, StopReason::Usage)
        } else {
            (ExitCode::Internal, StopReason::Disk)
        };
        Self::new(Message::from_error(&error).with_hint(error.hint()).because(reason), exit)
    }
}

impl From<LedgerError> for Failure {
    /// The ledger may be the wrong one, or in use. Otherwise the disk failed.
    fn from(error: LedgerError) -> Self {
        let lease = match error {
            LedgerError::Leased { renewal, .. } => Some(renewal),
            _ => None,
        };
        let (exit, reason) = match error {
            LedgerError::Locked { .. } | LedgerError::Leased { .. } => {
                (ExitCode::Usage, StopReason::LedgerHeld)
            }
            LedgerError::LeaseLost { .. } => (ExitCode::Stopped, StopReason::LedgerHeld),
            LedgerError::Away { .. } => (ExitCode::Stopped, StopReason::LedgerAway),
            LedgerError::Missing { .. }
            | LedgerError::NoLedger { .. }
            | LedgerError::NoPlace { .. }
            | LedgerError::NotOurs { .. }
            | LedgerError::NoLocks { .. }
            | LedgerError::Unmerged { .. }
            | LedgerError::Refused { .. }
            | LedgerError::TooNew { .. } => (ExitCode::Usage, StopReason::Usage),
            LedgerError::Damaged { .. }
            | LedgerError::NoTemporaryFile { .. }
            | LedgerError::Unusable { .. } => (ExitCode::Internal, StopReason::Disk),
        };
        let message = Message::from_error(&error).with_hint(error.hint().to_owned()).because(reason);
        Self { lease, ..Self::new(message, exit) }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Report(error) => error.into(),
            RecordError::Ledger(error) => error.into(),
        }
    }
}

impl From<Disconnected> for Failure {
    fn from(error: Disconnected) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::usage(Message::from_error(&error))
    }
}

/// Starts work that blocks on a thread of its own. If it panics, the failure names the work.
pub(super) fn blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, Failure>> {
    let working = spawn_blocking(work);
    async move { working.await.map_err(|panic| Failure::internal(format!("{name} failed: {panic}"))) }
}

/// Runs a command that waits for signals. Work that still blocks when it returns, such as reading standard input, is
/// abandoned: it may never end.
pub(super) fn block_on<T>(
    mut runtime: Builder,
    command: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("the runtime cannot start: {error}")))?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}
