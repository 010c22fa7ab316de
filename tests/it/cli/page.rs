//! The page of a run that `--report` writes.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use attrsync::sandbox::{Options, Reject};

use super::{KEY, Server, Workdir};

/// The browser to test with, instead of the first one that is found.
const BROWSER: &str = "ATTRSYNC_TEST_BROWSER";

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A run in which some rows are invalid, some users don't exist and some requests fail.
fn with_failures() -> (Workdir, String) {
    let server = Server::new(Options {
        error_rate: 0.1,
        reject_ids: BTreeSet::from(["31415926".to_owned()]),
        reject: Reject::Naming,
        latency: Duration::from_millis(5),
        ..Options::default()
    });
    let mut rows: Vec<String> = (1..=40).map(|user| format!("{user},city,Secretville {user}")).collect();
    rows.extend(
        ["31415926,country,Hiddenland", "anna@example.com,city,Gdynia", "7,<img onerror=x>,x"]
            .map(str::to_owned),
    );
    let workdir = Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    server.sync(&workdir, "users.csv --rate 15/s --verify 3 --report run.html").exits(1);
    let page = workdir.read("run.html");
    (workdir, page)
}

#[test]
fn a_page_of_a_run_holds_no_ids_values_or_keys() {
    let (_workdir, page) = with_failures();
    for personal in ["31415926", "Secretville", "Hiddenland", "Gdynia", "anna", "example.com", KEY, "<img"] {
        assert!(!page.contains(personal), "{personal} is in:\n{page}");
    }
    for part in ["attrsync: incomplete", "users.csv", "failures.csv", "<code>user_id</code> must be"] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
    assert_eq!(page.matches("class=\"chart ").count(), 4);
}

#[test]
fn a_page_of_a_run_holds_its_settings_and_what_to_do_next() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "2,region,gone", "x,city,Rome"]);
    workdir.run("sync --sandbox users.csv --null-token gone --rate 50/s --report run.html").exits(1);
    let page = workdir.read("run.html");
    for part in [
        "users.csv",
        "city",
        "region",
        "null-token",
        "gone",
        "50/s",
        "attrsync sync --sandbox --rate 50/s --null-token gone failures.csv",
    ] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
}

#[test]
fn a_run_that_is_refused_has_a_page() {
    let workdir = Workdir::new();
    workdir.run("sync --sandbox --report run.html absent.csv").exits(3);
    let page = workdir.read("run.html");
    assert!(page.contains("absent.csv: no such file") && page.ends_with("</html>"), "{page}");
    assert!(!page.contains("<h2>Requests</h2>"), "{page}");
}

/// A page that is refused something by its own policy, or asks for something, says so in the log.
#[test]
fn a_browser_shows_a_page_without_complaints() {
    let Some(browser) = browser() else {
        let names = BROWSERS.join("`, `");
        let notice = format!("SKIPPED: there is no `{names}`, and `{BROWSER}` names none\n");
        // Past the capture of the test harness.
        std::io::stderr().write_all(notice.as_bytes()).unwrap();
        return;
    };
    let (workdir, page) = with_failures();
    assert_eq!(complaints(&browser, &workdir, "run.html"), [""; 0]);

    // The same with a picture, a script and a style that the policy forbids: the test would notice.
    let spoilt =
        page.replace("<main>", "<main style='color:red'><script>1</script><img src='http://example.com/'>");
    workdir.file("spoilt.html", spoilt);
    assert_eq!(complaints(&browser, &workdir, "spoilt.html").len(), 3);
}

/// What the console of a browser that shows the page says.
fn complaints(browser: &str, workdir: &Workdir, page: &str) -> Vec<String> {
    let profile = workdir.path("profile");
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]);
    command.args([
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        "--v=0",
        "--log-level=0",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display())).arg("--dump-dom");
    command.arg(format!("file://{}", workdir.path(page).display()));
    let output = assert_cmd::Command::from_std(command).timeout(super::PATIENCE).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("attrsync: incomplete"), "{}", String::from_utf8_lossy(&output.stderr));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect()
}

#[expect(clippy::disallowed_methods, reason = "where a browser is depends on the machine")]
fn browser() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let named = std::env::var(BROWSER).ok().filter(|named| Path::new(named).is_file());
    named.or_else(|| BROWSERS.into_iter().find(is_there).map(str::to_owned))
}
