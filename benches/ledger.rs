//! What the ledger costs: `cargo bench --bench ledger -- 100000000`, with the number of facts, 10 million by default.
//!
//! Every fact is acknowledged once, in batches of a thousand, and merged; then the same input is planned again without
//! the ledger and with it, where one row in a hundred has changed. Users are dense, each with ten attributes.
//!
//! Then the same facts are read from an account instead of sent, and the input is compared with what was read.
//!
//! With the address of a PostgreSQL database as well, all of it is done there, too, and compared with the file:
//! `cargo bench --bench ledger -- 1000000 postgres://user@host/database`. It has to be empty.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use attrsync::clock;
use attrsync::input::{self, IdType, ReadOptions, Source};
use attrsync::ledger::{
    Fingerprint, KnownAttribute, Ledger, LedgerError, LedgerLocation, LedgerReader, PullRecorder, RowCounts,
    RunDescription, RunOutcome, SkipScope, TargetKey,
};
use attrsync::plan::{Builder, Compare, OnConflict, Plan, SentValue, User};
use attrsync::spill::Resources;

/// Attributes, and how many values each has.
const ATTRIBUTES: [(&str, u64); 10] = [
    ("city", 5_000),
    ("company_id", 20_000),
    ("country", 200),
    ("first_name", 1_000),
    ("gender", 3),
    ("last_name", 2_000),
    ("region", 300),
    ("score", 100),
    ("status", 2),
    ("timezone", 40),
];

/// Batches of a commit.
const BATCHES: usize = 100;

/// Users of a page.
const PAGE: u64 = 100;

/// Users of a commit.
const CHUNK: usize = 10_000;

fn main() {
    let facts = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10_000_000);
    let folder = tempfile::tempdir().expect("there is room");
    let (input, ledger) = (folder.path().join("input.csv"), folder.path().join("ledger"));
    generate(&input, facts, 0);
    let filled = fill(&ledger.clone().into(), &plan(&input));
    let size = fs::metadata(&ledger).expect("it was just made").len();
    say("file, bytes a fact", per(size, facts));

    generate(&input, facts, 100);
    forget_peak();
    let (without, whole) = timed(|| plan(&input));
    let peak = peak();
    say("planning without, seconds", without.as_secs_f64());
    forget_peak();
    let (with, (left, unchanged)) = timed(|| less_known(&ledger.clone().into(), whole, Compare::No));
    say("what the ledger adds, seconds", with.as_secs_f64());
    say("what the ledger adds, percent", with.as_secs_f64() / without.as_secs_f64() * 100.0);
    say("memory at most, bytes a fact", per(self::peak(), facts));
    say("memory at most without, bytes a fact", per(peak, facts));
    say("facts left to send, millions", per(left.rows(), 1_000_000));
    assert_eq!(left.rows() + unchanged, facts);
    drop(left);

    let read = folder.path().join("read");
    let pulled = read_account(&read.clone().into(), facts / 10);
    let size = fs::metadata(&read).expect("it was just made").len();
    say("file after a reading, bytes a fact", per(size, facts));
    let whole = plan(&input);
    let (compared, (left, unchanged)) = timed(|| less_known(&read.into(), whole, Compare::Yes));
    say("what comparing adds, percent", compared.as_secs_f64() / without.as_secs_f64() * 100.0);
    assert_eq!(left.rows() + unchanged, facts);
    drop(left);

    let address = std::env::args().find(|argument| argument.starts_with("postgres"));
    let Some(address) = address else { return };
    let in_schema = |name: &str| {
        let separator = if address.contains('?') { '&' } else { '?' };
        LedgerLocation::of_database(&format!("{address}{separator}schema={name}"), None)
            .expect("it is an address")
    };
    let times = |what: &str, database: Duration, file: Duration| {
        say(&format!("{what}, times a file's"), database.as_secs_f64() / file.as_secs_f64());
    };
    let database = in_schema("bench_sent");
    generate(&input, facts, 0);
    let in_database = fill(&database, &plan(&input));
    generate(&input, facts, 100);
    let whole = plan(&input);
    let (known, _) = timed(|| less_known(&database, whole, Compare::No));
    times("recording", in_database.recording, filled.recording);
    times("compacting", in_database.compacting, filled.compacting);
    times("what the ledger adds", known, with);
    let database = in_schema("bench_read");
    let in_database = read_account(&database, facts / 10);
    let whole = plan(&input);
    let (known, _) = timed(|| less_known(&database, whole, Compare::Yes));
    times("recording a reading", in_database.recording, pulled.recording);
    times("compacting a reading", in_database.compacting, pulled.compacting);
    times("comparing", known, compared);
}

/// How long it took to fill a ledger.
struct Filled {
    recording: Duration,
    compacting: Duration,
}

/// Records the facts as read from an account, and compacts the ledger.
fn read_account(location: &LedgerLocation, users: u64) -> Filled {
    let ledger = Ledger::open(location, &target(), clock::utc_now()).expect("there is room");
    let (reading, recorder) = timed(|| {
        let mut recorder = PullRecorder::begin(ledger, false, None, clock::utc_now()).expect("there is room");
        for user in 1..=users {
            let values = (1..).zip(ATTRIBUTES).map(|(place, (attribute, values))| {
                (attribute, SentValue::Text(value_of(user, place, values, false).to_string().into()))
            });
            recorder.add(User::Id(user), false, values);
            if user.is_multiple_of(PAGE) {
                recorder.end_page(Some(user.to_string()));
            }
            if recorder.pending() == CHUNK {
                recorder.commit(clock::utc_now()).expect("there is room");
            }
        }
        recorder.end_page(None);
        recorder
    });
    say("users recorded, thousands a second", per(users, 1000) / reading.as_secs_f64());
    let mut ledger = recorder.finish(RunOutcome::Complete, clock::utc_now()).expect("there is room");
    let (compacting, ()) =
        timed(|| ledger.compact(clock::utc_now(), &Resources::default()).expect("there is room"));
    say("compacting, seconds", compacting.as_secs_f64());
    Filled { recording: reading, compacting }
}

fn generate(path: &Path, facts: u64, change_one_in: u64) {
    let mut file = BufWriter::new(File::create(path).expect("there is room"));
    writeln!(file, "user_id,attribute,value").expect("there is room");
    for user in 1..=facts / 10 {
        for (place, (attribute, values)) in (1..).zip(ATTRIBUTES) {
            let changed = change_one_in > 0 && (user + place) % change_one_in == 0;
            let value = value_of(user, place, values, changed);
            writeln!(file, "{user},{attribute},{value}").expect("there is room");
        }
    }
}

/// The value of the attribute at this place, one of `values`.
fn value_of(user: u64, place: u64, values: u64, changed: bool) -> u64 {
    let random = (user * 31 + place).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    (random + u64::from(changed)) % values + 1
}

fn plan(path: &Path) -> Plan {
    let options = ReadOptions { resources: resources(), ..ReadOptions::default() };
    let builder = Builder::new(OnConflict::Last).resources(&resources());
    let source = Source::File(path.to_owned());
    let reading = input::read(&[source], &options, builder).expect("the file is well formed");
    assert_eq!(reading.counts.invalid, 0);
    reading.sink.finish(reading.dictionary, NonZeroU32::new(1000).expect("not 0")).expect("memory is enough")
}

/// All threads and any amount of memory.
fn resources() -> Resources {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Resources { threads, ..Resources::default() }
}

fn fill(location: &LedgerLocation, plan: &Plan) -> Filled {
    let mut ledger = Ledger::open(location, &target(), clock::utc_now()).expect("there is room");
    let inputs = vec!["input.csv".to_owned()];
    let description =
        RunDescription { fingerprint: Fingerprint::default(), inputs, content: plan.fingerprint() };
    let run = ledger.begin(&description, None, clock::utc_now()).expect("there is room");
    let batches: Vec<_> = plan.batches().collect();
    let (recording, ()) = timed(|| {
        for batches in batches.chunks(BATCHES) {
            for &batch in batches {
                ledger.record(plan, batch, 1);
            }
            ledger.commit(run, clock::utc_now()).expect("there is room");
        }
    });
    say("batches recorded, thousands a second", per(batches.len() as u64, 1000) / recording.as_secs_f64());
    ledger.finish(run, RunOutcome::Complete, &RowCounts::default(), clock::utc_now()).expect("there is room");
    if let Some(file) = location.path().and_then(|path| fs::metadata(path).ok()) {
        say("file before it is compacted, bytes a fact", per(file.len(), plan.rows()));
    }
    let (compacting, ()) =
        timed(|| ledger.compact(clock::utc_now(), &Resources::default()).expect("there is room"));
    say("compacting, seconds", compacting.as_secs_f64());
    Filled { recording, compacting }
}

fn less_known(location: &LedgerLocation, whole: Plan, compare: Compare) -> (Plan, u64) {
    let reader = LedgerReader::open(location).expect("it was just made");
    let known = reader
        .known_values(&target(), &whole.fingerprint(), SkipScope::EveryRun, compare, None)
        .expect("it is intact");
    let (left, _, spared) = whole
        .skip_known::<_, LedgerError>(
            &resources(),
            compare,
            |attribute| Ok(known.of(&attribute.name)),
            KnownAttribute::replay,
        )
        .expect("it is intact");
    (left, spared.total().unchanged)
}

fn target() -> TargetKey {
    TargetKey { base_url: "https://acme.user.com/api/public/".to_owned(), id_type: IdType::Id }
}

fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let begun = clock::monotonic_now();
    let result = run();
    (begun.elapsed(), result)
}

/// The most memory that the process had since it was last forgotten, in bytes; 0 where the system doesn't tell.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

fn forget_peak() {
    // Where the system doesn't know how, the peak is that of the whole run.
    fs::write("/proc/self/clear_refs", "5").unwrap_or_default();
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per(count: u64, unit: u64) -> f64 {
    count as f64 / unit as f64
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn say(what: &str, figure: f64) {
    println!("{what:42} {figure:9.2}");
}
