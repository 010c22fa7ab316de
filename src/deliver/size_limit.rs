//! Finds out how large a request may be.

/// The largest size that the server accepts, found by bisection between accepted and rejected sizes.
///
/// Every request is a test, so its users are served at the same time. If a request is accepted that is as large as a rejected
/// one, size was not the cause, and there is no limit any more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SizeLimit {
    accepted: u32,
    rejected: Option<u32>,
    /// What the server said that it accepts.
    suggested: Option<u32>,
    /// How far apart the two may stay.
    precision: u32,
    /// Requests accepted at the limit since it was last tested, …
    quiet: u32,
    /// … and how often that confirmed it.
    confirmed: u32,
}

/// The limit is tested again after this many requests, then after twice as many, and so on. That costs about one request in
/// a hundred, and a limit that was a mistake would cost far more.
const TEST_AFTER: u32 = 64;

impl SizeLimit {
    /// No limit is known yet; it is found up to this precision.
    pub(super) fn new(precision: u32) -> Self {
        Self { precision, ..Self::default() }
    }

    /// The size of the next request; `None` if there is no limit.
    pub(super) fn size(&self) -> Option<u32> {
        let rejected = self.rejected?;
        if self.accepted == 0 {
            return Some((rejected / 2).max(1));
        }
        if rejected - self.accepted > self.precision {
            // One user more shows whether that is all.
            let is_suggested = self.suggested == Some(self.accepted);
            let more = if is_suggested { 1 } else { (rejected - self.accepted) / 2 };
            return Some(self.accepted + more);
        }
        let test = self.quiet >= TEST_AFTER << self.confirmed.min(16);
        Some(if test { rejected } else { self.accepted })
    }

    /// A request of this size was accepted.
    pub(super) fn accept(&mut self, size: u32) {
        self.accepted = self.accepted.max(size);
        if self.rejected.is_some_and(|rejected| size >= rejected) {
            self.rejected = None;
        }
        self.quiet = self.quiet.saturating_add(1);
    }

    /// Whether a request of this size may have been rejected for it.
    pub(super) fn is_plausible(&self, size: u32) -> bool {
        size > self.accepted && size > 1
    }

    /// A request of this size was rejected, and its size is the likely cause.
    pub(super) fn reject(&mut self, size: u32) {
        if self.rejected.is_some_and(|rejected| size >= rejected) {
            self.confirmed += 1;
        }
        self.rejected = Some(self.rejected.map_or(size, |rejected| rejected.min(size)));
        self.quiet = 0;
    }

    /// A single user was rejected for the size of the request, so the number of users is not what made others too large.
    pub(super) fn forget(&mut self) {
        self.rejected = None;
    }

    /// Whether the limit explains the rejection of a request of this size.
    pub(super) fn explains(&self, size: u32) -> bool {
        self.rejected.is_some() && self.is_plausible(size)
    }

    /// The server says that it accepts this many: the next request tests whether it accepts more.
    pub(super) fn suggest(&mut self, most: u32) {
        if self.rejected.is_some_and(|rejected| most >= self.accepted && most < rejected) {
            // Accepted as long as nothing shows the contrary; the search upwards goes on from there.
            self.accepted = most;
            self.suggested = Some(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends this many users to a server that takes `most` in a request. Returns requests accepted and rejected.
    fn send(limit: &mut SizeLimit, mut users: u32, most: u32) -> (u32, u32) {
        let (mut accepted, mut rejected) = (0, 0);
        while users > 0 {
            let size = limit.size().unwrap_or(1000).min(users).min(1000);
            if size <= most {
                limit.accept(size);
                users -= size;
                accepted += 1;
            } else {
                limit.reject(size);
                rejected += 1;
            }
        }
        (accepted, rejected)
    }

    #[test]
    fn the_limit_is_found_exactly() {
        for most in [1, 7, 100, 512, 999] {
            let mut limit = SizeLimit::new(1);
            let (accepted, rejected) = send(&mut limit, 100_000, most);
            assert!(rejected <= 20, "{most}: {rejected}");
            assert!(accepted <= 100_000 / most + 20, "{most}: {accepted}");
        }
    }

    #[test]
    fn a_limit_that_was_a_mistake_is_given_up() {
        let mut limit = SizeLimit::new(1);
        limit.accept(100);
        limit.reject(1000);
        let (accepted, rejected) = send(&mut limit, 100_000, 1000);
        assert!(accepted < 120 && rejected == 0, "{accepted}, {rejected}");
        assert_eq!(limit.size(), None);
        assert!(!limit.is_plausible(1000));
    }

    #[test]
    fn a_size_is_the_cause_only_if_it_is_larger_than_what_was_accepted() {
        let mut limit = SizeLimit::new(1);
        assert!(!limit.is_plausible(1) && limit.is_plausible(2), "one user can't be divided");
        assert!(!limit.explains(1000), "nothing was rejected for its size");
        limit.accept(10);
        assert!(!limit.is_plausible(10) && limit.is_plausible(11));
        limit.reject(100);
        assert!(!limit.explains(10) && limit.explains(11) && limit.explains(1000));
    }

    #[test]
    fn a_limit_that_is_forgotten_is_found_again_from_what_was_accepted() {
        let mut limit = SizeLimit::new(1);
        limit.accept(100);
        limit.reject(1000);
        limit.forget();
        assert_eq!(limit.size(), None);
        assert!(!limit.explains(1000) && limit.is_plausible(101) && !limit.is_plausible(100));
        limit.reject(1000);
        assert_eq!(limit.size(), Some(550));
    }

    #[test]
    fn each_request_halves_what_is_not_known_down_to_the_precision() {
        let mut limit = SizeLimit::new(24);
        assert_eq!(limit.size(), None);
        limit.reject(1000);
        assert_eq!(limit.size(), Some(500));
        limit.accept(500);
        assert_eq!(limit.size(), Some(750));
        limit.reject(750);
        limit.accept(725);
        assert_eq!(limit.size(), Some(737));
        limit.reject(749);
        assert_eq!(limit.size(), Some(725), "the two are close enough");
        limit.reject(2000);
        assert_eq!(limit.size(), Some(725), "the smallest one that was rejected counts");
        limit.accept(749);
        assert_eq!(limit.size(), None, "size was not the cause");
    }

    #[test]
    fn a_limit_is_tested_again_after_twice_as_many_requests_each_time() {
        let mut limit = SizeLimit::new(1);
        limit.accept(9);
        limit.reject(10);
        for requests in [TEST_AFTER, 2 * TEST_AFTER, 4 * TEST_AFTER] {
            for _ in 0..requests {
                assert_eq!(limit.size(), Some(9));
                limit.accept(9);
            }
            assert_eq!(limit.size(), Some(10));
            limit.reject(10);
        }
    }

    #[test]
    fn what_the_server_says_counts_as_accepted_if_it_can_be_true() {
        let mut limit = SizeLimit::new(1);
        limit.suggest(5);
        assert!(limit.is_plausible(3), "nothing was rejected for its size");
        limit.reject(1000);
        limit.suggest(1000);
        assert!(limit.is_plausible(900), "1000 was rejected");
        limit.suggest(500);
        limit.suggest(400);
        assert!(!limit.is_plausible(500) && limit.is_plausible(501));
    }

    #[test]
    fn a_limit_that_the_server_names_is_found_with_one_more_rejection() {
        for most in [1, 100, 500, 900] {
            let mut limit = SizeLimit::new(1);
            limit.reject(1000);
            limit.suggest(most);
            assert_eq!(limit.size(), Some(most + 1));
            limit.reject(most + 1);
            assert_eq!(limit.size(), Some(most));
        }
    }

    #[test]
    fn a_limit_that_the_server_names_is_found_as_quickly_if_as_many_were_accepted_before() {
        let mut limit = SizeLimit::new(1);
        limit.accept(100);
        limit.reject(1000);
        limit.suggest(20);
        assert_eq!(limit.size(), Some(550), "more than that were accepted");
        limit.suggest(100);
        assert_eq!(limit.size(), Some(101));
        limit.reject(101);
        assert_eq!(limit.size(), Some(100));
    }

    #[test]
    fn what_the_server_says_is_tried_first_and_not_believed_for_ever() {
        let mut limit = SizeLimit::new(1);
        limit.reject(1000);
        limit.suggest(1);
        let (accepted, _) = send(&mut limit, 100_000, 1000);
        assert!(accepted < 120, "{accepted}");
    }
}
