//! A record of the last starts, to stay within the server's window.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// If a window may have more requests than this, only every second or third, and so on, is kept.
const MOST_KEPT: u32 = 1024;

/// The starts within the last window, and when the next window opens.
#[derive(Debug)]
pub(super) struct RecentStarts {
    /// The window, with its headroom.
    span: Duration,
    /// One start of this many is kept.
    every: u32,
    /// How many more starts to pass over before the next one is kept.
    skip: u32,
    /// As many as a window holds. Those of the window before it are kept, too, for answers that come late.
    most: usize,
    kept: VecDeque<Start>,
    /// The windows of starts that are no longer kept end here.
    closed: Option<Instant>,
}

#[derive(Debug)]
struct Start {
    at: Instant,
    /// How long after that it may have set out for the server.
    late: Duration,
}

impl RecentStarts {
    pub(super) fn new(requests: NonZeroU32, span: Duration) -> Self {
        let every = requests.get().div_ceil(MOST_KEPT);
        let most = usize::try_from(requests.get() / every).unwrap_or(usize::MAX);
        Self { span, every, skip: 0, most, kept: VecDeque::new(), closed: None }
    }

    /// When one more request may start; `None`: at any time.
    pub(super) fn opens(&self) -> Option<Instant> {
        self.closed.max(self.first_in_window().map(|start| self.end(start)))
    }

    /// A request starts.
    pub(super) fn push(&mut self, at: Instant) {
        if let Some(skip) = self.skip.checked_sub(1) {
            self.skip = skip;
            return;
        }
        self.skip = self.every - 1;
        self.closed = self.opens();
        if self.kept.len() >= 2 * self.most {
            self.kept.pop_front();
        }
        self.kept.push_back(Start { at, late: Duration::ZERO });
    }

    /// The request that started then may have set out for the server this much later.
    pub(super) fn late(&mut self, at: Instant, late: Duration) {
        let place = self.kept.partition_point(|start| start.at < at);
        if let Some(start) = self.kept.get_mut(place).filter(|start| start.at == at) {
            start.late = late;
        }
    }

    /// The share of a full window that the requests before this start take.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(super) fn share_before(&self, at: Instant) -> f64 {
        let before = self.kept.iter().rev().skip_while(|start| start.at >= at);
        let within = before.take_while(|start| at - start.at < self.span).count();
        // A full window, and the request that is one too many: its place is the last half.
        within as f64 / (self.most as f64 - 0.5)
    }

    /// The start after which a window was full, if one is.
    fn first_in_window(&self) -> Option<&Start> {
        self.kept.len().checked_sub(self.most).and_then(|first| self.kept.get(first))
    }

    /// When a window that begins with this request is over.
    fn end(&self, start: &Start) -> Instant {
        start.at + start.late + self.span
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_window_opens_when_its_first_request_has_left_it() {
        let now = clock::monotonic_now();
        let at = |millis| now + Duration::from_millis(millis);
        let mut recent = RecentStarts::new(NonZeroU32::new(2).unwrap(), Duration::from_secs(1));
        recent.push(at(0));
        assert_eq!(recent.opens(), None);
        recent.push(at(100));
        assert_eq!(recent.opens(), Some(at(1000)));
        recent.late(at(0), Duration::from_millis(250));
        recent.late(at(7), Duration::from_millis(900));
        assert_eq!(recent.opens(), Some(at(1250)));
        recent.push(at(1250));
        assert_eq!(recent.opens(), Some(at(1250)), "the second one left at 1100, which is over");
    }

    #[test]
    fn requests_take_a_share_of_the_window_before_them() {
        let now = clock::monotonic_now();
        let at = |millis| now + Duration::from_millis(millis);
        let mut recent = RecentStarts::new(NonZeroU32::new(4).unwrap(), Duration::from_secs(1));
        for millis in [0, 250, 500, 750] {
            recent.push(at(millis));
        }
        let of_full = |millis| recent.share_before(at(millis)) * 3.5;
        assert!((of_full(250) - 1.0).abs() < 1e-9, "only the first one was before it");
        assert!((of_full(999) - 4.0).abs() < 1e-9, "the window is full");
        assert!((of_full(1000) - 3.0).abs() < 1e-9, "the first one has left it");
        assert!(of_full(1750).abs() < 1e-9, "all have left it");
        for millis in [1000, 1250, 1500, 1750] {
            recent.push(at(millis));
        }
        let share = recent.share_before(at(1000));
        assert!((share * 3.5 - 3.0).abs() < 1e-9, "an answer may come when the next window is full");
    }

    #[test]
    fn a_large_window_is_kept_in_little_memory_and_holds_no_more_than_it_may() {
        let now = clock::monotonic_now();
        for requests in [1_u32, 1023, 1024, 1025, 4000, 10_007] {
            let mut recent = RecentStarts::new(NonZeroU32::new(requests).unwrap(), Duration::from_secs(1));
            let mut starts = Vec::new();
            for n in 0..3 * requests {
                // A burst as fast as it can go.
                let at = (now + Duration::from_micros(n.into())).max(recent.opens().unwrap_or(now));
                recent.push(at);
                starts.push(at);
            }
            assert!(recent.kept.len() <= 2 * MOST_KEPT as usize);
            let full = starts.windows(requests as usize + 1);
            assert!(full.map(|w| w[requests as usize] - w[0]).all(|took| took >= recent.span), "{requests}");
        }
    }
}
