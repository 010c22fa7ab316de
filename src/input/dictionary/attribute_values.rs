//! The values of one attribute.

use std::io;

use super::{Attribute, CheckedValue, ValueId};
use crate::input::JsonType;
use crate::input::interner::Interner;
use crate::input::rules::{Rule, ValueKind};
use crate::input::spilled_texts::SpilledTexts;
use crate::spill::TempFile;

#[derive(Clone, Debug)]
pub(super) struct AttributeValues {
    pub(super) attribute: Attribute,
    pub(super) kind: ValueKind,
    /// By number, each value as it is written at its first occurrence.
    pub(super) values: Interner,
    /// Values that were spilled.
    pub(super) spilled: SpilledTexts,
    pub(super) null: Option<ValueId>,
    /// For attributes whose values may be the same though they are written differently.
    pub(super) spellings: Option<Box<Spellings>>,
    suspects: ValueWarnings,
}

/// Different spellings of the same values.
#[derive(Clone, Debug, Default)]
pub(super) struct Spellings {
    /// All spellings.
    written: Interner,
    /// By spelling, its value.
    values: Vec<ValueId>,
    /// By value, what is sent for it, which identifies it.
    sent: Interner,
    /// The same for values that were spilled.
    spilled: SpilledTexts,
}

/// Warnings by value.
#[derive(Clone, Debug, Default)]
struct ValueWarnings(Vec<Option<Rule>>);

impl Spellings {
    /// Identifies values that clear an attribute. It differs from all JSON strings.
    pub(super) const NULL: &str = "null";
}

impl AttributeValues {
    pub(super) fn new(attribute: Attribute, kind: ValueKind) -> Self {
        let is_spelled =
            kind == ValueKind::Identity || attribute.json != JsonType::String || !attribute.map.is_empty();
        Self {
            attribute,
            kind,
            values: Interner::default(),
            spilled: SpilledTexts::default(),
            null: None,
            spellings: is_spelled.then(Box::default),
            suspects: ValueWarnings::default(),
        }
    }

    pub(super) fn fork(&self) -> Self {
        Self::new(self.attribute.clone(), self.kind)
    }

    #[inline]
    pub(super) fn find_cached(&mut self, text: &[u8]) -> Option<ValueId> {
        match &mut self.spellings {
            None => self.values.find_cached(text).map(ValueId),
            Some(spellings) => {
                spellings.written.find_cached(text).map(|number| spellings.values[number as usize])
            }
        }
    }

    #[inline]
    pub(super) fn checked(&self, value: ValueId) -> CheckedValue {
        match self.suspects.0.get(value.0 as usize) {
            Some(Some(rule)) => CheckedValue::Suspect(value, *rule),
            _ => CheckedValue::Valid(value),
        }
    }

    /// Adds a value. `identity` is what it has in common with other spellings, if there can be any.
    pub(super) fn insert(&mut self, text: &str, identity: Option<&str>, suspicion: Option<Rule>) -> ValueId {
        if let (Some(spellings), Some(identity)) = (&mut self.spellings, identity) {
            if let Some(known) = spellings.sent.find(identity.as_bytes()) {
                return ValueId(known);
            }
            spellings.sent.insert(identity);
        }
        let number = self.values.insert(text);
        if suspicion.is_some() {
            self.suspects.0.resize(number as usize, None);
            self.suspects.0.push(suspicion);
        }
        ValueId(number)
    }

    /// Adds a spelling of a value.
    pub(super) fn remember(&mut self, text: &str, value: ValueId) {
        if let Some(spellings) = &mut self.spellings {
            spellings.written.insert(text);
            spellings.values.push(value);
        }
    }

    pub(super) fn join(&mut self, later: &Self) -> Vec<ValueId> {
        let renumber = |(number, text): (u32, &str)| {
            let value = ValueId(number);
            let suspicion = match later.checked(value) {
                CheckedValue::Suspect(_, rule) => Some(rule),
                _ => None,
            };
            let known = match &later.spellings {
                Some(spellings) => self.insert(text, Some(spellings.sent.get(number)), suspicion),
                None => match self.values.find(text.as_bytes()) {
                    Some(known) => ValueId(known),
                    None => self.insert(text, None, suspicion),
                },
            };
            if later.null == Some(value) {
                self.null = Some(known);
            }
            known
        };
        (0..).zip(later.values.iter()).map(renumber).collect()
    }

    /// Appends the spills of a fork, which follow `before` others.
    pub(super) fn append(&mut self, before: u32, later: Self) {
        self.spilled.append(before, later.spilled);
        if let (Some(own), Some(later)) = (&mut self.spellings, later.spellings) {
            own.spilled.append(before, later.spilled);
        }
    }

    /// Writes all values to a file, as those of a spill.
    pub(super) fn spill(&mut self, spill: u32, file: &TempFile) -> io::Result<()> {
        self.spilled.spill(spill, &std::mem::take(&mut self.values), file)?;
        if let Some(spellings) = &mut self.spellings {
            spellings.spilled.spill(spill, &std::mem::take(&mut spellings.sent), file)?;
            (spellings.written, spellings.values) = Default::default();
        }
        self.null = None;
        self.suspects = ValueWarnings::default();
        Ok(())
    }

    /// Merges equal values of different spills.
    pub(super) fn merge_spills(&mut self, file: &TempFile, memory: u64) -> io::Result<()> {
        match &mut self.spellings {
            None => self.spilled.merge_by_first_seen(file, memory),
            Some(spellings) => {
                spellings.spilled.merge_by_first_seen(file, memory)?;
                self.spilled.number_by_first_seen().map(|_| ())
            }
        }
    }

    /// The new numbers of values, by their numbers in a spill.
    pub(super) fn renumbered(&self, spill: u32) -> io::Result<Option<Vec<u32>>> {
        self.spellings.as_ref().map_or(&self.spilled, |spellings| &spellings.spilled).renumbered(spill)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let spellings = self.spellings.as_ref().map_or(0, |spellings| {
            spellings.written.memory_bytes()
                + spellings.values.capacity() * size_of::<ValueId>()
                + spellings.sent.memory_bytes()
        });
        self.values.memory_bytes() + self.suspects.0.capacity() + spellings
    }
}
