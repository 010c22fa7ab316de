//! Where each group's users are among the users of an attribute.

use std::io;

use fixedbitset::FixedBitSet;

use super::BUFFER;
use crate::input::ValueId;
use crate::spill::{Column, ColumnReader, ColumnWriter, TempFile, read_back};

/// The positions of one group's users among the users of its attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupRange {
    start: u32,
    end: u32,
}

/// The groups of one attribute, in the order of their values.
#[derive(Debug)]
pub(super) struct ValueGroups {
    /// By group, the position where it ends, which is where the next one starts.
    ends: Column<u32>,
    /// By group; `None` where every value has a group.
    values: Option<Column<u32>>,
}

/// Reads groups from the first to the last.
#[derive(Debug)]
pub(super) struct GroupReader<'a> {
    ends: ColumnReader<'a, u32>,
    values: Option<ColumnReader<'a, u32>>,
    group: u32,
    start: u32,
}

/// Writes groups in the order of their values.
#[derive(Debug)]
pub(super) struct GroupWriter {
    ends: ColumnWriter<u32>,
    values: ColumnWriter<u32>,
    end: u64,
    /// Every value so far has a group.
    is_dense: bool,
}

impl GroupRange {
    pub(super) fn len(self) -> u32 {
        self.end - self.start
    }

    /// The position of the group's nth user.
    #[inline]
    pub(super) fn at(self, nth: u32) -> usize {
        assert!(nth < self.len(), "a position beyond the end of a group");
        (self.start + nth) as usize
    }

    /// The positions of all its users.
    pub(super) fn positions(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The positions of `len` of its users, from the nth one on.
    pub(super) fn part(self, nth: u32, len: u32) -> std::ops::Range<usize> {
        assert!(nth <= self.len() && len <= self.len() - nth, "a range beyond the end of a group");
        let start = (self.start + nth) as usize;
        start..start + len as usize
    }
}

impl ValueGroups {
    /// Groups from the positions where each value's users end, by value number. A value without users ends where it
    /// starts.
    pub(super) fn from_ends(mut ends: Vec<u32>) -> Self {
        let mut start = 0;
        let empty = |end: u32| std::mem::replace(&mut start, end) == end;
        if !ends.iter().copied().any(empty) {
            return Self { ends: Column::Memory(ends), values: None };
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
        Self::with_values(ends, values)
    }

    /// Groups by the positions where they end, and their values.
    pub(super) fn with_values(ends: Vec<u32>, values: Vec<u32>) -> Self {
        Self { ends: Column::Memory(ends), values: Some(Column::Memory(values)) }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("values are numbered in 32 bits")
    }

    pub(super) fn range(&self, group: u32) -> GroupRange {
        let end = |group: u32| self.ends.get(group as usize);
        GroupRange { start: if group == 0 { 0 } else { end(group - 1) }, end: end(group) }
    }

    pub(super) fn value(&self, group: u32) -> ValueId {
        ValueId(self.values.as_ref().map_or(group, |values| values.get(group as usize)))
    }

    /// The number of users of each group.
    pub(super) fn sizes(&self) -> impl Iterator<Item = u32> + '_ {
        let mut groups = self.reader(BUFFER);
        std::iter::from_fn(move || read_back(groups.try_next()).map(|(_, users)| users))
    }

    pub(super) fn reader(&self, buffer_bytes: usize) -> GroupReader<'_> {
        let all = 0..self.ends.len();
        GroupReader {
            ends: self.ends.reader(all.clone(), buffer_bytes),
            values: self.values.as_ref().map(|values| values.reader(all, buffer_bytes)),
            group: 0,
            start: 0,
        }
    }

    /// The same groups without the users at these positions, and only those that still have any.
    pub(super) fn without(&self, removed: &FixedBitSet) -> io::Result<Self> {
        let (ends, values) = (self.ends.writer(BUFFER), self.ends.writer(BUFFER));
        let mut writer = GroupWriter::new(ends, values);
        let (mut groups, mut start, mut end) = (self.reader(BUFFER), 0, 0);
        while let Some((value, users)) = groups.try_next()? {
            let next = start + users as usize;
            end += u64::from(users) - removed.count_ones(start..next) as u64;
            writer.push(value, end)?;
            start = next;
        }
        writer.finish()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.ends.memory_bytes() + self.values.as_ref().map_or(0, Column::memory_bytes)
    }

    pub(super) fn move_to(&mut self, file: &TempFile) -> io::Result<()> {
        self.ends.move_to(file)?;
        self.values.as_mut().map_or(Ok(()), |values| values.move_to(file))
    }
}

impl GroupReader<'_> {
    /// The next group's value and number of users; `None` after the last group.
    pub(super) fn try_next(&mut self) -> io::Result<Option<(u32, u32)>> {
        let Some(end) = self.ends.try_next()? else { return Ok(None) };
        let value = match &mut self.values {
            None => self.group,
            Some(values) => values.try_next()?.ok_or(io::ErrorKind::UnexpectedEof)?,
        };
        self.group += 1;
        Ok(Some((value, end - std::mem::replace(&mut self.start, end))))
    }
}

impl GroupWriter {
    pub(super) fn new(ends: ColumnWriter<u32>, values: ColumnWriter<u32>) -> Self {
        Self { ends, values, end: 0, is_dense: true }
    }

    /// Starts at most this number of groups in a file.
    pub(super) fn to_file(file: &TempFile, most: u64, buffer_bytes: usize) -> Self {
        let column = || ColumnWriter::File(file.writer(most, buffer_bytes));
        Self::new(column(), column())
    }

    /// Adds the group of a value, which ends at this position. A group without users is left out.
    pub(super) fn push(&mut self, value: u32, end: u64) -> io::Result<()> {
        if std::mem::replace(&mut self.end, end) == end {
            return Ok(());
        }
        self.is_dense &= u64::from(value) == self.ends.len();
        self.ends.push(u32::try_from(end).expect("batches number at most 2^32 users of an attribute"))?;
        self.values.push(value)
    }

    pub(super) fn finish(self) -> io::Result<ValueGroups> {
        let values = if self.is_dense { None } else { Some(self.values.finish()?) };
        Ok(ValueGroups { ends: self.ends.finish()?, values })
    }
}
