//! What the user can do next, computed from what happened.

use std::path::Path;

use indicatif::HumanCount;

use super::format::counted;
use super::visible::Visible;
use super::{ExitCode, Tally};
use crate::deliver::{CanaryFailure, End, Stop, Verified};

/// What the same command does when it is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rerun {
    /// It continues this run: there is a ledger.
    Continues,
    /// It starts from the beginning: there is no ledger, or the user asked not to resume.
    StartsAnew,
}

/// What to do next.
#[derive(Debug, Default)]
pub(super) struct Advice {
    /// The one thing to do. A command stands on a line of its own.
    pub(super) next: Option<String>,
    /// What may help later runs.
    pub(super) hint: Option<String>,
}

impl Advice {
    /// For a run that ended like this. `feed_back` is the command that sends the rows of the failures report.
    pub(super) fn new(
        exit: ExitCode,
        end: &End,
        tally: &Tally,
        verified: Option<&Verified>,
        failures: Option<&Path>,
        (rerun, feed_back): (Rerun, &str),
    ) -> Self {
        let fates = &tally.fates;
        let report = failures.map(|path| Report { path, feed_back });
        let next = match end {
            _ if !fates.add_up() => Some("keep the reports of this run, and report this error".to_owned()),
            End::Stopped(stop) if fates.unsent > 0 || matches!(stop, Stop::Canary(_)) => {
                // Rows that were sent are in no report, even if they are to be sent again.
                Some(send_the_rest(stop, report.filter(|_| fates.unsent > 0), rerun))
            }
            _ if fates.invalid + fates.failed > 0 => report.map(|report| report.correct(tally)),
            _ if exit == ExitCode::Incomplete => verified.map(look_at_users),
            _ => None,
        };
        // A few throttled requests are normal.
        let is_throttled = tally.requests.throttled > (tally.requests.sent / 100).max(2);
        let hint = is_throttled.then(|| "lower `--rate`: something else uses the same limit".to_owned());
        Self { next, hint }
    }
}

/// The failures report.
#[derive(Clone, Copy)]
struct Report<'a> {
    path: &'a Path,
    feed_back: &'a str,
}

impl Report<'_> {
    /// What to do about rows that are invalid, or that the API refused.
    fn correct(self, tally: &Tally) -> String {
        let Self { path, feed_back } = self;
        let lost = tally.fates.invalid + tally.fates.failed;
        let refused = tally.failures.any(|reason| matches!(reason.status, Some(400..=428 | 430..=499)));
        if tally.fates.invalid == 0 && !refused {
            let rows =
                if lost == 1 { "row that".to_owned() } else { format!("{} rows that", HumanCount(lost)) };
            return format!("try the {rows} failed again:\n{feed_back}");
        }
        let path = path.display().to_string();
        let rows = if lost == 1 { "row".to_owned() } else { counted(lost, "row") };
        format!("correct the {rows} in `{}`, then run:\n{feed_back}", Visible(&path))
    }
}

/// What to do about rows that were acknowledged, but are not what was read back.
fn look_at_users(verified: &Verified) -> String {
    let next = if verified.mismatches.is_empty() {
        "everything was acknowledged, but could not be read back"
    } else {
        "a further run sends what differed again"
    };
    format!("look at some of these users in User.com; {next}")
}

fn send_the_rest(stop: &Stop, report: Option<Report<'_>>, rerun: Rerun) -> String {
    let again = match (rerun, report) {
        (Rerun::Continues, _) => "run the same command again; it continues from here".to_owned(),
        (Rerun::StartsAnew, Some(Report { feed_back, .. })) => format!("send the rest:\n{feed_back}"),
        (Rerun::StartsAnew, None) => "run the same command again; it starts from the beginning".to_owned(),
    };
    match stop {
        Stop::KeyRefused(_) => format!("check the API key, then {again}"),
        Stop::WrongAddress { .. } => format!("check `--subdomain` or `--base-url`, then {again}"),
        Stop::Redirected(_) => {
            format!("set `--base-url` to where it points, if that is your account, then {again}")
        }
        Stop::Refused(_) => format!("ask User.com support what the message means, then {again}"),
        Stop::Unreachable(_) => format!("fix the certificate, proxy or network, then {again}"),
        Stop::Outage { .. } | Stop::LongPause { .. } => format!("when the API is back, {again}"),
        Stop::Canary(CanaryFailure::NotAccepted(_)) => format!("correct what was refused, then {again}"),
        Stop::Canary(_) => format!("look at these users in User.com to see why, then {again}"),
        Stop::LedgerLost => format!("when the other run has ended, {again}"),
        Stop::LedgerRefused => format!("see to the rights in the database, then {again}"),
        Stop::LedgerAway(_) => format!("when the database is back, {again}"),
        Stop::OutOfTime(_) | Stop::Interrupted | Stop::Terminated | Stop::HungUp | Stop::Unwritable => again,
    }
}
