//! Sorts users by value, and keeps them ascending within a value.

use super::groups::ValueGroups;
use super::id_column::{IdColumn, Span};

/// A user's number, less the smallest one, and its value, in 12 bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(Rust, packed(4))]
pub(super) struct UserValue {
    pub(super) user: u64,
    pub(super) value: u32,
}

/// Groups users by counting each value. Users ascend, and value numbers are below `values`.
pub(super) fn by_counting(entries: &[UserValue], values: usize, span: Span) -> (IdColumn, ValueGroups) {
    let mut counts = vec![0; values];
    for entry in entries {
        counts[entry.value as usize] += 1;
    }
    let (mut places, _) = starts_of(counts);
    let ids = if let Some(narrow) = narrowing(span) {
        IdColumn::narrow(span.smallest, ids_by_value(entries, &mut places, narrow))
    } else {
        IdColumn::wide(ids_by_value(entries, &mut places, |user| span.smallest + user))
    };
    (ids, ValueGroups::from_ends(places))
}

/// Groups users by sorting them by value. Users ascend, and value numbers may be anything.
pub(super) fn by_sorting(mut entries: Vec<UserValue>, span: Span) -> (IdColumn, ValueGroups) {
    entries.sort_by_key(|entry| entry.value);
    let (mut ends, mut values) = (Vec::new(), Vec::new());
    let mut end = 0;
    for same in entries.chunk_by(|left, right| left.value == right.value) {
        end += u32::try_from(same.len()).expect("rows are sorted by the million");
        ends.push(end);
        values.push(same[0].value);
    }
    let ids = if let Some(narrow) = narrowing(span) {
        IdColumn::narrow(span.smallest, entries.iter().map(|entry| narrow(entry.user)).collect())
    } else {
        IdColumn::wide(entries.iter().map(|entry| span.smallest + entry.user).collect())
    };
    (ids, ValueGroups::with_values(ends, values))
}

/// Turns the number of users of each value into the position where they start, and returns the position where the last
/// ones end.
pub(super) fn starts_of(mut counts: Vec<u32>) -> (Vec<u32>, u32) {
    let mut start = 0_u32;
    for count in &mut counts {
        let next = start.checked_add(*count).expect("batches number at most 2^32 users of an attribute");
        *count = start;
        start = next;
    }
    (counts, start)
}

/// Converts user numbers, less the smallest, to 32 bits; `None` if not all of them fit.
fn narrowing(span: Span) -> Option<impl Fn(u64) -> u32> {
    let narrow = |user| u32::try_from(user).expect("no user is beyond the reach");
    u32::try_from(span.reach()).is_ok().then_some(narrow)
}

/// Users by value and then ascending. `places` holds where each value starts, and after the call where it ends.
fn ids_by_value<I: Copy + Default>(
    entries: &[UserValue],
    places: &mut [u32],
    id: impl Fn(u64) -> I,
) -> Vec<I> {
    let mut ids = vec![I::default(); entries.len()];
    for entry in entries {
        let place = &mut places[entry.value as usize];
        ids[*place as usize] = id(entry.user);
        *place += 1;
    }
    ids
}
