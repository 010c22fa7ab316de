//! What a run would change, as far as the ledger knows what the account holds.

use std::fmt;

use indicatif::HumanCount;

use super::{MOST_ATTRIBUTES, NAME, PlanScreen, SHORT_VALUE, VALUE};
use crate::plan::{KnownRows, SentValue, ValueChange};
use crate::report::format::{Truncated, counted, grouped};
use crate::report::table::Table;

/// The most changes from one value to another that are shown.
const MOST_CHANGES: usize = 8;

/// The rows of an attribute, compared with what is known.
pub(super) struct AttributeChanges<'a> {
    pub(super) name: &'a str,
    /// The account has the value already.
    pub(super) equal: u64,
    /// It has another value.
    pub(super) changed: u64,
    /// Nothing is known.
    pub(super) new: u64,
    /// The account doesn't have the user.
    pub(super) missing: u64,
}

impl PlanScreen<'_> {
    /// The rows of each attribute, compared with what is known. Empty if the ledger was not asked.
    pub(super) fn changes(&self) -> Vec<AttributeChanges<'_>> {
        let Some(known) = self.known else { return Vec::new() };
        let planned = |name: &str| {
            let attribute = self.plan.attributes.iter().find(|attribute| attribute.name == name);
            attribute.map_or(0, |attribute| attribute.users)
        };
        let changes = known.attributes.iter().map(|(name, rows)| {
            let &KnownRows { unchanged, resumed, equal, changed, missing } = rows;
            let new = planned(name).saturating_sub(equal + changed);
            AttributeChanges { name, equal: unchanged + resumed + equal, changed, new, missing }
        });
        changes.filter(|of| of.equal + of.changed + of.new + of.missing > 0).collect()
    }

    pub(super) fn write_changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes = self.changes();
        if changes.iter().all(|of| of.equal + of.changed + of.missing == 0) {
            return Ok(());
        }
        let mut rows = vec![["changes", "equal", "would change", "new", "no such user"].map(str::to_owned)];
        let cells = |name: &str, counts: [u64; 4]| {
            let [equal, changed, new, missing] = counts.map(grouped);
            [Truncated(name, NAME).to_string(), equal, changed, new, missing]
        };
        let counts = |of: &AttributeChanges<'_>| [of.equal, of.changed, of.new, of.missing];
        rows.extend(changes.iter().take(MOST_ATTRIBUTES).map(|of| cells(of.name, counts(of))));
        let sum = |all: &[AttributeChanges<'_>]| {
            all.iter().map(counts).fold([0; 4], |mut sum, one| {
                sum.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
                sum
            })
        };
        if let Some(others) = changes.get(MOST_ATTRIBUTES..).filter(|others| !others.is_empty()) {
            rows.push(cells(&counted(others.len() as u64, "other"), sum(others)));
        }
        if changes.len() > 1 {
            rows.push(cells("total", sum(&changes)));
        }
        let (columns, dispensable) = (self.width(), &[3, 1]);
        if changes.iter().any(|of| of.missing > 0) {
            write!(f, "\n{}", Table { rows, columns, dispensable })?;
        } else {
            let rows = rows.into_iter().map(|[name, equal, changed, new, _]| [name, equal, changed, new]);
            write!(f, "\n{}", Table { rows: rows.collect(), columns, dispensable })?;
        }

        let most = self.known.map(|known| known.changes.as_slice()).unwrap_or_default();
        if most.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nmost frequent changes")?;
        most.iter().take(MOST_CHANGES).try_for_each(|change| {
            let ValueChange { attribute, from, to, users } = change;
            let users =
                if *users == 1 { "1 user".to_owned() } else { format!("{} users", HumanCount(*users)) };
            let start = format!("  {}: ", Truncated(attribute, NAME));
            let room = self.width().saturating_sub(start.chars().count() + users.len() + "`` to ``: ".len());
            let [from, to] = [from, to].map(|value| value_of(value, (room / 2).clamp(SHORT_VALUE, VALUE)));
            self.line(f, &format!("{start}{from} to {to}: {users}"))
        })
    }
}

fn value_of(value: &SentValue<'_>, most: usize) -> String {
    match value {
        SentValue::Null => "null".to_owned(),
        value => format!("`{}`", Truncated(&value.to_string(), most)),
    }
}
