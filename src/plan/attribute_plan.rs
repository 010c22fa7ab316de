//! The plan of one attribute.

use std::io;

use fixedbitset::FixedBitSet;

use super::conflicts::{ConflictCollector, ConflictList};
use super::groups::ValueGroups;
use super::id_column::IdColumn;
use super::{BUFFER, OnConflict};
use crate::input::{AttributeId, ValueId};
use crate::spill::{TempFile, read_back};

/// What is to be sent for one attribute: the users of each value.
#[derive(Debug)]
pub(super) struct AttributePlan {
    pub(super) attribute: AttributeId,
    /// By value, and ascending within a value.
    pub(super) ids: IdColumn,
    pub(super) groups: ValueGroups,
    /// All valid rows, including those that lost to others.
    pub(super) rows: u64,
    /// The number of users with conflicting values.
    pub(super) conflicts: u64,
    /// The number of values that are not sent because conflicts are refused.
    pub(super) disputed: u64,
    /// The first few conflicts; all of them where conflicts are refused.
    pub(super) conflict_list: ConflictList,
}

impl AttributePlan {
    pub(super) fn new(
        attribute: AttributeId,
        rows: u64,
        (ids, groups): (IdColumn, ValueGroups),
        conflicts: ConflictCollector,
    ) -> Self {
        let count = conflicts.count();
        let (conflict_list, disputed) = conflicts.finish();
        Self { attribute, ids, groups, rows, conflicts: count, disputed, conflict_list }
    }

    /// The attribute by the name that all values came under, where it has two names.
    pub(super) fn common_name(&self) -> AttributeId {
        let column = self.attribute.column();
        if column.name_bits() == 0 {
            return column;
        }
        let mut groups = self.groups.reader(BUFFER);
        let mut names = std::iter::from_fn(|| read_back(groups.try_next()))
            .map(|(value, _)| column.as_called(ValueId(value)));
        let first = names.next().unwrap_or(column);
        if names.all(|name| name == first) { first } else { column }
    }

    /// The number of users that get a value.
    pub(super) fn users(&self) -> u64 {
        self.ids.len() as u64
    }

    /// The number of rows that lost to others.
    pub(super) fn superseded(&self) -> u64 {
        self.rows - self.users() - self.disputed
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.ids.memory_bytes() + self.groups.memory_bytes() + self.conflict_list.memory_bytes()
    }

    /// Moves the plan to a temporary file, unless it is in one.
    pub(super) fn move_to(&mut self, file: &TempFile) -> io::Result<()> {
        self.ids.move_to(file)?;
        self.groups.move_to(file)?;
        self.conflict_list.move_to(file)
    }

    /// A plan of the rows at these positions alone, without conflicts.
    pub(super) fn selected(&self, positions: &FixedBitSet) -> io::Result<Self> {
        let mut others = positions.clone();
        others.toggle_range(..);
        let ids = self.ids.selected(|position| positions.contains(position), BUFFER)?;
        let rows = ids.len() as u64;
        Ok(Self {
            attribute: self.attribute,
            ids,
            groups: self.groups.without(&others)?,
            rows,
            conflicts: 0,
            disputed: 0,
            conflict_list: ConflictCollector::new(OnConflict::Last, 0).finish().0,
        })
    }

    /// Removes the rows at these positions. Fails if a temporary file cannot be written.
    pub(super) fn remove(&mut self, removed: &FixedBitSet) -> io::Result<()> {
        self.groups = self.groups.without(removed)?;
        self.ids.retain(|position| !removed.contains(position), BUFFER)
    }
}
