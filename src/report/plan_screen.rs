//! The plan in words: what `attrsync plan` says.

use std::fmt::{self, Display};
use std::time::Duration;

use indicatif::HumanCount;

use super::Message;
use super::table::Table;
use super::wording::{Cut, counted, grouped, time};
use crate::deliver::Rate;
use crate::input::{Cause, Counts, IdType, Warning};
use crate::plan::{AttributeSummary, Conflict, GroupSummary, Shared, Summary};

/// What a run would do, in words or as JSON. Displayed with ANSI styles, with a line end.
#[derive(Clone, Copy, Debug)]
pub struct PlanScreen<'a> {
    /// The plan in figures.
    pub plan: &'a Summary<'a>,
    /// What was read.
    pub counts: Counts,
    /// Why rows are invalid, the most frequent first.
    pub causes: &'a [Cause],
    /// What looks wrong in the inputs.
    pub warnings: &'a [Warning],
    /// The pace that a run would have.
    pub rate: Rate,
    /// What names a user.
    pub id_type: IdType,
}

const NAME: usize = 24;
const VALUE: usize = 32;
const MOST_CAUSES: usize = 10;
const MOST_PLACES: usize = 3;
const MOST_CONFLICTS: usize = 5;

impl PlanScreen<'_> {
    /// How long so many requests take at the rate of the run.
    pub(super) fn duration_of(&self, requests: u64) -> Duration {
        let windows = self.rate.window.as_nanos() * u128::from(requests);
        let nanos = windows / u128::from(self.rate.requests.get());
        u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
    }

    fn takes(&self, requests: u64) -> String {
        format!("{}, {} at {}", counted(requests, "request"), time(self.duration_of(requests)), self.rate)
    }

    fn rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.plan.totals;
        write!(f, "{}: {} to send", counted(self.counts.read, "row"), HumanCount(totals.standing))?;
        let others = [
            (totals.superseded, "superseded"),
            (self.counts.skipped, "skipped"),
            (self.counts.invalid, "invalid"),
        ];
        for (count, fate) in others.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {} {fate}", HumanCount(count))?;
        }
        writeln!(f, "\n{}", self.takes(totals.requests))
    }

    fn attributes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.plan.totals;
        let header = ["attribute", "rows", "users", "values", "requests", "users/request"].map(str::to_owned);
        let mut table = vec![header];
        table.extend(self.plan.attributes.iter().map(cells));
        if self.plan.attributes.len() > 1 {
            let sums = [totals.rows, totals.standing, totals.groups, totals.requests].map(grouped);
            let [rows, users, values, requests] = sums;
            table.push(["total".to_owned(), rows, users, values, requests, String::new()]);
        }
        write!(f, "\n{}", Table(table))
    }

    fn largest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.largest.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nlargest groups")?;
        for group in &self.plan.largest {
            let requests = counted(group.requests.into(), "request");
            writeln!(f, "  {}: {requests}", members(group))?;
        }
        Ok(())
    }

    fn conflicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.totals.conflicts == 0 {
            return Ok(());
        }
        let all = counted(self.plan.totals.conflicts, "conflict");
        writeln!(f, "\n{all}: one user and attribute, several values")?;
        for Conflict { attribute, user, values } in self.plan.conflicts.iter().take(MOST_CONFLICTS) {
            let values = values.iter().map(|value| shown(value.as_deref())).collect::<Vec<_>>().join(", ");
            writeln!(f, "  {} of user {user}: {}", Cut(attribute, NAME), Cut(&values, 2 * VALUE))?;
        }
        Ok(())
    }

    fn invalid(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.causes.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{}", counted(self.counts.invalid, "invalid row"))?;
        for Cause { what, count, places } in self.causes.iter().take(MOST_CAUSES) {
            write!(f, "  {} {what}", HumanCount(*count))?;
            let places: Vec<_> = places
                .iter()
                .take(MOST_PLACES)
                .map(|place| format!("{}:{}", place.input, place.line))
                .collect();
            match (places.as_slice(), *count) {
                ([], _) => writeln!(f)?,
                (places, count) if places.len() as u64 == count => writeln!(f, " ({})", places.join(", "))?,
                (places, _) => writeln!(f, " (first: {})", places.join(", "))?,
            }
        }
        let hidden: u64 = self.causes.iter().skip(MOST_CAUSES).map(|cause| cause.count).sum();
        if hidden > 0 {
            writeln!(f, "  {} for other causes", HumanCount(hidden))?;
        }
        Ok(())
    }

    /// Everything that asks for a decision.
    pub fn warnings(&self) -> impl Iterator<Item = Message> {
        let read = self.warnings.iter().map(|Warning { what, count, places }| {
            let place = places.first().map(|place| format!(" (first: {}:{})", place.input, place.line));
            Message::warning(format!("{what}, {}{}", counted(*count, "time"), place.unwrap_or_default()))
        });
        let costly = self.plan.attributes.iter().filter(|attribute| attribute.uncoalesced);
        read.chain(costly.map(|attribute| self.uncoalesced(attribute)))
            .chain(self.plan.shared.iter().map(shared))
            .chain(self.renames())
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

    fn uncoalesced(&self, attribute: &AttributeSummary<'_>) -> Message {
        let text = format!(
            "`{}`: {} for {}: {}",
            attribute.name,
            counted(attribute.values, "distinct value"),
            counted(attribute.users, "user"),
            self.takes(attribute.requests)
        );
        Message::warning(text).with_hint(
            "leave it out, send only what changed with `--only-changed`,\n\
             use the import of CSV files that User.com has, or ask User.com for a higher limit"
                .to_owned(),
        )
    }
}

impl Display for PlanScreen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows(f)?;
        if self.plan.totals.requests > 0 {
            self.attributes(f)?;
        }
        self.largest(f)?;
        self.conflicts(f)?;
        self.invalid(f)?;
        for warning in self.warnings() {
            writeln!(f, "\n{warning}")?;
        }
        Ok(())
    }
}

fn cells(attribute: &AttributeSummary<'_>) -> [String; 6] {
    let &AttributeSummary { name, rows, users, values, requests, users_per_request, .. } = attribute;
    let [rows, users, values, requests] = [rows, users, values, requests].map(grouped);
    [Cut(name, NAME).to_string(), rows, users, values, requests, format!("{users_per_request:.1}")]
}

fn shared(shared: &Shared<'_>) -> Message {
    let Shared { attribute, values, examples } = shared;
    let example = examples.first().map(|group| {
        let users = counted(group.users.into(), "user");
        format!(": {} to {users}", shown(group.value.as_deref()))
    });
    let text = format!(
        "`{attribute}`: {} would go to several users{}",
        counted(*values, "value"),
        example.unwrap_or_default()
    );
    Message::warning(text)
        .with_hint(format!("look at these rows: a value of `{attribute}` should be one user's alone"))
}

fn members(group: &GroupSummary<'_>) -> String {
    let users = counted(group.users.into(), "user");
    format!("{} = {} for {users}", Cut(group.attribute, NAME), shown(group.value.as_deref()))
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| format!("`{}`", Cut(value, VALUE)))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::input::Place;
    use crate::plan::{Totals, User};

    fn group(
        attribute: &'static str,
        value: Option<&'static str>,
        users: u32,
        requests: u32,
    ) -> GroupSummary<'static> {
        GroupSummary { attribute, value: value.map(Cow::Borrowed), users, requests }
    }

    /// What `plan` says of an input that has everything.
    fn with_plan<R>(look: impl FnOnce(&PlanScreen<'_>) -> R) -> R {
        let attribute =
            |name, rows, users, values, requests, users_per_request, uncoalesced| AttributeSummary {
                name,
                rows,
                users,
                values,
                requests,
                users_per_request,
                superseded: rows - users,
                conflicts: 1,
                uncoalesced,
            };
        let plan = Summary {
            totals: Totals {
                rows: 105_003,
                standing: 104_953,
                superseded: 50,
                conflicts: 2,
                groups: 100_004,
                requests: 100_008,
            },
            attributes: vec![
                attribute("country", 5_000, 4_950, 3, 7, 707.14, false),
                attribute("phone_number", 100_000, 100_000, 100_000, 100_000, 1.0, true),
                attribute("email", 3, 3, 1, 1, 3.0, false),
            ],
            costliest: vec!["phone_number", "country", "email"],
            largest: vec![
                group("country", Some("United Kingdom of Great Britain and Northern Ireland"), 3_000, 3),
                group("country", None, 1, 1),
            ],
            conflicts: vec![Conflict {
                attribute: "country",
                user: User::Id(12),
                values: vec![Some("US\nA".into()), None],
            }],
            shared: vec![Shared {
                attribute: "email",
                values: 1,
                examples: vec![group("email", Some("a@example.com"), 3, 1)],
            }],
        };
        let place = |line| Place { input: "users.csv".into(), line, found: "x".into() };
        look(&PlanScreen {
            plan: &plan,
            counts: Counts { read: 105_040, invalid: 30, skipped: 7 },
            causes: &[Cause { what: "`country` is empty".into(), count: 30, places: vec![place(17)] }],
            warnings: &[Warning {
                what: "`timezone` is none that is known".into(),
                count: 2,
                places: vec![place(3)],
            }],
            rate: "10/s".parse().unwrap(),
            id_type: IdType::Id,
        })
    }

    #[test]
    fn a_plan_reads_as_one_page() {
        let page = with_plan(|screen| anstream::adapter::strip_str(&screen.to_string()).to_string());
        insta::assert_snapshot!(page, @"
    105,040 rows: 104,953 to send, 50 superseded, 7 skipped, 30 invalid
    100,008 requests, 2h 47m at 10/s

    attribute        rows    users   values  requests  users/request
    country         5,000    4,950        3         7          707.1
    phone_number  100,000  100,000  100,000   100,000            1.0
    email               3        3        1         1            3.0
    total         105,003  104,953  100,004   100,008

    largest groups
      country = `United Kingdom of Great Britain…` for 3,000 users: 3 requests
      country = null for 1 user: 1 request

    2 conflicts: one user and attribute, several values
      country of user 12: `US A`, null

    30 invalid rows
      30 `country` is empty (first: users.csv:17)

    warning: `timezone` is none that is known, 2 times (first: users.csv:3)

    warning: `phone_number`: 100,000 distinct values for 100,000 users: 100,000 requests, 2h 47m at 10/s
    hint: leave it out, send only what changed with `--only-changed`,
          use the import of CSV files that User.com has, or ask User.com for a higher limit

    warning: `email`: 1 value would go to several users: `a@example.com` to 3 users
    hint: look at these rows: a value of `email` should be one user's alone
    ");
    }

    #[test]
    fn a_plan_is_json_as_well() {
        let json = with_plan(|screen| serde_json::to_string_pretty(screen).expect("it is plain"));
        insta::assert_snapshot!(json, @r#"
    {
      "rows": {
        "read": 105040,
        "invalid": 30,
        "skipped": 7,
        "superseded": 50,
        "planned": 104953
      },
      "requests": 100008,
      "rate": "10/s",
      "duration_seconds": 10000.8,
      "totals": {
        "rows": 105003,
        "standing": 104953,
        "superseded": 50,
        "conflicts": 2,
        "groups": 100004,
        "requests": 100008
      },
      "attributes": [
        {
          "name": "country",
          "rows": 5000,
          "users": 4950,
          "values": 3,
          "requests": 7,
          "users_per_request": 707.14,
          "superseded": 50,
          "conflicts": 1,
          "uncoalesced": false
        },
        {
          "name": "phone_number",
          "rows": 100000,
          "users": 100000,
          "values": 100000,
          "requests": 100000,
          "users_per_request": 1.0,
          "superseded": 0,
          "conflicts": 1,
          "uncoalesced": true
        },
        {
          "name": "email",
          "rows": 3,
          "users": 3,
          "values": 1,
          "requests": 1,
          "users_per_request": 3.0,
          "superseded": 0,
          "conflicts": 1,
          "uncoalesced": false
        }
      ],
      "costliest": [
        "phone_number",
        "country",
        "email"
      ],
      "largest": [
        {
          "attribute": "country",
          "value": "United Kingdom of Great Britain and Northern Ireland",
          "users": 3000,
          "requests": 3
        },
        {
          "attribute": "country",
          "value": null,
          "users": 1,
          "requests": 1
        }
      ],
      "conflicts": [
        {
          "attribute": "country",
          "user": 12,
          "values": [
            "US\nA",
            null
          ]
        }
      ],
      "shared": [
        {
          "attribute": "email",
          "values": 1,
          "examples": [
            {
              "attribute": "email",
              "value": "a@example.com",
              "users": 3,
              "requests": 1
            }
          ]
        }
      ],
      "invalid": [
        {
          "what": "`country` is empty",
          "count": 30,
          "places": [
            "users.csv:17"
          ]
        }
      ],
      "warnings": [
        {
          "what": "`timezone` is none that is known",
          "count": 2,
          "places": [
            "users.csv:3"
          ]
        }
      ]
    }
    "#);
    }
}
