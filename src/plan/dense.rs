//! Settles rows whose users' numbers lie close together: a table with a slot for each number that can occur.
//!
//! Writing a row's value into its user's slot settles it, as the slot's last value is the user's last one. Reading the
//! table from its start finds users in ascending order, which a counting sort by value keeps.

use std::io;

use super::OnConflict;
use super::column::{Groups, Ids, Numbers};
use super::conflict::ConflictCollector;
use super::grouping::{self, UserValue, starts_of};
use super::resolve::{Span, UnresolvedRows};
use super::rows::index;
use super::strategy::Grouping;

/// Slots to look through for users at a time.
const STRIDE: usize = 256;

/// How many bytes a slot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    One,
    Two,
    Four,
}

impl Width {
    /// Of slots that tell so many values apart, with its bytes; `None` if there is none.
    pub(super) fn of(values: usize) -> Option<(Self, u64)> {
        let fits = |most: u32| u32::try_from(values).is_ok_and(|values| values <= most);
        match () {
            () if fits(u8::MOST) => Some((Self::One, 1)),
            () if fits(u16::MOST) => Some((Self::Two, 2)),
            () if fits(u32::MOST) => Some((Self::Four, 4)),
            () => None,
        }
    }
}

/// What is known of one user: nothing (0), or the number of its value, from 1, and a flag if there was another value.
pub(super) trait TableSlot: Copy + Default + PartialEq + Into<u32> {
    /// Set where values disagreed.
    const FLAG: u32;
    /// The most values that can be told apart.
    const MOST: u32 = Self::FLAG - 1;

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

/// By user's number, less the smallest, what is known of each.
struct Table<'c, S> {
    slots: Vec<S>,
    /// By value, how many users have it; empty where values are not counted.
    counts: Vec<u32>,
    on_conflict: OnConflict,
    conflicts: &'c mut ConflictCollector,
}

pub(super) fn resolve<S: TableSlot>(
    rows: UnresolvedRows<'_>,
    span: Span,
    grouping: Grouping,
    conflicts: &mut ConflictCollector,
) -> io::Result<(Ids, Groups)> {
    let counted = match grouping {
        Grouping::Count => rows.values,
        Grouping::Sort => 0,
    };
    let mut table = Table {
        slots: written::<S>(index(span.reach()) + 1),
        counts: vec![0; counted],
        on_conflict: rows.on_conflict,
        conflicts,
    };
    rows.drain(|user, value| table.put(user, user - span.smallest, value))?;
    table.leave_out_disputed();
    let Table { slots, counts, .. } = table;
    Ok(match grouping {
        Grouping::Count => {
            let (mut places, taken) = starts_of(counts);
            let users = ids_by_value(&slots, taken as usize, &mut places);
            (Ids::Memory(Numbers::Narrow(span.smallest, users)), Groups::of(places))
        }
        Grouping::Sort => {
            let taken = (0..).zip(slots).filter(|(_, slot)| *slot != S::default());
            let entries = taken.map(|(user, slot)| UserValue { user, value: (slot.into() & !S::FLAG) - 1 });
            grouping::by_sorting(entries.collect(), span)
        }
    })
}

/// So many empty slots, which are written, and not only promised by the system: `put` reads a slot before it writes it,
/// and a page that is read first costs a second fault when it is written, for which all threads are stopped.
fn written<S: TableSlot>(slots: usize) -> Vec<S> {
    let mut table = Vec::with_capacity(slots);
    table.resize(slots, S::default());
    table
}

impl<S: TableSlot> Table<'_, S> {
    /// Takes the next row. Small, so that it becomes part of the loops over blocks.
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
        if self.conflicts.is_one(old_value, value) {
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

    /// Where conflicts are refused, users that have one get no value.
    fn leave_out_disputed(&mut self) {
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

/// The places of so many taken slots, by value and then ascending. `places` has the starts of the values, and then their
/// ends.
///
/// Which slots are taken is no pattern that a processor could predict, so they are first listed without branching.
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
