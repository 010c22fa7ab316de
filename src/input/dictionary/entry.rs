//! The values of one attribute.

use std::io;

use super::{Attribute, Taken, ValueId};
use crate::input::archive::Archive;
use crate::input::rules::{Kind, Rule};
use crate::input::texts::Texts;
use crate::spill::Store;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) attribute: Attribute,
    pub(super) kind: Kind,
    pub(super) values: Texts,
    /// Values of epochs that are over.
    pub(super) former: Archive,
    pub(super) null: Option<ValueId>,
    suspects: Suspects,
}

/// Which values raise suspicion.
#[derive(Clone, Debug, Default)]
struct Suspects {
    rule: Option<Rule>,
    by_value: Vec<bool>,
}

impl Entry {
    pub(super) fn new(attribute: Attribute, kind: Kind) -> Self {
        Self {
            attribute,
            kind,
            values: Texts::default(),
            former: Archive::default(),
            null: None,
            suspects: Suspects::default(),
        }
    }

    pub(super) fn fork(&self) -> Self {
        Self::new(self.attribute.clone(), self.kind)
    }

    #[inline]
    pub(super) fn known(&self, value: ValueId) -> Taken {
        match self.suspects.rule {
            Some(rule) if self.suspects.by_value.get(value.0 as usize) == Some(&true) => {
                Taken::Suspect(value, rule)
            }
            _ => Taken::Valid(value),
        }
    }

    pub(super) fn insert(&mut self, text: &str, suspicion: Option<Rule>) -> ValueId {
        let number = self.values.insert(text);
        if let Some(rule) = suspicion {
            self.suspects.rule = Some(rule);
            self.suspects.by_value.resize(number as usize, false);
            self.suspects.by_value.push(true);
        }
        ValueId(number)
    }

    pub(super) fn insert_null(&mut self, token: &str) -> ValueId {
        let value = self.insert(token, None);
        self.null = Some(value);
        value
    }

    pub(super) fn join(&mut self, later: &Self) -> Vec<ValueId> {
        let renumber = |(number, text): (u32, &str)| match self.values.find(text.as_bytes()) {
            Some(known) => ValueId(known),
            None if later.null == Some(ValueId(number)) => self.insert_null(text),
            None => match later.known(ValueId(number)) {
                Taken::Suspect(_, rule) => self.insert(text, Some(rule)),
                _ => self.insert(text, None),
            },
        };
        (0..).zip(later.values.iter()).map(renumber).collect()
    }

    /// Puts its values away as those of an epoch.
    pub(super) fn end_epoch(&mut self, epoch: u32, store: &Store) -> io::Result<()> {
        self.former.put(epoch, &std::mem::take(&mut self.values), store)?;
        self.null = None;
        self.suspects = Suspects::default();
        Ok(())
    }
}
