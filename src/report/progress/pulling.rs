//! Progress while the list of users is read.

use std::time::Duration;

use indicatif::HumanCount;
use tokio::time::Instant;

use super::segments::{Segment, fit};
use super::window::{Window, real};
use crate::deliver::Waiting;
use crate::report::format::time_left;

/// How far reading the list of users is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PullState {
    /// Users that were read, by this run and those that it continues.
    pub users: u64,
    /// How many there are, if the API says so.
    pub count: Option<u64>,
    /// Pages that were read.
    pub pages: u64,
    /// Pages per second, over the last seconds.
    pub rate: f64,
    /// How long the rest will take, if that can be estimated.
    pub eta: Option<Duration>,
    /// Why nothing is read just now.
    pub held: Option<Waiting>,
    /// Since reading began.
    pub elapsed: Duration,
}

/// Observes how fast reading is.
#[derive(Debug)]
pub struct PullSpeed {
    begun: Instant,
    /// Users and pages.
    samples: Window<(u64, u64)>,
}

impl PullSpeed {
    /// Reading begins, with the users and pages that were read by earlier runs.
    pub fn new(now: Instant, users: u64, pages: u64) -> Self {
        let mut samples = Window::default();
        samples.sample(now, (users, pages));
        Self { begun: now, samples }
    }

    /// How far reading is, once this many users and pages were read.
    pub fn observe(
        &mut self,
        now: Instant,
        (users, pages): (u64, u64),
        count: Option<u64>,
        held: Option<Waiting>,
    ) -> PullState {
        self.samples.sample(now, (users, pages));
        let users_per_second = self.samples.per_second(|(users, _)| *users);
        let left = count.and_then(|count| count.checked_sub(users));
        let eta = left.and_then(|left| Duration::try_from_secs_f64(real(left) / users_per_second).ok());
        PullState {
            users,
            count,
            pages,
            rate: self.samples.per_second(|(_, pages)| *pages),
            eta: eta.filter(|_| held.is_none()),
            held,
            elapsed: now - self.begun,
        }
    }
}

impl PullState {
    /// The users that were read of those that there are, if that is known.
    pub(super) fn share(&self) -> Option<(u64, u64)> {
        self.count.filter(|count| self.users <= *count).map(|count| (self.users, count))
    }

    fn percent(&self) -> Option<u128> {
        self.share().map(|(users, count)| u128::from(users) * 100 / u128::from(count.max(1)))
    }

    /// In at most `width` columns.
    pub(super) fn fitted(&self, width: usize) -> String {
        let part = |weight, text| Some(Segment { weight, text });
        let held = self.held.map(|held| match held {
            Waiting::Pause => "waiting: the API asked for a pause".to_owned(),
            Waiting::Outage => "waiting: the API is down".to_owned(),
        });
        let rate = (self.rate >= 0.05).then(|| format!("{:.1} pages/s", self.rate));
        let parts = [
            part(8, "reading users".to_owned()),
            self.percent().and_then(|percent| part(9, format!("{percent}%"))),
            part(7, format!("{} users", HumanCount(self.users))),
            part(5, format!("{} pages", HumanCount(self.pages))),
            rate.and_then(|rate| part(4, rate)),
            self.eta.and_then(|eta| part(6, format!("{} left", time_left(eta)))),
            held.and_then(|held| part(10, held)),
        ];
        fit(parts.into_iter().flatten().collect(), width)
    }

    /// As a line of a log.
    pub(super) fn logged(&self) -> String {
        let count = self.count.map(|count| format!("/{count}"));
        let eta = self.eta.map(|eta| format!(" eta={}", time_left(eta).replace(' ', "")));
        let held = self.held.map(|held| format!(" waiting={}", held.name()));
        format!(
            "reading users={}{} pages={} rate={:.1}/s{}{}",
            self.users,
            count.unwrap_or_default(),
            self.pages,
            self.rate,
            eta.unwrap_or_default(),
            held.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_least_is_left_out_first() {
        let state = PullState {
            users: 123_400,
            count: Some(1_000_000),
            pages: 1_234,
            rate: 9.87,
            eta: Some(Duration::from_secs(888)),
            held: None,
            elapsed: Duration::from_mins(2),
        };
        let uncounted = PullState { count: None, eta: None, ..state };
        let held = PullState { held: Some(Waiting::Outage), eta: None, ..state };
        let lines = [(state, 80), (state, 50), (state, 20), (uncounted, 80), (held, 80), (held, 40)];
        let lines = lines.map(|(state, width)| format!("{width:2}|{}|", state.fitted(width))).join("\n");
        insta::assert_snapshot!(lines, @"
        80|reading users  12%  123,400 users  1,234 pages  9.9 pages/s  14m 48s left|
        50|reading users  12%  123,400 users  14m 48s left|
        20|reading users  12%|
        80|reading users  123,400 users  1,234 pages  9.9 pages/s|
        80|reading users  12%  123,400 users  1,234 pages  waiting: the API is down|
        40|12%  waiting: the API is down|
        ");
        insta::assert_snapshot!([state, uncounted, held].map(|state| state.logged()).join("\n"), @"
        reading users=123400/1000000 pages=1234 rate=9.9/s eta=14m48s
        reading users=123400 pages=1234 rate=9.9/s
        reading users=123400/1000000 pages=1234 rate=9.9/s waiting=outage
        ");
    }

    #[test]
    fn the_rest_is_estimated_from_the_users_and_not_while_nothing_is_read() {
        let begin = crate::clock::monotonic_now();
        let mut speed = PullSpeed::new(begin, 1_000, 10);
        let mut state = PullState::default();
        for second in 1..=8_u64 {
            let read = (1_000 + 100 * second, 10 + second);
            state = speed.observe(begin + Duration::from_secs(second), read, Some(2_000), None);
        }
        assert_eq!((state.eta, state.elapsed), (Some(Duration::from_secs(2)), Duration::from_secs(8)));
        assert!((state.rate - 1.0).abs() < 1e-9);
        let now = begin + Duration::from_secs(9);
        assert_eq!(speed.observe(now, (1_800, 18), Some(2_000), Some(Waiting::Pause)).eta, None);
        assert_eq!(speed.observe(now, (3_000, 18), Some(2_000), None).share(), None, "there are more by now");
    }
}
