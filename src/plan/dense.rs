//! Settles rows whose users' numbers lie close together: a table with a slot for each number that can occur.
//!
//! Writing a row's value into its user's slot settles it, as the slot's last value is the user's last one. Reading the
//! table from its start finds users in ascending order, which a counting sort by value keeps.

use super::OnConflict;
use super::column::Ids;
use super::conflict::Conflicts;
use super::rows::index;
use super::settle::{Settled, Span, Unsettled, starts_of};

/// Most bytes of the table for each row. It takes no more memory than sorting the rows would; nor much more time.
const MOST_BYTES_PER_ROW: u64 = 24;

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
    /// Of a table for so many rows and values; `None` where it isn't worth its memory.
    pub(super) fn for_table(rows: u64, values: usize, span: Span) -> Option<Self> {
        let fits = |most: u32| u32::try_from(values).is_ok_and(|values| values <= most);
        let (width, bytes) = match () {
            () if fits(u8::MOST) => (Self::One, 1),
            () if fits(u16::MOST) => (Self::Two, 2),
            () if fits(u32::MOST) => (Self::Four, 4),
            () => return None,
        };
        let slots = span.reach() + 1;
        (span.reach() < u64::from(u32::MAX) && slots * bytes <= rows.saturating_mul(MOST_BYTES_PER_ROW))
            .then_some(width)
    }
}

/// What is known of one user: nothing (0), or the number of its value, from 1, and a flag if there was another value.
pub(super) trait Slot: Copy + Default + PartialEq + Into<u32> {
    /// Set where values disagreed.
    const FLAG: u32;
    /// The most values that can be told apart.
    const MOST: u32 = Self::FLAG - 1;

    fn of(number: u32) -> Self;
}

macro_rules! slot {
    ($($width:ty),*) => {$(
        impl Slot for $width {
            const FLAG: u32 = 1 << (<$width>::BITS - 1);

            #[inline]
            #[expect(
                clippy::allow_attributes,
                clippy::cast_possible_truncation,
                reason = "the width was chosen for the number of values"
            )]
            fn of(number: u32) -> Self {
                number as $width
            }
        }
    )*};
}

slot!(u8, u16, u32);

pub(super) fn settle<S: Slot>(rows: Unsettled<'_>, span: Span, conflicts: &mut Conflicts) -> Settled {
    let (values, on_conflict) = (rows.values, rows.on_conflict);
    let mut table = vec![S::default(); index(span.reach()) + 1];
    let mut counts = vec![0_u32; values];
    rows.drain(|user, value| {
        let slot = &mut table[index(user - span.smallest)];
        let old: u32 = (*slot).into();
        let new = value + 1;
        if old == 0 {
            counts[value as usize] += 1;
            *slot = S::of(new);
        } else if old & !S::FLAG != new {
            let old_value = (old & !S::FLAG) - 1;
            if old & S::FLAG == 0 {
                conflicts.open(user, old_value);
            }
            conflicts.add(user, value);
            let stands = if on_conflict == OnConflict::Last { value } else { old_value };
            counts[old_value as usize] -= 1;
            counts[stands as usize] += 1;
            *slot = S::of((stands + 1) | S::FLAG);
        }
    });
    if on_conflict == OnConflict::Error && conflicts.count() > 0 {
        leave_out_disputed(&mut table, &mut counts);
    }
    let mut places = starts_of(counts);
    let users = ids_by_value(&table, &mut places);
    (Ids::Narrow(span.smallest, users), places)
}

#[cold]
fn leave_out_disputed<S: Slot>(table: &mut [S], counts: &mut [u32]) {
    for slot in table {
        let old: u32 = (*slot).into();
        if old & S::FLAG != 0 {
            counts[(old & !S::FLAG) as usize - 1] -= 1;
            *slot = S::default();
        }
    }
}

/// The places of taken slots, by value and then ascending. `places` has the starts of the values, and then their ends.
///
/// Which slots are taken is no pattern that a processor could predict, so they are first listed without branching.
fn ids_by_value<S: Slot>(table: &[S], places: &mut [u32]) -> Vec<u32> {
    let taken = table.iter().filter(|slot| **slot != S::default()).count();
    let mut ids = vec![0; taken];
    let mut listed = [0_u8; STRIDE];
    let mut first = 0;
    for stride in table.chunks(STRIDE) {
        let mut count = 0;
        for (place, slot) in (0..=u8::MAX).zip(stride) {
            listed[count % STRIDE] = place;
            count += usize::from(*slot != S::default());
        }
        for &place in &listed[..count] {
            let slot: u32 = stride[usize::from(place)].into();
            let next = &mut places[(slot & !S::FLAG) as usize - 1];
            ids[*next as usize] = first + u32::from(place);
            *next += 1;
        }
        first = first.wrapping_add(STRIDE as u32);
    }
    ids
}
