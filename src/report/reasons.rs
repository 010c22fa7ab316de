//! Why rows failed, grouped.

use crate::deliver::Reason;

/// Rows that failed for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The answer's status and words.
    pub reason: Reason,
    /// How many rows.
    pub rows: u64,
}

/// Why rows failed: the first [`Reasons::MOST`] distinct reasons, and how many rows had any other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    failures: Vec<Failure>,
    others: u64,
}

impl Reasons {
    /// The most distinct reasons that are kept apart. A server that names an id in each answer has no end of them.
    pub const MOST: usize = 100;

    /// Counts rows that failed.
    pub fn add(&mut self, reason: &Reason, rows: u64) {
        if let Some(known) = self.failures.iter_mut().find(|known| known.reason == *reason) {
            known.rows += rows;
        } else if self.failures.len() < Self::MOST {
            self.failures.push(Failure { reason: reason.clone(), rows });
        } else {
            self.others += rows;
        }
    }

    /// The reasons of the most rows, most first; and how many rows failed for any other.
    pub fn top(&self, most: usize) -> (Vec<&Failure>, u64) {
        let mut sorted: Vec<_> = self.failures.iter().collect();
        sorted.sort_by_key(|failure| std::cmp::Reverse(failure.rows));
        let cut = sorted.split_off(most.min(sorted.len()));
        (sorted, self.others + cut.iter().map(|failure| failure.rows).sum::<u64>())
    }

    /// Whether rows failed for such a reason, among those that are kept apart.
    pub fn any(&self, such: impl Fn(&Reason) -> bool) -> bool {
        self.failures.iter().any(|failure| such(&failure.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: u16, error: &str) -> Reason {
        Reason { status: Some(status), error: error.into() }
    }

    #[test]
    fn the_most_rows_come_first_and_ties_keep_their_order() {
        let mut reasons = Reasons::default();
        reasons.add(&reason(404, "no user"), 1);
        reasons.add(&reason(400, "bad value"), 2);
        reasons.add(&reason(404, "no user"), 4);
        reasons.add(&reason(500, "oops"), 2);
        let (top, others) = reasons.top(2);
        assert_eq!(top.iter().map(|failure| failure.rows).collect::<Vec<_>>(), [5, 2]);
        assert_eq!(top[1].reason, reason(400, "bad value"));
        assert_eq!(others, 2);
        assert!(reasons.any(|reason| reason.status == Some(500)));
        assert!(!reasons.any(|reason| reason.status.is_none()));
    }

    #[test]
    fn no_end_of_reasons_takes_no_end_of_memory() {
        let mut reasons = Reasons::default();
        for n in 0..10_000 {
            reasons.add(&reason(404, &format!("no user {n}")), 1);
        }
        let (top, others) = reasons.top(usize::MAX);
        assert_eq!(top.len(), Reasons::MOST);
        assert_eq!(others, 10_000 - Reasons::MOST as u64);
    }
}
