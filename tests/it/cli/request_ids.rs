//! The id of each request, by which the people who run the API can be asked about it.

use std::collections::BTreeSet;

use attrsync::sandbox::{Log, Options, Reject};
use serde_json::Value;

use super::{Ended, Server, Workdir};

/// The ids that came to the server, which has to keep a log.
fn at(server: &Server) -> BTreeSet<String> {
    let log = server.sandbox.log();
    let ids: BTreeSet<String> = log.iter().map(|request| request.id.clone().unwrap()).collect();
    assert_eq!(ids.len(), log.len(), "two requests had one id");
    ids
}

/// The ids in a log of JSON lines.
fn logged(run: &Ended) -> BTreeSet<String> {
    let lines = run.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| Some(line["request_id"].as_str()?.to_owned())).collect()
}

/// Errors, broken connections, unknown users and a limit, so that there are requests of all kinds.
fn troubled() -> Server {
    Server::new(Options {
        reject_ids: ["7".to_owned()].into(),
        reject: Reject::Unnamed,
        error_rate: 0.2,
        drop_rate: 0.1,
        log: Log::Keep,
        ..Options::default()
    })
}

#[test]
fn each_request_has_an_id_of_its_own_which_the_log_names() {
    let (workdir, server) = (Workdir::with_cities(40), troubled());
    let countries: Vec<String> = (1..=20).map(|user| format!("\n{user},country,Norway")).collect();
    workdir.file("users.csv", workdir.read("users.csv").trim_end().to_owned() + &countries.concat());
    let arguments = "users.csv -vv --log-format json --max-attempts 40 --verify 5 --summary -";
    let run = server.sync(&workdir, arguments).exits(1);
    let ids = at(&server);
    assert!(run.requests("retried") > 0 && run.requests("split") > 0);
    assert_eq!(ids.len() as u64, run.requests("sent"));
    assert_eq!(logged(&run), ids);
    let begin = format!("{}-", run.summary()["run_id"].as_str().unwrap());
    assert!(ids.iter().all(|id| id.starts_with(&begin)), "{begin}: {ids:?}");
}

#[test]
fn ids_differ_between_runs_whatever_their_numbers_in_a_ledger() {
    let server = Server::new(Options { log: Log::Keep, ..Options::default() });
    for _ in 0..2 {
        let run = server.remember(&Workdir::with_cities(3), "users.csv").exits(0);
        assert_eq!(run.summary()["run_id"], "1");
    }
    assert_eq!(at(&server).len(), 6);
}

#[test]
fn at_v_the_log_names_requests_that_went_wrong_and_no_users() {
    let server = troubled();
    let workdir = Workdir::with_rows(&["7,city,Reykjavik", "8130813,city,Reykjavik", "9,region,Kongsberg"]);
    let run = server.sync(&workdir, "users.csv -v --log-format json --max-attempts 40").exits(1);
    let ids = logged(&run);
    assert!(!ids.is_empty() && ids.is_subset(&at(&server)), "{ids:?}");
    for hidden in ["Reykjavik", "8130813", "Kongsberg"] {
        assert!(!run.stderr.contains(hidden), "{}", run.stderr);
    }
}
