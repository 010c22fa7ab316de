//! A process that is killed at any moment, also in the middle of a commit.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use attrsync::ledger::{Ledger, RowCounts, RunDescription, RunOutcome, SkipScope};
use attrsync::plan::Batch;

use super::world::{Facts, all_facts, at, bounds, description, facts, left_of, plan, row, target};

/// Names the folder of a child's files, and so makes a child of a run of the tests.
const FOLDER: &str = "ATTRSYNC_TEST_CHILD_FOLDER";

/// Batches of a commit.
const BATCHES: usize = 7;

/// A child's word that it committed, among what the test runner prints.
const COMMITTED: u8 = 6;

/// How many runs, one after the other, each with an input of its own.
const INPUTS: u64 = 8;

fn rows(input: u64) -> Vec<(u64, String, String)> {
    let value = |user: u64| match user % 4 {
        0 => "Oslo",
        1 => "Rome",
        2 => "Lima",
        _ => "-",
    };
    let users = input * 1000..input * 1000 + 150;
    users.flat_map(|user| [row(user, "city", value(user)), row(user, "region", value(user / 7))]).collect()
}

/// What stands for the server, and for the screen: lines of a file that is written at once.
struct Log(File);

impl Log {
    fn append(folder: &Path, name: &str) -> Self {
        Self(OpenOptions::new().append(true).create(true).open(folder.join(name)).unwrap())
    }

    fn write(&mut self, facts: &Facts) {
        let mut lines = Vec::new();
        for ((attribute, user), value) in facts {
            writeln!(lines, "{attribute} {user} {value}").unwrap();
        }
        self.0.write_all(&lines).unwrap();
    }

    /// Facts, in the order in which they were written.
    fn read(folder: &Path, name: &str) -> Vec<((String, String), String)> {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let fact = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            let mut word = || words.next().unwrap();
            ((word(), word()), word())
        };
        text.lines().map(fact).collect()
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "this is how a test tells its child from a run of the tests")]
fn a_child_sends_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let mut done = Log::append(folder, "done");
    let from = Log::read(folder, "done").len() as u64;
    for input in from..INPUTS {
        sync(folder, input);
        done.write(&[((String::new(), String::new()), input.to_string())].into());
    }
}

fn sync(folder: &Path, input: u64) {
    let (mut server, mut screen) = (Log::append(folder, "server"), Log::append(folder, "screen"));
    let mut ledger = Ledger::open(&folder.join("l").into(), &target(), at(0)).unwrap();
    let whole = plan(&rows(input), 3);
    let input = input.to_string();
    let fingerprint = super::world::of_inputs(&[&input]);
    let description = RunDescription { fingerprint, inputs: vec![input], ..description(&whole) };
    let continues = ledger.reader().unfinished(&target(), &description).unwrap();
    let (plan, _) = left_of(ledger.reader(), whole, SkipScope::EveryRun, continues.as_ref()).unwrap();
    let run = ledger.begin(&description, continues.as_ref(), at(0)).unwrap();
    let batches: Vec<Batch> = plan.batches().collect();
    for batches in batches.chunks(BATCHES) {
        let mut sent = Facts::new();
        for &batch in batches {
            sent.extend(facts(&plan, batch));
            ledger.record(&plan, batch, 1);
        }
        server.write(&sent);
        ledger.commit(run, at(1)).unwrap();
        screen.write(&sent);
        std::io::stdout().write_all(&[COMMITTED]).unwrap();
        std::io::stdout().flush().unwrap();
    }
    ledger.finish(run, RunOutcome::Complete, &RowCounts::default(), at(100)).unwrap();
    ledger.compact(at(50), &bounds()).unwrap();
}

fn child(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ledger::kills::a_child_sends_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits for this many commits; false if the child ended before.
fn wait_for_commits(child: &mut Child, mut commits: u32) -> bool {
    let stdout = child.stdout.as_mut().unwrap();
    let mut byte = [0];
    while commits > 0 {
        if stdout.read(&mut byte).unwrap() == 0 {
            return false;
        }
        commits -= u32::from(byte[0] == COMMITTED);
    }
    true
}

#[test]
fn what_was_shown_as_done_survives_kills_and_is_never_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut kills = Vec::new();
    loop {
        let mut child = child(folder);
        let lives_on = wait_for_commits(&mut child, rand::random_range(0..8));
        for moment in 0..rand::random_range(0..400_000_u32) {
            black_box(moment);
        }
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            break;
        }
        assert!(lives_on, "the child failed by itself");
        kills.push((Log::read(folder, "server").len(), Log::read(folder, "screen")));
    }
    assert!(kills.len() > 5, "{} kills", kills.len());

    let server = Log::read(folder, "server");
    let state: Facts = server.iter().cloned().collect();
    assert_eq!(state, (0..INPUTS).flat_map(|input| all_facts(&plan(&rows(input), 3))).collect());
    let again = server.len() - state.len();
    assert!(
        again <= kills.len() * BATCHES * 3,
        "a kill costs a commit: {again} rows after {} kills",
        kills.len()
    );
    for (sent, shown) in kills {
        let later: BTreeSet<_> = server[sent..].iter().collect();
        assert!(shown.iter().all(|fact| !later.contains(fact)), "sent again, though it was shown as done");
    }
}
