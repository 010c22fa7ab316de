//! Inputs that are larger than the memory which the program may take.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{PATIENCE, Server, Workdir, ended};

/// The least that is allowed.
const LITTLE: &str = "--memory 16MB --temp-dir temp";

/// More distinct values than fit it.
const USERS: u32 = 120_000;

/// A row for each user, each with a value of its own; and a directory for temporary files.
fn desk_with_names() -> Workdir {
    let rows: Vec<String> =
        (1..=USERS).map(|user| format!("{user},first_name,Somebody number {user}")).collect();
    let workdir = Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    fs::create_dir(workdir.path("temp")).unwrap();
    workdir
}

/// The temporary files that a process has open, by the names under which they can be reached as long as it lives.
fn spilled(workdir: &Workdir, child: &Child) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
    let temp = workdir.path("temp").canonicalize().unwrap();
    let is_there = |path: &PathBuf| fs::read_link(path).is_ok_and(|file| file.starts_with(&temp));
    open.map(|entry| entry.unwrap().path()).filter(is_there).collect()
}

/// Returns when something is so which another process brings about.
fn until(is_so: impl Fn() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let soon = async {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        while !is_so() {
            look.tick().await;
        }
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, soon).await }).unwrap();
}

#[test]
fn a_plan_that_spills_is_the_same_plan() {
    let workdir = desk_with_names();
    let whole = workdir.run("plan users.csv --bodies - -q").exits(0);
    let spilled = workdir.run(&format!("plan users.csv --bodies - -q {LITTLE}")).exits(0);
    assert!(whole.stdout == spilled.stdout, "other bodies");
    assert_eq!(whole.stdout.lines().count(), USERS as usize);

    let screen = workdir.run(&format!("plan users.csv {LITTLE}")).exits(0).stdout;
    assert!(screen.contains("in temporary files"), "{screen}");
    assert_eq!(fs::read_dir(workdir.path("temp")).unwrap().count(), 0);
}

#[test]
fn what_spilled_is_sent_like_anything_else() {
    let rows: Vec<String> =
        (0..USERS).map(|user| format!("customer {},score,{}", user % 70_000, user % 7)).collect();
    let workdir = Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    fs::create_dir(workdir.path("temp")).unwrap();
    let server = Server::friendly();
    let arguments = format!("users.csv --id-type custom-id {LITTLE}");
    let run = server.remember(&workdir, &arguments).exits(0);
    assert_eq!((run.rows("acknowledged"), run.rows("superseded")), (70_000, 50_000));
    let planned = run.requests("planned");
    assert_eq!((planned, run.requests("sent")), (7 * 10, planned));
    let last = |user: u32| if user < USERS - 70_000 { user + 70_000 } else { user };
    let expected: BTreeSet<String> =
        (0..70_000).map(|user| format!("customer {user},score,{}", last(user) % 7)).collect();
    assert!(server.state().lines().skip(1).map(str::to_owned).collect::<BTreeSet<_>>() == expected);

    // What the ledger knows is taken out of a plan in files as well.
    let again = server.remember(&workdir, &format!("{arguments} --only-changed")).exits(0);
    assert_eq!((again.rows("unchanged"), again.requests("sent")), (70_000, 0));
    workdir.file("users.csv", workdir.read("users.csv") + "customer 5,score,100\n");
    let changed = server.remember(&workdir, &format!("{arguments} --only-changed")).exits(0);
    assert_eq!((changed.rows("unchanged"), changed.requests("sent")), (69_999, 1));
}

#[test]
fn a_full_disk_for_temporary_files_is_said_and_nothing_is_sent() {
    let workdir = desk_with_names();
    let server = Server::friendly();
    let command = server.command(&workdir, &format!("users.csv --no-ledger {LITTLE}"));
    // A limit on the size of files is as good as a full disk, as long as the signal for it is ignored.
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(workdir.path("")).env_clear().stdin(Stdio::null());
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(limited)
        .exits(5)
        .says("error: a temporary file in `temp` cannot be written: File too large")
        .says("hint: make room, or name another place with `--temp-dir`");
    assert_eq!(server.counters().requests, 0);
    assert_eq!(fs::read_dir(workdir.path("temp")).unwrap().count(), 0);
}

#[test]
fn a_place_for_temporary_files_that_is_not_there_is_named() {
    let workdir = desk_with_names();
    let mut command = workdir.attrsync("plan users.csv --memory 16MB");
    command.env("TMPDIR", workdir.path("missing"));
    let place = workdir.path("missing");
    ended(command)
        .exits(5)
        .says(&format!("error: a temporary file in `{}` cannot be made: no such directory", place.display()))
        .says("hint: name a directory that is there with `--temp-dir`");
}

#[test]
fn temporary_files_have_no_names_and_are_gone_after_a_kill() {
    let workdir = desk_with_names();
    let rows = workdir.read("users.csv");
    let mut child = workdir.attrsync(&format!("plan {LITTLE}")).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // It reads all, and waits for more.
    input.write_all(rows.as_bytes()).unwrap();
    until(|| !spilled(&workdir, &child).is_empty());
    assert_eq!(fs::read_dir(workdir.path("temp")).unwrap().count(), 0);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read_dir(workdir.path("temp")).unwrap().count(), 0);
}

#[test]
fn a_temporary_file_that_is_lost_ends_the_program_as_its_own_failure() {
    let workdir = desk_with_names();
    let mut child = workdir.attrsync(&format!("plan users.csv --bodies - {LITTLE}")).spawn().unwrap();
    let mut bodies = BufReader::new(child.stdout.take().unwrap());
    // Now it waits until the reader goes on.
    bodies.read_line(&mut String::new()).unwrap();
    let open = |path: PathBuf| fs::OpenOptions::new().write(true).open(path).unwrap();
    // All of them at once: it may end when the first one is lost.
    let files: Vec<_> = spilled(&workdir, &child).into_iter().map(open).collect();
    assert!(!files.is_empty());
    for file in files {
        file.set_len(0).unwrap();
    }
    bodies.read_to_end(&mut Vec::new()).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5), "{said}");
    // Where planning takes long, lines about its progress come first.
    let error = said.lines().find(|line| line.starts_with("error: ")).expect(&said);
    assert!(error.contains("attrsync failed: a temporary file cannot be read back: "), "{error}");
}
