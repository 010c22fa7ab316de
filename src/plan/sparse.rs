//! Resolves rows by a stable sort by user. This is the strategy for user numbers that lie far apart.
//!
//! The sort puts the rows of a user side by side, in the order of the input.

use std::io;

use super::conflicts::ConflictCollector;
use super::grouping::{self, UserValue};
use super::groups::ValueGroups;
use super::id_column::{IdColumn, Span};
use super::strategy::Grouping;
use super::unresolved_rows::UnresolvedRows;
use super::{OnConflict, index};

/// Bits of a number that one pass of the radix sort looks at. With more buckets, nearly every write would miss the
/// cache.
const DIGIT_BITS: u32 = 11;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// Fewer rows than this are sorted by comparing, which is faster than counting buckets.
const FEW_ROWS: usize = 2 * BUCKETS;

pub(super) fn resolve(
    rows: UnresolvedRows<'_>,
    span: Span,
    grouping: Grouping,
    conflicts: &mut ConflictCollector,
) -> io::Result<(IdColumn, ValueGroups)> {
    let (values, on_conflict) = (rows.values, rows.on_conflict);
    let mut entries = Vec::with_capacity(usize::try_from(rows.rows.len()).expect("rows are in memory"));
    rows.drain(|user, value| entries.push(UserValue { user: user - span.smallest, value }))?;
    sort_by_user(&mut entries, span);
    keep_one_per_user(&mut entries, span, on_conflict, conflicts);
    Ok(match grouping {
        Grouping::Count => grouping::by_counting(&entries, values, span),
        Grouping::Sort => grouping::by_sorting(entries, span),
    })
}

/// A stable sort: two passes of a radix sort by the highest bits that can differ, then a comparison sort within each
/// bucket. Buckets have a handful of rows, unless the numbers are clustered.
fn sort_by_user(entries: &mut [UserValue], span: Span) {
    if entries.len() < FEW_ROWS {
        entries.sort_by_key(|entry| entry.user);
        return;
    }
    let rest = (u64::BITS - span.reach().leading_zeros()).saturating_sub(2 * DIGIT_BITS);
    let mut sorted = vec![UserValue::default(); entries.len()];
    distribute(entries, &mut sorted, rest);
    distribute(&sorted, entries, rest + DIGIT_BITS);
    drop(sorted);
    if rest > 0 {
        let bucket = |entry: &UserValue| entry.user >> rest;
        for same in
            entries.chunk_by_mut(|left, right| bucket(left) == bucket(right)).filter(|same| same.len() > 1)
        {
            same.sort_by_key(|entry| entry.user);
        }
    }
}

/// Distributes entries to buckets by one digit, and keeps their order within a bucket.
fn distribute(from: &[UserValue], to: &mut [UserValue], shift: u32) {
    let digit = |entry: &UserValue| index((entry.user >> shift) % BUCKETS as u64);
    let mut places = [0_usize; BUCKETS];
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

/// Keeps the entry of each user that counts, if any. A user's entries lie side by side.
fn keep_one_per_user(
    entries: &mut Vec<UserValue>,
    span: Span,
    on_conflict: OnConflict,
    conflicts: &mut ConflictCollector,
) {
    let (mut kept, mut next) = (0, 0);
    while next < entries.len() {
        let UserValue { user, value: first } = entries[next];
        let (mut stands, mut disputed) = (first, false);
        next += 1;
        while next < entries.len() && entries[next].user == user {
            let later = entries[next].value;
            next += 1;
            if later == stands {
                continue;
            }
            if conflicts.differ(stands, later) {
                if !disputed {
                    conflicts.open(span.smallest + user, first);
                    disputed = true;
                }
                conflicts.add(span.smallest + user, later);
            }
            if on_conflict == OnConflict::Last {
                stands = later;
            }
        }
        if !disputed || on_conflict != OnConflict::Error {
            entries[kept] = UserValue { user, value: stands };
            kept += 1;
        }
    }
    entries.truncate(kept);
}
