//! Settles rows whose users' numbers lie far apart: a stable sort by user, which puts the rows of a user side by side in
//! the order of the input.

use super::OnConflict;
use super::column::Ids;
use super::conflict::Conflicts;
use super::rows::index;
use super::settle::{Settled, Span, Unsettled, starts_of};

/// Bits of a number that one pass of the radix sort looks at: so many piles can be written to at a time before each
/// write misses the cache.
const DIGIT_BITS: u32 = 11;
const PILES: usize = 1 << DIGIT_BITS;

/// Fewer rows than this are not worth counting piles for.
const FEW_ROWS: usize = 2 * PILES;

/// One row, in 12 bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(Rust, packed(4))]
struct Entry {
    user: u64,
    value: u32,
}

pub(super) fn settle(rows: Unsettled<'_>, span: Span, conflicts: &mut Conflicts) -> Settled {
    let (values, on_conflict) = (rows.values, rows.on_conflict);
    let mut entries = Vec::with_capacity(usize::try_from(rows.rows.len()).expect("rows are in memory"));
    rows.drain(|user, value| entries.push(Entry { user: user - span.smallest, value }));
    sort_by_user(&mut entries, span);
    keep_one_per_user(&mut entries, span, on_conflict, conflicts);

    let mut counts = vec![0; values];
    for entry in &entries {
        counts[entry.value as usize] += 1;
    }
    let (mut places, _) = starts_of(counts);
    let ids = if u32::try_from(span.reach()).is_ok() {
        let narrow = |user| u32::try_from(user).expect("no user is beyond the reach");
        Ids::Narrow(span.smallest, ids_by_value(&entries, &mut places, narrow))
    } else {
        Ids::Wide(ids_by_value(&entries, &mut places, |user| span.smallest + user))
    };
    (ids, places)
}

/// A stable sort: two passes of a radix sort by the highest bits that can differ, from which on a handful of rows is
/// left to sort in each pile; or all of them, if the numbers are clustered.
fn sort_by_user(entries: &mut [Entry], span: Span) {
    if entries.len() < FEW_ROWS {
        entries.sort_by_key(|entry| entry.user);
        return;
    }
    let rest = (u64::BITS - span.reach().leading_zeros()).saturating_sub(2 * DIGIT_BITS);
    let mut sorted = vec![Entry::default(); entries.len()];
    deal(entries, &mut sorted, rest);
    deal(&sorted, entries, rest + DIGIT_BITS);
    drop(sorted);
    if rest > 0 {
        let pile = |entry: &Entry| entry.user >> rest;
        for same in
            entries.chunk_by_mut(|left, right| pile(left) == pile(right)).filter(|same| same.len() > 1)
        {
            same.sort_by_key(|entry| entry.user);
        }
    }
}

/// Deals entries into piles by one digit, keeping their order within a pile.
fn deal(from: &[Entry], to: &mut [Entry], shift: u32) {
    let digit = |entry: &Entry| index((entry.user >> shift) % PILES as u64);
    let mut places = [0_usize; PILES];
    for entry in from {
        places[digit(entry)] += 1;
    }
    let mut start = 0;
    for place in &mut places {
        start += std::mem::replace(place, start);
    }
    for entry in from {
        let place = &mut places[digit(entry)];
        to[*place] = *entry;
        *place += 1;
    }
}

/// Of each user's entries, which lie side by side, keeps the one that stands, if any.
fn keep_one_per_user(
    entries: &mut Vec<Entry>,
    span: Span,
    on_conflict: OnConflict,
    conflicts: &mut Conflicts,
) {
    let (mut kept, mut next) = (0, 0);
    while next < entries.len() {
        let Entry { user, value: first } = entries[next];
        let (mut stands, mut disputed) = (first, false);
        next += 1;
        while next < entries.len() && entries[next].user == user {
            let later = entries[next].value;
            next += 1;
            if later == stands {
                continue;
            }
            if !disputed {
                conflicts.open(span.smallest + user, first);
                disputed = true;
            }
            conflicts.add(span.smallest + user, later);
            if on_conflict == OnConflict::Last {
                stands = later;
            }
        }
        if !disputed || on_conflict != OnConflict::Error {
            entries[kept] = Entry { user, value: stands };
            kept += 1;
        }
    }
    entries.truncate(kept);
}

/// Users by value and then ascending. `places` has the starts of the values, and then their ends.
fn ids_by_value<I: Copy + Default>(entries: &[Entry], places: &mut [u32], id: impl Fn(u64) -> I) -> Vec<I> {
    let mut ids = vec![I::default(); entries.len()];
    for entry in entries {
        let place = &mut places[entry.value as usize];
        ids[*place as usize] = id(entry.user);
        *place += 1;
    }
    ids
}
