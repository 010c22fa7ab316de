//! Runs of the program whose ledger is in a database.

use std::fmt::Display;
use std::process::{Child, Command};

use attrsync::ledger::{LedgerLocation, LedgerReader};
use attrsync::sandbox::{Fault, FaultKind, Log, Moment, Options};

pub(super) use super::super::cli::interrupted::{signal, until_it_says, wait};
use super::super::cli::{Ended, KEY, Server, Workdir, ended};

/// A request that is never answered.
const STALL: Fault = Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying };

/// A server that answers some requests, then never answers a number of them, and then answers all.
pub(super) fn stalling(answers: usize, stalls: usize) -> Server {
    let mut script = vec![None; answers];
    script.extend(vec![Some(STALL); stalls]);
    Server::new(Options { script, log: Log::Keep, ..Options::default() })
}

/// The address with more parameters.
pub(super) fn with(address: &str, parameters: impl Display) -> String {
    let separator = if address.contains('?') { '&' } else { '?' };
    format!("{address}{separator}{parameters}")
}

pub(super) fn location(address: &str) -> LedgerLocation {
    LedgerLocation::of_database(address, None).unwrap()
}

/// The program with what it needs to know of the account and the ledger.
pub(super) fn attrsync(server: &Server, workdir: &Workdir, ledger: &str, arguments: &str) -> Command {
    let mut command = workdir.attrsync(arguments);
    command.env("ATTRSYNC_BASE_URL", server.sandbox.base_url()).env("ATTRSYNC_TOKEN", KEY);
    command.env("ATTRSYNC_RATE", "100000/s").env("ATTRSYNC_RETRY_INITIAL_DELAY", "2ms");
    command.env("ATTRSYNC_LEDGER", ledger);
    command
}

/// `sync` of `users.csv`, with the summary on standard output.
pub(super) fn syncing(server: &Server, workdir: &Workdir, ledger: &str, arguments: &str) -> Command {
    attrsync(server, workdir, ledger, &format!("sync users.csv --summary - {arguments}"))
}

pub(super) fn sync(server: &Server, workdir: &Workdir, ledger: &str, arguments: &str) -> Ended {
    ended(syncing(server, workdir, ledger, arguments))
}

/// How many rows the ledger has as acknowledged, each as often as a run recorded it.
pub(super) fn recorded(ledger: &str) -> u64 {
    let reader = LedgerReader::open(&location(ledger)).unwrap();
    let runs = reader.runs().unwrap().into_iter();
    runs.flat_map(|past| reader.sent_rows(past.run).unwrap()).map(|sent| sent.users).sum()
}

/// Whether it has that many. There may be no ledger yet.
pub(super) fn has_recorded(ledger: &str, rows: u64) -> bool {
    LedgerReader::open(&location(ledger)).is_ok() && recorded(ledger) >= rows
}

/// That the account holds what the input says, which has to be sorted by user.
#[track_caller]
pub(super) fn check_state(server: &Server, workdir: &Workdir) {
    assert_eq!(server.state(), workdir.read("users.csv"));
}

/// The password in an address.
pub(super) fn password(address: &str) -> &str {
    let (_, rest) = address.split_once("://").unwrap();
    let (user, _) = rest.split_once('@').unwrap();
    user.split_once(':').unwrap().1
}

/// Ends it without waiting for requests in flight. Two equal signals may arrive as one, and of two others that come at once
/// either may be the first.
pub(super) fn cancel(child: Child) {
    signal(&child, "INT");
    signal(&child, "TERM");
    let run = wait(child);
    assert!([130, 143].contains(&run.code), "{}", run.stderr);
}
