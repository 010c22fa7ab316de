//! Which way rows are settled: what is fastest of what the memory is enough for.

use super::dense::Width;
use super::settle::Span;

/// Most bytes of a table for each row. It takes no more memory than sorting the rows would; nor much more time.
const MOST_TABLE_BYTES_PER_ROW: u64 = 24;

/// What it takes to sort rows by user: each of them twice.
const SORTED_BYTES: u64 = 24;

/// What the result takes for a user.
const ID_BYTES: u64 = 8;

/// And for a value, where these are counted.
const COUNTED_BYTES: u64 = 4;

/// What it takes to sort users by their values, and for the groups of these, at most.
const GROUPED_BYTES: u64 = 36;

/// Values are counted unless there are so many times as many numbers for them as can have users.
const MOST_VALUES_PER_USER: u64 = 4;

/// How rows are settled in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a table with slots of this width.
    Table(Width, Grouping),
    /// By sorting them by user.
    Sort(Grouping),
}

/// How users are then put in the order of their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grouping {
    /// By counting each value.
    Count,
    /// By sorting them: most numbers of values aren't among them.
    Sort,
}

impl Way {
    /// For so many rows and numbers of values, in so many bytes. `None` if these are not enough, unless all rows are of
    /// one user: then they can't be divided either.
    pub(super) fn choose(rows: u64, values: usize, span: Span, room: u64) -> Option<Self> {
        let (table, sort) = (Self::table(rows, values, span), Self::sort(rows, values));
        let worth = |(way, bytes, slots): (Self, u64, u64)| {
            (slots <= rows.saturating_mul(MOST_TABLE_BYTES_PER_ROW)).then_some((way, bytes))
        };
        let by_speed = [table.and_then(worth), Some(sort), table.map(|(way, bytes, _)| (way, bytes))];
        let fits = |(way, bytes): (Self, u64)| (bytes <= room || span.reach() == 0).then_some(way);
        by_speed.into_iter().flatten().find_map(fits)
    }

    /// The bytes that the thriftiest way takes.
    pub(super) fn least_bytes(rows: u64, values: usize, span: Span) -> u64 {
        let (_, sort) = Self::sort(rows, values);
        Self::table(rows, values, span).map_or(sort, |(_, table, _)| table.min(sort))
    }

    /// By a table, with all bytes that it takes and those of its slots; `None` if none is wide or long enough.
    fn table(rows: u64, values: usize, span: Span) -> Option<(Self, u64, u64)> {
        let (width, bytes) = Width::of(values)?;
        let places = span.reach().checked_add(1).filter(|_| span.reach() < u64::from(u32::MAX))?;
        let (slots, users) = (places * bytes, rows.min(places));
        let grouping = Grouping::of(users, values);
        Some((Self::Table(width, grouping), slots + grouping.bytes(users, values), slots))
    }

    fn sort(rows: u64, values: usize) -> (Self, u64) {
        let grouping = Grouping::of(rows, values);
        let sorting = rows.saturating_mul(SORTED_BYTES);
        (Self::Sort(grouping), sorting.saturating_add(grouping.bytes(rows, values)))
    }
}

impl Grouping {
    fn of(users: u64, values: usize) -> Self {
        if values as u64 > users.saturating_mul(MOST_VALUES_PER_USER) { Self::Sort } else { Self::Count }
    }

    fn bytes(self, users: u64, values: usize) -> u64 {
        match self {
            Self::Count => users.saturating_mul(ID_BYTES) + values as u64 * COUNTED_BYTES,
            Self::Sort => users.saturating_mul(GROUPED_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: u64 = u64::MAX;

    fn span(reach: u64) -> Span {
        Span { smallest: 7, largest: 7 + reach }
    }

    #[test]
    fn a_table_is_taken_where_numbers_lie_close_together() {
        let table = Way::Table(Width::One, Grouping::Count);
        assert_eq!(Way::choose(1_000, 100, span(2_000), ANY), Some(table));
        assert_eq!(Way::choose(1_000, 100, span(24_000), ANY), Some(Way::Sort(Grouping::Count)));
        assert_eq!(Way::choose(1_000, 100, span(1 << 40), ANY), Some(Way::Sort(Grouping::Count)));
        assert_eq!(
            Way::choose(1_000, 1_000, span(2_000), ANY),
            Some(Way::Table(Width::Two, Grouping::Count))
        );
    }

    #[test]
    fn a_table_is_taken_where_there_is_no_room_to_sort() {
        let (rows, reach) = (1_000, 25_000);
        assert_eq!(Way::choose(rows, 2, span(reach), 40_000), Some(Way::Sort(Grouping::Count)));
        let table = Way::Table(Width::One, Grouping::Count);
        assert_eq!(Way::choose(1_100, 2, span(reach), 34_000), Some(table));
        assert_eq!(Way::choose(rows, 2, span(reach), 10_000), None);
    }

    #[test]
    fn many_values_of_few_users_are_sorted() {
        assert_eq!(Way::choose(10, 1 << 20, span(1 << 40), ANY), Some(Way::Sort(Grouping::Sort)));
        let table = Way::Table(Width::Four, Grouping::Sort);
        assert_eq!(Way::choose(1_000_000, 1 << 20, span(9), 1_000), Some(table));
    }

    #[test]
    fn the_rows_of_one_user_are_never_too_many() {
        assert!(Way::choose(1 << 40, 1 << 30, span(0), 100).is_some());
    }
}
