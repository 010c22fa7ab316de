//! The dictionary: what the numbers of a [`Row`](super::Row) stand for.

mod attribute;
mod attribute_values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

pub use attribute::{Attribute, AttributeId, Operation, STANDARD, STANDARD_COUNT, ValueId};

use attribute_values::{AttributeValues, Spellings};

use super::interner::Interner;
use super::rules::{self, Rule, STANDARD_ATTRIBUTES, ValueCheck, ValueKind};
use super::spilled_texts::SpilledTexts;
use super::{AttributeRule, ReadOptions, Vocabulary};
use crate::spill::{TempFile, TempFiles, least_worth, read_back};

/// The most attributes: their numbers have 16 bits.
const MOST_ATTRIBUTES: usize = 1 << 16;

/// Texts may take this part of a thread's memory before they are spilled. While a hash table grows, they take three
/// times as much.
const TEXTS_DIVISOR: u64 = 8;

/// The texts behind the numbers in rows.
///
/// A value is checked at its first occurrence only, since inputs have far fewer values than rows.
///
/// When the texts exceed their share of memory, they are spilled to a temporary file (see
/// [`Sink::dictionary_spilled`](super::Sink::dictionary_spilled)).
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    names: Interner,
    attributes: Vec<AttributeValues>,
    users: Interner,
    /// The ids of users that were spilled.
    spilled_users: SpilledTexts,
    /// The number of spills.
    spills: u32,
    /// The file of the spills.
    file: Option<TempFile>,
    files: TempFiles,
    /// The most bytes that texts may take.
    memory: u64,
    vocabulary: Vocabulary,
    null_token: Option<String>,
    rules: BTreeMap<String, AttributeRule>,
}

/// The result of checking a value of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckedValue {
    Valid(ValueId),
    Suspect(ValueId, Rule),
    Wrong(Rule),
    Empty,
    NotText,
}

/// Why a name is not that of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum AttributeError {
    NotAllowed,
    TooLong,
    TooMany,
}

impl Dictionary {
    /// A dictionary of the standard attributes, without values. Custom attributes are added as the input names them.
    pub fn new(options: &ReadOptions) -> Self {
        let mut new = Self {
            vocabulary: options.vocabulary,
            null_token: options.null_token.clone(),
            rules: options.attributes.clone(),
            files: TempFiles::new(options.resources.temp_dir.clone()),
            memory: options.resources.memory / (options.resources.threads.get() as u64) / TEXTS_DIVISOR,
            ..Self::default()
        };
        for (name, kind) in STANDARD_ATTRIBUTES {
            new.add(name, kind, Operation::Standard);
        }
        new
    }

    /// The attribute of a number. Panics on a number of another dictionary.
    pub fn attribute(&self, id: AttributeId) -> &Attribute {
        &self.values_of(id).attribute
    }

    /// The attribute by the name that the input has for this value.
    pub fn attribute_of(&self, id: AttributeId, value: ValueId) -> &Attribute {
        self.attribute(id.as_called(value))
    }

    /// The numbers of all attributes, whether or not a row has them.
    pub fn attributes(&self) -> impl Iterator<Item = AttributeId> + '_ {
        (0..=u16::MAX).take(self.attributes.len()).map(AttributeId)
    }

    /// The number of value numbers of an attribute. After several spills, or for an attribute with two names, some of
    /// them have no value.
    pub fn values(&self, attribute: AttributeId) -> usize {
        let entry = self.values_of(attribute.column());
        let values = if entry.spilled.is_empty() { entry.values.len() } else { count(entry.spilled.count()) };
        values << attribute.name_bits()
    }

    /// The text of a value, as the input has it at its first occurrence; `None` if the value clears the attribute.
    pub fn value(&self, attribute: AttributeId, value: ValueId) -> Option<Cow<'_, str>> {
        let entry = self.values_of(attribute.column());
        let value = attribute.nth(value);
        if entry.spilled.is_empty() {
            return (entry.null != Some(value)).then(|| Cow::Borrowed(entry.values.get(value.0)));
        }
        let text = read_back(entry.spilled.text(value.0));
        (self.null_token.as_deref() != Some(&text)).then_some(Cow::Owned(text))
    }

    /// The client's own id of a user; `None` if the number is User.com's id.
    pub fn user(&self, user: u64) -> Option<Cow<'_, str>> {
        let number = u32::try_from(user).ok().filter(|number| (*number as usize) < self.users())?;
        Some(if self.spilled_users.is_empty() {
            Cow::Borrowed(self.users.get(number))
        } else {
            Cow::Owned(read_back(self.spilled_users.text(number)))
        })
    }

    /// The number of the client's own ids. It is 0 if users have User.com's ids.
    pub fn users(&self) -> usize {
        if self.spilled_users.is_empty() { self.users.len() } else { count(self.spilled_users.count()) }
    }

    /// Whether users are numbered in the byte order of their ids. This is so after spills.
    pub fn users_are_ranked(&self) -> bool {
        !self.spilled_users.is_empty()
    }

    /// The number of spills. Without any, the numbers in rows are those of this dictionary.
    pub fn spills(&self) -> u32 {
        self.spills
    }

    /// The final numbers of values, by their numbers in a spill; `None` if they did not change. Fails if a temporary
    /// file cannot be read.
    pub fn renumbered_values(&self, attribute: AttributeId, spill: u32) -> io::Result<Option<Vec<u32>>> {
        let renamed = self.values_of(attribute.column()).renumbered(spill)?;
        Ok(renamed.map(|renamed| match attribute.name_bits() {
            0 => renamed,
            _ => renamed.into_iter().flat_map(|nth| [nth << 1, nth << 1 | 1]).collect(),
        }))
    }

    /// The final numbers of the client's own ids, by their numbers in a spill; `None` if they did not change. Fails
    /// if a temporary file cannot be read.
    pub fn renumbered_users(&self, spill: u32) -> io::Result<Option<Vec<u32>>> {
        self.spilled_users.renumbered(spill)
    }

    /// The memory of its texts.
    pub fn memory_bytes(&self) -> usize {
        self.attributes.iter().map(AttributeValues::memory_bytes).sum::<usize>() + self.users.memory_bytes()
    }

    /// The bytes that it wrote to temporary files.
    pub fn spilled_bytes(&self) -> u64 {
        self.files.written_bytes()
    }

    /// The number of the attribute with this name, if it is allowed. A custom attribute is added if it is new.
    pub fn attribute_id(&mut self, name: &str) -> Option<AttributeId> {
        self.find_attribute(name.as_bytes()).ok()
    }

    /// The number of a value, without checking it. It is added if it is new. The null token stands for null.
    pub fn intern(&mut self, attribute: AttributeId, text: &str) -> ValueId {
        match self.values_of_mut(attribute).find_cached(text.as_bytes()) {
            Some(nth) => attribute.value(nth.0),
            None => self.insert(attribute, text, None),
        }
    }

    /// The number of one of the client's own ids, which is added if it is new.
    pub fn intern_user(&mut self, text: &str) -> u64 {
        u64::from(self.users.intern(text))
    }

    /// A dictionary with the same attributes, without values and users.
    pub(super) fn fork(&self) -> Self {
        let attributes = self.attributes.iter().map(AttributeValues::fork).collect();
        Self { attributes, users: Interner::default(), ..self.clone_names() }
    }

    /// Whether all attributes of a fork can be added.
    pub(super) fn has_room_for(&self, later: &Self) -> bool {
        let new = later.names.iter().filter(|name| self.names.find(name.as_bytes()).is_none()).count();
        self.attributes.len() + new <= MOST_ATTRIBUTES
    }

    /// Adds the texts of a fork. If either has spilled, all texts of both must be spilled before.
    pub(super) fn join(&mut self, later: Self) -> Renumber {
        let spills = (self.spills > 0).then_some(self.spills);
        let mut renumber = Renumber { spills, ..Renumber::default() };
        for entry in later.attributes {
            let name = &entry.attribute.name;
            let id = self
                .names
                .find(name.as_bytes())
                .map_or_else(|| self.add(name, entry.kind, entry.attribute.operation), attribute_id);
            renumber.attributes.push(id);
            let own = self.values_of_mut(id);
            match spills {
                None => renumber
                    .values
                    .push(own.join(&entry).into_iter().flat_map(|nth| names(id, nth)).collect()),
                Some(before) => own.append(before, entry),
            }
        }
        match spills {
            None => {
                renumber.users = later.users.iter().map(|user| u64::from(self.users.intern(user))).collect();
            }
            Some(before) => self.spilled_users.append(before, later.spilled_users),
        }
        self.spills += later.spills;
        renumber
    }

    /// Whether its texts exceed their memory, and must be spilled.
    pub fn is_full(&self) -> bool {
        self.memory_bytes() as u64 > self.memory.max(least_worth(self.attributes.len()))
    }

    /// Writes all texts to a temporary file. Numbers start from 0 again. Returns the number of the spill.
    pub fn spill(&mut self) -> io::Result<u32> {
        let file = self.files.get_or_create(&mut self.file)?;
        let spill = self.spills;
        for entry in &mut self.attributes {
            entry.spill(spill, &file)?;
        }
        self.spilled_users.spill(spill, &std::mem::take(&mut self.users), &file)?;
        self.spills += 1;
        Ok(spill)
    }

    /// Merges equal texts of different spills, so that each has one number. All texts must be spilled before.
    pub fn merge_spills(&mut self) -> io::Result<()> {
        let file = self.files.get_or_create(&mut self.file)?;
        let memory = self.memory;
        for entry in &mut self.attributes {
            entry.merge_spills(&file, memory)?;
        }
        if !self.spilled_users.is_empty() {
            self.spilled_users.merge_by_rank(&file, memory)?;
        }
        Ok(())
    }

    pub(super) fn intern_user_bytes(&mut self, text: &[u8]) -> Option<u64> {
        let number = match self.users.find(text) {
            Some(number) => number,
            None => self.users.insert(std::str::from_utf8(text).ok()?),
        };
        Some(u64::from(number))
    }

    #[inline]
    pub(super) fn find_attribute(&mut self, name: &[u8]) -> Result<AttributeId, AttributeError> {
        match self.names.find_cached(name) {
            Some(number) => Ok(attribute_id(number)),
            None => self.find_other_attribute(name),
        }
    }

    #[inline]
    pub(super) fn check(&mut self, attribute: AttributeId, text: &[u8]) -> CheckedValue {
        match self.attributes[usize::from(attribute.0)].find_cached(text) {
            Some(nth) => match self.values_of(attribute.column()).checked(nth) {
                CheckedValue::Valid(nth) => CheckedValue::Valid(attribute.value(nth.0)),
                CheckedValue::Suspect(nth, rule) => CheckedValue::Suspect(attribute.value(nth.0), rule),
                other => other,
            },
            None => self.check_new(attribute, text),
        }
    }

    /// The empty string as a value to send. The rules of attributes do not apply, since the options ask for it.
    pub(super) fn check_empty(&mut self, attribute: AttributeId) -> CheckedValue {
        match self.values_of(attribute).attribute.json.token("") {
            Err(rule) => CheckedValue::Wrong(rule),
            Ok(_) => CheckedValue::Valid(self.insert(attribute, "", None)),
        }
    }

    /// Whether a value is empty, and neither the null token nor mapped to another value.
    pub(super) fn is_blank(&self, attribute: AttributeId, text: &[u8]) -> bool {
        text.is_empty()
            && self.null_token.as_deref() != Some("")
            && !self.values_of(attribute).attribute.map.contains_key("")
    }

    #[inline(never)]
    fn find_other_attribute(&mut self, name: &[u8]) -> Result<AttributeId, AttributeError> {
        let name = std::str::from_utf8(name).ok().ok_or(AttributeError::NotAllowed)?;
        // The names of standard attributes ignore case, as those of columns do.
        if let Some(number) = (0..).zip(STANDARD).find(|(_, known)| known.eq_ignore_ascii_case(name)) {
            return Ok(attribute_id(number.0));
        }
        if self.vocabulary == Vocabulary::Standard || name.is_empty() {
            return Err(AttributeError::NotAllowed);
        }
        if name.chars().nth(255).is_some() {
            return Err(AttributeError::TooLong);
        }
        if self.attributes.len() == MOST_ATTRIBUTES {
            return Err(AttributeError::TooMany);
        }
        Ok(self.add(name, ValueKind::Any, Operation::Custom))
    }

    #[cold]
    fn check_new(&mut self, attribute: AttributeId, text: &[u8]) -> CheckedValue {
        let Ok(text) = std::str::from_utf8(text) else { return CheckedValue::NotText };
        if self.null_token.as_deref() == Some(text) {
            return CheckedValue::Valid(self.insert(attribute, text, None));
        }
        let entry = self.values_of(attribute);
        let sent = entry.attribute.map.get(text).map(String::as_str);
        if text.is_empty() && sent.is_none() {
            return CheckedValue::Empty;
        }
        match rules::examine(entry.kind, entry.attribute.json, sent.unwrap_or(text)) {
            ValueCheck::Fine => CheckedValue::Valid(self.insert(attribute, text, None)),
            ValueCheck::Suspect(rule) => {
                CheckedValue::Suspect(self.insert(attribute, text, Some(rule)), rule)
            }
            ValueCheck::Wrong(rule) => CheckedValue::Wrong(rule),
        }
    }

    /// Adds a spelling, and the value if it is new. Returns the number of the value.
    fn insert(&mut self, attribute: AttributeId, text: &str, suspicion: Option<Rule>) -> ValueId {
        let is_null = self.null_token.as_deref() == Some(text);
        let entry = self.values_of(attribute);
        let identity = entry
            .spellings
            .as_ref()
            .map(|_| if is_null { Spellings::NULL.to_owned() } else { entry.attribute.identity(text) });
        let column = self.values_of_mut(attribute.column());
        let nth = column.insert(text, identity.as_deref(), suspicion);
        if is_null {
            column.null = Some(nth);
        }
        self.values_of_mut(attribute).remember(text, nth);
        attribute.value(nth.0)
    }

    fn add(&mut self, name: &str, kind: ValueKind, operation: Operation) -> AttributeId {
        let AttributeRule { json, map } = self.rules.get(name).cloned().unwrap_or_default();
        let attribute = Attribute { name: name.to_owned(), operation, json, map };
        self.attributes.push(AttributeValues::new(attribute, kind));
        attribute_id(self.names.insert(name))
    }

    fn clone_names(&self) -> Self {
        Self {
            names: self.names.clone(),
            vocabulary: self.vocabulary,
            null_token: self.null_token.clone(),
            rules: self.rules.clone(),
            files: self.files.clone(),
            memory: self.memory,
            ..Self::default()
        }
    }

    fn values_of(&self, id: AttributeId) -> &AttributeValues {
        &self.attributes[usize::from(id.0)]
    }

    fn values_of_mut(&mut self, id: AttributeId) -> &mut AttributeValues {
        &mut self.attributes[usize::from(id.0)]
    }
}

/// The numbers of a value, one for each name of its attribute.
fn names(column: AttributeId, nth: ValueId) -> impl Iterator<Item = ValueId> {
    let first = column.column().value(nth.0);
    (0..1 << column.name_bits()).map(move |name| ValueId(first.0 | name))
}

fn count(number: u64) -> usize {
    usize::try_from(number).expect("what is numbered in 32 bits can be counted")
}

fn attribute_id(number: u32) -> AttributeId {
    AttributeId(u16::try_from(number).expect("no more are named than fit 16 bits"))
}

/// The new numbers for the rows of a fork of a [`Sink`](super::Sink).
#[derive(Debug, Default)]
pub struct Renumber {
    /// By old attribute number.
    pub attributes: Vec<AttributeId>,
    /// By old attribute number, then by old value number.
    pub values: Vec<Vec<ValueId>>,
    /// By old user number; empty if users have User.com's ids, which do not change.
    pub users: Vec<u64>,
    /// If there were spills, the number of those before the spills of the fork. All its rows are in spills then, and
    /// numbers of values and users do not change.
    pub spills: Option<u32>,
}
