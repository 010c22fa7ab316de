//! What another user has put where everyone may put files, as in `/tmp`, leads nowhere.

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::{Ended, KEY, Server, Workdir, ended, left_out};

/// Any user but the one who runs the tests: `nobody` on most systems.
const ANOTHER_USER: u32 = 65_534;

const PRECIOUS: &str = "precious";

/// What another user can make at a path.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Planted {
    SymbolicLink,
    /// Another name of a file of this user. It belongs to this user, as the file does.
    HardLink,
    Fifo,
    Directory,
    Socket,
    File,
}

use Planted::{Directory, Fifo, File as RegularFile, HardLink, Socket, SymbolicLink};

/// With a directory in which everyone may put files, and a file of this user.
fn with_shared() -> Workdir {
    let workdir = Workdir::with_cities(1);
    workdir.file("victim", PRECIOUS);
    fs::set_permissions(workdir.path("victim"), Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(workdir.path("shared")).unwrap();
    fs::set_permissions(workdir.path("shared"), Permissions::from_mode(0o1777)).unwrap();
    workdir
}

/// Makes it, as another user. `None` if that is not possible, as only root can.
fn plant(workdir: &Workdir, what: Planted, name: &str) -> Option<()> {
    let (path, victim) = (workdir.path("shared").join(name), workdir.path("victim"));
    match what {
        SymbolicLink => symlink(victim, &path).unwrap(),
        HardLink => {
            fs::hard_link(victim, &path).unwrap();
            return Some(());
        }
        Fifo => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
        Directory => fs::create_dir(&path).unwrap(),
        Socket => drop(UnixListener::bind(&path).unwrap()),
        RegularFile => fs::write(&path, "theirs").unwrap(),
    }
    match lchown(&path, Some(ANOTHER_USER), None) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            left_out("only root can make files of another user");
            None
        }
        result => {
            result.unwrap();
            Some(())
        }
    }
}

/// The victim is as it was.
#[track_caller]
fn check_victim(workdir: &Workdir, what: &str) {
    let mode = fs::metadata(workdir.path("victim")).unwrap().permissions().mode();
    assert_eq!((workdir.read("victim").as_str(), mode & 0o777), (PRECIOUS, 0o644), "{what}");
}

#[track_caller]
fn check_refused(what: Planted, name: &str, arguments: &str) {
    let workdir = with_shared();
    if plant(&workdir, what, name).is_none() {
        return;
    }
    let said = format!("{what:?} {name}: {arguments}");
    let run = workdir.run(&format!("{arguments} users.csv"));
    assert_eq!(run.code, 2, "{said}: {}", run.stderr);
    run.says("hint: ");
    check_victim(&workdir, &said);
}

/// Each command that writes a file, and the file.
const WRITERS: [(&str, &str); 6] = [
    ("failures.csv", "sync --sandbox --failures shared/failures.csv"),
    ("failures.csv", "plan --failures shared/failures.csv"),
    ("summary.json", "sync --sandbox --summary shared/summary.json"),
    ("report.html", "sync --sandbox --report shared/report.html"),
    ("metrics.prom", "sync --sandbox --metrics shared/metrics.prom"),
    ("plan.jsonl", "plan --subdomain acme --save shared/plan.jsonl"),
];

#[test]
fn reports_and_plans_go_to_no_place_that_another_user_chose() {
    for (name, arguments) in WRITERS.into_iter().chain([("bodies", "plan --bodies shared/bodies")]) {
        for what in [SymbolicLink, Fifo, Directory, Socket] {
            check_refused(what, name, arguments);
        }
        let temporary = format!(".{name}.attrsync");
        for what in [SymbolicLink, HardLink, Fifo, Directory, Socket, RegularFile] {
            check_refused(what, &temporary, arguments);
        }
    }
}

#[test]
fn undone_values_go_to_no_place_that_another_user_chose() {
    for (what, name) in [(SymbolicLink, "u.csv"), (HardLink, ".u.csv.attrsync"), (Fifo, ".u.csv.attrsync")] {
        let workdir = with_shared();
        workdir.run("sync --sandbox --ledger l users.csv").exits(0);
        if plant(&workdir, what, name).is_some() {
            workdir.run("undo 1 --ledger l --output shared/u.csv").exits(2).says("hint: ");
            check_victim(&workdir, name);
        }
    }
}

#[test]
fn a_report_replaces_the_name_of_another_file_and_not_its_content() {
    let workdir = with_shared();
    plant(&workdir, HardLink, "failures.csv").unwrap();
    workdir.run("sync --sandbox --failures shared/failures.csv users.csv").exits(0);
    check_victim(&workdir, "hard link");
    assert!(workdir.read("shared/failures.csv").starts_with("user_id,"));
}

#[test]
fn a_ledger_has_nothing_that_another_user_made() {
    for end in ["-lock", "-wal", "-shm", "-journal"] {
        for what in [SymbolicLink, HardLink, Fifo, Directory, RegularFile] {
            for is_there in [false, true] {
                let workdir = with_shared();
                if is_there {
                    workdir.run("sync --sandbox --ledger shared/l users.csv").exits(0);
                    fs::remove_file(workdir.path(format!("shared/l{end}"))).or_else(absent_is_fine).unwrap();
                }
                if plant(&workdir, what, &format!("l{end}")).is_none() {
                    return;
                }
                let said = format!("{what:?} {end} {is_there}");
                let check = |run: Ended| {
                    assert_eq!(run.code, 2, "{said}: {}", run.stderr);
                    run.says("the ledger can't use").says("hint: ");
                    check_victim(&workdir, &said);
                };
                check(workdir.run("sync --sandbox --ledger shared/l users.csv"));
                if is_there {
                    check(workdir.run("history --ledger shared/l"));
                }
            }
        }
    }
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[test]
fn a_ledger_of_another_user_is_not_written() {
    for what in [SymbolicLink, Fifo, Directory, Socket, RegularFile] {
        check_refused(what, "l", "sync --sandbox --ledger shared/l");
    }
    // An empty file is a new ledger, which its owner could read from then on.
    let workdir = with_shared();
    if plant(&workdir, RegularFile, "l").is_some() {
        File::create(workdir.path("shared/l")).unwrap();
        workdir.run("sync --sandbox --ledger shared/l users.csv").exits(2).says("another user");
        assert_eq!(fs::metadata(workdir.path("shared/l")).unwrap().len(), 0);
    }
}

/// The settings say where the key is sent and which files are written.
#[test]
fn settings_of_another_user_are_not_read_unless_they_are_named() {
    let (workdir, server) = (with_shared(), Server::friendly());
    if plant(&workdir, RegularFile, "attrsync.toml").is_none() {
        return;
    }
    let settings = format!("base_url = \"{}\"\nsummary = \"../victim\"\n", server.sandbox.base_url());
    fs::write(workdir.path("shared/attrsync.toml"), settings).unwrap();
    fs::copy(workdir.path("users.csv"), workdir.path("shared/users.csv")).unwrap();
    let run = |arguments: &str| {
        let mut command = workdir.attrsync(arguments);
        command.current_dir(workdir.path("shared")).env("ATTRSYNC_TOKEN", KEY);
        ended(command)
    };
    for arguments in ["sync users.csv", "plan users.csv", "pull", "history", "undo 1"] {
        run(arguments).exits(2).says("attrsync.toml: another user put it there").says("hint: ");
    }
    assert_eq!(server.counters().requests, 0);
    check_victim(&workdir, "settings");
    run("sync users.csv --config attrsync.toml --summary s.json --no-ledger").exits(0);
    assert_eq!(server.counters().requests, 1);
}

#[test]
fn a_report_that_only_another_user_may_replace_is_refused_before_anything_is_sent() {
    let workdir = with_shared();
    let shared = workdir.path("shared");
    if plant(&workdir, RegularFile, "failures.csv").is_none() {
        return;
    }
    // The other way round: a file of this user, and a run of the other one, who may write it.
    let mine = fs::metadata(workdir.path("victim")).unwrap();
    lchown(shared.join("failures.csv"), Some(mine.uid()), None).unwrap();
    fs::set_permissions(shared.join("failures.csv"), Permissions::from_mode(0o666)).unwrap();
    fs::copy(workdir.path("users.csv"), shared.join("users.csv")).unwrap();
    fs::set_permissions(workdir.path(""), Permissions::from_mode(0o755)).unwrap();
    let program = shared.join("attrsync");
    // By a process of its own: a program that is open for writing, if only in a process that another test is just
    // starting, can't be executed.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_attrsync")).arg(&program).status().unwrap();
    assert!(copied.success());
    lchown(&shared, Some(1), None).unwrap();
    let mut command = Command::new(&program);
    command.args(["sync", "--sandbox", "users.csv"]).current_dir(&shared).env_clear().uid(ANOTHER_USER);
    ended(command).exits(2).says("only its owner may replace it").says("hint: ");
    assert_eq!(workdir.read("shared/failures.csv"), "theirs");
}

#[test]
fn ones_own_links_are_followed() {
    let workdir = with_shared();
    symlink(workdir.path("victim"), workdir.path("shared/failures.csv")).unwrap();
    workdir.run("sync --sandbox users.csv --failures shared/failures.csv").exits(0);
    assert!(workdir.read("victim").starts_with("user_id,attribute,value,fate"));
    assert!(workdir.path("shared/failures.csv").is_symlink());
}
