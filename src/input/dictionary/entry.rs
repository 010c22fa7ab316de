//! The values of one attribute.

use std::io;

use super::{Attribute, Taken, ValueId};
use crate::input::Json;
use crate::input::archive::Archive;
use crate::input::rules::{Kind, Rule};
use crate::input::texts::Texts;
use crate::spill::Store;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) attribute: Attribute,
    pub(super) kind: Kind,
    /// By number, each value as it was written for the first time.
    pub(super) values: Texts,
    /// Values of epochs that are over.
    pub(super) former: Archive,
    pub(super) null: Option<ValueId>,
    /// Where values that are written differently may be the same.
    pub(super) spellings: Option<Box<Spellings>>,
    suspects: Suspects,
}

/// Ways to write values.
#[derive(Clone, Debug, Default)]
pub(super) struct Spellings {
    /// All that came.
    written: Texts,
    /// By their numbers, what values they are.
    values: Vec<ValueId>,
    /// What values have in common that are the same, by value.
    sent: Texts,
    /// The same, of epochs that are over.
    former: Archive,
}

/// Which values raise suspicion, and which.
#[derive(Clone, Debug, Default)]
struct Suspects(Vec<Option<Rule>>);

impl Spellings {
    /// What a value that clears an attribute has in common with others; it is no JSON string.
    pub(super) const NULL: &str = "null";
}

impl Attribute {
    /// What values have in common that are the same: what is sent for them.
    pub(super) fn identity(&self, text: &str) -> String {
        let sent = self.map.get(text).map_or(text, String::as_str);
        self.json.identity(&self.json.write(sent)).into_owned()
    }
}

impl Entry {
    pub(super) fn new(attribute: Attribute, kind: Kind) -> Self {
        let is_spelled =
            kind == Kind::Identity || attribute.json != Json::String || !attribute.map.is_empty();
        Self {
            attribute,
            kind,
            values: Texts::default(),
            former: Archive::default(),
            null: None,
            spellings: is_spelled.then(Box::default),
            suspects: Suspects::default(),
        }
    }

    pub(super) fn fork(&self) -> Self {
        Self::new(self.attribute.clone(), self.kind)
    }

    #[inline]
    pub(super) fn recall(&mut self, text: &[u8]) -> Option<ValueId> {
        match &mut self.spellings {
            None => self.values.recall(text).map(ValueId),
            Some(spellings) => spellings.written.recall(text).map(|number| spellings.values[number as usize]),
        }
    }

    #[inline]
    pub(super) fn known(&self, value: ValueId) -> Taken {
        match self.suspects.0.get(value.0 as usize) {
            Some(Some(rule)) => Taken::Suspect(value, *rule),
            _ => Taken::Valid(value),
        }
    }

    /// Adds a value, which has this in common with others that are the same, if that can be.
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

    /// Remembers how a value is written.
    pub(super) fn remember(&mut self, text: &str, value: ValueId) {
        if let Some(spellings) = &mut self.spellings {
            spellings.written.insert(text);
            spellings.values.push(value);
        }
    }

    pub(super) fn join(&mut self, later: &Self) -> Vec<ValueId> {
        let renumber = |(number, text): (u32, &str)| {
            let value = ValueId(number);
            let suspicion = match later.known(value) {
                Taken::Suspect(_, rule) => Some(rule),
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

    /// Takes over epochs, which follow so many of its own.
    pub(super) fn append(&mut self, before: u32, later: Self) {
        self.former.append(before, later.former);
        if let (Some(own), Some(later)) = (&mut self.spellings, later.spellings) {
            own.former.append(before, later.former);
        }
    }

    /// Puts its values away as those of an epoch.
    pub(super) fn end_epoch(&mut self, epoch: u32, store: &Store) -> io::Result<()> {
        self.former.put(epoch, &std::mem::take(&mut self.values), store)?;
        if let Some(spellings) = &mut self.spellings {
            spellings.former.put(epoch, &std::mem::take(&mut spellings.sent), store)?;
            (spellings.written, spellings.values) = Default::default();
        }
        self.null = None;
        self.suspects = Suspects::default();
        Ok(())
    }

    /// Finds out which values of different epochs are the same.
    pub(super) fn unify(&mut self, store: &Store, memory: u64) -> io::Result<()> {
        match &mut self.spellings {
            None => self.former.unify_by_coming(store, memory),
            Some(spellings) => {
                spellings.former.unify_by_coming(store, memory)?;
                self.former.number_by_coming().map(|_| ())
            }
        }
    }

    /// By their numbers in an epoch, what values are called now.
    pub(super) fn renamed(&self, epoch: u32) -> io::Result<Option<Vec<u32>>> {
        self.spellings.as_ref().map_or(&self.former, |spellings| &spellings.former).renamed(epoch)
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
