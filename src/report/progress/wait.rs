//! Words for a time in which no request starts: why, for how long, and what to do.

use std::time::Duration;

use super::ProgressState;
use crate::deliver::Waiting;
use crate::report::Rerun;
use crate::report::format::{Truncated, time_left};
use crate::report::visible::Visible;

/// A wait that is expected to take less than this is not worth a line of its own.
const LONG: Duration = Duration::from_secs(2);

/// Notices long waits.
#[derive(Debug, Default)]
pub(super) struct WaitObserver {
    since: Option<Duration>,
    is_long: bool,
}

/// A long wait began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitChange {
    Began,
    /// It took this long.
    Ended(Duration),
}

impl WaitObserver {
    /// Takes the next state.
    pub(super) fn observe(&mut self, state: &ProgressState) -> Option<WaitChange> {
        let Some((_, left)) = state.held else {
            let since = self.since.take()?;
            return std::mem::take(&mut self.is_long)
                .then(|| WaitChange::Ended(state.elapsed.saturating_sub(since)));
        };
        let since = *self.since.get_or_insert(state.elapsed);
        let expected = state.elapsed.saturating_sub(since) + left;
        let has_begun = !self.is_long && expected >= LONG;
        self.is_long |= has_begun;
        has_begun.then_some(WaitChange::Began)
    }

    /// Whether there is a long wait.
    pub(super) fn is_long(&self) -> bool {
        self.is_long
    }
}

/// The most columns of an answer that are shown.
const MOST_REASON: usize = 60;
const LEAST_REASON: usize = 12;

/// Why nothing starts, and for how long, in at most `width` columns.
pub(super) fn why(state: &ProgressState, width: usize) -> Option<String> {
    let (waiting, _) = state.held?;
    let reason = state.reason.as_deref().map(|reason| Visible(reason).to_string());
    let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| {
        match waiting {
            Waiting::Pause => "the server asked for a pause",
            Waiting::Outage => "no answer from the API",
        }
        .to_owned()
    });
    let next = next(state)?;
    let until = match state.gives_up {
        Some(left) => format!("{next}, gives up in {}", time_left(left)),
        None => next.clone(),
    };
    let most = |rest: &str| width.saturating_sub(rest.chars().count() + "; ".len()).min(MOST_REASON);
    Some(match (most(&until), most(&next)) {
        (most @ LEAST_REASON.., _) => format!("{}; {until}", Truncated(&reason, most)),
        (_, most @ LEAST_REASON..) => format!("{}; {next}", Truncated(&reason, most)),
        _ => Truncated(&next, width).to_string(),
    })
}

/// When something will be sent again.
pub(super) fn next(state: &ProgressState) -> Option<String> {
    let (waiting, left) = state.held?;
    Some(match waiting {
        Waiting::Pause => format!("goes on in {}", time_left(left)),
        Waiting::Outage if left.is_zero() => "trying now".to_owned(),
        Waiting::Outage => format!("next try in {}", time_left(left)),
    })
}

/// What to do, in at most `width` columns.
pub(super) fn advice(rerun: Rerun, width: usize) -> &'static str {
    const CONTINUES: [&str; 2] = [
        "nothing to do: it goes on by itself; Ctrl-C stops, the same command resumes",
        "it goes on by itself; Ctrl-C stops, the same command resumes",
    ];
    const STOPS: [&str; 3] = [
        "nothing to do: it goes on by itself; Ctrl-C stops",
        "it goes on by itself; Ctrl-C stops",
        "Ctrl-C stops",
    ];
    let continues = if rerun == Rerun::Continues { &CONTINUES[..] } else { &[] };
    continues.iter().chain(&STOPS).find(|advice| advice.len() <= width).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(left: u64) -> ProgressState {
        ProgressState {
            held: Some((Waiting::Outage, Duration::from_secs(left))),
            reason: Some("503 Service Unavailable: an HTML page".to_owned()),
            gives_up: Some(Duration::from_secs(552)),
            ..ProgressState::default()
        }
    }

    #[test]
    fn why_and_for_how_long_fit_any_width() {
        let silent = ProgressState { reason: None, ..outage(8) };
        let pause = ProgressState {
            held: Some((Waiting::Pause, Duration::from_secs(30))),
            reason: Some("429 Too Many Requests".to_owned()),
            ..outage(8)
        };
        let states = [(outage(8), 78), (outage(8), 58), (outage(8), 38), (outage(0), 28), (outage(8), 8)];
        let states = states.into_iter().chain([(silent, 78), (pause, 78)]);
        let lines = states.map(|(state, width)| format!("{width:2}|{}|", why(&state, width).unwrap()));
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
        78|503 Service Unavailable: an HTML page; next try in 8s, gives up in 9m 12s|
        58|503 Service Unavailab…; next try in 8s, gives up in 9m 12s|
        38|503 Service Unavailab…; next try in 8s|
        28|503 Service Una…; trying now|
         8|next tr…|
        78|no answer from the API; next try in 8s, gives up in 9m 12s|
        78|429 Too Many Requests; goes on in 30s, gives up in 9m 12s|
        ");
    }

    #[test]
    fn advice_says_what_the_same_command_does_if_it_does() {
        let advices = [78, 77, 62, 58, 40, 20, 5].map(|width| {
            format!("{width:2}|{}|{}|", advice(Rerun::Continues, width), advice(Rerun::StartsAnew, width))
        });
        insta::assert_snapshot!(advices.join("\n"), @"
        78|nothing to do: it goes on by itself; Ctrl-C stops, the same command resumes|nothing to do: it goes on by itself; Ctrl-C stops|
        77|nothing to do: it goes on by itself; Ctrl-C stops, the same command resumes|nothing to do: it goes on by itself; Ctrl-C stops|
        62|it goes on by itself; Ctrl-C stops, the same command resumes|nothing to do: it goes on by itself; Ctrl-C stops|
        58|nothing to do: it goes on by itself; Ctrl-C stops|nothing to do: it goes on by itself; Ctrl-C stops|
        40|it goes on by itself; Ctrl-C stops|it goes on by itself; Ctrl-C stops|
        20|Ctrl-C stops|Ctrl-C stops|
         5|||
        ");
    }

    #[test]
    fn only_long_waits_are_noticed() {
        let mut observer = WaitObserver::default();
        let mut look = |elapsed, left: Option<u64>| {
            let held = left.map(|left| (Waiting::Outage, Duration::from_millis(left)));
            let elapsed = Duration::from_millis(elapsed);
            observer.observe(&ProgressState { held, elapsed, ..ProgressState::default() })
        };
        assert_eq!([look(0, None), look(100, Some(1000)), look(1100, Some(0)), look(1200, None)], [None; 4]);
        assert_eq!([look(2000, Some(1000)), look(3000, Some(0))], [None; 2]);
        assert_eq!(look(3100, Some(2000)), Some(WaitChange::Began));
        assert_eq!([look(3200, Some(1900)), look(5100, Some(0))], [None; 2]);
        assert_eq!(look(5500, None), Some(WaitChange::Ended(Duration::from_millis(3500))));
        assert_eq!(look(5600, Some(30_000)), Some(WaitChange::Began), "it is known to be long");
    }
}
