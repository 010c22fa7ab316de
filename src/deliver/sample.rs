//! Some rows of many, each as likely as any other.

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::plan::Batch;

/// A row of the plan, by group and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pick {
    /// The group's number in the plan.
    pub group: u32,
    /// The place of the user in the group.
    pub place: u32,
}

/// A sample of so many of the rows that it was offered, however many these are (a reservoir, with the jumps of Li's
/// algorithm L, so that rows that are not picked cost nothing).
#[derive(Debug)]
pub struct Sample {
    size: usize,
    picked: Vec<Pick>,
    /// Rows to pass over before the next one is picked.
    passes: u64,
    weight: f64,
    chance: StdRng,
}

impl Sample {
    /// An empty sample that grows to this size.
    pub fn new(size: usize, chance: StdRng) -> Self {
        Self { size, picked: Vec::new(), passes: 0, weight: 1.0, chance }
    }

    /// Offers all rows of a batch.
    pub fn offer(&mut self, batch: Batch) {
        let mut place = u64::from(batch.first);
        let end = place + u64::from(batch.len);
        while place < end && self.size > 0 {
            let pick =
                |place: u64| Pick { group: batch.group, place: u32::try_from(place).expect("below `end`") };
            if self.picked.len() < self.size {
                self.picked.push(pick(place));
                place += 1;
                if self.picked.len() == self.size {
                    self.jump();
                }
            } else if self.passes >= end - place {
                self.passes -= end - place;
                return;
            } else {
                place += self.passes;
                let replaced = self.chance.random_range(0..self.size);
                self.picked[replaced] = pick(place);
                place += 1;
                self.jump();
            }
        }
    }

    /// What was picked, in the order of the plan.
    pub fn picks(mut self) -> Vec<Pick> {
        self.picked.sort_unstable();
        self.picked
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a random distance, which saturates"
    )]
    fn jump(&mut self) {
        // From (0, 1]: a logarithm of 0 is none.
        let mut uniform = || 1.0 - self.chance.random::<f64>();
        self.weight *= (uniform().ln() / self.size as f64).exp();
        self.passes = (uniform().ln() / (-self.weight).ln_1p()).floor() as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rand::SeedableRng as _;

    use super::*;

    fn sample(size: usize, seed: u64, batches: &[Batch]) -> Vec<Pick> {
        let mut sample = Sample::new(size, StdRng::seed_from_u64(seed));
        for batch in batches {
            sample.offer(*batch);
        }
        sample.picks()
    }

    const BATCHES: [Batch; 3] = [
        Batch { group: 0, first: 0, len: 70 },
        Batch { group: 0, first: 90, len: 10 },
        Batch { group: 5, first: 3, len: 20 },
    ];

    #[test]
    fn picks_distinct_rows_that_were_offered_and_as_many_as_asked_for() {
        for size in [0, 1, 7, 99, 100, 101, 5000] {
            let picks = sample(size, 3, &BATCHES);
            assert_eq!(picks.len(), size.min(100));
            assert_eq!(picks.iter().collect::<BTreeSet<_>>().len(), picks.len());
            let offered = |pick: &Pick| {
                BATCHES
                    .iter()
                    .any(|b| b.group == pick.group && (b.first..b.first + b.len).contains(&pick.place))
            };
            assert!(picks.iter().all(offered));
        }
    }

    #[test]
    fn every_row_is_as_likely_as_any_other() {
        let mut times = BTreeMap::new();
        for seed in 0..5000 {
            for pick in sample(10, seed, &BATCHES) {
                *times.entry(pick).or_insert(0) += 1;
            }
        }
        // 500 times each on average, with a standard deviation of 21.
        assert_eq!(times.len(), 100);
        assert!(times.values().all(|times| (400..600).contains(times)), "{times:?}");
    }
}
