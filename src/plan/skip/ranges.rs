//! Divides the users of a column where there is too little memory to look at all of them at once.

use std::ops::RangeInclusive;

use super::places::{UserIndex, bounds};
use crate::plan::column::Column;

/// Into how many equal ranges of numbers a range is divided at a time.
const PARTS: usize = 1 << 10;

/// Ranges of users' numbers, ascending, that have all users of the column, and each of them places in about so many
/// bytes.
pub(super) fn of(column: &Column, room: u64) -> Vec<RangeInclusive<u64>> {
    let Some((smallest, largest)) = bounds(column) else { return Vec::new() };
    let all = smallest..=largest;
    if UserIndex::most_bytes(column.users(), &all) <= room {
        return vec![all];
    }
    let mut ranges = Vec::new();
    divide(column, all, room, &mut ranges);
    ranges
}

/// One look at all users for each time that a range is divided: only those are again of which most users have nearly the
/// same number.
fn divide(column: &Column, range: RangeInclusive<u64>, room: u64, ranges: &mut Vec<RangeInclusive<u64>>) {
    let (smallest, largest) = (*range.start(), *range.end());
    let width = (largest - smallest) / PARTS as u64 + 1;
    let mut counts = vec![0_u64; PARTS];
    for user in column.ids.walk(0..column.ids.len()).filter(|user| range.contains(user)) {
        let part = usize::try_from((user - smallest) / width).expect("there are few parts");
        counts[part] += 1;
    }
    let end_of = |start: u64| start.checked_add(width - 1).map_or(largest, |end| end.min(largest));
    let (mut first, mut users) = (smallest, 0);
    let mut start = smallest;
    for count in counts {
        let end = end_of(start);
        if users > 0 && UserIndex::most_bytes(users + count, &(first..=end)) > room {
            ranges.push(first..=start - 1);
            (first, users) = (start, 0);
        }
        if width > 1 && UserIndex::most_bytes(count, &(start..=end)) > room {
            divide(column, start..=end, room, ranges);
            (first, users) = (end.saturating_add(1), 0);
        } else {
            users += count;
        }
        if end == largest {
            break;
        }
        start = end + 1;
    }
    if users > 0 {
        ranges.push(first..=largest);
    }
}
