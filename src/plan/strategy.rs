//! How rows are resolved: by the fastest strategy that fits in the memory budget.

use super::OnConflict;
use super::id_column::Span;

/// The most bytes of a table for each row: what sorting the rows would take. The time is about the same then, too.
const MOST_TABLE_BYTES_PER_ROW: u64 = 24;

/// The bytes of a row that is sorted: 12, and as many for the copy.
const SORTED_BYTES: u64 = 24;

/// The bytes of a user in the result.
const ID_BYTES: u64 = 8;

/// The bytes of a value that is counted.
const COUNTED_BYTES: u64 = 4;

/// The most bytes of a user that is sorted by value, with its group.
const GROUPED_BYTES: u64 = 36;

/// The bytes of a row whose value conflicts, if all conflicts are reported.
const DISPUTED_BYTES: u64 = 80;

/// With more value numbers than this for each user, most have no users, and sorting users by value is cheaper than
/// counting each value.
const MOST_VALUES_PER_USER: u64 = 4;

/// How rows are resolved in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// By a table with slots of this width.
    Table(SlotWidth, Grouping),
    /// By sorting them by user.
    Sort(Grouping),
}

/// How users are then grouped by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grouping {
    /// By counting each value.
    Count,
    /// By sorting them.
    Sort,
}

/// How many bytes a slot of a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotWidth {
    One,
    Two,
    Four,
}

impl SlotWidth {
    /// The narrowest slots for this number of values, and their bytes; `None` if there are too many values. A slot
    /// has a bit for a flag, and 0 stands for no value.
    fn of(values: usize) -> Option<(Self, u64)> {
        let widths = [(Self::One, 1), (Self::Two, 2), (Self::Four, 4)];
        widths.into_iter().find(|(_, bytes)| (values as u64) < 1 << (bytes * 8 - 1))
    }
}

/// How much there is to resolve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) rows: u64,
    /// How many value numbers there are.
    pub(super) values: usize,
    pub(super) span: Span,
    pub(super) on_conflict: OnConflict,
}

impl Workload {
    /// The fastest strategy within the budget; `None` if there is none. Rows of one user cannot be divided, so for
    /// these there is always a strategy.
    pub(super) fn strategy(self, budget: u64) -> Option<Strategy> {
        let (table, sort) = (self.table(), self.sort());
        let worth = |(strategy, bytes, slots): (Strategy, u64, u64)| {
            (slots <= self.rows.saturating_mul(MOST_TABLE_BYTES_PER_ROW)).then_some((strategy, bytes))
        };
        let by_speed =
            [table.and_then(worth), Some(sort), table.map(|(strategy, bytes, _)| (strategy, bytes))];
        let fits = |(strategy, bytes): (Strategy, u64)| {
            (bytes <= budget || self.span.reach() == 0).then_some(strategy)
        };
        by_speed.into_iter().flatten().find_map(fits)
    }

    /// The bytes of the strategy that takes the least.
    pub(super) fn least_bytes(self) -> u64 {
        let (_, sort) = self.sort();
        self.table().map_or(sort, |(_, table, _)| table.min(sort))
    }

    /// A table, all its bytes, and the bytes of its slots; `None` if no table is large enough.
    fn table(self) -> Option<(Strategy, u64, u64)> {
        let (width, bytes) = SlotWidth::of(self.values)?;
        let reach = self.span.reach();
        let places = reach.checked_add(1).filter(|_| reach < u64::from(u32::MAX))?;
        let (slots, users) = (places * bytes, self.rows.min(places));
        let grouping = Grouping::of(users, self.values);
        let bytes = slots.saturating_add(grouping.bytes(users, self.values));
        Some((Strategy::Table(width, grouping), bytes.saturating_add(self.disputed_bytes()), slots))
    }

    fn sort(self) -> (Strategy, u64) {
        let grouping = Grouping::of(self.rows, self.values);
        let sorting = self.rows.saturating_mul(SORTED_BYTES);
        let bytes = sorting.saturating_add(grouping.bytes(self.rows, self.values));
        (Strategy::Sort(grouping), bytes.saturating_add(self.disputed_bytes()))
    }

    fn disputed_bytes(self) -> u64 {
        match self.on_conflict {
            OnConflict::Last | OnConflict::First => 0,
            OnConflict::Error => self.rows.saturating_mul(DISPUTED_BYTES),
        }
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

    fn strategy(rows: u64, values: usize, reach: u64, budget: u64) -> Option<Strategy> {
        let span = Span { smallest: 7, largest: 7 + reach };
        Workload { rows, values, span, on_conflict: OnConflict::Last }.strategy(budget)
    }

    #[test]
    fn a_table_is_taken_where_numbers_lie_close_together() {
        let table = Strategy::Table(SlotWidth::One, Grouping::Count);
        assert_eq!(strategy(1_000, 100, 2_000, ANY), Some(table));
        assert_eq!(strategy(1_000, 100, 24_000, ANY), Some(Strategy::Sort(Grouping::Count)));
        assert_eq!(strategy(1_000, 100, 1 << 40, ANY), Some(Strategy::Sort(Grouping::Count)));
        assert_eq!(
            strategy(1_000, 1_000, 2_000, ANY),
            Some(Strategy::Table(SlotWidth::Two, Grouping::Count))
        );
    }

    #[test]
    fn a_table_is_taken_where_there_is_no_room_to_sort() {
        let (rows, reach) = (1_000, 25_000);
        assert_eq!(strategy(rows, 2, reach, 40_000), Some(Strategy::Sort(Grouping::Count)));
        let table = Strategy::Table(SlotWidth::One, Grouping::Count);
        assert_eq!(strategy(1_100, 2, reach, 34_000), Some(table));
        assert_eq!(strategy(rows, 2, reach, 10_000), None);
    }

    #[test]
    fn many_values_of_few_users_are_sorted() {
        assert_eq!(strategy(10, 1 << 20, 1 << 40, ANY), Some(Strategy::Sort(Grouping::Sort)));
        let table = Strategy::Table(SlotWidth::Four, Grouping::Sort);
        assert_eq!(strategy(1_000_000, 1 << 20, 9, 1_000), Some(table));
    }

    #[test]
    fn the_rows_of_one_user_are_never_too_many() {
        assert!(strategy(1 << 40, 1 << 30, 0, 100).is_some());
    }

    #[test]
    fn a_slot_is_wide_enough_for_each_value() {
        for (values, width) in [
            (127, SlotWidth::One),
            (128, SlotWidth::Two),
            (32_767, SlotWidth::Two),
            (32_768, SlotWidth::Four),
            ((1 << 31) - 1, SlotWidth::Four),
        ] {
            assert_eq!(SlotWidth::of(values).map(|(width, _)| width), Some(width), "{values}");
        }
        assert_eq!(SlotWidth::of(1 << 31), None);
    }

    #[test]
    fn no_strategy_takes_more_memory_than_there_is() {
        let (near, far) = (Span { smallest: 7, largest: 2_006 }, Span { smallest: 0, largest: 1 << 40 });
        for (rows, values, span, on_conflict, taken, bytes) in [
            // A byte for each place, and the result.
            (1_000, 100, near, OnConflict::Last, Strategy::Table(SlotWidth::One, Grouping::Count), 10_400),
            (1_000, 200, near, OnConflict::First, Strategy::Table(SlotWidth::Two, Grouping::Count), 12_800),
            (1_000, 100, near, OnConflict::Error, Strategy::Table(SlotWidth::One, Grouping::Count), 90_400),
            (1_000, 100, far, OnConflict::Last, Strategy::Sort(Grouping::Count), 32_400),
            (1_000, 100, far, OnConflict::Error, Strategy::Sort(Grouping::Count), 112_400),
            (10, 40, far, OnConflict::Last, Strategy::Sort(Grouping::Count), 480),
            (10, 41, far, OnConflict::Last, Strategy::Sort(Grouping::Sort), 600),
        ] {
            let workload = Workload { rows, values, span, on_conflict };
            assert_eq!(workload.least_bytes(), bytes, "{workload:?}");
            assert_eq!(workload.strategy(bytes), Some(taken), "{workload:?}");
            assert_eq!(workload.strategy(bytes - 1), None, "{workload:?}");
        }
        let all_numbers = Span { smallest: 0, largest: u64::from(u32::MAX) };
        let workload =
            Workload { rows: 1 << 30, values: 1, span: all_numbers, on_conflict: OnConflict::Last };
        assert_eq!(
            workload.strategy(u64::MAX),
            Some(Strategy::Sort(Grouping::Count)),
            "no table is so large"
        );
    }
}
