//! Since when requests are in flight.

use std::collections::VecDeque;

use tokio::time::Instant;

/// The requests in flight, in the order of their starts.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// The number of the first one in `starts`.
    first: u64,
    /// `None` for those that have ended while an older one has not.
    starts: VecDeque<Option<Instant>>,
}

/// A request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flight(u64);

impl Ages {
    /// A request starts, no earlier than any before it.
    pub(super) fn start(&mut self, now: Instant) -> Flight {
        self.starts.push_back(Some(now));
        Flight(self.first + self.starts.len() as u64 - 1)
    }

    /// It has ended.
    pub(super) fn end(&mut self, flight: Flight) {
        if let Some(start) =
            usize::try_from(flight.0 - self.first).ok().and_then(|at| self.starts.get_mut(at))
        {
            *start = None;
        }
        while self.starts.pop_front_if(|start| start.is_none()).is_some() {
            self.first += 1;
        }
    }

    /// The start of the oldest one.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.starts.front().copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn the_oldest_is_the_first_that_has_not_ended() {
        let now = clock::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut ages = Ages::default();
        let flights: Vec<Flight> = (0..4).map(|n| ages.start(at(n))).collect();
        for (ended, oldest) in [(1, Some(at(0))), (0, Some(at(2))), (3, Some(at(2))), (2, None)] {
            ages.end(flights[ended]);
            assert_eq!(ages.oldest(), oldest);
        }
        let flight = ages.start(at(9));
        assert_eq!((ages.oldest(), ages.starts.len()), (Some(at(9)), 1));
        ages.end(flight);
        assert_eq!(ages.oldest(), None);
    }
}
