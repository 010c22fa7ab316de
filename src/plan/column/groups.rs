//! Where groups lie in a column, in memory or in a temporary file.

use std::io;

use super::BUFFER;
use crate::input::ValueId;
use crate::spill::{Paged, Reader, Store, Writer, read_back};

/// The places of one group's users in a column.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) struct Range {
    start: u32,
    end: u32,
}

/// Where the groups of a column lie in its ids, in the order of their values.
#[derive(Debug)]
pub(in crate::plan) enum Groups {
    Memory {
        /// By group, where it ends, which is where the next one starts.
        ends: Vec<u32>,
        /// By group; `None` where every value has a group.
        values: Option<Vec<u32>>,
    },
    Stored(Paged<GroupEntry>),
}

/// A group's value, and where it ends.
type GroupEntry = [u32; 2];

/// Reads groups one after the other.
#[derive(Debug)]
pub(in crate::plan) struct GroupReader<'a> {
    ends: Ends<'a>,
    start: u32,
}

#[derive(Debug)]
enum Ends<'a> {
    Memory { ends: &'a [u32], values: Option<&'a [u32]>, group: u32 },
    Stored(Reader<GroupEntry>),
}

/// Writes groups to a temporary file, in the order of their values.
#[derive(Debug)]
pub(in crate::plan) struct GroupsWriter {
    entries: Writer<GroupEntry>,
    end: u64,
}

impl Range {
    pub(in crate::plan) fn len(self) -> u32 {
        self.end - self.start
    }

    /// The place of the user at this position of the group.
    #[inline]
    pub(in crate::plan) fn at(self, position: u32) -> usize {
        assert!(position < self.len(), "a position beyond the end of a group");
        (self.start + position) as usize
    }

    /// The places of its users.
    pub(in crate::plan) fn places(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The places of so many of its users, from this position on.
    pub(in crate::plan) fn part(self, first: u32, len: u32) -> std::ops::Range<usize> {
        assert!(first <= self.len() && len <= self.len() - first, "a range beyond the end of a group");
        let start = (self.start + first) as usize;
        start..start + len as usize
    }
}

impl Groups {
    /// Of the places where each value's users end, by value number; a value without users ends where it starts.
    pub(in crate::plan) fn of(mut ends: Vec<u32>) -> Self {
        let mut start = 0;
        let empty = |end: u32| std::mem::replace(&mut start, end) == end;
        if !ends.iter().copied().any(empty) {
            return Self::Memory { ends, values: None };
        }
        let mut values = Vec::new();
        start = 0;
        let mut value = 0;
        ends.retain(|&end| {
            let kept = std::mem::replace(&mut start, end) != end;
            if kept {
                values.push(value);
            }
            value += 1;
            kept
        });
        ends.shrink_to_fit();
        values.shrink_to_fit();
        Self::Memory { ends, values: Some(values) }
    }

    pub(in crate::plan) fn len(&self) -> u32 {
        let len = match self {
            Self::Memory { ends, .. } => ends.len() as u64,
            Self::Stored(entries) => entries.column().len(),
        };
        u32::try_from(len).expect("values are numbered in 32 bits")
    }

    /// Where the users of a group lie.
    pub(in crate::plan) fn range(&self, group: u32) -> Range {
        let end = |group: u32| match self {
            Self::Memory { ends, .. } => ends[group as usize],
            Self::Stored(entries) => read_back(entries.get(group.into()))[1],
        };
        Range { start: if group == 0 { 0 } else { end(group - 1) }, end: end(group) }
    }

    pub(in crate::plan) fn value(&self, group: u32) -> ValueId {
        ValueId(match self {
            Self::Memory { values, .. } => values.as_ref().map_or(group, |values| values[group as usize]),
            Self::Stored(entries) => read_back(entries.get(group.into()))[0],
        })
    }

    /// How many users each group has.
    pub(in crate::plan) fn sizes(&self) -> impl Iterator<Item = u32> + '_ {
        let mut walk = self.walk(BUFFER);
        std::iter::from_fn(move || read_back(walk.try_next()).map(|(_, users)| users))
    }

    /// All of them, in the order of their values.
    pub(in crate::plan) fn walk(&self, buffer_bytes: usize) -> GroupReader<'_> {
        let ends = match self {
            Self::Memory { ends, values } => Ends::Memory { ends, values: values.as_deref(), group: 0 },
            Self::Stored(entries) => Ends::Stored(entries.column().reader(0, buffer_bytes)),
        };
        GroupReader { ends, start: 0 }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Memory { ends, values } => {
                (ends.capacity() + values.as_ref().map_or(0, Vec::capacity)) * size_of::<u32>()
            }
            Self::Stored(_) => 0,
        }
    }

    pub(super) fn store(self, store: &Store) -> io::Result<Self> {
        if matches!(self, Self::Stored(_)) {
            return Ok(self);
        }
        let mut writer = GroupsWriter::new(store, self.len().into(), BUFFER);
        let (mut walk, mut end) = (self.walk(BUFFER), 0);
        while let Some((value, users)) = walk.try_next()? {
            end += u64::from(users);
            writer.end(value, end)?;
        }
        writer.seal()
    }
}

impl GroupReader<'_> {
    /// The next group's value, and how many users it has; `None` after the last one.
    pub(in crate::plan) fn try_next(&mut self) -> io::Result<Option<(u32, u32)>> {
        let next = match &mut self.ends {
            Ends::Stored(entries) => entries.try_next()?,
            Ends::Memory { ends, values, group } => {
                let place = *group as usize;
                *group += 1;
                ends.get(place).map(|&end| [values.map_or(*group - 1, |values| values[place]), end])
            }
        };
        Ok(next.map(|[value, end]| (value, end - std::mem::replace(&mut self.start, end))))
    }
}

impl GroupsWriter {
    /// Begins at most so many groups.
    pub(in crate::plan) fn new(store: &Store, most: u64, buffer: usize) -> Self {
        Self { entries: store.writer(most, buffer), end: 0 }
    }

    /// Says where the next group ends. It is none if that is where it starts.
    pub(in crate::plan) fn end(&mut self, value: u32, end: u64) -> io::Result<()> {
        if std::mem::replace(&mut self.end, end) == end {
            return Ok(());
        }
        let end = u32::try_from(end).expect("an attribute of 2^32 users is more than batches can number");
        self.entries.push([value, end])
    }

    pub(in crate::plan) fn seal(self) -> io::Result<Groups> {
        Ok(Groups::Stored(Paged::new(self.entries.seal()?)))
    }
}
