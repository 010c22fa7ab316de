//! What is settled for one attribute.

mod conflicts;
mod groups;
mod ids;

use std::io;

pub(super) use conflicts::{ColumnConflicts, UserConflict};
pub(super) use groups::{Groups, GroupsWriter, Range};
pub(super) use ids::{Ids, IdsWriter, Numbers};

use super::OnConflict;
use super::conflict::ConflictCollector;
use crate::input::{AttributeId, ValueId};
use crate::spill::{Store, read_back};

/// Bytes of a buffer between a column and its file.
const BUFFER: usize = 64 << 10;

/// What is settled for one attribute: the users that keep a value, by value, and within a value ascending.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) attribute: AttributeId,
    pub(super) ids: Ids,
    pub(super) groups: Groups,
    /// As read, whatever became of them.
    pub(super) rows: u64,
    /// Users that had values which disagree.
    pub(super) conflicts: u64,
    /// Values that are kept apart, since conflicts are refused.
    pub(super) disputed: u64,
    /// Of these conflicts the first few; or all, where they are refused.
    pub(super) conflict_list: ColumnConflicts,
}

impl Column {
    /// Of so many rows, and of what became of them.
    pub(super) fn new(
        attribute: AttributeId,
        rows: u64,
        (ids, groups): (Ids, Groups),
        conflicts: ConflictCollector,
        on_conflict: OnConflict,
    ) -> Self {
        let (conflicts, conflict_list) = (conflicts.count(), conflicts.finish());
        let disputed = match on_conflict {
            OnConflict::Last | OnConflict::First => 0,
            OnConflict::Error => conflict_list.iter().map(|conflict| conflict.values.len() as u64).sum(),
        };
        let conflict_list = ColumnConflicts::Memory(conflict_list);
        Self { attribute, ids, groups, rows, conflicts, disputed, conflict_list }
    }

    /// The attribute by the name that all values have, if it has two.
    pub(super) fn called(&self) -> AttributeId {
        let column = self.attribute.column();
        if column.name_bits() == 0 {
            return column;
        }
        let mut walk = self.groups.walk(BUFFER);
        let mut names = std::iter::from_fn(|| read_back(walk.try_next()))
            .map(|(value, _)| column.as_called(ValueId(value)));
        let first = names.next().unwrap_or(column);
        if names.all(|name| name == first) { first } else { column }
    }

    /// Users that keep a value.
    pub(super) fn users(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Rows that lost.
    pub(super) fn superseded(&self) -> u64 {
        self.rows - self.users() - self.disputed
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.ids.memory_bytes() + self.groups.memory_bytes() + self.conflict_list.memory_bytes()
    }

    /// The same in a temporary file, if it isn't in one yet.
    pub(super) fn store(self, store: &Store) -> io::Result<Self> {
        let (ids, groups) = (self.ids.store(store)?, self.groups.store(store)?);
        Ok(Self { ids, groups, conflict_list: self.conflict_list.store(store)?, ..self })
    }

    /// Takes rows out: those at whose places `keep` says no. It is asked for one after the other. Fails if a temporary
    /// file can't be written.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) -> io::Result<()> {
        match &mut self.ids {
            Ids::Memory(ids) => {
                let (mut kept, mut ends) = (0, Vec::new());
                for group in 0..self.groups.len() {
                    let ValueId(value) = self.groups.value(group);
                    ends.resize(value as usize, kept);
                    for place in self.groups.range(group).places().filter(|&place| keep(place)) {
                        ids.move_to(place, kept as usize);
                        kept += 1;
                    }
                    ends.push(kept);
                }
                ids.truncate(kept as usize);
                self.groups = Groups::of(ends);
            }
            Ids::Stored(ids) => {
                let mut kept = ids.anew();
                let mut groups = GroupsWriter::new(ids.store(), self.groups.len().into(), BUFFER);
                let mut old = self.groups.walk(BUFFER);
                let (mut place, mut users) = (0, self.ids.walk(0..self.ids.len()));
                while let Some((value, size)) = old.try_next()? {
                    for _ in 0..size {
                        let user = users.try_next()?.ok_or(io::ErrorKind::UnexpectedEof)?;
                        if keep(place) {
                            kept.push(user)?;
                        }
                        place += 1;
                    }
                    groups.end(value, kept.len())?;
                }
                let groups = groups.seal()?;
                (self.ids, self.groups) = (kept.seal()?, groups);
            }
        }
        Ok(())
    }
}
