//! Reads all inputs into a plan, or finds the reason why nothing may be sent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval_at};
use tracing::info;

use super::failure::{Failure, blocking};
use super::run_ledger::MissingRows;
use crate::clock;
use crate::config::{Settings, Tolerance};
use crate::input::{self, Counts, InputError, InvalidRows, Issue};
use crate::ledger::RowCounts;
use crate::plan::{Builder, Plan, PlanSummary};
use crate::report::{Message, PlanScreen, Progress, ReadingSpeed, StopReason, counted};

/// Reading that ends sooner than this is not shown.
const SHORT: Duration = Duration::from_millis(500);

/// How often it is shown how far reading is.
const TICK: Duration = Duration::from_millis(100);

/// What was read, and what will be sent.
#[derive(Debug)]
pub(super) struct PlannedInput {
    pub(super) plan: Plan,
    /// Rows of a saved plan that fail without a request.
    pub(super) missing: Option<MissingRows>,
    pub(super) counts: Counts,
    pub(super) invalid: InvalidRows,
    pub(super) causes: Vec<Issue>,
    pub(super) warnings: Vec<Issue>,
}

impl PlannedInput {
    /// Reads all inputs to their ends, on a thread of its own, and shows how far it is. A caller that drops this early
    /// closes the progress.
    pub(super) async fn read(
        settings: Arc<Settings>,
        progress: &mut (dyn Progress + Send),
    ) -> Result<Self, Failure> {
        let counted = Arc::clone(&settings.input.progress);
        let begun = clock::monotonic_now();
        let mut speed = ReadingSpeed::new(begun);
        let mut ticks = interval_at(begun + SHORT, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reading = blocking("reading", move || Self::read_all(&settings));
        tokio::pin!(reading);
        let read = loop {
            tokio::select! {
                biased;
                read = &mut reading => break read,
                now = ticks.tick() => progress.show_reading(&speed.observe(now, counted.so_far())),
            }
        };
        progress.close();
        Ok(read??)
    }

    /// What a saved plan has.
    pub(super) fn of_saved(plan: Plan, missing: Option<MissingRows>) -> Self {
        let failing = missing.as_ref().map_or(0, |missing| missing.plan.rows());
        let counts = Counts { read: plan.rows() + failing, ..Counts::default() };
        let (causes, warnings) = (Vec::new(), Vec::new());
        Self { plan, missing, counts, invalid: InvalidRows::default(), causes, warnings }
    }

    fn read_all(settings: &Settings) -> Result<Self, InputError> {
        let builder = Builder::new(settings.on_conflict).resources(&settings.input.resources);
        let reading = input::read(&settings.inputs, &settings.input, builder)?;
        for source in &reading.sources {
            info!(
                source = source.name,
                bytes = source.bytes,
                rows = source.rows,
                layout = format!("{:?}", source.layout).to_lowercase(),
                delimiter = %char::from(source.delimiter),
                encoding = source.encoding.name(),
                compression = format!("{:?}", source.compression).to_lowercase(),
                "read"
            );
        }
        let plan = reading.sink.finish(reading.dictionary, settings.batch_size);
        Ok(Self {
            plan: plan.map_err(|cause| InputError::disk(&settings.input, cause))?,
            missing: None,
            counts: reading.counts,
            invalid: reading.invalid,
            causes: reading.causes,
            warnings: reading.warnings,
        })
    }

    /// The plan's screen; `plan` is the summary of this plan.
    pub(super) fn screen<'a>(&'a self, plan: &'a PlanSummary<'a>, settings: &Settings) -> PlanScreen<'a> {
        PlanScreen {
            plan,
            counts: self.counts,
            causes: &self.causes,
            warnings: &self.warnings,
            rate: settings.delivery.rate,
            id_type: settings.input.id_type,
            batch_size: settings.batch_size,
            planning: None,
            columns: None,
            known: None,
            saved: None,
        }
    }

    /// The fates that reading and planning decide.
    pub(super) fn fates(&self) -> RowCounts {
        RowCounts {
            read: self.counts.read,
            invalid: self.counts.invalid,
            skipped: self.counts.skipped,
            superseded: self.plan.superseded(),
            ..RowCounts::default()
        }
    }

    /// Why nothing may be sent, if so. `report` is the failures report, which lists the rows.
    pub(super) fn refusal(&self, settings: &Settings, report: Option<&Path>) -> Option<Message> {
        let tolerance = settings.tolerance;
        let wrong =
            report.map_or_else(|| "the input".to_owned(), |path| format!("the rows in `{}`", path.display()));
        let Counts { read, invalid, .. } = self.counts;
        if let Some(message) = too_few_rows(read, settings.min_rows) {
            return Some(message);
        }
        if tolerance.refuses(invalid, read) {
            let why = match tolerance {
                Tolerance::NotAll => "all rows are invalid".to_owned(),
                Tolerance::UpTo(limit) => {
                    format!("{invalid} of {read} rows are invalid, more than `--max-invalid {limit}`")
                }
                Tolerance::Strict => format!("{invalid} of {read} rows are invalid, and `--strict` is set"),
            };
            let first = self.causes.first().and_then(|cause| {
                let place = cause.places.first()?;
                Some(format!("correct {wrong}, starting at {place}: {}", cause.without_id()))
            });
            let reason = match tolerance {
                Tolerance::NotAll => StopReason::AllInvalid,
                Tolerance::UpTo(_) | Tolerance::Strict => StopReason::TooManyInvalid,
            };
            return Some(Message::error(why).with_hint(first).because(reason));
        }
        let first = self.plan.disputed().next()?;
        // Users and values are in the report only, because messages end up in logs.
        let count = self.plan.disputed().count() as u64;
        let whose = if count == 1 { "" } else { "one attribute, the first of them for " };
        let conflicts = counted(count, "conflict");
        let words = format!("{conflicts}: one user has several values for {whose}`{}`", first.attribute);
        let hint = format!("correct {wrong}, or choose with `--on-conflict last` or `first`");
        Some(Message::error(words).with_hint(hint).because(StopReason::TooManyInvalid))
    }
}

/// Why nothing may be sent, if fewer rows were read than the settings ask for.
pub(super) fn too_few_rows(read: u64, min_rows: Option<u64>) -> Option<Message> {
    let least = min_rows.filter(|least| read < *least)?;
    let why = format!("{} read, fewer than `--min-rows {least}`", counted(read, "row"));
    let hint = format!("check whether the input is complete; `--min-rows {read}` lets it through");
    Some(Message::error(why).with_hint(hint).because(StopReason::TooFewRows))
}
