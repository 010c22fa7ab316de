//! Whether there is such an operation at this address at all.

use crate::plan::Batch;

/// So many requests with no user in common.
const DISJOINT: usize = 3;

/// Tells a wrong address from unknown users: as long as nobody was ever accepted, answers that say "not found" to
/// requests with no user in common speak of the address.
#[derive(Debug, Default)]
pub(super) struct Address {
    proven: bool,
    /// Parts that were not found, without those that hold another one.
    unknown: Vec<Batch>,
}

impl Address {
    /// Somebody was accepted.
    pub(super) fn accepted(&mut self) {
        self.proven = true;
    }

    /// Whether somebody was ever accepted.
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether the answers so far, with this one, speak of a wrong address.
    pub(super) fn not_found(&mut self, part: Batch) -> bool {
        if self.proven {
            return false;
        }
        let holds = |outer: &Batch, inner: &Batch| {
            outer.group == inner.group
                && outer.first <= inner.first
                && inner.first + inner.len <= outer.first + outer.len
        };
        self.unknown.retain(|known| !holds(known, &part));
        if !self.unknown.iter().any(|known| holds(&part, known)) {
            self.unknown.push(part);
        }
        self.unknown.len() >= DISJOINT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(group: u32, first: u32, len: u32) -> Batch {
        Batch { group, first, len }
    }

    #[test]
    fn three_disjoint_requests_that_are_not_found_speak_of_the_address() {
        let mut address = Address::default();
        assert!(!address.not_found(part(0, 0, 1000)));
        assert!(!address.not_found(part(0, 0, 500)), "part of the first");
        assert!(!address.not_found(part(0, 0, 500)), "the same again");
        assert!(!address.not_found(part(0, 500, 1)));
        assert!(address.not_found(part(1, 0, 1000)));
    }

    #[test]
    fn one_accepted_user_clears_the_address_for_good() {
        let mut address = Address::default();
        address.accepted();
        assert!(!(0..10).any(|group| address.not_found(part(group, 0, 1))));
    }
}
