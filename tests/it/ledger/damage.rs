//! Ledgers that were cut or rotted: they are refused, or read exactly.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use attrsync::ledger::{LedgerError, LedgerReader, RunOutcome, SkipScope};
use attrsync::plan::User;

use super::world::{Changes, Facts, Resume, all_facts, at, begin, bounds, left_of, plan, row, some};

const FILES: [&str; 3] = ["l", "l-wal", "l-lock"];

type Rows = Vec<(u64, String, String)>;

fn rows(salt: u64) -> Rows {
    let value = |user: u64| match (user + salt) % 3 {
        0 => "Oslo",
        1 => "Rome",
        _ => "-",
    };
    (1..=300)
        .flat_map(|user| [row(user, "city", value(user / 2)), row(user * 5000, "zone", value(user))])
        .collect()
}

/// A ledger with something in each table, and something that is in the `-wal` file alone, as a kill leaves it.
fn ledger() -> BTreeMap<&'static str, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    let mut server = Facts::new();
    let mut run = begin(&path.clone().into(), &rows(0), Changes::All, Resume::Yes, at(1)).unwrap();
    run.send_all(&mut server, at(1));
    run.finish(RunOutcome::Complete, at(2)).compact(at(0), &bounds()).unwrap();
    let mut run = begin(&path.clone().into(), &rows(1), Changes::Only, Resume::Yes, at(3)).unwrap();
    for half in 0..2 {
        let batches = some(&run.plan, |place| place % 20 == half);
        run.send(batches, &mut server, at(4));
    }
    FILES.into_iter().map(|name| (name, fs::read(folder.path().join(name)).unwrap())).collect()
}

/// All that a ledger says.
fn read(path: &Path) -> Result<Vec<String>, LedgerError> {
    let reader = LedgerReader::open(&path.into())?;
    let mut all = vec![format!("{:?}", reader.runs()?)];
    for salt in 0..2 {
        let whole = plan(&rows(salt), 3);
        let unfinished = reader.unfinished(&super::world::target(), &super::world::description(&whole))?;
        let (left, spared) = left_of(&reader, whole, SkipScope::EveryRun, unfinished.as_ref())?;
        all.push(format!("{unfinished:?} {spared:?} {:?}", all_facts(&left)));
    }
    for run in reader.runs()? {
        all.push(format!("{:?}", reader.sent_rows(run.run)?));
    }
    for user in [1, 300, 5000] {
        all.push(format!("{:?}", reader.user(&User::Id(user))?));
    }
    Ok(all)
}

struct Copies {
    folder: tempfile::TempDir,
    files: BTreeMap<&'static str, Vec<u8>>,
    expected: Vec<String>,
    refused: u32,
    exact: u32,
}

impl Copies {
    fn new() -> Self {
        let (folder, files) = (tempfile::tempdir().unwrap(), ledger());
        let mut copies = Self { folder, files, expected: Vec::new(), refused: 0, exact: 0 };
        copies.expected = read(&copies.copy("l", |_| ())).unwrap();
        copies
    }

    fn copy(&self, damaged: &str, damage: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
        let mut files = self.files.clone();
        damage(files.get_mut(damaged).unwrap());
        for (name, bytes) in files {
            fs::write(self.folder.path().join(name), bytes).unwrap();
        }
        for stale in ["l-shm"] {
            if let Err(error) = fs::remove_file(self.folder.path().join(stale)) {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            }
        }
        self.folder.path().join("l")
    }

    /// Checks that a ledger with this damage is refused, or else read exactly.
    #[track_caller]
    fn check(&mut self, damaged: &str, at: usize, damage: impl FnOnce(&mut Vec<u8>)) {
        match read(&self.copy(damaged, damage)) {
            Ok(read) => {
                assert_eq!(read, self.expected, "`{damaged}` is misread, damaged at {at}");
                self.exact += 1;
            }
            Err(error) => {
                assert!(!error.hint().is_empty());
                self.refused += 1;
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_or_does_no_harm() {
    let mut copies = Copies::new();
    for (name, step) in [("l", 149), ("l-wal", 89), ("l-lock", 3)] {
        for at in (0..copies.files[name].len()).step_by(step) {
            copies.check(name, at, |bytes| bytes[at] ^= 1 << (at % 8));
        }
    }
    for at in (0..100).step_by(3) {
        copies.check("l", at, |bytes| bytes[at] ^= 1 << (at * 3 % 8));
        copies.check("l-wal", at, |bytes| bytes[at] ^= 1 << (at * 3 % 8));
    }
    assert!(copies.refused > 200, "{} refused, {} exact", copies.refused, copies.exact);
}

#[test]
fn a_ledger_that_was_cut_is_refused() {
    let mut copies = Copies::new();
    for (name, step) in [("l", 1021), ("l-wal", 509), ("l-lock", 7)] {
        for at in (0..copies.files[name].len()).step_by(step) {
            copies.check(name, at, |bytes| bytes.truncate(at));
        }
    }
    assert!(copies.refused > 30, "{} refused, {} exact", copies.refused, copies.exact);
}

#[test]
fn a_ledger_without_its_newest_records_is_refused() {
    let copies = Copies::new();
    let path = copies.copy("l", |_| ());
    fs::remove_file(copies.folder.path().join("l-wal")).unwrap();
    let error = read(&path).unwrap_err();
    assert!(error.to_string().ends_with("is damaged: it has lost what it recorded last"), "{error}");
    assert!(error.hint().contains("--no-ledger"), "{}", error.hint());
}
