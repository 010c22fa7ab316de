//! What is settled for one attribute.

use crate::input::{AttributeId, ValueId};

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
    pub(super) disagreements: Vec<Disagreement>,
}

/// Users' numbers.
#[derive(Debug)]
pub(super) enum Ids {
    /// Less this base.
    Narrow(u64, Vec<u32>),
    Wide(Vec<u64>),
}

/// The places of one group's users in a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    start: u32,
    end: u32,
}

/// Where the groups of a column lie in its ids, in the order of their values.
#[derive(Debug)]
pub(super) struct Groups {
    /// By group, where it ends, which is where the next one starts.
    ends: Vec<u32>,
    /// By group; `None` where every value has a group.
    values: Option<Vec<u32>>,
}

/// Values of one user that disagree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disagreement {
    pub(super) user: u64,
    /// Distinct, in the order of the input.
    pub(super) values: Vec<u32>,
}

impl Ids {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Narrow(_, ids) => ids.len(),
            Self::Wide(ids) => ids.len(),
        }
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> u64 {
        match self {
            Self::Narrow(base, ids) => base + u64::from(ids[place]),
            Self::Wide(ids) => ids[place],
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Narrow(_, ids) => ids.capacity() * size_of::<u32>(),
            Self::Wide(ids) => ids.capacity() * size_of::<u64>(),
        }
    }
}

impl Range {
    pub(super) fn len(self) -> u32 {
        self.end - self.start
    }

    /// The place of the user at this position of the group.
    #[inline]
    pub(super) fn at(self, position: u32) -> usize {
        assert!(position < self.len(), "a position beyond the end of a group");
        (self.start + position) as usize
    }
}

impl Groups {
    /// Of the places where each value's users end, by value number; a value without users ends where it starts.
    pub(super) fn of(mut ends: Vec<u32>) -> Self {
        let mut start = 0;
        let empty = |end: u32| std::mem::replace(&mut start, end) == end;
        if !ends.iter().copied().any(empty) {
            return Self { ends, values: None };
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
        Self { ends, values: Some(values) }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("values are numbered in 32 bits")
    }

    /// Where the users of a group lie.
    pub(super) fn range(&self, group: u32) -> Range {
        let start = if group == 0 { 0 } else { self.ends[group as usize - 1] };
        Range { start, end: self.ends[group as usize] }
    }

    pub(super) fn value(&self, group: u32) -> ValueId {
        ValueId(self.values.as_ref().map_or(group, |values| values[group as usize]))
    }

    /// How many users each group has.
    pub(super) fn sizes(&self) -> impl Iterator<Item = u32> + '_ {
        self.ends.iter().scan(0, |start, &end| Some(end - std::mem::replace(start, end)))
    }

    fn memory_bytes(&self) -> usize {
        (self.ends.capacity() + self.values.as_ref().map_or(0, Vec::capacity)) * size_of::<u32>()
    }
}

impl Column {
    /// Users that keep a value.
    pub(super) fn users(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Rows that lost.
    pub(super) fn superseded(&self) -> u64 {
        self.rows - self.users() - self.disputed
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let disagreements = self.disagreements.iter().map(|disagreement| {
            size_of::<Disagreement>() + disagreement.values.capacity() * size_of::<u32>()
        });
        self.ids.memory_bytes() + self.groups.memory_bytes() + disagreements.sum::<usize>()
    }
}
