//! Charts over time, as SVG. Colours and fonts come from the page's style, by class, so that they follow its scheme.

use std::fmt::Write;

use maud::{Markup, html};

/// A chart. Its horizontal axis is the time since the beginning, in seconds.
pub(super) struct Chart {
    /// Distinguishes it from others on the page.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What it shows, for those who can't see it.
    pub(super) description: String,
    /// Where each interval begins, and where the last one ends.
    pub(super) times: Vec<f64>,
    pub(super) scale: Scale,
    pub(super) lines: Vec<Line>,
    /// A value to compare with.
    pub(super) limit: Option<f64>,
    /// What was the case when, above the lines. The first lane is the highest.
    pub(super) lanes: Vec<Lane>,
}

/// A value for each interval. Where there is none, the line has a gap.
pub(super) struct Line {
    pub(super) class: &'static str,
    pub(super) values: Vec<Option<f64>>,
}

/// Whether something was the case, for each interval.
pub(super) struct Lane {
    /// Its label, and the class of its style.
    pub(super) name: &'static str,
    pub(super) held: Vec<bool>,
    pub(super) mark: Mark,
}

/// How a lane is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A bar, and a band behind the lines.
    Band,
    /// A bar alone.
    Bar,
}

/// The vertical axis.
pub(super) struct Scale {
    bottom: f64,
    top: f64,
    /// Values with their labels.
    ticks: Vec<(f64, String)>,
    pub(super) spacing: Spacing,
}

/// How values become heights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Equal differences are equally high.
    Linear,
    /// Equal factors are equally high.
    Logarithmic,
}

/// A size that a chart is drawn in. The page shows the one that fits.
struct Frame {
    class: &'static str,
    width: f64,
    height: f64,
    /// The most labels below the horizontal axis.
    labels: f64,
}

const FRAMES: [Frame; 2] = [
    Frame { class: "wide", width: 920.0, height: 230.0, labels: 9.0 },
    Frame { class: "narrow", width: 340.0, height: 190.0, labels: 4.0 },
];

const LEFT: f64 = 66.0;
const RIGHT: f64 = 22.0;
const ABOVE: f64 = 10.0;
const BELOW: f64 = 24.0;
const LANE: f64 = 15.0;
const BAR: f64 = 9.0;

/// Narrower bars can't be seen.
const NARROWEST: f64 = 2.0;

impl Scale {
    /// From zero to at least this value, in steps of 1, 2 or 5 times a power of ten.
    pub(super) fn up_to(most: f64, label: impl Fn(f64) -> String) -> Self {
        const STEPS: f64 = 5.0;
        let least = (most / STEPS).max(f64::MIN_POSITIVE);
        let power = 10_f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= least);
        let step = step.unwrap_or(10.0 * power);
        let count = (most / step - 1e-9).ceil().max(1.0);
        let mut ticks = Vec::new();
        let mut number = 0.0;
        while number <= count {
            ticks.push((number * step, label(number * step)));
            number += 1.0;
        }
        Self { bottom: 0.0, top: count * step, ticks, spacing: Spacing::Linear }
    }

    /// For values that differ much: powers of ten, and between them 2 and 5 if there are few.
    pub(super) fn between(least: f64, most: f64, label: impl Fn(f64) -> String) -> Self {
        const DIGITS: [f64; 3] = [1.0, 2.0, 5.0];
        const FEW: f64 = 2.5;
        let digits = if (most / least).log10() > FEW { DIGITS.get(..1) } else { DIGITS.get(..) };
        let digits = digits.unwrap_or_default();
        let mut ticks: Vec<f64> = Vec::new();
        let mut power = 10_f64.powf(least.log10().floor());
        while ticks.last().is_none_or(|last| *last < most) {
            ticks.extend(digits.iter().map(|digit| digit * power));
            power *= 10.0;
        }
        // One below the least value, and one above the greatest.
        let below = ticks.iter().rposition(|tick| *tick <= least).unwrap_or_default();
        let above = ticks.iter().position(|tick| *tick >= most).unwrap_or(ticks.len() - 1);
        let kept = ticks.get(below..=above).unwrap_or_default();
        Self {
            bottom: kept.first().copied().unwrap_or(least),
            top: kept.last().copied().unwrap_or(most),
            ticks: kept.iter().map(|tick| (*tick, label(*tick))).collect(),
            spacing: Spacing::Logarithmic,
        }
    }

    /// How high a value is, as a share of the whole height.
    fn height(&self, value: f64) -> f64 {
        let share = match self.spacing {
            Spacing::Linear => (value - self.bottom) / (self.top - self.bottom),
            Spacing::Logarithmic => (value / self.bottom).ln() / (self.top / self.bottom).ln(),
        };
        share.clamp(0.0, 1.0)
    }
}

impl Chart {
    /// The chart in all sizes.
    pub(super) fn draw(&self) -> Markup {
        html! { @for frame in &FRAMES { (self.draw_in(frame)) } }
    }

    fn draw_in(&self, frame: &Frame) -> Markup {
        let id = format!("{}-{}", self.name, frame.class);
        let (left, right) = (LEFT, frame.width - RIGHT);
        let (top, bottom) = (ABOVE + LANE * count(self.lanes.len()), frame.height - BELOW);
        let end = self.times.last().copied().unwrap_or(1.0);
        let x = |time: f64| left + (right - left) * time / end;
        let y = |value: f64| bottom - (bottom - top) * self.scale.height(value);
        html! {
            svg class={ "chart " (frame.class) } viewBox={ "0 0 " (frame.width) " " (frame.height) } role="img"
                aria-labelledby={ (id) "-title " (id) "-text" } {
                title id={ (id) "-title" } { (self.title) }
                desc id={ (id) "-text" } { (self.description) }
                @for lane in self.lanes.iter().filter(|lane| lane.mark == Mark::Band) {
                    @for (from, to) in self.periods(lane) {
                        rect class={ "band " (lane.name) } x=(short(x(from))) y=(short(top))
                            width=(short((x(to) - x(from)).max(NARROWEST))) height=(short(bottom - top)) {}
                    }
                }
                @for (value, label) in &self.scale.ticks {
                    line class="grid" x1=(short(left)) x2=(short(right)) y1=(short(y(*value))) y2=(short(y(*value))) {}
                    text class="end" x=(short(left - 8.0)) y=(short(y(*value) + 4.0)) { (label) }
                }
                @for (time, label) in time_ticks(end, frame.labels) {
                    line class="axis" x1=(short(x(time))) x2=(short(x(time))) y1=(short(bottom)) y2=(short(bottom + 5.0)) {}
                    text class="middle" x=(short(x(time))) y=(short(bottom + 19.0)) { (label) }
                }
                line class="axis" x1=(short(left)) x2=(short(right)) y1=(short(bottom)) y2=(short(bottom)) {}
                @for (number, lane) in self.lanes.iter().enumerate() {
                    @let at = LANE * count(number) + 4.0;
                    text class="end" x=(short(left - 8.0)) y=(short(at + BAR)) { (lane.name) }
                    @for (from, to) in self.periods(lane) {
                        rect class={ "bar " (lane.name) } x=(short(x(from))) y=(short(at))
                            width=(short((x(to) - x(from)).max(NARROWEST))) height=(short(BAR)) {}
                    }
                }
                @if let Some(limit) = self.limit {
                    line class="limit" x1=(short(left)) x2=(short(right)) y1=(short(y(limit))) y2=(short(y(limit))) {}
                }
                @for line in &self.lines {
                    path class={ "line " (line.class) } d=(self.path(line, &x, &y)) {}
                }
            }
        }
    }

    /// When it was the case: neighbours are joined.
    fn periods(&self, lane: &Lane) -> Vec<(f64, f64)> {
        let mut periods: Vec<(f64, f64)> = Vec::new();
        for (interval, held) in self.times.windows(2).zip(&lane.held) {
            let &[from, to] = interval else { continue };
            match periods.last_mut() {
                _ if !held => {}
                Some((_, end)) if *end >= from => *end = to,
                _ => periods.push((from, to)),
            }
        }
        periods
    }

    /// A line with a step at the end of each interval.
    fn path(&self, line: &Line, x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) -> String {
        let mut path = String::new();
        let mut before: Option<String> = None;
        for (interval, value) in self.times.windows(2).zip(&line.values) {
            let &[from, to] = interval else { continue };
            let height = value.map(|value| short(y(value)));
            if let Some(height) = &height {
                let written = match &before {
                    None => write!(path, "M{} {height}", short(x(from))),
                    Some(same) if same == height => Ok(()),
                    Some(_) => write!(path, "V{height}"),
                };
                written.and_then(|()| write!(path, "H{}", short(x(to)))).expect("a string takes everything");
            }
            before = height;
        }
        path
    }
}

/// Times below the horizontal axis, with labels.
fn time_ticks(end: f64, most: f64) -> Vec<(f64, String)> {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    let seconds = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
    let minutes = seconds.map(|minutes| minutes * MINUTE);
    let hours = [1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 48.0, 96.0].map(|hours| hours * HOUR);
    let mut steps = seconds.into_iter().chain(minutes).chain(hours);
    let step = steps.find(|step| end / step <= most).unwrap_or_else(|| (end / most / DAY).ceil() * DAY);
    let label = |time: f64| {
        let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (1.0, "s")];
        let mut rest = time.round();
        let mut parts = Vec::new();
        for (length, unit) in units {
            let number = (rest / length).floor();
            rest -= number * length;
            if number > 0.0 {
                parts.push(format!("{number}{unit}"));
            }
        }
        if parts.is_empty() { "0".to_owned() } else { parts.join(" ") }
    };
    let mut ticks = Vec::new();
    let mut time = 0.0;
    while time <= end {
        ticks.push((time, label(time)));
        time += step;
    }
    ticks
}

/// With one digit after the point at most: as exact as a screen is.
fn short(length: f64) -> String {
    let rounded = (length * 10.0).round() / 10.0;
    format!("{rounded}")
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[(f64, String)]) -> String {
        ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn an_axis_has_round_numbers() {
        let check = |most: f64, expected: &str| {
            let scale = Scale::up_to(most, |value| format!("{}", (value * 1e6).round() / 1e6));
            assert_eq!(labels(&scale.ticks), expected);
            assert!(scale.top >= most, "{} {most}", scale.top);
        };
        check(10.0, "0 | 2 | 4 | 6 | 8 | 10");
        check(11.0, "0 | 5 | 10 | 15");
        check(0.25, "0 | 0.05 | 0.1 | 0.15 | 0.2 | 0.25");
        check(3_000.0, "0 | 1000 | 2000 | 3000");
        check(0.0, "0 | 0");
    }

    #[test]
    fn a_logarithmic_axis_begins_and_ends_with_a_tick() {
        let check = |least: f64, most: f64, expected: &str| {
            let scale = Scale::between(least, most, |value| format!("{}", (value * 1e6).round() / 1e6));
            assert_eq!(labels(&scale.ticks), expected);
            assert!(scale.height(least) >= 0.0 && scale.height(most) <= 1.0);
            assert!(scale.bottom <= least && most <= scale.top);
        };
        check(0.08, 3.1, "0.05 | 0.1 | 0.2 | 0.5 | 1 | 2 | 5");
        check(0.001, 60.0, "0.001 | 0.01 | 0.1 | 1 | 10 | 100");
        check(0.5, 11.0, "0.5 | 1 | 2 | 5 | 10 | 20");
    }

    #[test]
    fn times_have_round_distances() {
        let check = |end: f64, expected: &str| assert_eq!(labels(&time_ticks(end, 4.0)), expected);
        check(0.4, "0");
        check(3.0, "0 | 1s | 2s | 3s");
        check(75.0, "0 | 30s | 1m");
        check(130.0, "0 | 1m | 2m");
        check(5_400.0, "0 | 30m | 1h | 1h 30m");
        check(3.0 * 86_400.0, "0 | 1d | 2d | 3d");
        check(100.0 * 86_400.0, "0 | 25d | 50d | 75d | 100d");
    }
}
