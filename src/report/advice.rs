//! What the user can do next, worked out from what happened.

use std::path::Path;

use super::{ExitCode, Tally};
use crate::deliver::{End, Stop};

/// What the same command does when it is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rerun {
    /// It continues this run: there is a ledger.
    Continues,
    /// It starts anew: there is none.
    StartsAnew,
}

/// At most three pieces of advice, the first one first.
pub(super) fn advice(
    exit: ExitCode,
    end: &End,
    tally: &Tally,
    failures: Option<&Path>,
    rerun: Rerun,
) -> Vec<String> {
    let mut advice = Vec::new();
    let Some(failures) = failures else { return advice };
    if exit == ExitCode::Internal && *end != End::Stopped(Stop::Unwritable) {
        advice.push("keep the reports of this run, and tell us about this error".to_owned());
    }
    if tally.fates.unsent > 0
        && let End::Stopped(stop) = end
    {
        advice.push(continued(stop, failures, rerun));
    }
    advice.extend(mend(tally, failures));
    if exit == ExitCode::Incomplete && tally.fates.all_well() {
        advice.push(
            "look at one of these users in User.com; a further run sends what differed again".to_owned(),
        );
    }
    // A few can be an accident of the network.
    if tally.requests.throttled > (tally.requests.sent / 100).max(2) {
        advice.push("lower `--rate`: something else uses the same limit".to_owned());
    }
    advice.truncate(3);
    advice
}

fn continued(stop: &Stop, failures: &Path, rerun: Rerun) -> String {
    let again = match rerun {
        Rerun::Continues => "run the same command again; it continues from here".to_owned(),
        Rerun::StartsAnew => format!("send the rest with {}", sync(failures)),
    };
    match stop {
        Stop::KeyRefused(_) => format!("check the API key, then {again}"),
        Stop::WrongAddress(_) => format!("check `--subdomain` or `--base-url`, then {again}"),
        Stop::Outage(_) | Stop::LongPause(_) => format!("when the API is back, {again}"),
        Stop::OutOfTime | Stop::Interrupted | Stop::Terminated | Stop::HungUp | Stop::Unwritable => again,
    }
}

/// What to do about rows that the API, or we, refused.
fn mend(tally: &Tally, failures: &Path) -> Option<String> {
    let refused = tally.failures.any(|reason| matches!(reason.status, Some(400..=428 | 430..=499)));
    if tally.fates.invalid > 0 || refused {
        Some(format!("mend what `{}` names, then {}", failures.display(), sync(failures)))
    } else if tally.fates.failed > 0 {
        Some(format!("try the failed rows again with {}", sync(failures)))
    } else {
        None
    }
}

fn sync(failures: &Path) -> String {
    format!("`attrsync sync {}`", failures.display())
}
