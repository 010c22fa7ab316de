//! Whether there is such an operation at this address at all.

use std::collections::HashSet;
use std::fmt::Display;

/// So many requests with no user in common.
const DISJOINT: usize = 3;

/// Tells a wrong address from unknown users: as long as nobody was ever accepted, answers that say "not found" to
/// requests with no user in common speak of the address.
#[derive(Debug, Default)]
pub(super) struct Address {
    proven: bool,
    /// The users of requests that were not found, without those that hold another one.
    unknown: Vec<HashSet<String>>,
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

    /// Whether the answers so far, with this one for these users, speak of a wrong address.
    pub(super) fn not_found(&mut self, users: impl Iterator<Item = impl Display>) -> bool {
        if self.proven {
            return false;
        }
        let users: HashSet<String> = users.map(|user| user.to_string()).collect();
        self.unknown.retain(|known| !known.is_superset(&users));
        if self.unknown.iter().all(|known| known.is_disjoint(&users)) {
            self.unknown.push(users);
        }
        self.unknown.len() >= DISJOINT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_disjoint_requests_that_are_not_found_speak_of_the_address() {
        let mut address = Address::default();
        assert!(!address.not_found(0..1000));
        assert!(!address.not_found(0..500), "a part of the first");
        assert!(!address.not_found(0..500), "the same again");
        assert!(!address.not_found(400..600), "some of the same users");
        assert!(!address.not_found(500..501));
        assert!(!address.not_found(500..501), "the same user, for another attribute");
        assert!(address.not_found(2000..3000));
    }

    #[test]
    fn one_accepted_user_clears_the_address_for_good() {
        let mut address = Address::default();
        address.accepted();
        assert!(!(0..10).any(|user| address.not_found([user].into_iter())));
    }
}
