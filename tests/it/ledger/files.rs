//! The ledger's files: whose they are, who may use them, and what else lies there.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use attrsync::ledger::{Ledger, LedgerError, LedgerReader, RunOutcome};
use rusqlite::Connection;

use super::world::{Changes, Facts, Resume, at, begin, plan, row, target};

fn rows() -> Vec<(u64, String, String)> {
    (1..=100).map(|user| row(user, "city", "Oslo")).collect()
}

fn complete_run(path: &Path) {
    let mut run = begin(&path.into(), &rows(), Changes::All, Resume::Yes, at(1)).unwrap();
    run.send_all(&mut Facts::new(), at(1));
    run.finish(RunOutcome::Complete, at(2));
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut run = begin(&path.clone().into(), &rows(), Changes::All, Resume::Yes, at(1)).unwrap();
    run.send_all(&mut Facts::new(), at(1));
    let mut seen = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        seen.push(entry.file_name().into_string().unwrap());
    }
    seen.sort();
    assert_eq!(seen, ["l", "l-lock", "l-shm", "l-wal"]);
}

#[test]
fn a_second_run_is_told_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    let first = Ledger::open(&path.clone().into(), &target(), at(5)).unwrap();
    let error = Ledger::open(&path.clone().into(), &target(), at(6)).unwrap_err();
    let LedgerError::Locked { holder, .. } = &error else { panic!("{error}") };
    if let Some(holder) = holder {
        assert_eq!((holder.process, holder.since), (std::process::id(), at(5)));
        let end = format!(": process {}, started at {}", std::process::id(), at(5));
        assert!(error.to_string().ends_with(&end), "{error}");
    }
    LedgerReader::open(&path.clone().into()).unwrap();
    drop(first);
    Ledger::open(&path.clone().into(), &target(), at(7)).unwrap();
}

#[test]
fn a_run_that_has_ended_does_not_go_on_while_its_ledger_is_still_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l").into();
    let run = begin(&path, &rows(), Changes::All, Resume::Yes, at(1)).unwrap();
    let process = || LedgerReader::open(&path).unwrap().runs().unwrap()[0].process;
    assert_eq!(process(), Some(std::process::id()));
    let ledger = run.finish(RunOutcome::Complete, at(2));
    assert_eq!(process(), None);
    drop(ledger);
}

#[cfg(unix)]
#[test]
fn every_link_leads_to_the_same_lock() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let [real, link, second] = ["real", "link", "second"].map(|name| folder.path().join(name));
    symlink("real", &link).unwrap();
    symlink("link", &second).unwrap();
    // It is made where the links lead to.
    let first = Ledger::open(&second.clone().into(), &target(), at(5)).unwrap();
    for path in [&real, &link, &second] {
        let error = Ledger::open(&path.as_path().into(), &target(), at(6)).unwrap_err();
        assert!(matches!(&error, LedgerError::Locked { holder: Some(_), .. }), "{error}");
    }
    drop(first);
    Ledger::open(&real.clone().into(), &target(), at(7)).unwrap();
    assert!(!folder.path().join("link-lock").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn every_hard_link_leads_to_the_same_lock() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    complete_run(&one);
    fs::hard_link(&one, &other).unwrap();
    let first = Ledger::open(&one.clone().into(), &target(), at(5)).unwrap();
    let error = Ledger::open(&other.clone().into(), &target(), at(6)).unwrap_err();
    assert!(matches!(&error, LedgerError::Locked { holder: None, .. }), "{error}");
    drop(first);
    Ledger::open(&other.clone().into(), &target(), at(7)).unwrap();
}

#[cfg(unix)]
#[test]
fn a_lock_that_is_a_link_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let [path, victim] = ["l", "victim"].map(|name| folder.path().join(name));
    fs::write(&victim, "mine\n").unwrap();
    std::os::unix::fs::symlink(&victim, folder.path().join("l-lock")).unwrap();
    let error = Ledger::open(&path.clone().into(), &target(), at(1)).unwrap_err();
    assert!(matches!(error, LedgerError::NotOurs { .. }), "{error}");
    assert!(error.to_string().ends_with("l-lock`: it is a link"), "{error}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine\n");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn who_only_reads_leaves_nothing_behind_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    complete_run(&path);
    assert_eq!(LedgerReader::open(&path.clone().into()).unwrap().runs().unwrap().len(), 1);
    assert_eq!(names(folder.path()), ["l", "l-lock"]);

    // What a kill leaves behind stays as it is.
    let other = tempfile::tempdir().unwrap();
    let mut run = begin(&path.clone().into(), &rows(), Changes::All, Resume::Yes, at(1)).unwrap();
    run.send_all(&mut Facts::new(), at(1));
    for name in ["l", "l-wal", "l-lock"] {
        fs::copy(folder.path().join(name), other.path().join(name)).unwrap();
    }
    let before = ["l", "l-wal"].map(|name| fs::read(other.path().join(name)).unwrap());
    assert_eq!(LedgerReader::open(&other.path().join("l").into()).unwrap().runs().unwrap().len(), 2);
    assert!(before == ["l", "l-wal"].map(|name| fs::read(other.path().join(name)).unwrap()));
}

#[test]
fn what_is_no_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.csv");
    let text = "user_id,attribute,value\n".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(matches!(
        Ledger::open(&path.clone().into(), &target(), at(1)),
        Err(LedgerError::NoLedger { .. })
    ));
    assert!(matches!(LedgerReader::open(&path.clone().into()), Err(LedgerError::NoLedger { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(names(folder.path()), ["users.csv"], "nothing was put beside it");

    let path = folder.path().join("other.sqlite");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    assert!(matches!(
        Ledger::open(&path.clone().into(), &target(), at(1)),
        Err(LedgerError::NoLedger { .. })
    ));
    assert!(matches!(
        LedgerReader::open(&folder.path().join("none").into()),
        Err(LedgerError::Missing { .. })
    ));
}

#[test]
fn a_later_form_is_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    complete_run(&path);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    let error = LedgerReader::open(&path.clone().into()).unwrap_err();
    assert!(matches!(error, LedgerError::TooNew { found: 3, known: 2, .. }), "{error}");
}

#[test]
fn a_ledger_that_is_made_anew_owes_nothing_to_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    complete_run(&path);
    fs::remove_file(&path).unwrap();
    complete_run(&path);
}

#[test]
fn no_error_says_what_a_ledger_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    complete_run(&path);
    let broken = Connection::open(&path).unwrap();
    broken.execute_batch("UPDATE journal SET groups = zeroblob(9)").unwrap();
    let reader = LedgerReader::open(&path.clone().into()).unwrap();
    let error = super::world::left_of(&reader, plan(&rows(), 3), attrsync::ledger::SkipScope::EveryRun, None);
    assert_eq!(
        error.unwrap_err().to_string(),
        format!("the ledger `{}` is damaged: a row doesn't agree with its checksum", path.display())
    );
}

/// Names the ledger of a child that fills its disk, and so makes a child of a run of the tests.
const FILLED: &str = "ATTRSYNC_TEST_FILLED_LEDGER";

#[test]
#[expect(clippy::disallowed_methods, reason = "this is how a test tells its child from a run of the tests")]
fn a_child_fills_its_disk() {
    let Some(path) = std::env::var_os(FILLED) else { return };
    let rows: Vec<_> = (1..=20_000).map(|user| row(user * 1_000_003, "city", &user.to_string())).collect();
    let plan = plan(&rows, 1000);
    let mut ledger = Ledger::open(&Path::new(&path).into(), &target(), at(1)).unwrap();
    let run = ledger.begin(&super::world::description(&plan), None, at(1)).unwrap();
    for batch in plan.batches() {
        ledger.record(&plan, batch, 1);
        if let Err(error) = ledger.commit(run, at(1)) {
            print!("<{error}><{}>", error.hint());
            return;
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_costs_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    // A limit to files' size, in KiB, stands for the disk's. Who ignores the signal gets an error, as from a full disk.
    let output = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 200; exec "$0" --exact ledger::files::a_child_fills_its_disk --nocapture"#])
        .arg(std::env::current_exe().unwrap())
        .env(FILLED, &path)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("<the ledger `{}` can't be used: ", path.display())), "{said}");
    assert!(said.contains("<make room"), "{said}");
    let reader = LedgerReader::open(&path.clone().into()).unwrap();
    let run = reader.runs().unwrap()[0].run;
    assert!(!reader.sent_rows(run).unwrap().is_empty());
}
