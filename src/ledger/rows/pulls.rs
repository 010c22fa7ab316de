//! Rows about readings of the account, about what was known before a run, and about what nobody knows.

use jiff::Timestamp;

use super::checksum::Checksum;
use super::field::FieldType::{Bytes, Number, Text};
use super::field::{Field, Fields, Table};
use super::{Record, millis};

/// A run that read the list of users.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct PullRow {
    pub(in crate::ledger) run: u64,
    /// The entry before the first one of the reading.
    pub(in crate::ledger) begun: u64,
    /// Its last entry.
    pub(in crate::ledger) last: u64,
    /// When the reading began.
    pub(in crate::ledger) started: Timestamp,
    pub(in crate::ledger) custom: bool,
    pub(in crate::ledger) complete: bool,
    /// The cursor of the next page.
    pub(in crate::ledger) next: Option<String>,
    pub(in crate::ledger) pages: u64,
    pub(in crate::ledger) users: u64,
}

/// What a run may have sent of an attribute after it lost its lease, so that nobody knows which value users have.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct Doubt {
    /// Random.
    pub(in crate::ledger) id: u64,
    pub(in crate::ledger) run: u64,
    pub(in crate::ledger) target: u64,
    /// Its name.
    pub(in crate::ledger) attribute: String,
    pub(in crate::ledger) facts: u64,
    pub(in crate::ledger) groups: Vec<u8>,
}

/// A part of what was known of an attribute before a run.
#[derive(Debug)]
pub(in crate::ledger) struct PriorPart {
    pub(in crate::ledger) id: u64,
    pub(in crate::ledger) run: u64,
    pub(in crate::ledger) attribute: u64,
    pub(in crate::ledger) groups: Vec<u8>,
}

impl Record for PullRow {
    const TABLE: Table = Table {
        name: "pull",
        columns: &[
            ("run", Number),
            ("begun", Number),
            ("last", Number),
            ("started", Number),
            ("custom", Number),
            ("complete", Number),
            ("next", Text),
            ("pages", Number),
            ("users", Number),
            ("sum", Number),
        ],
    };

    fn fields(&self) -> Vec<Field> {
        let Self { run, begun, last, started, custom, complete, next, pages, users } = self;
        vec![
            (*run).into(),
            (*begun).into(),
            (*last).into(),
            Field::time(*started),
            (*custom).into(),
            (*complete).into(),
            next.as_deref().unwrap_or_default().into(),
            (*pages).into(),
            (*users).into(),
        ]
    }

    fn of(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            run: fields.number()?,
            begun: fields.number()?,
            last: fields.number()?,
            started: fields.time()?,
            custom: fields.flag()?,
            complete: fields.flag()?,
            next: Some(fields.text()?).filter(|next| !next.is_empty()),
            pages: fields.number()?,
            users: fields.number()?,
        })
    }

    fn sum(&self) -> u32 {
        let Self { run, begun, last, started, custom, complete, next, pages, users } = self;
        let flags = u64::from(*custom) << 1 | u64::from(*complete);
        let numbers = [*run, *begun, *last, millis(*started), flags, *pages, *users];
        let sum = numbers.into_iter().fold(Checksum::of("pull"), Checksum::number);
        sum.text(next.as_deref().unwrap_or_default()).finish()
    }
}

impl Record for PriorPart {
    const TABLE: Table = Table {
        name: "prior",
        columns: &[
            ("id", Number),
            ("run", Number),
            ("attribute", Number),
            ("groups", Bytes),
            ("sum", Number),
        ],
    };

    fn fields(&self) -> Vec<Field> {
        let Self { id, run, attribute, groups } = self;
        vec![(*id).into(), (*run).into(), (*attribute).into(), groups.as_slice().into()]
    }

    fn of(fields: &mut Fields) -> Option<Self> {
        let (id, run, attribute) = (fields.number()?, fields.number()?, fields.number()?);
        Some(Self { id, run, attribute, groups: fields.bytes()? })
    }

    fn sum(&self) -> u32 {
        Checksum::of("prior").number(self.run).number(self.attribute).bytes(&self.groups).finish()
    }
}

impl Record for Doubt {
    const TABLE: Table = Table {
        name: "doubt",
        columns: &[
            ("id", Number),
            ("run", Number),
            ("target", Number),
            ("attribute", Text),
            ("facts", Number),
            ("groups", Bytes),
            ("sum", Number),
        ],
    };

    fn fields(&self) -> Vec<Field> {
        let Self { id, run, target, attribute, facts, groups } = self;
        let attribute = attribute.as_str().into();
        vec![
            (*id).into(),
            (*run).into(),
            (*target).into(),
            attribute,
            (*facts).into(),
            groups.as_slice().into(),
        ]
    }

    fn of(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            id: fields.number()?,
            run: fields.number()?,
            target: fields.number()?,
            attribute: fields.text()?,
            facts: fields.number()?,
            groups: fields.bytes()?,
        })
    }

    fn sum(&self) -> u32 {
        let sum = [self.id, self.run, self.target, self.facts]
            .into_iter()
            .fold(Checksum::of("doubt"), Checksum::number);
        sum.text(&self.attribute).bytes(&self.groups).finish()
    }
}
