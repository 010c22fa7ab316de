//! Progress while inputs are read and planned.

use std::time::Duration;

use indicatif::HumanCount;
use tokio::time::Instant;

use super::segments::{Segment, fit};
use super::window::{Window, real};
use crate::input::ReadSoFar;
use crate::report::format::time_left;

/// How far reading is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReadingState {
    /// What was read.
    pub so_far: ReadSoFar,
    /// Rows per second, over the last seconds.
    pub rate: f64,
    /// How long the rest will take, if that can be estimated.
    pub eta: Option<Duration>,
    /// Since reading began.
    pub elapsed: Duration,
}

/// Observes how fast reading is.
#[derive(Debug)]
pub struct ReadingSpeed {
    begun: Instant,
    samples: Window<ReadSoFar>,
}

impl ReadingSpeed {
    /// Reading begins.
    pub fn new(now: Instant) -> Self {
        let mut samples = Window::default();
        samples.sample(now, ReadSoFar::default());
        Self { begun: now, samples }
    }

    /// How far reading is, once this much was read.
    pub fn observe(&mut self, now: Instant, so_far: ReadSoFar) -> ReadingState {
        self.samples.sample(now, so_far);
        let bytes_per_second = self.samples.per_second(|sample| sample.bytes);
        let left = so_far.bytes_total.and_then(|total| total.checked_sub(so_far.bytes));
        let eta = left.and_then(|left| Duration::try_from_secs_f64(real(left) / bytes_per_second).ok());
        ReadingState {
            so_far,
            rate: self.samples.per_second(|sample| sample.rows),
            eta: eta.filter(|_| !so_far.has_ended),
            elapsed: now - self.begun,
        }
    }
}

impl ReadingState {
    /// What was read of what there is, if that is known.
    pub(super) fn share(&self) -> Option<(u64, u64)> {
        let ReadSoFar { bytes, bytes_total, has_ended, .. } = self.so_far;
        // A file that grows has more than all.
        bytes_total.filter(|total| bytes <= *total && !has_ended).map(|total| (bytes, total))
    }

    fn permille(&self) -> Option<u128> {
        self.share().map(|(bytes, total)| u128::from(bytes) * 1000 / u128::from(total))
    }

    /// In at most `width` columns.
    pub(super) fn fitted(&self, width: usize) -> String {
        let ReadSoFar { bytes, rows, has_ended, .. } = self.so_far;
        let part = |weight, text| Some(Segment { weight, text });
        let rows = format!("{} rows", HumanCount(rows));
        let parts = if has_ended {
            [part(9, "planning".to_owned()), part(8, rows), None, None, None, None]
        } else {
            let percent = self.permille().map(|share| format!("{}%", share / 10));
            let read = match self.share() {
                Some((bytes, total)) => amounts(bytes, total),
                None => amount(bytes),
            };
            let rate = (self.rate >= 1.0).then(|| format!("{} rows/s", short(self.rate)));
            let left = self.eta.map(|eta| format!("{} left", time_left(eta)));
            [
                part(8, "reading".to_owned()),
                percent.and_then(|percent| part(9, percent)),
                part(5, read),
                part(7, rows),
                rate.and_then(|rate| part(4, rate)),
                left.and_then(|left| part(6, left)),
            ]
        };
        fit(parts.into_iter().flatten().collect(), width)
    }

    /// As a line of a log.
    pub(super) fn logged(&self) -> String {
        let ReadSoFar { bytes, bytes_total, rows, has_ended } = self.so_far;
        if has_ended {
            return format!("planning rows={rows}");
        }
        let share = self.permille().map(|share| format!(" {}.{}%", share / 10, share % 10));
        let total = bytes_total.map(|total| format!("/{total}"));
        let eta = self.eta.map(|eta| format!(" eta={}", time_left(eta).replace(' ', "")));
        format!(
            "reading{} bytes={bytes}{} rows={rows} rate={:.0}/s{}",
            share.unwrap_or_default(),
            total.unwrap_or_default(),
            self.rate,
            eta.unwrap_or_default()
        )
    }
}

const UNITS: [(u64, &str); 4] =
    [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];

/// How many bytes that are, in the unit of `total`: `0.3/2.8 GB`.
fn amounts(bytes: u64, total: u64) -> String {
    let (unit, name) = unit_of(total);
    format!("{}/{} {name}", tenths(bytes, unit), tenths(total, unit))
}

/// How many bytes that are: `2.8 GB`.
fn amount(bytes: u64) -> String {
    let (unit, name) = unit_of(bytes);
    format!("{} {name}", tenths(bytes, unit))
}

fn unit_of(bytes: u64) -> (u64, &'static str) {
    UNITS.into_iter().find(|(unit, _)| bytes >= *unit).unwrap_or((1_000, "kB"))
}

fn tenths(bytes: u64, unit: u64) -> String {
    let tenths = bytes / (unit / 10);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A rate in few letters: `850`, `85k`, `2.3M`.
fn short(rate: f64) -> String {
    match rate {
        ..9_999.5 => format!("{rate:.0}"),
        ..999_500.0 => format!("{:.0}k", rate / 1e3),
        _ => format!("{:.1}M", rate / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ReadingState {
        let so_far = ReadSoFar {
            bytes: 1_234_000_000,
            bytes_total: Some(2_870_000_000),
            rows: 12_345_678,
            has_ended: false,
        };
        ReadingState {
            so_far,
            rate: 2_345_678.4,
            eta: Some(Duration::from_secs(3)),
            elapsed: Duration::from_secs(5),
        }
    }

    #[test]
    fn what_matters_least_is_left_out_first() {
        let pipe =
            ReadingState { so_far: ReadSoFar { bytes_total: None, ..state().so_far }, eta: None, ..state() };
        let ended = ReadingState { so_far: ReadSoFar { has_ended: true, ..state().so_far }, ..state() };
        let lines =
            [(state(), 80), (state(), 58), (state(), 40), (state(), 20), (pipe, 80), (pipe, 40), (ended, 80)];
        let lines = lines.map(|(state, width)| format!("{width:2}|{}|", state.fitted(width))).join("\n");
        insta::assert_snapshot!(lines, @"
        80|reading  42%  1.2/2.8 GB  12,345,678 rows  2.3M rows/s  3s left|
        58|reading  42%  1.2/2.8 GB  12,345,678 rows  3s left|
        40|reading  42%  12,345,678 rows  3s left|
        20|reading  42%|
        80|reading  1.2 GB  12,345,678 rows  2.3M rows/s|
        40|reading  1.2 GB  12,345,678 rows|
        80|planning  12,345,678 rows|
        ");
    }

    #[test]
    fn a_log_line_has_everything() {
        let pipe =
            ReadingState { so_far: ReadSoFar { bytes_total: None, ..state().so_far }, eta: None, ..state() };
        let ended = ReadingState { so_far: ReadSoFar { has_ended: true, ..state().so_far }, ..state() };
        let lines = [state(), pipe, ended].map(|state| state.logged()).join("\n");
        insta::assert_snapshot!(lines, @"
        reading 42.9% bytes=1234000000/2870000000 rows=12345678 rate=2345678/s eta=3s
        reading bytes=1234000000 rows=12345678 rate=2345678/s
        planning rows=12345678
        ");
    }

    #[test]
    fn the_rest_is_estimated_from_the_bytes() {
        let begin = crate::clock::monotonic_now();
        let mut speed = ReadingSpeed::new(begin);
        let mut state = ReadingState::default();
        for second in 1..=8 {
            let so_far = ReadSoFar {
                bytes: 100 * second,
                bytes_total: Some(1000),
                rows: 7 * second,
                has_ended: false,
            };
            state = speed.observe(begin + Duration::from_secs(second), so_far);
        }
        assert_eq!((state.eta, state.elapsed), (Some(Duration::from_secs(2)), Duration::from_secs(8)));
        assert!((state.rate - 7.0).abs() < 1e-9);
        assert_eq!(state.share(), Some((800, 1000)));

        let more = ReadSoFar { bytes: 2000, bytes_total: Some(1000), rows: 100, has_ended: false };
        let state = speed.observe(begin + Duration::from_secs(9), more);
        assert_eq!((state.eta, state.share()), (None, None), "the file has grown");
    }

    #[test]
    fn rates_are_short() {
        let rates = [1.0, 9_999.4, 9_999.5, 999_499.0, 999_500.0, 2_345_678.4];
        assert_eq!(rates.map(short), ["1", "9999", "10k", "999k", "1.0M", "2.3M"]);
    }

    #[test]
    fn bytes_are_shown_in_a_unit_that_can_be_read() {
        assert_eq!([0, 1_999, 5_400_000].map(amount), ["0.0 kB", "1.9 kB", "5.4 MB"]);
        assert_eq!(amounts(12_000_000, 2_800_000_000_000), "0.0/2.8 TB");
        assert_eq!(amounts(300_000_000, 2_870_000_000), "0.3/2.8 GB");
    }
}
