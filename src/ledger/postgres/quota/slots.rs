//! The slots that this process holds, and how many to fetch at once.
//!
//! Pure: times are those of [`boot_now`](crate::clock::boot_now), and are handed in.

use std::collections::VecDeque;
use std::time::Duration;

/// The most blocks that must come late before the next one is larger.
const MOST_PATIENCE: u32 = 64;

/// When one request may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// No earlier than this, …
    pub at: Duration,
    /// … and no later than this.
    pub until: Duration,
}

/// When the next request may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    At(Duration),
    /// There is no slot.
    Unknown,
}

/// The slots that this process holds.
#[derive(Debug, Default)]
pub(super) struct Slots {
    held: VecDeque<Slot>,
    /// How many slots the last block had.
    reserved: u32,
    size: BlockSize,
    /// How many passed unused.
    forfeited: u64,
}

impl Slots {
    /// Takes a new block, whose slots are later than all others.
    pub(super) fn add(&mut self, block: impl IntoIterator<Item = Slot>) {
        self.held.extend(block);
    }

    /// When the next request may start. Slots that are over are forfeited.
    pub(super) fn next(&mut self, now: Duration) -> Next {
        self.forfeit_over(now);
        match self.held.front() {
            Some(slot) if slot.at <= now => Next::Now,
            Some(slot) => Next::At(slot.at),
            None => Next::Unknown,
        }
    }

    /// A request starts. Nothing happens if its slot was forfeited meanwhile.
    pub(super) fn take(&mut self, now: Duration) {
        if self.held.front().is_none_or(|slot| now < slot.at) {
            return;
        }
        self.held.pop_front();
    }

    /// No request starts before this time. That is nobody's fault, so the size of blocks stays.
    pub(super) fn drop_before(&mut self, at: Duration) {
        while self.held.front().is_some_and(|slot| slot.at < at) {
            self.held.pop_front();
        }
    }

    /// The server may have given the slots to others.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    /// Whether no more than a half of a block is left.
    pub(super) fn is_low(&self) -> bool {
        self.held.len() <= usize::try_from(self.reserved / 2).unwrap_or(usize::MAX)
    }

    /// How many slots passed unused until now.
    pub(super) fn forfeited(&self) -> u64 {
        self.forfeited
    }

    /// A block came so late that slots before it were lost, although they were waited for all the time.
    pub(super) fn came_late(&mut self) {
        self.size.grow();
    }

    /// Before a block come more slots of others than it has itself, so that a smaller one comes in time as well.
    pub(super) fn came_early(&mut self) {
        self.size.shrink();
    }

    /// How many slots to fetch, if `most` are worth it.
    #[must_use]
    pub(super) fn block(&mut self, most: u32) -> u32 {
        self.reserved = self.size.next(most);
        self.reserved
    }

    fn forfeit_over(&mut self, now: Duration) {
        let mut over = 0;
        while self.held.front().is_some_and(|slot| slot.until < now) {
            self.held.pop_front();
            over += 1;
        }
        if over > 0 {
            self.forfeited += over;
            self.size.forfeited();
        }
    }
}

/// How many slots to fetch at once: one, unless it takes longer to fetch it than to use it. What is not used of larger blocks is
/// lost for all.
#[derive(Debug)]
struct BlockSize {
    size: u32,
    /// After this many late blocks, the next one is larger.
    patience: u32,
    /// How many came late since the size changed.
    late: u32,
}

impl Default for BlockSize {
    fn default() -> Self {
        Self { size: 1, patience: 1, late: 0 }
    }
}

impl BlockSize {
    fn next(&mut self, most: u32) -> u32 {
        self.size = self.size.min(most.max(1));
        self.size
    }

    fn grow(&mut self) {
        self.late += 1;
        if self.late >= self.patience {
            self.late = 0;
            self.patience = (self.patience / 2).max(1);
            self.size = self.size.saturating_mul(2);
        }
    }

    fn shrink(&mut self) {
        self.late = 0;
        self.size = (self.size / 2).max(1);
    }

    fn forfeited(&mut self) {
        self.late = 0;
        if self.size > 1 {
            self.size = 1;
            self.patience = self.patience.saturating_mul(4).min(MOST_PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: u64 = 100;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A block of slots that are usable for 20 ms.
    fn block(first: u64, slots: u32) -> impl Iterator<Item = Slot> {
        let at = move |n: u32| ms(first + STEP * u64::from(n));
        (0..slots).map(move |n| Slot { at: at(n), until: at(n) + ms(20) })
    }

    #[test]
    fn a_slot_is_usable_from_its_time_until_the_tolerance_is_over() {
        let mut slots = Slots::default();
        assert_eq!(slots.next(ms(0)), Next::Unknown);
        slots.add(block(1000, 3));
        assert_eq!(slots.next(ms(999)), Next::At(ms(1000)));
        slots.take(ms(999));
        assert_eq!(slots.held.len(), 3, "it is not there yet");
        for at in [1000, 1020] {
            assert_eq!(slots.next(ms(at)), Next::Now);
        }
        slots.take(ms(1020));
        assert_eq!(slots.next(ms(1020)), Next::At(ms(1100)));
        assert_eq!(slots.next(ms(1121)), Next::At(ms(1200)), "one passed unused");
        assert_eq!((slots.next(ms(5000)), slots.forfeited()), (Next::Unknown, 2));
        slots.take(ms(5000));
    }

    #[test]
    fn a_pause_and_a_lost_connection_take_slots_away() {
        let mut slots = Slots::default();
        slots.add(block(1000, 5));
        slots.drop_before(ms(1150));
        assert_eq!(slots.next(ms(0)), Next::At(ms(1200)));
        slots.clear();
        assert_eq!(slots.next(ms(0)), Next::Unknown);
        assert_eq!(slots.forfeited(), 0);
    }

    /// Fetches and uses blocks, which all come late, until one has this size, and says how many that took.
    fn blocks_until(slots: &mut Slots, size: u32, now: &mut u64) -> u32 {
        for n in 0..1000 {
            let fetched = slots.block(8);
            if fetched == size {
                return n;
            }
            slots.add(block(*now, fetched));
            slots.came_late();
            for _ in 0..fetched {
                assert_eq!(slots.next(ms(*now)), Next::Now);
                slots.take(ms(*now));
                *now += STEP;
            }
        }
        panic!("blocks never have {size} slots");
    }

    #[test]
    fn blocks_grow_while_they_come_late_and_shrink_to_one_slot_when_one_is_forfeited() {
        let (mut slots, mut now) = (Slots::default(), 0);
        assert_eq!(slots.block(8), 1);
        assert_eq!(blocks_until(&mut slots, 8, &mut now), 3);
        assert_eq!(slots.block(3), 3, "never more than are worth it");
        let mut patience = Vec::new();
        for _ in 0..5 {
            slots.add(block(now, 2));
            slots.take(ms(now));
            now += 10 * STEP;
            assert_eq!(slots.next(ms(now)), Next::Unknown);
            assert_eq!(slots.block(8), 1);
            patience.push(blocks_until(&mut slots, 2, &mut now));
        }
        assert_eq!(patience, [4, 8, 16, 32, 64], "and they grow ever more slowly");
    }

    #[test]
    fn blocks_are_no_larger_than_they_must_be_where_others_wait() {
        let (mut slots, mut now) = (Slots::default(), 0);
        blocks_until(&mut slots, 8, &mut now);
        let sizes: Vec<u32> = std::iter::repeat_with(|| {
            slots.came_early();
            slots.block(8)
        })
        .take(4)
        .collect();
        assert_eq!(sizes, [4, 2, 1, 1]);
    }

    #[test]
    fn one_who_uses_only_the_first_slot_of_a_block_loses_few() {
        let (mut slots, mut now, mut started) = (Slots::default(), 0, 0);
        while started < 2000 {
            let fetched = slots.block(8);
            slots.add(block(now, fetched));
            slots.came_late();
            slots.take(ms(now));
            started += 1;
            now += 10 * STEP;
            slots.next(ms(now));
        }
        assert!(slots.forfeited() * 50 <= started, "{} of {started}", slots.forfeited());
    }

    #[test]
    fn the_next_block_is_due_when_a_half_of_the_last_one_is_left() {
        for (reserved, left, is_due) in [
            (0, 0, true),
            (1, 1, false),
            (1, 0, true),
            (5, 3, false),
            (5, 2, true),
            (8, 5, false),
            (8, 4, true),
        ] {
            let mut slots = Slots { reserved, ..Slots::default() };
            slots.add(block(1000, left));
            assert_eq!(slots.is_low(), is_due, "{left} of {reserved}");
        }
    }

    #[test]
    fn who_loses_single_slots_gets_a_larger_block_as_soon_as_one_comes_late() {
        let (mut slots, mut now) = (Slots::default(), 0);
        for _ in 0..3 {
            let fetched = slots.block(8);
            slots.add(block(now, fetched));
            now += 10 * STEP;
            assert_eq!(slots.next(ms(now)), Next::Unknown);
        }
        assert_eq!(slots.forfeited(), 3);
        assert_eq!(blocks_until(&mut slots, 2, &mut now), 1);
    }
}
