//! A random sample of rows, taken while they pass by: reservoir sampling.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::PlanRow;
use crate::plan::Batch;

/// A uniform random sample of the rows that it is offered, without knowing beforehand how many there will be.
///
/// This is Li's algorithm L: it draws how many rows to skip until the next one enters the sample, so a row that is
/// skipped costs nothing.
#[derive(Debug)]
pub struct Reservoir {
    size: usize,
    rows: Vec<PlanRow>,
    /// How many rows to skip before the next one enters the sample.
    skip: u64,
    weight: f64,
    chance: StdRng,
}

impl Reservoir {
    /// An empty sample that grows to this size.
    pub fn new(size: usize, chance: StdRng) -> Self {
        Self { size, rows: Vec::new(), skip: 0, weight: 1.0, chance }
    }

    /// Offers all rows of a batch.
    pub fn offer(&mut self, batch: Batch) {
        let mut place = u64::from(batch.first);
        let end = place + u64::from(batch.len);
        while place < end && self.size > 0 {
            let pick = |place: u64| PlanRow {
                group: batch.group,
                place: u32::try_from(place).expect("below `end`"),
            };
            if self.rows.len() < self.size {
                self.rows.push(pick(place));
                place += 1;
                if self.rows.len() == self.size {
                    self.jump();
                }
            } else if self.skip >= end - place {
                self.skip -= end - place;
                return;
            } else {
                place += self.skip;
                let replaced = self.chance.random_range(0..self.size);
                self.rows[replaced] = pick(place);
                place += 1;
                self.jump();
            }
        }
    }

    /// The sample, in the order of the plan.
    pub fn rows(mut self) -> Vec<PlanRow> {
        self.rows.sort_unstable();
        self.rows
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
        self.skip = (uniform().ln() / (-self.weight).ln_1p()).floor() as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rand::SeedableRng as _;

    use super::*;

    fn sample(size: usize, seed: u64, batches: &[Batch]) -> Vec<PlanRow> {
        let mut sample = Reservoir::new(size, StdRng::seed_from_u64(seed));
        for batch in batches {
            sample.offer(*batch);
        }
        sample.rows()
    }

    const BATCHES: [Batch; 3] = [
        Batch { group: 0, first: 0, len: 70 },
        Batch { group: 0, first: 90, len: 10 },
        Batch { group: 5, first: 3, len: 20 },
    ];

    #[test]
    fn picks_distinct_rows_that_were_offered_and_as_many_as_asked_for() {
        for size in [0, 1, 7, 99, 100, 101, 5000] {
            let rows = sample(size, 3, &BATCHES);
            assert_eq!(rows.len(), size.min(100));
            assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len());
            let offered = |pick: &PlanRow| {
                BATCHES
                    .iter()
                    .any(|b| b.group == pick.group && (b.first..b.first + b.len).contains(&pick.place))
            };
            assert!(rows.iter().all(offered));
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
