//! Searches for the users that make a request fail, so that all others are served.
//!
//! The server only says that a set of users is rejected. A [`Search`] tests parts of the set from the left, by bisection: of a
//! part that contains an offender it tests the first half. If that is accepted, the offender is in the other half; if it is
//! rejected, the offender is in this one, and nothing is known of the rest any more. A single remaining user is tested alone,
//! because requests are also rejected by chance or because of their size. Then the rest is tested as a whole, and the search
//! starts again if that is rejected.
//!
//! One offender among `n` users takes `⌈log2 n⌉` requests, one to confirm it and one for the rest. With many offenders that
//! would be wasteful, so once two are found, the rest is tested in chunks that are likely to contain one offender or none,
//! down to single users.
//!
//! It is a state machine without I/O and time, and ranges are positions in a list.

use std::collections::VecDeque;
use std::ops::Range;

/// If a share `d` of the users are offenders, a chunk of `0.7 / d` users (`ln 2 / d`) is accepted with a probability of one
/// half. Then its answer carries the most information.
const LIKELY: f64 = 0.7;

/// If fewer offenders than this are expected in the rest, testing all of it at once is cheaper than in chunks: with three,
/// it is still accepted once in 20 times, and otherwise bisection finds the next one.
const FEW: f64 = 3.0;

/// The search through a list of users.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Parts of which nothing is known, ascending.
    unknown: VecDeque<Range<u32>>,
    /// A part that holds an offender, unless its rejection had another cause.
    suspect: Option<Range<u32>>,
    /// Ask for one user next.
    single: Option<Side>,
    good: u32,
    bad: u32,
}

/// Where to take a single user from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The first one of what is to be asked next.
    First,
    /// The last one of all.
    Last,
}

/// What an accepted part tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing beyond itself.
    Nothing,
    /// A part that was rejected is now accepted whole: its rejection had another cause than its users.
    Contradiction,
}

impl Search {
    /// A search through this many users, who were rejected together.
    pub(super) fn suspecting(len: u32) -> Self {
        Self { unknown: VecDeque::new(), suspect: Some(0..len), single: None, good: 0, bad: 0 }
    }

    /// A search through this many users, of which nothing is known.
    pub(super) fn unknowing(len: u32) -> Self {
        let mut search = Self { suspect: None, ..Self::suspecting(len) };
        search.push_front(0..len);
        search
    }

    /// The part to ask for next, of at most `most` users; `None` when all are settled.
    pub(super) fn ask(&self, most: u32) -> Option<Range<u32>> {
        let most = most.max(1);
        if self.single == Some(Side::Last)
            && let Some(last) = self.last()
        {
            return Some(last..last + 1);
        }
        let first = |part: &Range<u32>, len: u32| part.start..part.end.min(part.start.saturating_add(len));
        match &self.suspect {
            Some(part) if part.len() == 1 => Some(part.clone()),
            Some(part) if self.single.is_some() => Some(first(part, 1)),
            Some(part) => Some(first(part, ((part.end - part.start) / 2).min(most))),
            None if self.single.is_some() => self.unknown.front().map(|part| first(part, 1)),
            None => self.unknown.front().map(|part| first(part, self.chunk().min(most))),
        }
    }

    /// How many of the users of which nothing is known to test at once.
    fn chunk(&self) -> u32 {
        let len: u32 = self.unknown.iter().map(|part| part.end - part.start).sum();
        let density = f64::from(self.bad) / f64::from((self.good + self.bad).max(1));
        if self.bad < 2 || density * f64::from(len) < FEW {
            return len;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and it saturates"
        )]
        let chunk = (LIKELY / density) as u32;
        chunk.max(1)
    }

    /// Whether offenders are so dense that users are asked for one by one.
    pub(super) fn is_dense(&self) -> bool {
        self.suspect.is_none() && self.bad >= 2 && self.chunk() == 1
    }

    /// Whether the part to ask for is one user who must be the offender, if it is users at all.
    pub(super) fn confirms(&self) -> bool {
        self.single != Some(Side::Last) && self.suspect.as_ref().is_some_and(|part| part.len() == 1)
    }

    /// Asks for one user next, from this side.
    pub(super) fn isolate(&mut self, side: Side) {
        self.single = Some(side);
    }

    /// The part that was asked for is accepted.
    pub(super) fn accepted(&mut self, part: &Range<u32>) -> Found {
        self.good += part.end - part.start;
        let whole = self.suspect.as_ref() == Some(part);
        self.remove(part);
        if whole { Found::Contradiction } else { Found::Nothing }
    }

    /// The part that was asked for, of several users, is rejected.
    pub(super) fn rejected(&mut self, part: &Range<u32>) {
        self.single = None;
        let rest = match self.suspect.take() {
            Some(suspect) => suspect,
            None => self.unknown.pop_front().unwrap_or_else(|| part.clone()),
        };
        self.push_front(part.end..rest.end);
        self.suspect = Some(part.clone());
    }

    /// A single user is done with: an offender, or taken out for another reason. Nothing is known any more of the part
    /// that it was in.
    pub(super) fn found(&mut self, position: u32) {
        if self.rest().any(|part| part.contains(&position)) {
            self.bad += 1;
        }
        if let Some(part) = self.suspect.take_if(|part| part.contains(&position)) {
            self.push_front(part);
        }
        self.remove(&(position..position + 1));
    }

    /// Nothing is known any more of the part that was suspected: its rejection had another cause.
    pub(super) fn clear_suspicion(&mut self) {
        if let Some(part) = self.suspect.take() {
            self.push_front(part);
        }
    }

    /// All parts that are not settled.
    pub(super) fn rest(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        self.suspect.iter().chain(&self.unknown).cloned()
    }

    fn last(&self) -> Option<u32> {
        self.unknown.back().or(self.suspect.as_ref()).map(|part| part.end - 1)
    }

    /// Takes a part out of whatever it lies in.
    fn remove(&mut self, part: &Range<u32>) {
        self.single = None;
        let inside = |whole: &Range<u32>| whole.start <= part.start && part.end <= whole.end;
        if let Some(suspect) = self.suspect.take_if(|suspect| inside(suspect)) {
            // From either end, so that one range is left.
            let left =
                if suspect.start == part.start { part.end..suspect.end } else { suspect.start..part.start };
            self.suspect = Some(left).filter(|left| !left.is_empty());
            return;
        }
        let Some(at) = self.unknown.iter().position(inside) else { return };
        let whole = self.unknown[at].clone();
        self.unknown.remove(at);
        let (before, after) = (whole.start..part.start, part.end..whole.end);
        for piece in [after, before] {
            if !piece.is_empty() {
                self.unknown.insert(at, piece);
            }
        }
    }

    fn push_front(&mut self, part: Range<u32>) {
        if part.is_empty() {
            return;
        }
        match self.unknown.front_mut() {
            Some(front) if front.start == part.end => front.start = part.start,
            _ => self.unknown.push_front(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Drives a search against a server that rejects these users. Returns the users that were accepted, the offenders
    /// that were found, and how many requests it took beyond the one that was rejected.
    fn drive(len: u32, offenders: &BTreeSet<u32>) -> (Vec<u32>, Vec<u32>, u32) {
        let mut search = Search::suspecting(len);
        let (mut accepted, mut found, mut requests) = (Vec::new(), Vec::new(), 0);
        while let Some(part) = search.ask(u32::MAX) {
            requests += 1;
            assert!(requests < 5000, "no end: {search:?}");
            if offenders.range(part.clone()).next().is_none() {
                accepted.extend(part.clone());
                assert_eq!(search.accepted(&part), Found::Nothing);
            } else if part.len() == 1 {
                found.push(part.start);
                search.found(part.start);
            } else {
                search.rejected(&part);
            }
        }
        accepted.sort_unstable();
        found.sort_unstable();
        (accepted, found, requests)
    }

    proptest! {
        #[test]
        fn every_offender_is_found_and_everyone_else_is_accepted_once(
            len in 1u32..1200,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        ) {
            let offenders: BTreeSet<u32> = picks.iter().map(|pick| u32::try_from(pick.index(len as usize)).unwrap()).collect();
            let (accepted, found, requests) = drive(len, &offenders);
            prop_assert_eq!(found, offenders.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(accepted, (0..len).filter(|user| !offenders.contains(user)).collect::<Vec<_>>());
            let (log, p) = (len.next_power_of_two().trailing_zeros(), u32::try_from(offenders.len()).unwrap());
            // Two that lie close together make the rest look dense, until chunks that double in size show that it isn't.
            prop_assert!(requests <= p * (log + 3) + 1 + log, "{requests} for {p} of {len}");
        }
    }

    #[test]
    fn one_offender_costs_the_logarithm_one_to_be_sure_and_one_for_the_rest() {
        for user in 0..1000 {
            let (_, _, requests) = drive(1000, &BTreeSet::from([user]));
            assert!(requests <= 12, "user {user}: {requests}");
        }
    }

    #[test]
    fn dense_offenders_cost_little_more_than_a_request_each() {
        for offenders in [0..1000, 0..900, 100..1000, 300..600] {
            let offenders: BTreeSet<u32> = offenders.collect();
            let (_, _, requests) = drive(1000, &offenders);
            assert!(requests <= 1100, "{} offenders: {requests}", offenders.len());
        }
    }

    #[test]
    fn a_part_whose_users_are_all_accepted_was_not_rejected_for_its_users() {
        let mut search = Search::suspecting(4);
        let mut found = Found::Nothing;
        while let Some(part) = search.ask(u32::MAX) {
            found = search.accepted(&part);
        }
        assert_eq!(found, Found::Contradiction);
    }

    #[test]
    fn users_are_asked_for_one_by_one_once_two_in_a_row_were_offenders() {
        let mut search = Search::unknowing(100);
        search.found(0);
        assert!(!search.is_dense(), "one may be the only one");
        search.found(1);
        assert!(search.is_dense());
        assert_eq!(search.ask(u32::MAX), Some(2..3));
        search.rejected(&(2..50));
        assert!(!search.is_dense(), "half of this part may be accepted");
    }

    #[test]
    fn chunks_are_as_large_as_the_share_of_offenders_so_far_suggests() {
        // Two offenders, then `accepted` users without one: what is asked for next of the rest.
        for (len, accepted, next) in [(100, 18, 20..26), (45, 18, 20..45), (10, 2, 4..5), (9, 2, 4..9)] {
            let mut search = Search::unknowing(len);
            (0..2).for_each(|user| search.found(user));
            search.accepted(&(2..2 + accepted));
            assert_eq!(search.ask(u32::MAX), Some(next), "{len}");
        }
    }

    #[test]
    fn the_last_user_is_taken_out_of_the_part_that_it_is_in() {
        let mut search = Search::suspecting(10);
        search.rejected(&(0..5));
        search.isolate(Side::Last);
        assert_eq!(search.ask(u32::MAX), Some(9..10));
        search.accepted(&(9..10));
        assert_eq!(search.rest().collect::<Vec<_>>(), [0..5, 5..9]);
        search.found(7);
        assert_eq!(search.rest().collect::<Vec<_>>(), [0..5, 5..7, 8..9]);
        search.found(2);
        assert_eq!(search.rest().map(|part| part.len()).sum::<usize>(), 7);
    }

    #[test]
    fn a_part_that_is_no_longer_suspected_is_asked_for_whole_and_does_not_regain_who_was_found() {
        let mut search = Search::suspecting(10);
        search.rejected(&(0..5));
        search.found(5);
        search.clear_suspicion();
        assert_eq!(search.rest().collect::<Vec<_>>(), [0..5, 6..10]);
        assert_eq!(search.ask(u32::MAX), Some(0..5));
        search.isolate(Side::First);
        assert_eq!(search.ask(u32::MAX), Some(0..1));
    }

    #[test]
    fn one_user_of_a_rejected_part_is_confirmed_by_being_asked_for_alone() {
        let mut search = Search::suspecting(2);
        assert!(!search.confirms());
        search.accepted(&(0..1));
        assert_eq!((search.confirms(), search.ask(u32::MAX)), (true, Some(1..2)));
        search.isolate(Side::Last);
        assert!(!search.confirms(), "it is asked for to tell whether the value is at fault");
        assert!(!Search::unknowing(1).confirms());
    }

    #[test]
    fn single_users_are_taken_from_either_side() {
        let mut search = Search::suspecting(10);
        search.isolate(Side::Last);
        assert_eq!(search.ask(u32::MAX), Some(9..10));
        search.accepted(&(9..10));
        search.isolate(Side::First);
        assert_eq!(search.ask(u32::MAX), Some(0..1));
        search.found(0);
        assert_eq!(search.rest().next(), Some(1..9));
        assert_eq!(search.ask(3), Some(1..4));
    }
}
