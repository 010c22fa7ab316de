//! A rate that several processes share.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Says when this process may start a request, so that all processes together hold a rate.
///
/// It leaves the [`Limiter`](super::Limiter) its pauses and its slowdown, and takes over the rest.
pub trait SharedRate: Debug + Send + Sync {
    /// Waits until this process may start one request, which must then start at once and be reported to
    /// [`started`](Self::started). It takes `interval` of the time of all processes. The future can be dropped before that
    /// without consequences.
    fn permit(&self, interval: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// A request that was permitted starts. One that the process then doesn't send is lost for all.
    fn started(&self);

    /// The API asked this process to pause. No process starts a request before the pause is over.
    fn pause(&self, pause: Duration);

    /// What is left of a pause that any process was asked for, as far as this one knows.
    fn pause_left(&self) -> Option<Duration>;
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};

    use tokio::time::{Instant, sleep, sleep_until};

    use super::super::{LimitSignal, Limiter, ON_ITS_WAY};
    use super::*;
    use crate::clock;
    use crate::deliver::Rate;

    /// Slots at fixed times, as if other processes had those between.
    #[derive(Debug)]
    struct Slots {
        begin: Instant,
        every: Duration,
        taken: AtomicU32,
        asked: Mutex<Vec<Duration>>,
        paused: Mutex<Vec<Duration>>,
        others_paused: Mutex<Option<Duration>>,
    }

    impl Slots {
        fn new(every: Duration) -> Arc<Self> {
            Arc::new(Self {
                begin: clock::monotonic_now(),
                every,
                taken: AtomicU32::new(0),
                asked: Mutex::default(),
                paused: Mutex::default(),
                others_paused: Mutex::default(),
            })
        }
    }

    impl SharedRate for Slots {
        fn permit(&self, interval: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            self.asked.lock().unwrap().push(interval);
            Box::pin(sleep_until(self.begin + self.every * self.taken.load(Ordering::Relaxed)))
        }

        fn started(&self) {
            self.taken.fetch_add(1, Ordering::Relaxed);
        }

        fn pause(&self, pause: Duration) {
            self.paused.lock().unwrap().push(pause);
        }

        fn pause_left(&self) -> Option<Duration> {
            *self.others_paused.lock().unwrap()
        }
    }

    fn rate(requests: u32) -> Rate {
        Rate { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(1) }
    }

    /// Waits for the next permit, starts a request and has it answered.
    async fn send(limiter: &mut Limiter, connecting: Duration, signal: LimitSignal) -> Instant {
        limiter.permit().await;
        let start = clock::monotonic_now();
        limiter.started(start);
        sleep(connecting).await;
        limiter.answered(start, connecting, clock::monotonic_now(), signal);
        start
    }

    #[tokio::test(start_paused = true)]
    async fn decides_when_requests_start_and_is_told_what_each_takes() {
        let slots = Slots::new(Duration::from_millis(400));
        let mut limiter = Limiter::new(rate(10)).shared_by(Some(Arc::clone(&slots) as _));
        for n in 0..5 {
            let start = send(&mut limiter, Duration::ZERO, LimitSignal::Served).await;
            assert_eq!(start - slots.begin, slots.every * n);
        }
        assert_eq!(*slots.asked.lock().unwrap(), vec![limiter.interval(); 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn learns_of_pauses_and_is_not_asked_in_one() {
        let slots = Slots::new(Duration::from_millis(100));
        let mut limiter = Limiter::new(rate(10)).shared_by(Some(Arc::clone(&slots) as _));
        let retry_after = Some(Duration::from_secs(5));
        let refused = LimitSignal::Throttled { retry_after };
        send(&mut limiter, Duration::ZERO, refused).await;
        assert_eq!(*slots.paused.lock().unwrap(), [Duration::from_secs(5)]);
        assert_eq!(limiter.asked_left(slots.begin), retry_after);
        let next = send(&mut limiter, Duration::ZERO, LimitSignal::Served).await;
        assert_eq!(next - slots.begin, Duration::from_secs(5));
        assert_eq!(slots.asked.lock().unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_another_process_that_no_process_makes_by_itself_was_asked_for() {
        let slots = Slots::new(Duration::ZERO);
        let limiter = Limiter::new(rate(10)).shared_by(Some(Arc::clone(&slots) as _));
        for (seconds, asked) in [(None, false), (Some(30), false), (Some(31), true)] {
            let left = seconds.map(Duration::from_secs);
            *slots.others_paused.lock().unwrap() = left;
            assert_eq!(limiter.pause_left(slots.begin), left);
            assert_eq!(limiter.asked_left(slots.begin), left.filter(|_| asked));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_of_this_process_holds_more_than_the_rate_whatever_it_is_permitted() {
        let slots = Slots::new(Duration::ZERO);
        let mut limiter = Limiter::new(rate(3)).shared_by(Some(Arc::clone(&slots) as _));
        let mut starts = Vec::new();
        for _ in 0..4 {
            starts.push(send(&mut limiter, Duration::ZERO, LimitSignal::Served).await - slots.begin);
        }
        assert_eq!(starts[..3], [Duration::ZERO; 3]);
        assert!(starts[3] >= Duration::from_secs(1) + ON_ITS_WAY, "{starts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_request_that_had_to_connect_costs_the_next_slot() {
        let slots = Slots::new(Duration::from_millis(500));
        let mut limiter = Limiter::new(rate(10)).shared_by(Some(Arc::clone(&slots) as _));
        send(&mut limiter, Duration::from_millis(200), LimitSignal::Served).await;
        let second = send(&mut limiter, Duration::from_millis(200), LimitSignal::Served).await;
        assert_eq!(second - slots.begin, Duration::from_secs(1));
        let third = send(&mut limiter, Duration::ZERO, LimitSignal::Served).await;
        assert_eq!(third - slots.begin, Duration::from_millis(1500));
    }
}
