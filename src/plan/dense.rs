//! Resolves rows with a table that has a slot for each user number in their range. This is the strategy for numbers
//! that lie close together.
//!
//! Each row writes its value to its user's slot, so the last row of a user wins. The table lists the users in ascending
//! order, and a counting sort by value keeps that order.

use std::io;

use super::conflicts::ConflictCollector;
use super::grouping::{self, UserValue, starts_of};
use super::groups::ValueGroups;
use super::id_column::{IdColumn, Span};
use super::strategy::Grouping;
use super::unresolved_rows::UnresolvedRows;
use super::{OnConflict, index};

/// Slots that are searched for users at a time. The list of those found, 1 KiB, stays in the innermost cache.
const STRIDE: usize = 256;

/// A user's slot: 0 without a value, else the number of the value, from 1, with a flag if the user had conflicting
/// values.
pub(super) trait TableSlot: Copy + Default + PartialEq + Into<u32> {
    /// Set for conflicting values.
    const FLAG: u32;

    fn of(number: u32) -> Self;
}

macro_rules! slot {
    ($($(#[$lint:meta])? $width:ty),*) => {$(
        impl TableSlot for $width {
            const FLAG: u32 = 1 << (<$width>::BITS - 1);

            #[inline]
            $(#[$lint])?
            fn of(number: u32) -> Self {
                number as $width
            }
        }
    )*};
}

slot!(
    #[expect(clippy::cast_possible_truncation, reason = "the width was chosen for the number of values")]
    u8,
    #[expect(clippy::cast_possible_truncation, reason = "the width was chosen for the number of values")]
    u16,
    u32
);

/// The slots of all users.
struct SlotTable<'c, S> {
    /// By user number, less the smallest.
    slots: Vec<S>,
    /// The number of users by value; empty if values are not counted.
    counts: Vec<u32>,
    on_conflict: OnConflict,
    conflicts: &'c mut ConflictCollector,
}

pub(super) fn resolve<S: TableSlot>(
    rows: UnresolvedRows<'_>,
    span: Span,
    grouping: Grouping,
    conflicts: &mut ConflictCollector,
) -> io::Result<(IdColumn, ValueGroups)> {
    let counted = match grouping {
        Grouping::Count => rows.values,
        Grouping::Sort => 0,
    };
    let mut table = SlotTable {
        slots: written::<S>(index(span.reach()) + 1),
        counts: vec![0; counted],
        on_conflict: rows.on_conflict,
        conflicts,
    };
    rows.drain(|user, value| table.put(user, user - span.smallest, value))?;
    table.remove_disputed();
    let SlotTable { slots, counts, .. } = table;
    Ok(match grouping {
        Grouping::Count => {
            let (mut places, taken) = starts_of(counts);
            let users = ids_by_value(&slots, taken as usize, &mut places);
            (IdColumn::narrow(span.smallest, users), ValueGroups::from_ends(places))
        }
        Grouping::Sort => {
            let taken = (0..).zip(slots).filter(|(_, slot)| *slot != S::default());
            let entries = taken.map(|(user, slot)| UserValue { user, value: (slot.into() & !S::FLAG) - 1 });
            grouping::by_sorting(entries.collect(), span)
        }
    })
}

/// Empty slots that have been written to. `put` reads a slot before it writes it. A page of fresh zeros that is read
/// first costs a second page fault when it is written, and that stops all threads.
fn written<S: TableSlot>(slots: usize) -> Vec<S> {
    let mut table = Vec::with_capacity(slots);
    table.resize(slots, S::default());
    table
}

impl<S: TableSlot> SlotTable<'_, S> {
    /// Takes the next row. It is small, so that it is inlined into the loops over blocks.
    #[inline]
    fn put(&mut self, user: u64, place: u64, value: u32) {
        let slot = &mut self.slots[index(place)];
        let (old, new): (u32, u32) = ((*slot).into(), value + 1);
        if old == 0 {
            *slot = S::of(new);
            self.count(value);
        } else if old & !S::FLAG != new {
            self.differ(user, place, value);
        }
    }

    #[cold]
    #[inline(never)]
    fn differ(&mut self, user: u64, place: u64, value: u32) {
        let old: u32 = self.slots[index(place)].into();
        let old_value = (old & !S::FLAG) - 1;
        let mut flag = old & S::FLAG;
        if self.conflicts.differ(old_value, value) {
            if flag == 0 {
                self.conflicts.open(user, old_value);
            }
            self.conflicts.add(user, value);
            flag = S::FLAG;
        }
        let stands = if self.on_conflict == OnConflict::Last { value } else { old_value };
        self.discount(old_value);
        self.count(stands);
        self.slots[index(place)] = S::of((stands + 1) | flag);
    }

    /// Where conflicts are refused, removes the users that have one.
    fn remove_disputed(&mut self) {
        if self.on_conflict != OnConflict::Error || self.conflicts.count() == 0 {
            return;
        }
        for slot in &mut self.slots {
            let old: u32 = (*slot).into();
            if old & S::FLAG != 0 {
                if let Some(count) = self.counts.get_mut((old & !S::FLAG) as usize - 1) {
                    *count -= 1;
                }
                *slot = S::default();
            }
        }
    }

    #[inline]
    fn count(&mut self, value: u32) {
        if let Some(count) = self.counts.get_mut(value as usize) {
            *count += 1;
        }
    }

    fn discount(&mut self, value: u32) {
        if let Some(count) = self.counts.get_mut(value as usize) {
            *count -= 1;
        }
    }
}

/// The positions of the `taken` slots that have a value, by value and then ascending. `places` holds where each value
/// starts, and after the call where it ends.
///
/// A processor cannot predict which slots are taken, so they are first listed without branching.
fn ids_by_value<S: TableSlot>(table: &[S], taken: usize, places: &mut [u32]) -> Vec<u32> {
    let mut ids = vec![0; taken];
    let mut listed = [0_u32; STRIDE];
    let mut id = 0_u32;
    for stride in table.chunks(STRIDE) {
        let mut count = 0;
        for slot in stride {
            listed[count % STRIDE] = id;
            count += usize::from(*slot != S::default());
            id = id.wrapping_add(1);
        }
        for &id in &listed[..count] {
            let slot: u32 = stride[id as usize % STRIDE].into();
            let place = &mut places[(slot & !S::FLAG) as usize - 1];
            ids[*place as usize] = id;
            *place += 1;
        }
    }
    ids
}
