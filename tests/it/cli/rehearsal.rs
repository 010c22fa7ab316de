//! The first command that anybody gives, and rehearsals as the README has them.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::truth::naive_state;
use super::{Server, Workdir, ended, users_csv};

#[test]
fn the_first_command_syncs_the_fixture_and_leaves_only_an_empty_failures_report() {
    let workdir = Workdir::new();
    let run = workdir.run(&format!("sync --sandbox {} --rate 100000/s", users_csv())).exits(0);
    assert_eq!(run.stdout, "");
    assert_eq!(workdir.names(), ["failures.csv"]);
    assert_eq!(
        workdir.read("failures.csv"),
        "user_id,attribute,value,fate,status,error,attempts,source,line\n"
    );
    assert_eq!(workdir.path("failures.csv").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_summary_has_its_keys_in_order_and_figures_that_add_up() {
    let workdir = Workdir::new();
    let run = workdir.run(&format!("sync --sandbox {} --rate 100000/s --summary -", users_csv())).exits(0);
    let summary = run.summary();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let promised = [
        "version",
        "run_id",
        "outcome",
        "exit_code",
        "started_at",
        "finished_at",
        "duration_seconds",
        "rows",
        "requests",
    ];
    assert_eq!(keys(&summary)[..promised.len()], promised);
    let fates = [
        "read",
        "invalid",
        "skipped",
        "superseded",
        "unchanged",
        "resumed",
        "acknowledged",
        "failed",
        "unsent",
    ];
    assert_eq!(keys(&summary["rows"]), fates);
    assert_eq!(
        keys(&summary["requests"]),
        ["planned", "sent", "acknowledged", "retried", "throttled", "split", "checks", "read_back"]
    );

    assert_eq!(summary["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((summary["outcome"].as_str(), summary["exit_code"].as_u64()), (Some("complete"), Some(0)));
    let rows = csv::Reader::from_path(users_csv()).unwrap().records().count() as u64;
    assert_eq!(run.rows("read"), rows);
    assert_eq!(run.rows("acknowledged") + run.rows("superseded"), rows);
    assert_eq!(run.requests("acknowledged"), run.requests("planned"));
}

#[test]
fn an_environment_with_an_account_in_it_does_not_keep_the_sandbox_away() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    let mut command = workdir.attrsync("sync --sandbox users.csv");
    command.env("ATTRSYNC_SUBDOMAIN", "acme").env("ATTRSYNC_TOKEN", super::KEY);
    ended(command).exits(0);
}

#[test]
fn a_sandbox_on_its_own_tells_its_address_and_holds_what_was_synced() {
    let workdir = Workdir::new();
    let rows = std::fs::read_to_string(users_csv()).unwrap();
    let mut sandbox =
        workdir.attrsync("sandbox --listen 127.0.0.1:0 --rate 100000/s --latency 1ms").spawn().unwrap();
    let mut said = BufReader::new(sandbox.stdout.take().unwrap()).lines();
    let mut line = |label: &str| {
        let line = said.next().unwrap().unwrap();
        line.strip_prefix(label).unwrap().trim().to_owned()
    };
    let (base_url, state) = (line("base URL"), line("state"));
    workdir.file(
        "attrsync.toml",
        format!("base_url = \"{base_url}\"\ntoken_file = \"key\"\nrate = \"10000/s\"\n"),
    );
    workdir.file("key", super::KEY);
    workdir.run(&format!("sync {}", users_csv())).exits(0);

    let held = held_at(&state);
    assert!(Command::new("kill").arg(sandbox.id().to_string()).status().unwrap().success());
    assert_eq!(sandbox.wait().unwrap().code(), Some(0));
    assert_eq!(held, naive_state(&rows));
}

#[test]
fn a_sandbox_that_cannot_listen_says_so() {
    let server = Server::friendly();
    let workdir = Workdir::new();
    let run = workdir.run(&format!("sandbox --listen {}", server.sandbox.addr())).exits(2);
    run.says("cannot listen on").says("--listen");
}

#[test]
fn a_sandbox_says_what_is_wrong_with_its_flags() {
    let workdir = Workdir::new();
    workdir.run("sandbox --reject-ids missing.txt").exits(2).says("`missing.txt` cannot be read");
    workdir.run("sandbox --error-rate 5").exits(2).says("write percent, as `5%`");
    workdir.file("rows.csv", "1\n2,city,Oslo\n");
    workdir
        .run("sandbox --reject-ids rows.csv")
        .exits(2)
        .says("rows.csv:2: expected one id, found `2,city,Oslo`");
    workdir.run("sandbox --listen 8080").exits(2).says("write an address and a port, as `127.0.0.1:8080`");
}

fn held_at(address: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Fails where another test came first, which is just as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(address).send().await.unwrap().text().await.unwrap()
    })
}
