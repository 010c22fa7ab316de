//! A server that is a map, and runs that send to it.

#![expect(clippy::unwrap_used, reason = "these are tests' own steps: what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroUsize};

use attrsync::input::{Attribute, Dictionary, IdType, ReadOptions, Row, Sink, Vocabulary};
use attrsync::ledger::{
    Fingerprint, INPUTS, KnownAttribute, Ledger, LedgerError, LedgerLocation, LedgerReader, RowCounts,
    RunDescription, RunId, RunOutcome, SkipScope, TargetKey, UnfinishedRun,
};
use attrsync::plan::{Batch, Builder, Compare, KnownRows, OnConflict, Plan};
use attrsync::spill::Resources;
use jiff::Timestamp;

/// As much memory as it takes, and two threads.
pub(super) fn bounds() -> Resources {
    Resources { threads: TWO, ..Resources::default() }
}

/// Hardly any memory.
pub(super) fn tight() -> Resources {
    Resources { memory: 2000, ..bounds() }
}

/// By attribute and user.
pub(super) type Facts = BTreeMap<(String, String), String>;

pub(super) fn target() -> TargetKey {
    TargetKey { base_url: "https://acme.user.com/api/public/".to_owned(), id_type: IdType::Id }
}

/// Seconds after some moment.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(super) fn row(user: u64, attribute: &str, value: &str) -> (u64, String, String) {
    (user, attribute.to_owned(), value.to_owned())
}

/// The plan for rows; `-` clears the attribute.
pub(super) fn plan(rows: &[(u64, String, String)], batch_size: u32) -> Plan {
    let options = ReadOptions {
        vocabulary: Vocabulary::Custom,
        null_token: Some("-".to_owned()),
        ..ReadOptions::default()
    };
    let mut dictionary = Dictionary::new(&options);
    let mut builder = Builder::new(OnConflict::Last);
    for (user, attribute, value) in rows {
        let attribute = dictionary.attribute_id(attribute).unwrap();
        let value = dictionary.intern(attribute, value);
        builder.accept(Row { user: *user, attribute, value });
    }
    builder.finish(dictionary, NonZeroU32::new(batch_size).unwrap()).unwrap()
}

/// What a batch makes the server hold.
pub(super) fn facts(plan: &Plan, batch: Batch) -> impl Iterator<Item = ((String, String), String)> {
    let attribute = plan.attribute(batch.group).name.clone();
    let value = plan.sent_value(batch.group).to_string();
    plan.users(batch).map(move |user| ((attribute.clone(), user.to_string()), value.clone()))
}

pub(super) fn all_facts(plan: &Plan) -> Facts {
    plan.batches().flat_map(|batch| facts(plan, batch)).collect()
}

/// Of a command that reads these.
pub(super) fn of_inputs(names: &[&str]) -> Fingerprint {
    Fingerprint::of([(INPUTS, Some(names.join(" ")))])
}

pub(super) fn description(plan: &Plan) -> RunDescription {
    RunDescription {
        fingerprint: of_inputs(&["users.csv"]),
        inputs: vec!["users.csv".to_owned()],
        content: plan.fingerprint(),
    }
}

/// A run that has been planned, less what the ledger spares it.
pub(super) struct Begun {
    pub(super) ledger: Ledger,
    pub(super) run: RunId,
    pub(super) plan: Plan,
    pub(super) spared: KnownRows,
    pub(super) continues: Option<UnfinishedRun>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changes {
    All,
    Only,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    Yes,
    No,
}

/// This many threads take what is known out of a plan.
pub(super) const TWO: NonZeroUsize = NonZeroUsize::new(2).expect("2 is not 0");

/// What the ledger leaves of a plan.
pub(super) fn left_of(
    reader: &LedgerReader,
    plan: Plan,
    scope: SkipScope,
    continues: Option<&UnfinishedRun>,
) -> Result<(Plan, KnownRows), LedgerError> {
    let known = reader.known_values(&target(), &plan.fingerprint(), scope, Compare::No, continues)?;
    let known = |attribute: &Attribute| Ok(known.of(&attribute.name));
    let (plan, _, found) = plan.skip_known(&tight(), Compare::No, known, KnownAttribute::replay)?;
    Ok((plan, found.total()))
}

/// Begins a run as the program does.
pub(super) fn begin(
    path: &LedgerLocation,
    rows: &[(u64, String, String)],
    changes: Changes,
    resume: Resume,
    now: Timestamp,
) -> Result<Begun, LedgerError> {
    let mut ledger = Ledger::open(path, &target(), now)?;
    let whole = plan(rows, 3);
    let description = description(&whole);
    let continues = match resume {
        Resume::Yes => ledger.reader().unfinished(&target(), &description)?,
        Resume::No => None,
    };
    let scope = match changes {
        Changes::All => SkipScope::ContinuedRun,
        Changes::Only => SkipScope::EveryRun,
    };
    let (plan, spared) = left_of(ledger.reader(), whole, scope, continues.as_ref())?;
    let run = ledger.begin(&description, continues.as_ref(), now)?;
    Ok(Begun { ledger, run, plan, spared, continues })
}

impl Begun {
    /// Sends these batches and records them in one commit.
    pub(super) fn send(
        &mut self,
        batches: impl IntoIterator<Item = Batch>,
        server: &mut Facts,
        now: Timestamp,
    ) {
        for batch in batches {
            server.extend(facts(&self.plan, batch));
            self.ledger.record(&self.plan, batch, 1);
        }
        self.ledger.commit(self.run, now).unwrap();
    }

    /// Sends these batches, and loses what the API answers, if it ever took them: those in `applied` it did.
    pub(super) fn lose(&mut self, batches: &[Batch], applied: impl Fn(usize) -> bool, server: &mut Facts) {
        for (_, batch) in batches.iter().enumerate().filter(|(place, _)| applied(*place)) {
            server.extend(facts(&self.plan, *batch));
        }
    }

    /// Takes down that these batches went wrong.
    pub(super) fn mark_uncertain(&mut self, batches: &[Batch]) {
        for &batch in batches {
            self.ledger.mark_uncertain(&self.plan, batch, 5);
        }
    }

    pub(super) fn send_all(&mut self, server: &mut Facts, now: Timestamp) {
        let batches: Vec<_> = self.plan.batches().collect();
        self.send(batches, server, now);
    }

    pub(super) fn finish(mut self, outcome: RunOutcome, now: Timestamp) -> Ledger {
        let rows = RowCounts { acknowledged: self.plan.rows(), ..RowCounts::default() };
        self.ledger.finish(self.run, outcome, &rows, now).unwrap();
        self.ledger
    }
}

/// The batches in this subset, by their places among all.
pub(super) fn some(plan: &Plan, wanted: impl Fn(usize) -> bool) -> Vec<Batch> {
    plan.batches().enumerate().filter(|(place, _)| wanted(*place)).map(|(_, batch)| batch).collect()
}

pub(super) fn keys(plan: &Plan) -> BTreeSet<(String, String)> {
    all_facts(plan).into_keys().collect()
}

/// What undoing a run restores: by attribute and user. It is the same with little memory.
pub(super) fn undone(path: &LedgerLocation, run: RunId) -> BTreeMap<(String, u64), String> {
    let reader = LedgerReader::open(path).unwrap();
    let undo = reader.undo(run).unwrap();
    let [all, some, one] = [u64::MAX, 400, 1].map(|memory| {
        let mut rows = BTreeMap::new();
        let counts = undo
            .each::<LedgerError>(memory, |user, attribute, value| {
                let user = user.to_string().parse().unwrap();
                assert!(rows.insert((attribute.to_owned(), user), value.to_string()).is_none());
                Ok(())
            })
            .unwrap();
        assert_eq!(counts.undone, rows.len() as u64);
        assert_eq!(counts.acknowledged, counts.undone + counts.unknown + counts.changed);
        rows
    });
    assert_eq!((&some, &one), (&all, &all));
    all
}
