//! An account, a ledger and a sequence of commands, all chosen by a seed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::account::{Account, Asked, Unknown, meaning};
use super::input::{self, Ids, Key, Population};
use super::life::{Hit, Life, REPORT, SUMMARY, Start, When};
use super::postgres::Cluster;
use super::rules::{Evidence, Job, Kind, Settings, asks_for_long_pause};
use super::screen::printed_command;
use super::server::{Request, Server};
use super::weather::{Outage, Weather};

/// Where the ledger is.
#[derive(Clone, Copy)]
pub(crate) enum Store<'a> {
    File,
    Postgres(&'a Cluster),
}

/// How rough a life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mood {
    Calm,
    Mild,
    Rough,
}

pub(crate) struct World<'a> {
    seed: u64,
    pub(super) dice: StdRng,
    store: Store<'a>,
    ledger: String,
    pub(super) server: Server,
    pub(super) population: Population,
    /// Holds the directory in which the program runs, and what it prints.
    pub(super) place: PathBuf,
    pub(super) lives: u32,
    pub(super) inputs: u32,
    /// What others have changed since it was sent or read.
    pub(super) edited: BTreeSet<Key>,
    /// A second run did to its end what the first one was begun for.
    pub(super) is_done_by_rival: bool,
    /// The quota in the database has a name with this number.
    quota: u32,
    /// A process was asked for a long pause, so that the quota is paused.
    quota_is_paused: bool,
    /// The printed command that sends the rows of the last report again.
    pub(super) reported: Option<Vec<String>>,
    pub(super) broken: Vec<String>,
}

impl<'a> World<'a> {
    pub(crate) fn new(seed: u64, store: Store<'a>, place: PathBuf) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let ids = *[Ids::Numbers, Ids::Numbers, Ids::Custom].choose(&mut dice).unwrap();
        let population =
            Population { ids, known: dice.random_range(20..150), unknown: dice.random_range(0..12) };
        let mut account = Account::new(population);
        account.unknown = *[Unknown::Named, Unknown::Unnamed, Unknown::NotFound, Unknown::Ignored]
            .choose(&mut dice)
            .unwrap();
        if dice.random_bool(0.3) {
            let users = (1..=population.known).sample(&mut dice, 2);
            account.poison = users.into_iter().map(|user| ids.name(user)).collect();
        }
        if dice.random_bool(0.15) {
            account.most_ids = dice.random_range(1..20);
        }
        account.page_size = dice.random_range(3..40);
        account.overlap = dice.random_range(0..3);
        for user in 1..=population.known {
            for attribute in ["city", "country", "score", "gender", "unsubscribed"] {
                if dice.random_bool(0.3) {
                    let value = input::value(&mut dice, attribute, user);
                    account.set((ids.name(user), attribute.to_owned()), json!(value));
                }
            }
        }
        for directory in ["work", "prints", "temporary"] {
            fs::create_dir_all(place.join(directory)).unwrap();
        }
        let ledger = match store {
            Store::File => "attrsync.ledger".to_owned(),
            Store::Postgres(cluster) => cluster.ledger(&mut dice, seed),
        };
        let server = Server::start(account, dice.random());
        Self {
            seed,
            dice,
            store,
            ledger,
            server,
            population,
            place,
            lives: 0,
            inputs: 0,
            edited: BTreeSet::new(),
            is_done_by_rival: false,
            quota: 0,
            quota_is_paused: false,
            reported: None,
            broken: Vec::new(),
        }
    }

    /// Runs this number of commands, and the final check. Returns the number of lives, or what was broken.
    pub(crate) fn run(mut self, commands: u32) -> Result<u32, Vec<String>> {
        for _ in 0..commands {
            self.command();
            if !self.broken.is_empty() {
                return Err(self.broken);
            }
        }
        self.check_in_the_end();
        if self.broken.is_empty() { Ok(self.lives) } else { Err(self.broken) }
    }

    pub(super) fn id_type(&self) -> String {
        format!("--id-type={}", self.population.ids.option())
    }

    /// One process, and what it is judged by.
    pub(super) fn live(&mut self, job: &Job, mood: Mood, is_first: bool, done: &BTreeSet<Key>) -> Life {
        let weather = match mood {
            Mood::Calm => Weather::calm(),
            Mood::Mild => Weather::any(&mut self.dice, true),
            Mood::Rough => Weather::any(&mut self.dice, false),
        };
        let settings = self.settings(job, mood, &weather);
        // A pause is for all who share the quota. Sometimes another process learns of it, and in the end nobody waits for it.
        if self.quota_is_paused && (mood == Mood::Calm || self.dice.random_bool(0.5)) {
            self.quota += 1;
            self.quota_is_paused = false;
        }
        let hit = (mood == Mood::Rough && self.dice.random_bool(0.6)).then(|| self.hit());
        let away = match self.store {
            Store::Postgres(cluster) if mood == Mood::Rough && self.dice.random_bool(0.08) => Some(cluster),
            _ => None,
        };
        let mut arguments = job.arguments.clone();
        arguments.extend(self.arguments(job, &settings));
        let rival =
            (mood == Mood::Rough && job.kind == Kind::Sync && self.dice.random_bool(0.1)).then(|| {
                let mut arguments = arguments.clone();
                arguments.extend(["--failures=rival.csv".to_owned(), "--summary=rival.json".to_owned()]);
                self.start(arguments)
            });
        self.server.change_weather(weather.clone());
        let began = Instant::now();
        let start = self.start(arguments);
        let is_over = AtomicBool::new(false);
        let (life, rival) = std::thread::scope(|scope| {
            let pause = Duration::from_millis(self.dice.random_range(0..400));
            let length = Duration::from_millis(self.dice.random_range(0..2000));
            if let Some(cluster) = away {
                scope.spawn(move || cluster.disappear(pause, length));
            }
            let server = &self.server;
            let rival = rival.map(|rival| {
                let key = rival.key.clone();
                let run = scope.spawn(|| {
                    while server.requests() == 0 && !is_over.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    let started = !is_over.load(Ordering::SeqCst);
                    started.then(move || rival.ask().0)
                });
                (key, run)
            });
            let life = start.run(server, hit);
            is_over.store(true, Ordering::SeqCst);
            (life, rival.map(|(key, run)| (key, run.join().unwrap())))
        });
        let log = self.server.log(&life.key);
        let account = self.server.account();
        let evidence = Evidence {
            job,
            settings: &settings,
            weather: &weather,
            life: &life,
            log: &log,
            account: &account,
            edited: if job.only_changed { &self.edited } else { const { &BTreeSet::new() } },
            is_first: is_first && job.kind != Kind::Pull && job.arguments[1] != REPORT,
            ledger_was_away: away.is_some(),
            quota_is_paused: self.quota_is_paused,
        };
        let mut broken = evidence.judge().0;
        drop(account);
        if matches!(self.store, Store::Postgres(_)) {
            let of_rival = rival.as_ref().map_or_else(Vec::new, |(key, _)| self.server.log(key));
            self.quota_is_paused |= log.iter().chain(&of_rival).any(asks_for_long_pause);
        }
        for request in &log {
            let Asked::Update { users, attribute, .. } = &request.asked else { continue };
            for user in users {
                let key = (user.clone(), attribute.clone());
                if done.contains(&key) {
                    broken.push(format!("{key:?} is sent again, though the run before was done with it"));
                }
                if request.acknowledges() {
                    self.edited.remove(&key);
                }
            }
        }
        if let Some((key, code)) = rival {
            self.is_done_by_rival |= matches!(code, Some(0 | 1));
            broken.extend(self.check_rival(&key, code, &log));
        }
        broken.extend(self.check_files(&life));
        broken.extend(self.check_history());
        if job.kind == Kind::Sync && life.report.as_ref().is_some_and(|report| !report.is_empty()) {
            self.reported = printed_command(&life.stderr, REPORT).or_else(|| self.reported.take());
        }
        let line = format!(
            "{} {:?} {:?} hit {:?} code {:?} {} requests {:?}\n   weather {weather:?}\n   {settings:?}\n",
            self.lives,
            began.elapsed(),
            life.arguments,
            life.hit,
            life.code(),
            log.len(),
            life.summary.as_ref().map(|summary| summary["rows"].to_string()),
        );
        self.note(&line);
        if !broken.is_empty() {
            let requests: Vec<String> = log.iter().map(|request| format!("{request:?}\n")).collect();
            self.note(&format!("BROKEN {broken:#?}\n{}\n{}", life.stderr, requests.concat()));
        }
        self.broken.extend(broken);
        life
    }

    fn note(&self, text: &str) {
        use std::io::Write as _;
        let mut file =
            fs::OpenOptions::new().create(true).append(true).open(self.place.join("notes")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn settings(&mut self, job: &Job, mood: Mood, weather: &Weather) -> Settings {
        let waits =
            weather.stalls > 0.0 || weather.outage.as_ref().is_some_and(|(_, kind)| *kind == Outage::Silent);
        let impatient = waits || matches!(self.store, Store::Postgres(_));
        let timeout = if impatient { 1 } else { 30 };
        Settings {
            rate: *[80, 300, 1000, 3000].choose(&mut self.dice).unwrap(),
            concurrency: self.dice.random_range(1..=16),
            max_attempts: self.dice.random_range(1..=5),
            timeout: Duration::from_secs(timeout),
            canary: mood > Mood::Calm && job.kind != Kind::Pull && self.dice.random_bool(0.15),
            memory: [None, None, Some("16MB")].choose(&mut self.dice).copied().unwrap(),
        }
    }

    fn arguments(&mut self, job: &Job, settings: &Settings) -> Vec<String> {
        // On a busy machine, a database may take seconds to answer.
        let max_outage = if matches!(self.store, Store::Postgres(_)) { 12 } else { 3 };
        let mut arguments = vec![
            format!("--rate={}/s", settings.rate),
            format!("--timeout={}s", settings.timeout.as_secs()),
            "--retry-initial-delay=3ms".to_owned(),
            "--retry-max-delay=60ms".to_owned(),
            format!("--max-outage={max_outage}s"),
            format!("--temp-dir={}", self.place.join("temporary").display()),
        ];
        if matches!(self.store, Store::Postgres(_)) {
            arguments.push(format!("--quota=torture-{}-{}", self.seed, self.quota));
        }
        arguments.extend(settings.memory.map(|memory| format!("--memory={memory}")));
        if job.kind != Kind::Saved {
            arguments.push(self.id_type());
        }
        if job.kind != Kind::Pull {
            arguments.push(format!("--concurrency={}", settings.concurrency));
            arguments.push(format!("--max-attempts={}", settings.max_attempts));
            arguments.push(format!("--summary={SUMMARY}"));
            arguments.extend(settings.canary.then(|| "--canary=3".to_owned()));
        }
        if job.kind == Kind::Sync {
            arguments.push(format!("--batch-size={}", job.batch_size));
            arguments.extend(job.only_changed.then(|| "--only-changed".to_owned()));
        }
        arguments.extend(self.dice.random_bool(0.2).then(|| "-vv".to_owned()));
        arguments
    }

    fn hit(&mut self) -> (When, Hit) {
        let dice = &mut self.dice;
        let when = if dice.random_bool(0.6) {
            When::Requests(dice.random_range(0..80))
        } else {
            When::After(Duration::from_millis(dice.random_range(0..500)))
        };
        let signal = *[Signal::INT, Signal::TERM, Signal::HUP].choose(dice).unwrap();
        let hit = match dice.random_range(0..10) {
            0..5 => Hit::Kill,
            5..8 => Hit::Signal(signal),
            8 => Hit::Signals(signal, Duration::from_millis(dice.random_range(0..300))),
            _ => Hit::Freeze(Duration::from_millis(dice.random_range(1..1500))),
        };
        (when, hit)
    }

    fn start(&mut self, arguments: Vec<String>) -> Start {
        self.lives += 1;
        let key = format!("{:032}{:032}", self.seed, self.lives);
        Start {
            directory: self.place.join("work"),
            arguments,
            key,
            base_url: self.server.base_url(),
            ledger: self.ledger.clone(),
            prints: self.place.join("prints"),
            number: self.lives,
        }
    }

    /// Runs a command that sends nothing.
    pub(super) fn ask(&mut self, arguments: Vec<String>) -> (i32, String, String) {
        self.server.change_weather(Weather::calm());
        let start = self.start(arguments);
        let mut answer = start.ask();
        // A database that was away may take a moment longer to be found.
        for _ in 0..100 {
            if answer.0 != 4 {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
            answer = start.ask();
        }
        self.lives -= 1;
        answer
    }

    /// Of two runs at a time the second sends nothing, unless the first one has ended.
    fn check_rival(&self, key: &str, code: Option<i32>, log: &[Request]) -> Option<String> {
        let sent = self.server.log(key);
        let overlaps = sent.first().zip(log.last()).is_some_and(|(first, last)| first.at < last.at);
        let refused = code == Some(2);
        (overlaps || refused && !sent.is_empty())
            .then(|| format!("a second run ended with {code:?} and sent {} requests meanwhile", sent.len()))
    }

    /// The key is nowhere, and nothing is left behind.
    fn check_files(&self, life: &Life) -> Vec<String> {
        let mut broken = Vec::new();
        for folder in ["work", "prints"] {
            for entry in fs::read_dir(self.place.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let bytes = fs::read(&path).unwrap();
                let finder = memchr::memmem::Finder::new(life.key.as_bytes());
                if finder.find(&bytes).is_some() {
                    broken.push(format!("the key is in {}", path.display()));
                }
            }
        }
        if !life.was_killed() && fs::read_dir(self.place.join("temporary")).unwrap().next().is_some() {
            broken.push("temporary files are left behind".to_owned());
        }
        broken
    }

    /// What the ledger says the account holds, it holds.
    /// Whether the ledger says that the last run did all it could, though its process may have been killed before it said so.
    pub(super) fn last_run_has_ended(&mut self) -> bool {
        let (_, stdout, _) = self.ask(["history", "--format=json"].map(str::to_owned).to_vec());
        let history: Option<Value> = serde_json::from_str(&stdout).ok();
        let outcome = history.as_ref().and_then(|history| history["runs"][0]["outcome"].as_str());
        matches!(outcome, Some("complete" | "incomplete"))
    }

    fn check_history(&mut self) -> Vec<String> {
        let user = self.dice.random_range(1..=self.population.known);
        let user = self.population.ids.name(user);
        let id_type = self.id_type();
        let arguments = ["history", "user", &user, &id_type, "--format=json"];
        let (code, stdout, stderr) = self.ask(arguments.map(str::to_owned).to_vec());
        if code == 2 && stderr.contains("there is no ledger") {
            return Vec::new();
        }
        let Ok(answer) = serde_json::from_str::<Value>(&stdout) else {
            return vec![format!("history ends with {code}: {stderr}")];
        };
        let mut broken = Vec::new();
        for fact in answer["facts"].as_array().unwrap() {
            let key = (user.clone(), fact["attribute"].as_str().unwrap().to_owned());
            if fact["standing"] != "held" || self.edited.contains(&key) {
                continue;
            }
            let account = self.server.account();
            let holds = account.value(&key);
            if meaning(&key.1, holds) != meaning(&key.1, &fact["value"]) {
                broken.push(format!("{key:?}: the ledger says {fact}, the account has {holds}"));
            }
        }
        broken
    }
}

impl Mood {
    /// The mood of a command's life of this number.
    pub(super) fn of(number: u32, most: Self) -> Self {
        match number {
            0..4 => most,
            4..6 => most.min(Self::Mild),
            _ => Self::Calm,
        }
    }
}
