//! The run as Prometheus metrics, in the text format 0.0.4.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary};
use prometheus::{Encoder as _, TextEncoder};

use super::{ExitCode, Requests, Statistics};
use crate::clock;
use crate::deliver::{Status, Waiting};
use crate::ledger::RowCounts;

/// The metric that a run which failed takes over from the one before.
const LAST_SUCCESS: &str = "attrsync_last_success_timestamp_seconds";

/// The content type of the text.
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4";

/// The shares of requests whose latency is told.
const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];

/// A run at one moment, as metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// When the run began.
    pub started_at: Timestamp,
    /// When and how it ended, once it has.
    pub ended: Option<(Timestamp, ExitCode)>,
    /// When a run was complete last, in seconds since 1970.
    pub last_success: Option<f64>,
    /// The configured limit, in requests per second, if the settings are known.
    pub rate_limit: Option<f64>,
    /// The counts so far.
    pub snapshot: Snapshot,
}

/// What was counted up to one moment of a run.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The fates of rows. Those that wait have none yet.
    pub rows: RowCounts,
    /// Requests.
    pub requests: Requests,
    /// The latency of answers.
    pub latency: Option<LatencySummary>,
    /// The state of delivery, while requests are sent.
    pub status: Option<Status>,
}

/// How long answers took.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencySummary {
    count: u64,
    seconds: f64,
    quantiles: Vec<(f64, f64)>,
}

impl LatencySummary {
    /// Of the answers so far. `None` before the first one.
    pub fn of(statistics: &Statistics) -> Option<Self> {
        let (count, total) = statistics.answers();
        let quantile = |share: f64| Some((share, statistics.latency(share)?.as_secs_f64()));
        let quantiles: Option<Vec<_>> = QUANTILES.into_iter().map(quantile).collect();
        Some(Self { count, seconds: total.as_secs_f64(), quantiles: quantiles? })
    }
}

impl Metrics {
    /// As the collectors of Prometheus read it.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // A name that is wrong would be wrong in each run, and the tests would show it.
        let encoded = TextEncoder::new().encode(&self.families(), &mut text);
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        String::from_utf8(text).unwrap_or_default()
    }

    fn families(&self) -> Vec<MetricFamily> {
        let Snapshot { rows, requests, latency, status } = &self.snapshot;
        let now = self.ended.map_or_else(clock::utc_now, |(at, _)| at);
        let mut families = vec![
            info(),
            gauge("attrsync_run_running", "Whether the run goes on.", flag(self.ended.is_none())),
            gauge(
                "attrsync_run_start_timestamp_seconds",
                "When the run started, in seconds since 1970.",
                seconds(self.started_at),
            ),
            gauge(
                "attrsync_run_duration_seconds",
                "How long the run has taken.",
                seconds(now) - seconds(self.started_at),
            ),
        ];
        if let Some((at, exit)) = self.ended {
            families.push(gauge(
                "attrsync_run_end_timestamp_seconds",
                "When the run ended, in seconds since 1970.",
                seconds(at),
            ));
            families.push(gauge(
                "attrsync_run_exit_code",
                "The exit code of the run.",
                f64::from(exit.code()),
            ));
        }
        let success = match self.ended {
            Some((at, ExitCode::Complete)) => Some(seconds(at)),
            _ => self.last_success,
        };
        let help = "When a run was complete last, in seconds since 1970.";
        families.extend(success.map(|at| gauge(LAST_SUCCESS, help, at)));
        families.push(counter("attrsync_rows_read_total", "Rows read.", rows.read));
        let fates = rows.by_fate().into_iter().map(|(count, fate)| ([("fate", fate)], count));
        families.push(family(
            "attrsync_rows_total",
            "Rows by what happened to them.",
            MetricType::COUNTER,
            fates.map(|(labels, count)| count_of(&labels, count)).collect(),
        ));
        families.push(gauge(
            "attrsync_requests_planned",
            "Requests that the run takes if nothing goes wrong.",
            float(requests.planned),
        ));
        families.extend(request_counters(requests));
        let help = "The configured limit of requests.";
        families
            .extend(self.rate_limit.map(|rate| gauge("attrsync_rate_limit_requests_per_second", help, rate)));
        families.extend(latency.as_ref().map(durations));
        if let Some(Status { in_flight, waiting, .. }) = status {
            let waits = |why| flag(waiting.is_some_and(|(waiting, _)| waiting == why));
            let in_flight = float(u64::try_from(*in_flight).unwrap_or(u64::MAX));
            families.push(gauge("attrsync_requests_in_flight", "Requests without an answer yet.", in_flight));
            let (paused, outage) = (waits(Waiting::Pause), waits(Waiting::Outage));
            families.push(gauge("attrsync_paused", "Whether the API has asked for a pause.", paused));
            families.push(gauge("attrsync_outage", "Whether the API is down.", outage));
        }
        families
    }
}

fn request_counters(requests: &Requests) -> impl Iterator<Item = MetricFamily> {
    let Requests { sent, acknowledged, retried, throttled, split, checks, read_back, .. } = *requests;
    [
        ("attrsync_requests_sent_total", "Requests started, for any purpose.", sent),
        ("attrsync_requests_acknowledged_total", "Requests that the API acknowledged.", acknowledged),
        ("attrsync_requests_retried_total", "Requests started because an earlier one failed.", retried),
        ("attrsync_requests_throttled_total", "Answers that there were too many requests.", throttled),
        ("attrsync_requests_split_total", "Requests started to find refused ids.", split),
        ("attrsync_requests_checks_total", "Requests started to check a user or the API.", checks),
        ("attrsync_requests_read_back_total", "Requests started to read users back.", read_back),
    ]
    .into_iter()
    .map(|(name, help, count)| counter(name, help, count))
}

fn info() -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(1.0);
    let mut one = Metric::from_gauge(gauge);
    one.set_label(labels(&[("version", env!("CARGO_PKG_VERSION"))]));
    family("attrsync_build_info", "The version of the program.", MetricType::GAUGE, vec![one])
}

fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    family(name, help, MetricType::GAUGE, vec![Metric::from_gauge(gauge)])
}

fn counter(name: &str, help: &str, count: u64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![count_of(&[], count)])
}

fn count_of(of: &[(&str, &str)], count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(float(count));
    let mut metric = Metric::default();
    metric.set_label(labels(of));
    metric.set_counter(counter);
    metric
}

fn durations(LatencySummary { count, seconds, quantiles }: &LatencySummary) -> MetricFamily {
    let quantiles = quantiles.iter().map(|(share, latency)| {
        let mut quantile = Quantile::default();
        quantile.set_quantile(*share);
        quantile.set_value(*latency);
        quantile
    });
    let mut summary = Summary::default();
    summary.set_sample_count(*count);
    summary.set_sample_sum(*seconds);
    summary.set_quantile(quantiles.collect());
    let mut metric = Metric::default();
    metric.set_summary(summary);
    let help = "How long requests took, until the answer.";
    family("attrsync_request_duration_seconds", help, MetricType::SUMMARY, vec![metric])
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labels(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    };
    pairs.iter().map(pair).collect()
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn float(count: u64) -> f64 {
    count as f64
}

/// When a run was complete last, according to metrics that were written before. `labels` are those that the series has
/// there.
pub fn last_success(text: &str, labels: &BTreeMap<String, String>) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(LAST_SUCCESS)?;
        let (found, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest),
        };
        let is_wanted = labels.iter().all(|(name, value)| found.contains(&format!("{name}=\"{value}\"")));
        let count = found.matches("=\"").count();
        value.trim().parse().ok().filter(|_| is_wanted && count == labels.len())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::deliver::{AnswerKind, Event, Purpose, Slowed};

    fn metrics() -> Metrics {
        let rows = RowCounts { read: 10, acknowledged: 7, failed: 2, invalid: 1, ..RowCounts::default() };
        Metrics {
            started_at: "2026-03-01T02:00:00Z".parse().unwrap(),
            ended: Some(("2026-03-01T02:00:05.5Z".parse().unwrap(), ExitCode::Incomplete)),
            last_success: Some(1_772_000_000.0),
            rate_limit: Some(10.0),
            snapshot: Snapshot {
                rows,
                requests: Requests { planned: 3, sent: 5, acknowledged: 3, ..Requests::default() },
                ..Snapshot::default()
            },
        }
    }

    #[test]
    fn a_failed_run_keeps_the_last_success_and_a_complete_one_sets_it() {
        let none = BTreeMap::new();
        assert_eq!(last_success(&metrics().text(), &none), Some(1_772_000_000.0));
        let ended = Some(("2026-03-01T02:00:05Z".parse().unwrap(), ExitCode::Complete));
        let complete = Metrics { ended, ..metrics() };
        assert_eq!(last_success(&complete.text(), &none), Some(1_772_330_405.0));
        let never = Metrics { last_success: None, ..metrics() };
        assert_eq!(last_success(&never.text(), &none), None);
    }

    #[test]
    fn a_series_of_a_pushgateway_is_found_by_its_labels() {
        let text = "# TYPE attrsync_last_success_timestamp_seconds gauge\n\
            attrsync_last_success_timestamp_seconds{instance=\"\",job=\"other\"} 1\n\
            attrsync_last_success_timestamp_seconds{instance=\"eu\",job=\"crm\"} 2\n\
            attrsync_last_success_timestamp_seconds{instance=\"\",job=\"crm\"} 1.77233040e+09\n";
        let labels = |instance: &str| {
            [("job", "crm"), ("instance", instance)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        };
        assert_eq!(last_success(text, &labels("")), Some(1_772_330_400.0));
        assert_eq!(last_success(text, &labels("eu")), Some(2.0));
        assert_eq!(last_success(text, &labels("us")), None);
        assert_eq!(last_success(text, &BTreeMap::new()), None);
    }

    #[test]
    fn the_text_has_types_units_and_no_timestamps() {
        let now = clock::monotonic_now();
        let mut statistics = Statistics::new(now);
        for latency in [100, 100, 400] {
            statistics.take(&Event::Sent { at: now, purpose: Purpose::First }, now);
            let latency = Duration::from_millis(latency);
            let answered = Event::Answered { at: now, latency, answer: AnswerKind::Acknowledged };
            statistics.take(&answered, now);
        }
        let waiting = Some((Waiting::Outage, Duration::from_secs(3)));
        let status = Status {
            in_flight: 2,
            rate: 10.0,
            slowed: Slowed::No,
            waiting,
            reason: None,
            gives_up: None,
            reading_back: None,
        };
        let mut metrics = metrics();
        metrics.snapshot.latency = LatencySummary::of(&statistics);
        metrics.snapshot.status = Some(status);
        let text = metrics.text();
        insta::assert_snapshot!(text.replace(env!("CARGO_PKG_VERSION"), "0.0.0"));
    }
}
