//! The commands of a world, and its final check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use super::account::{Asked, Unknown, meaning};
use super::input::{self, BAD_VALUES, Expected, Input, Key, NULL};
use super::life::{REPORT, Reported};
use super::rules::{Job, Kind};
use super::screen::printed_command;
use super::world::{Mood, World};

/// What a run was about, for its undoing.
struct Undoable {
    run: String,
    before: BTreeMap<Key, Value>,
    edited: BTreeSet<Key>,
}

/// The most lives of a command; the last ones are calm.
const MOST_LIVES: u32 = 9;

impl World<'_> {
    pub(crate) fn command(&mut self) {
        match self.dice.random_range(0..100) {
            0..12 => self.edit(),
            12..24 => self.pull(Mood::Rough),
            24..40 => self.retry(),
            40..55 => self.saved_plan(),
            55..70 => self.undo(),
            _ => {
                let job = self.new_sync();
                self.repeat(&job, Mood::Rough);
                if self.dice.random_bool(0.3) {
                    self.repeat(&Job { only_changed: true, ..job }, Mood::Rough);
                }
            }
        }
    }

    /// Another program changes values.
    fn edit(&mut self) {
        for _ in 0..self.dice.random_range(1..20) {
            let user = self.dice.random_range(1..=self.population.known);
            let attribute = *["city", "country", "score", "gender"].choose(&mut self.dice).unwrap();
            let value = json!(input::value(&mut self.dice, attribute, user));
            let key = (self.population.ids.name(user), attribute.to_owned());
            self.server.account().set(key.clone(), value);
            self.edited.insert(key);
        }
    }

    fn new_input(&mut self) -> Input {
        self.inputs += 1;
        let name = format!("input-{}.csv", self.inputs);
        let directory = self.place.join("work");
        input::write(&mut self.dice, self.population, &directory, &name)
    }

    fn batch_size(&mut self) -> usize {
        *[1, 2, 5, 10, 50, 1000].choose(&mut self.dice).unwrap()
    }

    fn new_sync(&mut self) -> Job {
        let input = self.new_input();
        let only_changed = self.dice.random_bool(0.3);
        let batch_size = self.batch_size();
        let mut arguments = vec!["sync".to_owned(), input.name];
        arguments.extend(input.options);
        Job { kind: Kind::Sync, arguments, expected: input.expected, only_changed, batch_size }
    }

    fn pull(&mut self, mood: Mood) {
        let job = Job {
            kind: Kind::Pull,
            arguments: vec!["pull".to_owned()],
            expected: Expected::default(),
            only_changed: false,
            batch_size: 0,
        };
        self.repeat(&job, mood);
        self.edited.clear();
    }

    /// Sends the rows of the failures report again, by the command that the program printed.
    fn retry(&mut self) {
        let Some(mut arguments) = self.reported.take() else { return };
        let batch_size = self.batch_size();
        // The report changes with each life, and with it what the same command has to do.
        for life in 0..MOST_LIVES {
            let rows = self.report();
            let expected = expected_of(&rows);
            if expected.planned.is_empty() {
                return;
            }
            let job = Job {
                kind: Kind::Sync,
                arguments: arguments.clone(),
                expected,
                only_changed: false,
                batch_size,
            };
            let life = self.live(&job, Mood::of(life, Mood::Rough), false, &BTreeSet::new());
            if life.is_finished() || !self.broken.is_empty() {
                return;
            }
            if let Some(printed) = self.reported.take() {
                arguments = printed;
            }
        }
        self.broken.push("the rows of a failures report are never done".to_owned());
    }

    fn report(&self) -> Vec<Reported> {
        super::life::read_report(&self.place.join("work").join(REPORT)).unwrap_or_default()
    }

    fn saved_plan(&mut self) {
        let input = self.new_input();
        let only_changed = self.dice.random_bool(0.4);
        let batch_size = self.batch_size();
        let mut arguments = vec!["plan".to_owned(), input.name, "--save=plan".to_owned()];
        arguments.extend(input.options);
        arguments.extend([format!("--batch-size={batch_size}"), self.id_type()]);
        arguments.extend(only_changed.then(|| "--only-changed".to_owned()));
        let plan = self.place.join("work").join("plan");
        if plan.exists() {
            fs::remove_file(&plan).unwrap();
        }
        let (code, _, stderr) = self.ask(arguments);
        if code == 2 && stderr.contains("another run") {
            return;
        }
        if code > 1 {
            self.broken.push(format!("a plan is not saved: exit code {code}: {stderr}"));
            return;
        }
        let arguments = vec!["sync".to_owned(), "--plan=plan".to_owned()];
        let job = Job { kind: Kind::Saved, arguments, expected: input.expected, only_changed, batch_size };
        self.repeat(&job, Mood::Rough);
        self.reported = None;
    }

    /// A run that goes well, and the one that undoes it.
    fn undo(&mut self) {
        let job = self.new_sync();
        let before = self.server.account().values.clone();
        let edited = self.edited.clone();
        let Some(run) = self.repeat(&job, Mood::Mild).filter(|_| self.broken.is_empty()) else { return };
        let undoable = Undoable { run, before, edited };
        let path = self.place.join("work").join("undo.csv");
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        let arguments = ["undo", &undoable.run, "--null-token", NULL, "--output", "undo.csv"];
        let (code, _, stderr) = self.ask(arguments.map(str::to_owned).to_vec());
        if code != 0 {
            self.broken.push(format!("undo ends with {code}: {stderr}"));
            return;
        }
        let expected = self.check_undo(&undoable, &job, &path);
        if expected.planned.is_empty() {
            return;
        }
        let Some(arguments) = printed_command(&stderr, "undo.csv") else {
            self.broken.push(format!("undo says nothing of how to send its rows: {stderr}"));
            return;
        };
        let job = Job { kind: Kind::Sync, arguments, expected, only_changed: false, batch_size: 1000 };
        self.repeat(&job, Mood::Rough);
    }

    /// What undoes a run is what was there before it.
    fn check_undo(&mut self, run: &Undoable, job: &Job, path: &std::path::Path) -> Expected {
        let mut expected = Expected::default();
        for record in csv::Reader::from_path(path).unwrap().records() {
            let record = record.unwrap();
            let (key, text) = ((record[0].to_owned(), record[1].to_owned()), &record[2]);
            let value = if text == NULL { Value::Null } else { json!(text) };
            let was = run.before.get(&key).unwrap_or(&Value::Null);
            let exists = self.population.exists(&key.0);
            if exists && !run.edited.contains(&key) && meaning(&key.1, was) != meaning(&key.1, &value) {
                self.broken.push(format!("undoing {} sets {key:?} to {value}; it was {was}", run.run));
            }
            if !job.expected.planned.contains_key(&key) {
                self.broken
                    .push(format!("undoing {} sets {key:?}, which it had nothing to do with", run.run));
            }
            expected.read += 1;
            expected.planned.insert(key, value);
        }
        expected
    }

    /// Repeats a command until it is done. Returns the number of its run if one process was enough.
    fn repeat(&mut self, job: &Job, most: Mood) -> Option<String> {
        let mut done = BTreeSet::new();
        for number in 0..MOST_LIVES {
            let life = self.live(job, Mood::of(number, most), number == 0, &done);
            if !self.broken.is_empty() {
                return None;
            }
            let refused = life.code() == Some(3) && job.expected.planned.is_empty();
            if life.is_finished() || refused {
                let run = life.summary.as_ref().and_then(|summary| summary["run_id"].as_str());
                return run.map(str::to_owned).filter(|_| number == 0);
            }
            if std::mem::take(&mut self.is_done_by_rival) || (life.was_killed() && self.last_run_has_ended())
            {
                // Such a run is not continued.
                done.clear();
            } else if let (Some(_), Some(report)) = (&life.summary, &life.report)
                && !self.server.log(&life.key).is_empty()
                && job.kind != Kind::Pull
            {
                let reported: BTreeSet<Key> =
                    report.iter().map(|row| (row.user.clone(), row.attribute.clone())).collect();
                // A canary reads back what the account took without a word for users who don't exist, and it is sent again.
                let is_done = |key: &&Key| !reported.contains(*key) && self.population.exists(&key.0);
                done = job.expected.planned.keys().filter(is_done).cloned().collect();
            }
        }
        self.broken.push(format!("never done: {:?}", job.arguments));
        None
    }

    /// In good weather, all that can be sent is sent, and the ledger knows it.
    pub(crate) fn check_in_the_end(&mut self) {
        let job = Job { only_changed: false, ..self.new_sync() };
        let life = self.live(&job, Mood::Calm, true, &BTreeSet::new());
        let stuck = self.stuck(&job);
        let failed: BTreeSet<Key> =
            life.report.iter().flatten().filter(|row| row.fate == "failed").map(Reported::key).collect();
        if life.is_finished() && failed != stuck {
            let wrong: Vec<_> = failed.symmetric_difference(&stuck).collect();
            self.broken.push(format!("these should have failed, or did and should not have: {wrong:?}"));
        }
        let repeated = Job { only_changed: true, ..job };
        let life = self.live(&repeated, Mood::Calm, false, &BTreeSet::new());
        for request in self.server.log(&life.key) {
            if let Asked::Update { users, attribute, .. } = &request.asked
                && let Some(user) =
                    users.iter().find(|user| !stuck.contains(&((*user).clone(), attribute.clone())))
            {
                self.broken.push(format!("{attribute} of {user} is sent again, though nothing has changed"));
            }
        }
        self.pull(Mood::Calm);
        self.check_plan(&repeated);
    }

    /// After the account was read, a plan knows which values it holds and which users it doesn't have.
    fn check_plan(&mut self, job: &Job) {
        let mut arguments = job.arguments.clone();
        "plan".clone_into(&mut arguments[0]);
        arguments.extend(["--only-changed".to_owned(), "--format=json".to_owned(), self.id_type()]);
        let (code, stdout, stderr) = self.ask(arguments);
        let Ok(plan) = serde_json::from_str::<Value>(&stdout) else {
            self.broken.push(format!("a plan ends with {code}: {stderr}"));
            return;
        };
        let account = self.server.account();
        let (mut unchanged, mut missing, mut planned) = (0, 0, 0);
        for (key, value) in &job.expected.planned {
            let is_equal = meaning(&key.1, account.value(key)) == meaning(&key.1, value);
            let count = match (self.population.exists(&key.0), is_equal) {
                (false, _) => &mut missing,
                (true, true) => &mut unchanged,
                (true, false) => &mut planned,
            };
            *count += 1_u64;
        }
        let told = ["unchanged", "missing", "planned"].map(|fate| plan["rows"][fate].as_u64().unwrap());
        if told != [unchanged, missing, planned] {
            let wanted = [unchanged, missing, planned];
            self.broken.push(format!("unchanged, missing, planned are {told:?}, expected {wanted:?}"));
        }
    }

    /// What the account takes from nobody.
    fn stuck(&self, job: &Job) -> BTreeSet<Key> {
        let account = self.server.account();
        let is_stuck = |(user, attribute): &Key, value: &Value| {
            let is_stranger = account.unknown != Unknown::Ignored && !self.population.exists(user);
            let is_bad = value.as_str().is_some_and(|value| BAD_VALUES.contains(&(attribute, value)));
            is_stranger || is_bad || account.poison.contains(user)
        };
        let planned = job.expected.planned.iter();
        planned.filter(|(key, value)| is_stuck(key, value)).map(|(key, _)| key.clone()).collect()
    }
}

/// What a report is as an input.
fn expected_of(rows: &[Reported]) -> Expected {
    let mut expected = Expected { read: rows.len() as u64, ..Expected::default() };
    for row in rows {
        if row.fate == "invalid" {
            expected.invalid += 1;
        } else {
            let value = if row.value == NULL { Value::Null } else { json!(row.value) };
            expected.planned.insert(row.key(), value);
        }
    }
    expected
}
