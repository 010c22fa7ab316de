//! Finding the users for whom a batch is refused, so that all others are served.
//!
//! The server says only that a set of users is refused. A [`Search`] asks about parts of it, one after the other, from
//! the left: of a part known to hold an offender it asks the first half. Accepted, that half is done with, and the
//! offender is in the other one; refused, it is in this one, and what lies to the right joins the rest. When one user
//! is left he is asked for alone, unless he just was, for a refusal may have had to do with the size of the set. Then
//! the rest is asked for as a whole, and it starts anew if that is refused.
//!
//! So an offender among `n` users costs `⌈log2(n)⌉` requests, one to be sure and one for the rest, and `p` offenders no
//! more than `p·(⌈log2(n)⌉ + 2) + 1`, the first refusal included; every other user is accepted exactly once. Parts are
//! ranges of the batch all along, because what is left of the range that is being searched is settled.
//!
//! No I/O, no time, no knowledge of what is asked: a state machine to be driven by answers.

use std::collections::VecDeque;
use std::ops::Range;

/// The search through one refused batch. Ranges are of places in its group.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Parts of which nothing is known, in the order in which to ask.
    unknown: VecDeque<Range<u32>>,
    /// A part that holds an offender.
    suspect: Option<Suspect>,
}

#[derive(Clone, Debug)]
struct Suspect {
    part: Range<u32>,
    /// Where the part that was refused ends: from `part.end` on nothing is known.
    end: u32,
}

/// How to open the search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// By halves.
    Halves,
    /// These places first, each alone. Ascending, distinct, inside the batch.
    Singles(Vec<u32>),
    /// Both halves, since the whole is too large whoever is in it.
    TooLarge,
}

impl Search {
    /// A search through a batch that was refused.
    pub(super) fn new(batch: Range<u32>, opening: Opening) -> Self {
        let mut search = Self { unknown: VecDeque::new(), suspect: None };
        match opening {
            Opening::Halves => search.refused(batch),
            Opening::TooLarge => search.halve(batch),
            Opening::Singles(places) => {
                search.unknown.extend(places.iter().map(|place| *place..place + 1));
                let mut start = batch.start;
                for place in places {
                    search.push_back(start..place);
                    start = place + 1;
                }
                search.push_back(start..batch.end);
            }
        }
        search
    }

    /// The part to ask for next; `None` when all are settled.
    pub(super) fn ask(&self) -> Option<Range<u32>> {
        match &self.suspect {
            Some(Suspect { part, .. }) if part.len() == 1 => Some(part.clone()),
            Some(Suspect { part, .. }) => Some(part.start..middle(part)),
            None => self.unknown.front().cloned(),
        }
    }

    /// Whether the part to ask for is one user who must be the offender if it is users at all.
    pub(super) fn confirms(&self) -> bool {
        self.suspect.as_ref().is_some_and(|suspect| suspect.part.len() == 1)
    }

    /// The part that was asked for is done with: it was accepted, or there is no more to learn about it.
    pub(super) fn settled(&mut self) {
        match self.suspect.take() {
            // Alone he is fine, or beyond help: either way nothing is known of what follows.
            Some(Suspect { part, end }) if part.len() == 1 => self.push_front(part.end..end),
            Some(Suspect { part, end }) => {
                self.suspect = Some(Suspect { part: middle(&part)..part.end, end });
            }
            None => {
                self.unknown.pop_front();
            }
        }
    }

    /// The part that was asked for is refused. Returns whether that settles it: a single user is the offender.
    pub(super) fn refuse(&mut self) -> bool {
        match self.suspect.take() {
            Some(Suspect { part, end }) if part.len() == 1 => {
                self.push_front(part.end..end);
                true
            }
            Some(Suspect { part, end }) => self.narrow(part.start..middle(&part), end),
            None => match self.unknown.pop_front() {
                Some(part) => self.narrow(part.clone(), part.end),
                None => false,
            },
        }
    }

    /// The part that was asked for is too large, whoever is in it. Returns whether that settles it: it is a single user.
    pub(super) fn too_large(&mut self) -> bool {
        let Some(asked) = self.ask() else { return false };
        match self.suspect.take() {
            Some(Suspect { end, .. }) => self.push_front(asked.end..end),
            None => drop(self.unknown.pop_front()),
        }
        if asked.len() == 1 {
            return true;
        }
        self.halve(asked);
        false
    }

    /// Asks for one user of the next part before the rest of it, at this share of its length.
    pub(super) fn isolate(&mut self, share: f64) {
        if self.suspect.is_some() {
            return;
        }
        if let Some(part) = self.unknown.pop_front() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside the part")]
            let place = part.start + (f64::from(part.end - part.start - 1) * share) as u32;
            self.push_front(place + 1..part.end);
            self.push_front(part.start..place);
            self.push_front(place..place + 1);
        }
    }

    /// All parts that are not settled, in no particular order.
    pub(super) fn into_rest(self) -> impl Iterator<Item = Range<u32>> {
        let suspect = self.suspect.map(|suspect| suspect.part.start..suspect.end);
        suspect.into_iter().chain(self.unknown)
    }

    fn refused(&mut self, part: Range<u32>) {
        self.suspect = Some(Suspect { end: part.end, part });
    }

    fn narrow(&mut self, part: Range<u32>, end: u32) -> bool {
        if part.len() == 1 {
            self.push_front(part.end..end);
            return true;
        }
        self.suspect = Some(Suspect { part, end });
        false
    }

    fn halve(&mut self, part: Range<u32>) {
        let middle = middle(&part);
        self.push_front(middle..part.end);
        self.push_front(part.start..middle);
    }

    fn push_front(&mut self, part: Range<u32>) {
        if !part.is_empty() {
            self.unknown.push_front(part);
        }
    }

    fn push_back(&mut self, part: Range<u32>) {
        if !part.is_empty() {
            self.unknown.push_back(part);
        }
    }
}

/// Where the first half of a part ends.
fn middle(part: &Range<u32>) -> u32 {
    part.start + (part.end - part.start) / 2
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Drives a search against a server that refuses these users and sets above a size. Returns the accepted users,
    /// the offenders found, and how many requests it took, the first one included.
    fn drive(
        batch: Range<u32>,
        opening: Opening,
        poison: &BTreeSet<u32>,
        most: usize,
    ) -> (Vec<u32>, Vec<u32>, usize) {
        let mut search = Search::new(batch, opening);
        let (mut accepted, mut found, mut requests) = (Vec::new(), Vec::new(), 1);
        while let Some(part) = search.ask() {
            requests += 1;
            assert!(requests < 100_000, "it ends");
            if part.len() > most {
                assert!(!search.too_large());
            } else if part.clone().any(|user| poison.contains(&user)) {
                if search.refuse() {
                    assert_eq!(part.len(), 1, "refused alone");
                    found.push(part.start);
                }
            } else {
                accepted.extend(part);
                search.settled();
            }
        }
        accepted.sort_unstable();
        found.sort_unstable();
        (accepted, found, requests)
    }

    fn batch() -> impl Strategy<Value = (Range<u32>, BTreeSet<u32>)> {
        (0u32..50, 1u32..1100, prop::collection::vec(any::<prop::sample::Index>(), 1..12)).prop_map(
            |(start, len, poison)| {
                let poison =
                    poison.iter().map(|i| start + u32::try_from(i.index(len as usize)).unwrap()).collect();
                (start..start + len, poison)
            },
        )
    }

    fn check(batch: &Range<u32>, poison: &BTreeSet<u32>, accepted: &[u32], found: &[u32]) {
        let good: Vec<u32> = batch.clone().filter(|user| !poison.contains(user)).collect();
        assert_eq!(accepted, good, "every other user is accepted exactly once");
        assert_eq!(found, poison.iter().copied().collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn finds_every_offender_and_serves_all_others_within_the_bound((batch, poison) in batch()) {
            let (accepted, found, requests) = drive(batch.clone(), Opening::Halves, &poison, usize::MAX);
            if batch.len() > 1 {
                check(&batch, &poison, &accepted, &found);
                let depth = batch.len().next_power_of_two().trailing_zeros() as usize;
                prop_assert!(requests <= poison.len() * (depth + 2) + 1, "{requests} requests");
            }
        }

        #[test]
        fn every_opening_ends_in_the_same_result((batch, poison) in batch()) {
            let named = Opening::Singles(poison.iter().copied().step_by(2).collect());
            let ends = Opening::Singles(if batch.len() > 1 { vec![batch.start, batch.end - 1] } else { vec![batch.start] });
            for opening in [named, ends, Opening::TooLarge] {
                if batch.len() > 1 || !matches!(opening, Opening::TooLarge) {
                    let (accepted, found, _) = drive(batch.clone(), opening, &poison, usize::MAX);
                    check(&batch, &poison, &accepted, &found);
                }
            }
        }

        #[test]
        fn offenders_that_the_server_names_cost_two_requests_each((batch, poison) in batch()) {
            let named = Opening::Singles(poison.iter().copied().collect());
            let (accepted, found, requests) = drive(batch.clone(), named, &poison, usize::MAX);
            check(&batch, &poison, &accepted, &found);
            prop_assert!(requests <= 2 * poison.len() + 2);
        }

        #[test]
        fn a_server_that_refuses_large_sets_is_served_small_ones((batch, poison) in batch(), most in 1usize..300) {
            let (accepted, found, _) = drive(batch.clone(), Opening::TooLarge, &poison, most);
            if batch.len() > 1 {
                check(&batch, &poison, &accepted, &found);
            }
        }
    }

    #[test]
    fn a_user_who_is_fine_alone_is_not_blamed_for_the_size_of_his_set() {
        // Refuses any set of more than three as if for an id: no words about the size.
        let mut search = Search::new(0..10, Opening::Halves);
        let mut accepted = Vec::new();
        while let Some(part) = search.ask() {
            if part.len() > 3 {
                assert!(!search.refuse());
            } else {
                accepted.extend(part);
                search.settled();
            }
        }
        assert_eq!(accepted, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_user_is_isolated_wherever_he_stands() {
        for (share, place) in [(0.0, 0), (0.5, 4), (1.0, 9)] {
            let mut search = Search::new(0..10, Opening::Singles(Vec::new()));
            search.isolate(share);
            let mut asked = Vec::new();
            while let Some(part) = search.ask() {
                asked.push(part);
                search.settled();
            }
            assert_eq!(asked[0], place..place + 1);
            assert_eq!(asked.iter().map(ExactSizeIterator::len).sum::<usize>(), 10);
        }
    }

    #[test]
    fn what_is_left_of_an_abandoned_search_is_told() {
        let mut search = Search::new(0..8, Opening::Halves);
        search.settled();
        let rest: Vec<_> = search.into_rest().collect();
        assert_eq!((rest.len(), rest[0].clone()), (1, 4..8));
    }
}
