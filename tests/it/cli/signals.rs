//! Signals that this process ignores.

use std::sync::Once;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Has children get SIGHUP, SIGINT and SIGTERM as a program does that is started in a terminal. Who starts the tests may ignore
/// them (`nohup`, and SIGINT in the background of a script), and a child would ignore them as well. A signal that is
/// handled is not ignored in a child, and has no other effect here.
pub(crate) fn reset_for_children() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        let _entered = runtime.enter();
        for kind in [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()] {
            if is_ignored(kind) {
                // The handler stays when this is dropped.
                drop(signal(kind).unwrap());
            }
        }
    });
}

fn is_ignored(kind: SignalKind) -> bool {
    // Where there is no such file, nothing is known and nothing changed.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    mask & (1 << (kind.as_raw_value() - 1)) != 0
}
