//! Which attributes take the most requests, and why.

use std::cmp::Reverse;
use std::fmt::{self, Display};
use std::num::NonZeroU32;

use indicatif::HumanCount;

use super::super::Message;
use super::super::format::{Truncated, counted, percent, time};
use super::super::messages::part;
use super::super::style::ADVICE;
use super::{NAME, PlanScreen, SHORT_NAME};
use crate::plan::AttributeSummary;

/// A run with fewer requests is short: costs are not shown.
const MANY_REQUESTS: u64 = 1_000;
/// Attributes with a smaller share of the requests are not shown.
const LEAST_SHARE: f64 = 0.05;
/// The most attributes to show.
const MOST: usize = 5;

/// What one attribute costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost<'a> {
    pub(super) attribute: &'a AttributeSummary<'a>,
    /// Of all requests.
    pub(super) share: f64,
    pub(super) why: Why,
}

/// Why an attribute takes many requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    /// Hardly any two users share a value.
    OwnValues,
    /// Requests are far from full: `each` users on average have the same value, and `room` would fit.
    FewUsers { each: f64, room: NonZeroU32 },
    /// There are many values, though each is shared by many users: `each` on average.
    ManyValues { values: u64, each: f64 },
    /// Requests are nearly full. `each` users on average have the same value, which takes `requests` requests.
    ManyUsers { values: u64, each: f64, requests: f64 },
}

impl PlanScreen<'_> {
    /// The attributes with the most requests, the costliest first; none if a run is short in any case.
    pub(super) fn costs(&self) -> Vec<Cost<'_>> {
        let all = self.plan.totals.requests;
        if all <= MANY_REQUESTS {
            return Vec::new();
        }
        let named = |name: &&str| self.plan.attributes.iter().find(|attribute| attribute.name == *name);
        let costliest = self.plan.costliest.iter().take(MOST).filter_map(named);
        let costs = costliest.map(|attribute| Cost {
            attribute,
            share: ratio(attribute.requests, all),
            why: Why::of(attribute, self.batch_size),
        });
        costs.filter(|cost| cost.share >= LEAST_SHARE).collect()
    }

    /// Which attributes cost the most, and why.
    pub(super) fn write_costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let costs = self.costs();
        if costs.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        self.line(f, "costliest attributes: their share, their time, and why")?;
        let times: Vec<_> =
            costs.iter().map(|cost| time(self.duration_of(cost.attribute.requests))).collect();
        let names: Vec<_> =
            costs.iter().map(|cost| Truncated(cost.attribute.name, SHORT_NAME).to_string()).collect();
        let width =
            |texts: &[String]| texts.iter().map(|text| text.chars().count()).max().unwrap_or_default();
        let (longest, widest) = (width(&times), width(&names));
        for ((Cost { share, why, .. }, name), time) in costs.iter().zip(&names).zip(&times) {
            self.line(f, &format!("  {name:<widest$}  {:>4}  {time:>longest$}  {why}", percent(*share)))?;
        }
        let uncoalesced: Vec<_> =
            costs.iter().map(|cost| cost.attribute).filter(|attribute| attribute.uncoalesced).collect();
        if !uncoalesced.is_empty() {
            let hint = part("", ("hint", ADVICE), &spare(&named(&uncoalesced)), self.columns);
            writeln!(f, "{}", hint.join("\n"))?;
        }
        Ok(())
    }

    /// Attributes for which batches gain next to nothing. On the screen, the costs say so.
    pub(super) fn uncoalesced(&self) -> Option<Message> {
        let costly: Vec<_> = self.plan.attributes.iter().filter(|attribute| attribute.uncoalesced).collect();
        let requests = costly.iter().map(|attribute| attribute.requests).sum();
        let (why, leave) = match costly.as_slice() {
            [] => return None,
            [only] => (Why::of(only, self.batch_size).to_string(), "it"),
            _ => ("fewer than 2 users a request".to_owned(), "them"),
        };
        let all = self.plan.totals.requests;
        let text = format!(
            "{}: {} of {} ({}), {} at {}: {why}",
            named(&costly),
            HumanCount(requests),
            counted(all, "request"),
            percent(ratio(requests, all)),
            time(self.duration_of(requests)),
            self.rate
        );
        Some(Message::note(text).with_hint(spare(leave)))
    }
}

impl Why {
    pub(super) fn of(attribute: &AttributeSummary<'_>, batch_size: NonZeroU32) -> Self {
        let &AttributeSummary { users, values, requests, .. } = attribute;
        let (each, room) = (ratio(users, values), f64::from(batch_size.get()));
        if each >= room {
            Self::ManyUsers { values, each, requests: ratio(requests, values) }
        } else if each < 1.1 {
            Self::OwnValues
        } else if each < room / 10.0 {
            Self::FewUsers { each, room: batch_size }
        } else {
            Self::ManyValues { values, each }
        }
    }
}

impl Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OwnValues => write!(f, "nearly every user has a value of its own"),
            Self::FewUsers { each, room } => {
                write!(
                    f,
                    "about {} users a value; {} fit a request",
                    average(each),
                    HumanCount(room.get().into())
                )
            }
            Self::ManyValues { values, each } => {
                write!(f, "{} of {} users on average", counted(values, "value"), average(each))
            }
            Self::ManyUsers { values, each, requests } => {
                let (values, each) = (counted(values, "value"), average(each));
                write!(f, "{values} of {each} users, {} requests each", average(requests))
            }
        }
    }
}

/// What to do about attributes that take as many requests as users.
fn spare(attributes: &str) -> String {
    format!(
        "leave {attributes} out, send only what changed\n\
         with `--only-changed`, use User.com's CSV import or ask for a higher limit"
    )
}

/// One or two by name; of more, the costliest by name and the others by number.
fn named(attributes: &[&AttributeSummary<'_>]) -> String {
    let mut costliest = attributes.to_vec();
    costliest.sort_by_key(|attribute| Reverse(attribute.requests));
    let name = |attribute: &AttributeSummary<'_>| format!("`{}`", Truncated(attribute.name, NAME));
    match costliest.as_slice() {
        [] => String::new(),
        [only] => name(only),
        [first, second] => format!("{} and {}", name(first), name(second)),
        [first, others @ ..] => format!("{} and {}", name(first), counted(others.len() as u64, "other")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares and averages are for people")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A number with as many digits as say something: `6.6`, `408`, `2,000`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is rounded, and no less than 0"
)]
fn average(number: f64) -> String {
    let tenths = (number * 10.0).round();
    if tenths < 100.0 && tenths % 10.0 != 0.0 {
        format!("{number:.1}")
    } else {
        HumanCount(number.round() as u64).to_string()
    }
}
