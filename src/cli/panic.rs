//! Turns a panic into a message and an exit code.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use super::console::Console;
use crate::report::{ExitCode, Message};

/// Runs a command. A panic is a bug, or a temporary file that can no longer be read. It ends the program with the exit
/// code of an internal failure.
pub(super) fn catch(command: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::set_hook(Box::new(|panic| Console::plain().error(&message(panic))));
    // Nothing that the panic left in an inconsistent state is used again.
    panic::catch_unwind(AssertUnwindSafe(command)).unwrap_or(ExitCode::Internal)
}

fn message(panic: &PanicHookInfo<'_>) -> Message {
    let words = panic.payload_as_str().unwrap_or("no reason was given");
    let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
    let text = format!("attrsync failed: {words}{}", place.unwrap_or_default());
    let hint = "run the same command again; if it fails again, report this line and what you ran";
    Message::error(text).with_hint(hint.to_owned())
}
