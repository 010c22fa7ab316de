//! The rows of a ledger: their types, tables and checksums. They are the same in every store.
//!
//! A checksum covers all other fields of its row, so that damage is noticed wherever it happened.

mod checksum;
mod field;
mod pulls;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use self::checksum::Checksum;
pub(super) use self::field::{Field, FieldType, Fields, Table};
pub(super) use self::pulls::{Doubt, PriorPart, PullRow};

use FieldType::{Bytes, Number, OptionalText, Text};

/// A row with a checksum.
pub(super) trait Record: Sized {
    const TABLE: Table;

    /// All fields but the checksum.
    fn fields(&self) -> Vec<Field>;

    /// The row; `None` if a field is not what it should be.
    fn of(fields: &mut Fields) -> Option<Self>;

    /// The checksum of all fields.
    fn sum(&self) -> u32;
}

/// What holds for the whole ledger.
#[derive(Clone, Debug)]
pub(super) struct LedgerState {
    /// Tells this ledger from any other.
    pub(super) identity: u64,
    /// What is known has everything up to this entry.
    pub(super) merged: u64,
    /// The journal has everything after this entry.
    pub(super) expired: u64,
}

/// An API and a kind of users.
#[derive(Clone, Debug)]
pub(super) struct TargetRow {
    pub(super) id: u64,
    pub(super) base_url: String,
    pub(super) users: String,
}

/// A run, as it was described when it began, and how it ended.
#[derive(Clone, Debug)]
pub(super) struct RunRow {
    pub(super) id: u64,
    pub(super) target: u64,
    /// Another run, or 0.
    pub(super) continues: u64,
    /// The entry before the first one of the first run that it continues, and so on; else its own.
    pub(super) begun: u64,
    /// The entry before its own first one.
    pub(super) after: u64,
    pub(super) started: Timestamp,
    pub(super) settings: String,
    /// JSON.
    pub(super) inputs: String,
    pub(super) content: String,
    pub(super) ending: Option<RunEnd>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(super) struct RunEnd {
    pub(super) at: Timestamp,
    pub(super) outcome: String,
    /// JSON.
    pub(super) rows: String,
}

/// An attribute of a target.
#[derive(Clone, Debug)]
pub(super) struct AttributeRow {
    pub(super) id: u64,
    pub(super) target: u64,
    pub(super) name: String,
    /// How many parts of it are known.
    pub(super) parts: u64,
    /// The entry up to which they were merged.
    pub(super) generation: u64,
    /// Users in them.
    pub(super) facts: u64,
}

/// The header of a journal entry, without its groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryHeader {
    pub(super) entry: u64,
    pub(super) run: u64,
    pub(super) attribute: u64,
    pub(super) at: Timestamp,
    /// How many.
    pub(super) facts: u64,
}

/// What one commit recorded of one attribute.
#[derive(Clone, Debug)]
pub(super) struct JournalEntry {
    pub(super) heading: EntryHeader,
    pub(super) groups: Vec<u8>,
}

/// A part of what is known of an attribute.
#[derive(Debug)]
pub(super) struct KnownPart<'a> {
    pub(super) attribute: &'a AttributeRow,
    pub(super) part: u64,
    pub(super) groups: Vec<u8>,
}

pub(super) const KNOWN: Table =
    Table { name: "known", columns: &[("place", Number), ("groups", Bytes), ("sum", Number)] };

impl LedgerState {
    /// Of a new ledger.
    pub(super) fn new() -> Self {
        Self { identity: rand::random::<u64>() >> 1, merged: 0, expired: 0 }
    }
}

impl Record for LedgerState {
    const TABLE: Table = Table {
        name: "state",
        columns: &[
            ("id", Number),
            ("identity", Number),
            ("merged", Number),
            ("expired", Number),
            ("sum", Number),
        ],
    };

    fn fields(&self) -> Vec<Field> {
        vec![1_u64.into(), self.identity.into(), self.merged.into(), self.expired.into()]
    }

    fn of(fields: &mut Fields) -> Option<Self> {
        fields.number()?;
        Some(Self { identity: fields.number()?, merged: fields.number()?, expired: fields.number()? })
    }

    fn sum(&self) -> u32 {
        Checksum::of("state").number(self.identity).number(self.merged).number(self.expired).finish()
    }
}

impl Record for TargetRow {
    const TABLE: Table = Table {
        name: "target",
        columns: &[("id", Number), ("base_url", Text), ("users", Text), ("sum", Number)],
    };

    fn fields(&self) -> Vec<Field> {
        vec![self.id.into(), self.base_url.as_str().into(), self.users.as_str().into()]
    }

    fn of(fields: &mut Fields) -> Option<Self> {
        Some(Self { id: fields.number()?, base_url: fields.text()?, users: fields.text()? })
    }

    fn sum(&self) -> u32 {
        Checksum::of("target").number(self.id).text(&self.base_url).text(&self.users).finish()
    }
}

impl Record for RunRow {
    const TABLE: Table = Table {
        name: "run",
        columns: &[
            ("id", Number),
            ("target", Number),
            ("continues", Number),
            ("begun", Number),
            ("after", Number),
            ("started", Number),
            ("settings", Text),
            ("inputs", Text),
            ("content", Text),
            ("finished", Number),
            ("outcome", OptionalText),
            ("rows", OptionalText),
            ("sum", Number),
        ],
    };

    fn fields(&self) -> Vec<Field> {
        let Self { id, target, continues, begun, after, started, settings, inputs, content, ending } = self;
        vec![
            (*id).into(),
            (*target).into(),
            (*continues).into(),
            (*begun).into(),
            (*after).into(),
            Field::time(*started),
            settings.as_str().into(),
            inputs.as_str().into(),
            content.as_str().into(),
            ending.as_ref().map_or(Field::Number(0), |ending| Field::time(ending.at)),
            ending.as_ref().map(|ending| ending.outcome.as_str()).into(),
            ending.as_ref().map(|ending| ending.rows.as_str()).into(),
        ]
    }

    fn of(fields: &mut Fields) -> Option<Self> {
        let mut run = Self {
            id: fields.number()?,
            target: fields.number()?,
            continues: fields.number()?,
            begun: fields.number()?,
            after: fields.number()?,
            started: fields.time()?,
            settings: fields.text()?,
            inputs: fields.text()?,
            content: fields.text()?,
            ending: None,
        };
        run.ending = match (fields.time()?, fields.optional_text()?, fields.optional_text()?) {
            (at, Field::None, Field::None) if at == Timestamp::UNIX_EPOCH => None,
            (at, Field::Text(outcome), Field::Text(rows)) => Some(RunEnd { at, outcome, rows }),
            _ => return None,
        };
        Some(run)
    }

    fn sum(&self) -> u32 {
        let Self { id, target, continues, begun, after, started, settings, inputs, content, ending } = self;
        let numbers = [*id, *target, *continues, *begun, *after, millis(*started)];
        let sum = numbers.into_iter().fold(Checksum::of("run"), Checksum::number);
        let sum = sum.text(settings).text(inputs).text(content);
        match ending {
            None => sum.number(0),
            Some(RunEnd { at, outcome, rows }) => sum.number(1).number(millis(*at)).text(outcome).text(rows),
        }
        .finish()
    }
}

impl Record for AttributeRow {
    const TABLE: Table = Table {
        name: "attribute",
        columns: &[
            ("id", Number),
            ("target", Number),
            ("name", Text),
            ("parts", Number),
            ("generation", Number),
            ("facts", Number),
            ("sum", Number),
        ],
    };

    fn fields(&self) -> Vec<Field> {
        let Self { id, target, name, parts, generation, facts } = self;
        let name = name.as_str().into();
        vec![(*id).into(), (*target).into(), name, (*parts).into(), (*generation).into(), (*facts).into()]
    }

    fn of(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            id: fields.number()?,
            target: fields.number()?,
            name: fields.text()?,
            parts: fields.number()?,
            generation: fields.number()?,
            facts: fields.number()?,
        })
    }

    fn sum(&self) -> u32 {
        let numbers = [self.id, self.target, self.parts, self.generation, self.facts];
        numbers.into_iter().fold(Checksum::of("attribute"), Checksum::number).text(&self.name).finish()
    }
}

const JOURNAL: Table = Table {
    name: "journal",
    columns: &[
        ("entry", Number),
        ("run", Number),
        ("attribute", Number),
        ("at", Number),
        ("facts", Number),
        ("heading", Number),
        ("groups", Bytes),
        ("sum", Number),
    ],
};

impl Record for JournalEntry {
    const TABLE: Table = JOURNAL;

    fn fields(&self) -> Vec<Field> {
        let mut fields = self.heading.fields();
        fields.extend([self.heading.sum().into(), self.groups.as_slice().into()]);
        fields
    }

    fn of(fields: &mut Fields) -> Option<Self> {
        let heading = EntryHeader::of(fields)?;
        fields.sum()?;
        Some(Self { heading, groups: fields.bytes()? })
    }

    fn sum(&self) -> u32 {
        Checksum::of("journal").number(self.heading.sum().into()).bytes(&self.groups).finish()
    }
}

/// The first columns of the journal. Its checksum is one of them.
impl Record for EntryHeader {
    const TABLE: Table = Table { name: JOURNAL.name, columns: JOURNAL.columns.split_at(6).0 };

    fn fields(&self) -> Vec<Field> {
        let Self { entry, run, attribute, at, facts } = self;
        vec![(*entry).into(), (*run).into(), (*attribute).into(), Field::time(*at), (*facts).into()]
    }

    fn of(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            entry: fields.number()?,
            run: fields.number()?,
            attribute: fields.number()?,
            at: fields.time()?,
            facts: fields.number()?,
        })
    }

    fn sum(&self) -> u32 {
        let numbers = [self.entry, self.run, self.attribute, millis(self.at), self.facts];
        numbers.into_iter().fold(Checksum::of("heading"), Checksum::number).finish()
    }
}

impl KnownPart<'_> {
    /// Bits of a place for the number of the part. Those above have the number of the attribute.
    pub(super) const BITS: u32 = 32;

    pub(super) fn place(&self) -> u64 {
        self.attribute.id << Self::BITS | self.part
    }

    pub(super) fn sum(&self) -> u32 {
        let numbers = [self.attribute.id, self.attribute.generation, self.part];
        numbers.into_iter().fold(Checksum::of("known"), Checksum::number).bytes(&self.groups).finish()
    }
}

/// As 64 bits of any meaning.
fn millis(at: Timestamp) -> u64 {
    at.as_millisecond().cast_unsigned()
}
