//! The screen of `attrsync plan`.

mod changes;
mod costs;
mod json;

use std::fmt::{self, Display};
use std::num::NonZeroU32;
use std::time::Duration;

use indicatif::HumanCount;

use super::Message;
use super::format::{Truncated, counted, grouped, size, time};
use super::table::Table;
use super::visible::Visible;
use super::wrap::{filled, wrapped};
use crate::deliver::Rate;
use crate::input::{Counts, IdType, Issue};
use crate::plan::{
    AttributeSummary, Conflict, GroupSummary, KnownPlan, PlanSummary, SavedHeader, SharedValues,
};

/// What a run would do, in words or as JSON. Displayed with ANSI styles, with a line end.
#[derive(Clone, Copy, Debug)]
pub struct PlanScreen<'a> {
    /// The plan in figures.
    pub plan: &'a PlanSummary<'a>,
    /// What was read.
    pub counts: Counts,
    /// Why rows are invalid, the most frequent first.
    pub causes: &'a [Issue],
    /// What looks wrong in the inputs.
    pub warnings: &'a [Issue],
    /// The pace that a run would have.
    pub rate: Rate,
    /// What names a user.
    pub id_type: IdType,
    /// Most users of one request.
    pub batch_size: NonZeroU32,
    /// What it took to get there, if that was measured.
    pub planning: Option<PlanningStats>,
    /// What the ledger knows of the rows; `None` if it was not asked.
    pub known: Option<&'a KnownPlan>,
    /// The header of the file that the plan comes from, if it was saved before.
    pub saved: Option<&'a SavedHeader>,
    /// How wide the screen is; `None`: texts may be of any length, and tables are of 80 columns.
    pub columns: Option<usize>,
}

/// What reading and planning took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanningStats {
    /// From the first byte to the plan.
    pub duration: Duration,
    /// The most memory that the process has had, in bytes, where the system tells.
    pub memory: Option<u64>,
    /// How many bytes went to temporary files.
    pub spilled: u64,
}

/// How wide a screen is. Wider is only what can't be cut.
const COLUMNS: usize = 80;
const NAME: usize = 24;
/// For narrow columns: the longest name of a standard attribute.
const SHORT_NAME: usize = 13;
const VALUE: usize = 32;
const SHORT_VALUE: usize = 8;
/// As many attributes as User.com has of its own.
const MOST_ATTRIBUTES: usize = 22;
/// The fewest rows for which the time and memory of planning are shown.
const MANY_ROWS: u64 = 1_000_000;
const MOST_CAUSES: usize = 10;
const MOST_PLACES: usize = 3;
const MOST_CONFLICTS: usize = 5;

impl PlanScreen<'_> {
    /// How long this many requests take at the rate of the run.
    pub(super) fn duration_of(&self, requests: u64) -> Duration {
        let windows = self.rate.window.as_nanos() * u128::from(requests);
        let nanos = windows / u128::from(self.rate.requests.get());
        u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
    }

    /// Rows that are neither sent nor replaced, because the settings don't say which of them wins.
    fn in_conflict(&self) -> u64 {
        let totals = &self.plan.totals;
        totals.rows - totals.standing - totals.superseded
    }

    fn takes(&self, requests: u64) -> String {
        format!(
            "{}, about {} at {}",
            counted(requests, "request"),
            time(self.duration_of(requests)),
            self.rate
        )
    }

    fn rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.plan.totals;
        let known = self.known.map(KnownPlan::total).unwrap_or_default();
        let first = format!("{}: {} to send", counted(self.counts.read, "row"), HumanCount(totals.standing));
        let others = [
            (known.unchanged, "unchanged"),
            (known.resumed, "resumed"),
            (known.missing, "of users that the account doesn't have"),
            (totals.superseded, "superseded"),
            (self.in_conflict(), "in conflict"),
            (self.counts.skipped, "skipped"),
            (self.counts.invalid, "invalid"),
        ];
        let others = others.into_iter().filter(|(count, _)| *count > 0);
        let others = others.map(|(count, fate)| format!("{} {fate}", HumanCount(count)));
        let lines = filled(std::iter::once(first).chain(others), ", ", self.width().saturating_sub(2));
        writeln!(f, "{}", lines.join("\n  "))?;
        self.line(f, &self.takes(totals.requests))
    }

    fn width(&self) -> usize {
        self.columns.unwrap_or(COLUMNS)
    }

    /// A line, divided where the screen ends.
    fn line(&self, f: &mut fmt::Formatter<'_>, line: &str) -> fmt::Result {
        wrapped(line, 4, self.columns).iter().try_for_each(|line| writeln!(f, "{line}"))
    }

    /// Where and when the plan was made.
    fn saved(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(SavedHeader { created_at, target, inputs, .. }) = self.saved else { return Ok(()) };
        let made = created_at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let target = target.base_url.as_deref().unwrap_or("a sandbox");
        let inputs = inputs.iter().map(|input| Visible(input).to_string()).collect::<Vec<_>>().join(", ");
        self.line(f, &format!("plan of {made} for {}, from {inputs}", Visible(target)))
    }

    /// Shown only if it matters, because it differs from run to run.
    fn planning(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matters = |planning: &PlanningStats| self.counts.read >= MANY_ROWS || planning.spilled > 0;
        let Some(PlanningStats { duration, memory, spilled }) = self.planning.filter(matters) else {
            return Ok(());
        };
        let mut line = format!("read and planned in {}", time(duration));
        if let Some(memory) = memory {
            line = format!("{line} with {} of memory", size(memory));
        }
        if spilled > 0 {
            line = format!("{line}, {} in temporary files", size(spilled));
        }
        self.line(f, &line)
    }

    fn attributes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.plan.totals;
        let header = ["attribute", "rows", "users", "values", "requests", "users/request"].map(str::to_owned);
        let mut table = vec![header];
        let shown = self.plan.costliest.get(..MOST_ATTRIBUTES).unwrap_or(&self.plan.costliest);
        let (shown, others): (Vec<_>, Vec<_>) =
            self.plan.attributes.iter().partition(|attribute| shown.contains(&attribute.name));
        table.extend(shown.iter().map(|attribute| cells(attribute)));
        if !others.is_empty() {
            let sum =
                |figure: fn(&AttributeSummary<'_>) -> u64| others.iter().map(|other| figure(other)).sum();
            let sums = [sum(|it| it.rows), sum(|it| it.users), sum(|it| it.values), sum(|it| it.requests)];
            table.push(sums_of(&counted(others.len() as u64, "other"), sums));
        }
        if self.plan.attributes.len() > 1 {
            let sums = [totals.rows, totals.standing, totals.groups, totals.requests];
            table.push(sums_of("total", sums));
        }
        let widest = |column: usize| table.iter().map(|row| row[column].len() + 2).max().unwrap_or_default();
        let name = self.width().saturating_sub((1..6).map(widest).sum()).clamp(SHORT_NAME, NAME);
        for row in &mut table {
            row[0] = Truncated(&row[0], name).to_string();
        }
        write!(f, "\n{}", Table { rows: table, columns: self.width(), dispensable: &[5, 3, 2, 1] })
    }

    fn largest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.largest.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nmost shared values")?;
        for GroupSummary { attribute, value, users, requests } in &self.plan.largest {
            let start = format!("  {} = ", Truncated(attribute, NAME));
            let (users, requests) =
                (counted((*users).into(), "user"), counted((*requests).into(), "request"));
            let end = format!(" for {users}: {requests}");
            let room = self.width().saturating_sub(start.chars().count() + end.len() + "``".len());
            let value = shown(value.as_deref(), room.clamp(SHORT_VALUE, VALUE));
            self.line(f, &format!("{start}{value}{end}"))?;
        }
        Ok(())
    }

    fn conflicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.totals.conflicts == 0 {
            return Ok(());
        }
        let all = counted(self.plan.totals.conflicts, "conflict");
        writeln!(f)?;
        self.line(f, &format!("{all}: one user and attribute, several values"))?;
        for Conflict { attribute, user, values } in self.plan.conflicts.iter().take(MOST_CONFLICTS) {
            let values =
                values.iter().map(|value| shown(value.as_deref(), VALUE)).collect::<Vec<_>>().join(", ");
            let start = format!("  {} of user {}: ", Truncated(attribute, NAME), Visible(&user.to_string()));
            let room = self.width().saturating_sub(start.chars().count()).max(SHORT_VALUE);
            self.line(f, &format!("{start}{}", Truncated(&values, room)))?;
        }
        Ok(())
    }

    fn invalid(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.causes.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{}", counted(self.counts.invalid, "invalid row"))?;
        for Issue { what, count, places } in self.causes.iter().take(MOST_CAUSES) {
            let rows = if *count == 1 { "row" } else { "rows" };
            let places: Vec<_> = places
                .iter()
                .take(MOST_PLACES)
                .map(|place| Visible(&place.to_string()).to_string())
                .collect();
            let places = match (places.as_slice(), *count) {
                ([], _) => String::new(),
                (places, count) if places.len() as u64 == count => format!(" ({})", places.join(", ")),
                (places, _) => format!(" (first: {})", places.join(", ")),
            };
            self.line(f, &format!("  {} {rows}: {}{places}", HumanCount(*count), Visible(what)))?;
        }
        let hidden: u64 = self.causes.iter().skip(MOST_CAUSES).map(|cause| cause.count).sum();
        if hidden > 0 {
            writeln!(f, "  {} for other causes", counted(hidden, "row"))?;
        }
        Ok(())
    }

    /// Everything that asks for a decision.
    pub fn warnings(&self) -> impl Iterator<Item = Message> {
        self.doubts().chain(self.uncoalesced())
    }

    /// What looks wrong.
    fn doubts(&self) -> impl Iterator<Item = Message> {
        let read = self.warnings.iter().map(|Issue { what, count, places }| {
            Message::warning(match (places.first(), *count) {
                // A warning that is about no row has no count.
                (None, _) => what.clone(),
                (Some(place), 1) => format!("{what} ({place})"),
                (Some(place), count) => {
                    format!("{what}, {} (first: {place})", counted(count, "time"))
                }
            })
        });
        read.chain(self.plan.shared.iter().map(shared)).chain(self.renames())
    }

    /// Users who go by their own ids are found by the old ones until the run gives them new ones.
    fn renames(&self) -> Option<Message> {
        let changes = |attribute: &&AttributeSummary<'_>| matches!(attribute.name, "user_id" | "custom_id");
        let changed =
            self.plan.attributes.iter().find(changes).filter(|_| self.id_type == IdType::CustomId)?;
        let text = format!(
            "`{}`: {} with another id than the one by which this input names them",
            changed.name,
            counted(changed.users, "user")
        );
        let hint = "this goes last; name these users by their new ids from then on";
        Some(Message::warning(text).with_hint(hint.to_owned()))
    }
}

impl Display for PlanScreen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.saved(f)?;
        self.rows(f)?;
        self.planning(f)?;
        if self.plan.totals.requests > 0 {
            self.attributes(f)?;
        }
        self.write_changes(f)?;
        self.write_costs(f)?;
        self.largest(f)?;
        self.conflicts(f)?;
        self.invalid(f)?;
        for warning in self.doubts() {
            writeln!(f, "\n{}", warning.in_columns(self.columns))?;
        }
        Ok(())
    }
}

fn cells(attribute: &AttributeSummary<'_>) -> [String; 6] {
    let &AttributeSummary { name, rows, users, values, requests, users_per_request, .. } = attribute;
    let [rows, users, values, requests] = [rows, users, values, requests].map(grouped);
    [name.to_owned(), rows, users, values, requests, format!("{users_per_request:.1}")]
}

fn shared(shared: &SharedValues<'_>) -> Message {
    let SharedValues { attribute, values, examples } = shared;
    let example = examples.first().map(|group| {
        let users = counted(group.users.into(), "user");
        format!(": {} to {users}", shown(group.value.as_deref(), VALUE))
    });
    let text = format!(
        "`{attribute}`: {} would go to several users{}",
        counted(*values, "value"),
        example.unwrap_or_default()
    );
    Message::warning(text)
        .with_hint(format!("look at these rows: a value of `{attribute}` should be one user's alone"))
}

fn sums_of(what: &str, sums: [u64; 4]) -> [String; 6] {
    let [rows, users, values, requests] = sums.map(grouped);
    [what.to_owned(), rows, users, values, requests, String::new()]
}

fn shown(value: Option<&str>, most: usize) -> String {
    value.map_or_else(|| "null".to_owned(), |value| format!("`{}`", Truncated(value, most)))
}

#[cfg(test)]
mod tests;
