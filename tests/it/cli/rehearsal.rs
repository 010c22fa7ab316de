//! The first command that anybody gives, and rehearsals as the README has them.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};

use super::interrupted::signal;
use super::truth::naive_state;
use super::{KEY, Server, Workdir, ended, project, users_csv};

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
    command.env("ATTRSYNC_SUBDOMAIN", "acme").env("ATTRSYNC_TOKEN", KEY);
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
    workdir.file("key", KEY);
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

/// `attrsync sandbox` on a free port, and its base URL.
fn sandbox(workdir: &Workdir, options: &str) -> (Child, String) {
    let mut child = workdir.attrsync(&format!("sandbox --listen 127.0.0.1:0 {options}")).spawn().unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let address = line.strip_prefix("base URL").unwrap().trim().to_owned();
    (child, address)
}

#[test]
fn a_rehearsal_in_two_terminals_is_as_the_page_says() {
    let page = std::fs::read_to_string(project("docs/sandbox.md")).unwrap();
    let (_, settings) = page.split_once("```toml\n").unwrap();
    let (settings, _) = settings.split_once("```").unwrap();
    let workdir = Workdir::with_cities(5);
    workdir.file("ids.txt", "2\n4\n");
    for rejected in [0, 2] {
        let options = if rejected == 0 { "--rate 100000/s" } else { "--rate 100000/s --reject-ids ids.txt" };
        let (terminal, address) = sandbox(&workdir, options);
        workdir.file("rehearsal.toml", settings.replace("http://127.0.0.1:8080/api/public/", &address));
        let sync = |arguments: &str| {
            let mut command =
                workdir.attrsync(&format!("sync --config rehearsal.toml users.csv {arguments}"));
            command.env("ATTRSYNC_TOKEN", "any").env("ATTRSYNC_RATE", "10000/s");
            ended(command)
        };
        let code = i32::from(rejected > 0);
        let run = sync("--summary -").exits(code);
        assert_eq!((run.rows("acknowledged"), run.rows("failed")), (5 - rejected, rejected));
        run.says("an API key has 64 letters and digits");
        let again = sync("--only-changed --summary -").exits(code);
        assert_eq!((again.rows("unchanged"), again.rows("failed")), (5 - rejected, rejected));
        let history = workdir.run("history --ledger rehearsal.ledger").exits(0).stdout;
        assert_eq!(history.matches("users.csv").count(), 2, "{history}");
        signal(&terminal, "INT");
        assert_eq!(terminal.wait_with_output().unwrap().status.code(), Some(0));
        // It has forgotten everything, and what the ledger knows is no longer true.
        for name in ["rehearsal.ledger", "rehearsal.ledger-lock"] {
            std::fs::remove_file(workdir.path(name)).unwrap();
        }
    }
    assert!(workdir.path("rehearsal-failures.csv").exists());
}

#[test]
fn each_option_of_the_sandbox_has_its_effect() {
    // Ten users of one city, and three with one of their own.
    let rows: Vec<String> = (1..=10).map(|user| format!("{user},city,Oslo")).collect();
    let own = ["1,region,A", "2,region,B", "3,region,C"].map(str::to_owned);
    let rows: Vec<String> = rows.into_iter().chain(own).collect();
    let workdir = Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    workdir.file("ids.txt", "3\n");
    let with = |options: &str, arguments: &str, code: i32| {
        let (child, address) = sandbox(&workdir, options);
        let mut command = workdir.attrsync(arguments);
        command.env("ATTRSYNC_BASE_URL", &address).env("ATTRSYNC_TOKEN", KEY).env("ATTRSYNC_LEDGER", "l");
        command.env("ATTRSYNC_RATE", "100000/s").env("ATTRSYNC_RETRY_INITIAL_DELAY", "2ms");
        let run = ended(command);
        assert_eq!(run.code, code, "{options}: {}", run.stderr);
        signal(&child, "TERM");
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
        for name in ["l", "l-lock"] {
            std::fs::remove_file(workdir.path(name)).unwrap();
        }
        run
    };
    let sync = |options: &str, more: &str, code: i32| {
        let rate = if options.contains("--rate") { "" } else { "--rate 100000/s" };
        let arguments = format!("sync users.csv --max-attempts 40 --summary - {more}");
        with(&format!("{options} {rate}"), &arguments, code)
    };
    assert_eq!(sync("", "", 0).requests("sent"), 4);
    assert!(sync("--rate 1/s", "", 0).requests("throttled") > 0);
    assert!(sync("--error-rate 60% --seed 1", "", 0).requests("retried") > 0);
    assert!(sync("--drop-rate 60% --seed 1", "", 0).requests("retried") > 0);
    assert!(sync("--max-ids 4", "", 0).requests("sent") > 4);
    assert!(sync("--max-body 60", "", 0).requests("sent") > 4);
    for how in ["naming", "unnamed", "not-found"] {
        let run = sync(&format!("--reject-ids ids.txt --reject {how}"), "", 1);
        assert_eq!((run.rows("failed"), run.rows("acknowledged")), (2, 11), "{how}");
    }
    sync("--reject-ids ids.txt --reject ignored", "", 0);
    sync("--reject-ids ids.txt --reject ignored", "--verify all", 1);
    assert_eq!(sync("--users 8", "", 1).rows("failed"), 2);
    sync("--latency 2s", "--timeout 20ms --max-outage 100ms", 4).says("no answer in time");
    let pull = |options: &str, code| {
        with(&format!("--users 6 --page-size 2 --rate 100000/s {options}"), "pull", code)
    };
    pull("", 0).says("read 6 users on 3 pages");
    pull("--page-overlap 1", 0).says(" on 5 pages");
    pull("--cursor-lifetime 0s", 4).says("stopped to continue its list");
}
