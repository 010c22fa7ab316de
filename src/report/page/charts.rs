//! What happened when, drawn.

use std::fmt::Write;
use std::iter;
use std::time::Duration;

use maud::{Markup, html};

use super::super::format::{short_time, time, time_left};
use super::super::{Interval, Statistics, Timeline};
use super::svg::{Chart, Lane, Line, Mark, Scale, Spacing};

/// With fewer intervals there is nothing to see in a chart.
const FEWEST: usize = 3;

/// Latencies that differ by a larger factor can't be told apart on a linear scale.
const MUCH: f64 = 10.0;

/// Something that an interval may have.
struct Condition {
    /// Its name, which is that of its style, too.
    name: &'static str,
    /// What such intervals had.
    noun: &'static str,
    meaning: &'static str,
    mark: Mark,
    is_in: fn(&Interval) -> bool,
}

/// In the order from the top.
const CONDITIONS: [Condition; 5] = [
    Condition {
        name: "outage",
        noun: "an outage",
        meaning: "the API was down, and the run waited for it",
        mark: Mark::Band,
        is_in: |one| one.outage,
    },
    Condition {
        name: "pause",
        noun: "a pause",
        meaning: "the API had asked for a pause",
        mark: Mark::Band,
        is_in: |one| one.paused,
    },
    Condition {
        name: "slowed",
        noun: "a lower rate",
        meaning: "requests were sent at a lower rate, after throttling",
        mark: Mark::Bar,
        is_in: |one| one.slowed,
    },
    Condition {
        name: "throttled",
        noun: "throttled requests",
        meaning: "the API answered that there were too many requests",
        mark: Mark::Bar,
        is_in: |one| one.throttled > 0,
    },
    Condition {
        name: "errors",
        noun: "errors",
        meaning: "the server answered with an error, or not at all",
        mark: Mark::Bar,
        is_in: |one| one.errors > 0,
    },
];

/// The latencies that are shown: name, class, share of the answers.
const PERCENTILES: [(&str, &str, f64); 3] = [("p50", "p50", 0.5), ("p95", "p95", 0.95), ("p99", "p99", 0.99)];

/// The charts, if the run was long enough.
pub(super) fn charts(statistics: &Statistics, limit: Option<f64>) -> Markup {
    let timeline = statistics.timeline();
    if timeline.intervals().len() < FEWEST {
        return html! { p.note { "The run was too short for charts over time." } };
    }
    let requests = requests(timeline, limit);
    let latency = latency(statistics);
    let is_seen = |condition: &&Condition| timeline.intervals().iter().any(condition.is_in);
    html! {
        figure {
            h3 { (requests.title) }
            (requests.draw())
            figcaption {
                p { (requests.description) }
                ul.legend {
                    li { (swatch("rate")) "requests a second" }
                    @if limit.is_some() { li { (swatch("limit")) "the limit that is set" } }
                    @for Condition { name, meaning, .. } in CONDITIONS.iter().filter(is_seen) {
                        li { (block(name)) b { (name) } ": " (meaning) }
                    }
                }
            }
        }
        figure {
            h3 { (latency.title) }
            (latency.draw())
            figcaption {
                p { (latency.description) }
                ul.legend {
                    @for (name, class, share) in PERCENTILES {
                        li { (swatch(class)) b { (name) } ": " (share * 100.0) "% of the answers took at most this long" }
                    }
                }
            }
        }
    }
}

fn requests(timeline: &Timeline, limit: Option<f64>) -> Chart {
    let (times, rates) = (times(timeline), rates(timeline));
    let most = rates.iter().copied().fold(0.0, f64::max);
    let lanes = CONDITIONS.iter().map(|Condition { name, noun, mark, is_in, .. }| {
        let held = timeline.intervals().iter().map(is_in).collect();
        (*noun, Lane { name, held, mark: *mark })
    });
    let (nouns, lanes): (Vec<_>, Vec<_>) = lanes.filter(|(_, lane)| lane.held.contains(&true)).unzip();

    let sent = timeline.intervals().iter().map(|one| one.sent).sum();
    let average = Duration::from_secs(sent).as_secs_f64() / timeline.length().as_secs_f64().max(1e-3);
    let limit_text = limit.map(|limit| format!("; the limit is {}", decimal(limit))).unwrap_or_default();
    let mut description =
        format!("{} requests a second on average, {} at most{limit_text}.", decimal(average), decimal(most));
    let had = nouns
        .into_iter()
        .zip(&lanes)
        .map(|(noun, lane)| format!("{} had {noun}", lane.held.iter().filter(|held| **held).count()));
    let had: Vec<_> = had.collect();
    if !had.is_empty() {
        let (all, width) = (timeline.intervals().len(), time_left(timeline.width()));
        let had = had.join(", ");
        write!(description, " Of {all} intervals of {width}, {had}.").expect("a string takes everything");
    }
    Chart {
        name: "requests",
        title: "Requests a second",
        description,
        times,
        scale: Scale::up_to(most.max(limit.unwrap_or_default()), decimal),
        lines: vec![Line { class: "rate", values: rates.into_iter().map(Some).collect() }],
        limit,
        lanes,
    }
}

fn latency(statistics: &Statistics) -> Chart {
    let timeline = statistics.timeline();
    let values = |share: f64| {
        let all = timeline.intervals().iter();
        all.map(|one| one.latency(share).map(|latency| latency.as_secs_f64())).collect::<Vec<_>>()
    };
    let lines: Vec<_> =
        PERCENTILES.iter().map(|(_, class, share)| Line { class, values: values(*share) }).collect();
    let most = lines.iter().flat_map(|line| &line.values).flatten().copied().fold(0.001, f64::max);
    let of_all = PERCENTILES.iter().filter_map(|(name, _, share)| {
        statistics.latency(*share).map(|latency| format!("{name} {}", short_time(latency)))
    });
    let least = lines.iter().flat_map(|line| &line.values).flatten().copied().fold(most, f64::min);
    let label = |seconds: f64| match seconds {
        0.0 => "0".to_owned(),
        1.0.. => format!("{} s", decimal(seconds)),
        _ => format!("{} ms", decimal(seconds * 1000.0)),
    };
    // Otherwise a request that timed out hides everything else.
    let scale = if most > MUCH * least {
        Scale::between(least.max(0.001), most, label)
    } else {
        Scale::up_to(most, label)
    };
    let note = match scale.spacing {
        Spacing::Linear => "",
        Spacing::Logarithmic => " The scale is logarithmic.",
    };
    Chart {
        name: "latency",
        title: "Time to an answer",
        description: format!("Over the whole run: {}.{note}", of_all.collect::<Vec<_>>().join(", ")),
        times: times(timeline),
        scale,
        lines,
        limit: None,
        lanes: Vec::new(),
    }
}

/// Where each interval begins, and where the last one ends.
fn times(timeline: &Timeline) -> Vec<f64> {
    let starts = iter::successors(Some(Duration::ZERO), |start| Some(*start + timeline.width()));
    let starts = starts.take(timeline.intervals().len());
    let end = timeline.length().as_secs_f64().max(1e-3);
    starts.map(|start| start.as_secs_f64()).chain([end]).collect()
}

/// Requests a second in each interval. The last one may be too short to say: it is taken together with the one before.
fn rates(timeline: &Timeline) -> Vec<f64> {
    let width = timeline.width().as_secs_f64();
    let sent = |one: &Interval| Duration::from_secs(one.sent).as_secs_f64();
    let mut rates: Vec<_> = timeline.intervals().iter().map(|one| sent(one) / width).collect();
    if let [.., before, last] = timeline.intervals() {
        let whole = width * f64::from(u32::try_from(rates.len() - 1).unwrap_or(u32::MAX));
        let rest = (timeline.length().as_secs_f64() - whole).max(0.0);
        if let Some(rate) = rates.last_mut() {
            *rate = (sent(before) + sent(last)) / (width + rest);
        }
    }
    rates
}

/// With two digits after the point at most.
fn decimal(value: f64) -> String {
    format!("{}", (value * 100.0).round() / 100.0)
}

/// A piece of a line, for a legend.
fn swatch(class: &str) -> Markup {
    html! {
        svg.swatch viewBox="0 0 30 12" width="30" height="12" aria-hidden="true" {
            line class={ "line " (class) } x1="0" x2="30" y1="6" y2="6" {}
        }
    }
}

/// A piece of a bar, for a legend.
pub(super) fn block(class: &str) -> Markup {
    html! {
        svg.swatch viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" {
            rect class={ "bar " (class) } width="12" height="12" {}
        }
    }
}

/// The latencies of the whole run, as a line of a table each.
pub(super) fn latencies(statistics: &Statistics) -> Vec<(String, String)> {
    let (answers, all) = statistics.answers();
    let Some(average) = u32::try_from(answers).ok().and_then(|answers| all.checked_div(answers)) else {
        return Vec::new();
    };
    let shares = [("half of the answers (p50)", 0.5), ("95% (p95)", 0.95), ("99% (p99)", 0.99), ("all", 1.0)];
    let shares = shares.into_iter().filter_map(|(name, share)| {
        Some((format!("{name}: at most"), short_time(statistics.latency(share)?)))
    });
    shares.chain([("average".to_owned(), short_time(average)), ("together".to_owned(), time(all))]).collect()
}
