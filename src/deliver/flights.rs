//! What is in flight, and since when.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::plan::Batch;

/// The requests in flight, in the order of their starts.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// The number of the first one in `started`.
    first: u64,
    /// `None` for those that have ended while an older one has not.
    started: VecDeque<Option<Flight>>,
}

/// A request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) start: Instant,
    /// Whom it is for.
    pub(super) part: Batch,
    /// How many requests carried them, this one included.
    pub(super) sent: u32,
}

/// The number of a request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(u64);

impl Flights {
    /// A request starts, no earlier than any before it.
    pub(super) fn start(&mut self, flight: Flight) -> Number {
        self.started.push_back(Some(flight));
        Number(self.first + self.started.len() as u64 - 1)
    }

    /// It has ended.
    pub(super) fn end(&mut self, Number(number): Number) {
        let at = usize::try_from(number - self.first).ok();
        if let Some(flight) = at.and_then(|at| self.started.get_mut(at)) {
            *flight = None;
        }
        while self.started.pop_front_if(|flight| flight.is_none()).is_some() {
            self.first += 1;
        }
    }

    /// The start of the oldest one.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.started.front().copied().flatten().map(|flight| flight.start)
    }

    /// All that have not ended.
    pub(super) fn into_rest(self) -> impl Iterator<Item = Flight> {
        self.started.into_iter().flatten()
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
        let flight =
            |seconds| Flight { start: at(seconds), part: Batch { group: 0, first: 0, len: 1 }, sent: 1 };
        let mut flights = Flights::default();
        let numbers: Vec<Number> = (0..4).map(|n| flights.start(flight(n))).collect();
        for (ended, oldest) in [(1, Some(at(0))), (0, Some(at(2))), (3, Some(at(2))), (2, None)] {
            flights.end(numbers[ended]);
            assert_eq!(flights.oldest(), oldest);
        }
        flights.start(flight(9));
        assert_eq!((flights.oldest(), flights.started.len()), (Some(at(9)), 1));
        assert_eq!(flights.into_rest().collect::<Vec<_>>(), [flight(9)]);
    }
}
