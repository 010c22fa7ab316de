//! Puts users in the order of their values, keeping their own within a value.

use super::column::{Groups, Ids, Numbers};
use super::resolve::Span;

/// One user, less the smallest one, and its value, in 12 bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(Rust, packed(4))]
pub(super) struct UserValue {
    pub(super) user: u64,
    pub(super) value: u32,
}

/// Of users who ascend. There are so many numbers of values.
pub(super) fn by_counting(entries: &[UserValue], values: usize, span: Span) -> (Ids, Groups) {
    let mut counts = vec![0; values];
    for entry in entries {
        counts[entry.value as usize] += 1;
    }
    let (mut places, _) = starts_of(counts);
    let ids = if let Some(narrow) = narrowing(span) {
        Numbers::Narrow(span.smallest, ids_by_value(entries, &mut places, narrow))
    } else {
        Numbers::Wide(ids_by_value(entries, &mut places, |user| span.smallest + user))
    };
    (Ids::Memory(ids), Groups::of(places))
}

/// Of users who ascend, with values whose numbers may be anything.
pub(super) fn by_sorting(mut entries: Vec<UserValue>, span: Span) -> (Ids, Groups) {
    entries.sort_by_key(|entry| entry.value);
    let (mut ends, mut values) = (Vec::new(), Vec::new());
    let mut end = 0;
    for same in entries.chunk_by(|left, right| left.value == right.value) {
        end += u32::try_from(same.len()).expect("rows are sorted by the million");
        ends.push(end);
        values.push(same[0].value);
    }
    let ids = if let Some(narrow) = narrowing(span) {
        Numbers::Narrow(span.smallest, entries.iter().map(|entry| narrow(entry.user)).collect())
    } else {
        Numbers::Wide(entries.iter().map(|entry| span.smallest + entry.user).collect())
    };
    (Ids::Memory(ids), Groups::Memory { ends, values: Some(values) })
}

/// Turns how many users each value has into where these start, if they lie one value after the other; and where the
/// last ones end.
pub(super) fn starts_of(mut counts: Vec<u32>) -> (Vec<u32>, u32) {
    let mut start = 0_u32;
    for count in &mut counts {
        let next =
            start.checked_add(*count).expect("an attribute of 2^32 users is more than batches can number");
        *count = start;
        start = next;
    }
    (counts, start)
}

/// How a user's number, less the smallest, gets into 32 bits, where that is so for all.
fn narrowing(span: Span) -> Option<impl Fn(u64) -> u32> {
    let narrow = |user| u32::try_from(user).expect("no user is beyond the reach");
    u32::try_from(span.reach()).is_ok().then_some(narrow)
}

/// Users by value and then ascending. `places` has the starts of the values, and then their ends.
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
