use std::collections::BTreeMap;
use std::fmt::{self, Display};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::super::format::Truncated;
use super::{ATTRIBUTE, COLUMNS, moment, shown, write_line};
use crate::ledger::{Origin, RunId, UserValue, ValueState};
use crate::plan::{SentValue, User};

/// What one user got, and what of it the API still holds. Displayed with a line end; serialised as an object.
#[derive(Clone, Debug)]
pub struct UserScreen<'a> {
    /// The user.
    pub user: User<'a>,
    /// What was recorded, the oldest first.
    pub facts: &'a [UserValue],
    /// How wide the screen is; `None`: 80 columns.
    pub columns: Option<usize>,
}

const ID: usize = 24;
const WHEN: usize = 19;
const RUN: usize = 5;
const HOW: usize = 4;
const BEFORE_VALUE: usize = WHEN + RUN + HOW + ATTRIBUTE + 8;

impl UserScreen<'_> {
    fn width(&self) -> usize {
        self.columns.unwrap_or(COLUMNS)
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, line: &str) -> fmt::Result {
        write_line(f, line, 4, Some(self.width()))
    }

    fn target(&self, base_url: &str, facts: &[&UserValue], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.to_string();
        let head = format!("user {} at {base_url}", Truncated(&user, ID));
        self.line(f, &head)?;
        let mut now: Vec<_> = facts.iter().filter(|fact| fact.standing != ValueState::Replaced).collect();
        now.sort_by_key(|fact| &fact.attribute);
        let sections = [
            (ValueState::Current, "the API is known to hold"),
            (
                ValueState::Uncertain,
                "not certain: a later request went wrong or changed the id, or a run was killed",
            ),
        ];
        for (standing, title) in sections {
            let mut own = now.iter().filter(|fact| fact.standing == standing).peekable();
            if own.peek().is_some() {
                writeln!(f)?;
                self.line(f, title)?;
            }
            for fact in own {
                let attribute = Truncated(&fact.attribute, ATTRIBUTE);
                let value = shown(&fact.value, self.width().max(COLUMNS) - ATTRIBUTE - 5);
                self.line(f, &format!("  {attribute} = {value}"))?;
            }
        }
        let is_wide = self.width() >= COLUMNS;
        let [when, run, how, attribute, value] = ["when (UTC)", "run", "how", "attribute", "value"];
        let head = if is_wide {
            format!("{when:<WHEN$}  {run:>RUN$}  {how:<HOW$}  {attribute:<ATTRIBUTE$}  {value}")
        } else {
            format!("{when:<WHEN$}  {run:>RUN$}  {attribute}")
        };
        writeln!(f, "\n{}", head.trim_end())?;
        for fact in facts {
            let (when, run) = fact.by.map_or_else(
                || ("longer ago".to_owned(), String::new()),
                |(RunId(run), at)| (moment(at), run.to_string()),
            );
            let how = match fact.origin {
                Origin::Sent => "sent",
                Origin::Read => "read",
            };
            let start = format!("{when:<WHEN$}  {run:>RUN$}  ");
            let room = self.width().saturating_sub(start.len()).clamp(1, ATTRIBUTE);
            let attribute = Truncated(&fact.attribute, room).to_string();
            if is_wide {
                let value = shown(&fact.value, self.width() - BEFORE_VALUE);
                writeln!(f, "{start}{how:<HOW$}  {attribute:<ATTRIBUTE$}  {value}")?;
            } else {
                writeln!(f, "{start}{attribute}")?;
                self.line(f, &format!("  {how} = {}", shown(&fact.value, COLUMNS)))?;
            }
        }
        Ok(())
    }
}

impl Display for UserScreen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.facts.is_empty() {
            return writeln!(f, "nothing is recorded for user {}", Truncated(&self.user.to_string(), ID));
        }
        let mut targets: BTreeMap<&str, Vec<&UserValue>> = BTreeMap::new();
        for fact in self.facts.iter().rev() {
            targets.entry(&fact.base_url).or_default().push(fact);
        }
        for (place, (base_url, facts)) in targets.into_iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            self.target(base_url, &facts, f)?;
        }
        Ok(())
    }
}

impl Serialize for UserScreen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            user: &'a User<'a>,
            facts: Vec<Fact<'a>>,
        }
        Json { user: &self.user, facts: self.facts.iter().rev().map(Fact::of).collect() }
            .serialize(serializer)
    }
}

#[derive(Serialize)]
struct Fact<'a> {
    base_url: &'a str,
    attribute: &'a str,
    value: &'a SentValue<'static>,
    standing: ValueState,
    origin: Origin,
    run: Option<RunId>,
    at: Option<Timestamp>,
}

impl<'a> Fact<'a> {
    fn of(fact: &'a UserValue) -> Self {
        let UserValue { base_url, attribute, value, by, standing, origin } = fact;
        let (run, at) = by.unzip();
        Self { base_url, attribute, value, standing: *standing, origin: *origin, run, at }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, fits, page};
    use super::*;

    fn fact(attribute: &str, value: SentValue<'static>, standing: ValueState, run: Option<u64>) -> UserValue {
        UserValue {
            base_url: "https://acme.user.com/api/public/".into(),
            attribute: attribute.to_owned(),
            value,
            origin: Origin::Sent,
            by: run.map(|run| (RunId(run), at(run.cast_signed() * 60))),
            standing,
        }
    }

    #[test]
    fn a_user_has_what_is_held_and_what_was_set_before() {
        let read = fact("region", SentValue::Null, ValueState::Current, Some(3));
        let facts = [
            fact("status", SentValue::Json("2".into()), ValueState::Current, None),
            fact("city", SentValue::Text("Rome".into()), ValueState::Replaced, Some(1)),
            fact(
                "a_custom_attribute_with_a_long_name",
                SentValue::Text("x".repeat(90).into()),
                ValueState::Uncertain,
                Some(2),
            ),
            UserValue { origin: Origin::Read, ..read },
            fact("city", SentValue::Text("Oslo\u{1b}[2J".into()), ValueState::Current, Some(12_345)),
        ];
        insta::assert_snapshot!(page(&UserScreen { user: User::Id(42), facts: &facts, columns: None }), @r"
        user 42 at https://acme.user.com/api/public/

        the API is known to hold
          city = `Oslo\u{1b}[2J`
          region = null
          status = 2

        not certain: a later request went wrong or changed the id, or a run was killed
          a_custom_attribute_… = `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…`

        when (UTC)             run  how   attribute             value
        2027-01-23 21:45:00  12345  sent  city                  `Oslo\u{1b}[2J`
        2027-01-15 08:03:00      3  read  region                null
        2027-01-15 08:02:00      2  sent  a_custom_attribute_…  `xxxxxxxxxxxxxxxxxxxxx…`
        2027-01-15 08:01:00      1  sent  city                  `Rome`
        longer ago                  sent  status                2
        ");
    }

    #[test]
    fn narrow_screens_have_values_on_lines_of_their_own() {
        let facts = [
            fact("city", SentValue::Text("Oslo".into()), ValueState::Current, Some(12_345)),
            fact("status", SentValue::Json("2".into()), ValueState::Uncertain, None),
        ];
        let screen =
            |columns| UserScreen { user: User::Id(42), facts: &facts, columns: Some(columns) }.to_string();
        fits(screen, &["city = `Oslo`", "status = 2", "12345  ", "when (UTC)"]);
    }

    #[test]
    fn each_target_has_its_own_part() {
        let here = fact("city", SentValue::Null, ValueState::Current, Some(1));
        let there = UserValue { base_url: "https://other.user.com/api/public/".into(), ..here.clone() };
        let page =
            page(&UserScreen { user: User::Custom("x-1".into()), facts: &[here, there], columns: None });
        let heads: Vec<_> = page.lines().filter(|line| line.starts_with("user x-1 at ")).collect();
        assert_eq!(heads.len(), 2, "{page}");
    }

    #[test]
    fn a_user_of_whom_nothing_is_recorded_is_no_mystery() {
        insta::assert_snapshot!(page(&UserScreen { user: User::Id(42), facts: &[], columns: None }), @"nothing is recorded for user 42");
    }

    #[test]
    fn facts_are_json_newest_first() {
        let facts = [
            fact("city", SentValue::Null, ValueState::Replaced, None),
            fact("city", SentValue::Text("Oslo".into()), ValueState::Current, Some(1)),
        ];
        let json =
            serde_json::to_string_pretty(&UserScreen { user: User::Id(42), facts: &facts, columns: None })
                .unwrap();
        insta::assert_snapshot!(json, @r#"
        {
          "user": 42,
          "facts": [
            {
              "base_url": "https://acme.user.com/api/public/",
              "attribute": "city",
              "value": "Oslo",
              "standing": "held",
              "origin": "sent",
              "run": 1,
              "at": "2027-01-15T08:01:00Z"
            },
            {
              "base_url": "https://acme.user.com/api/public/",
              "attribute": "city",
              "value": null,
              "standing": "replaced",
              "origin": "sent",
              "run": null,
              "at": null
            }
          ]
        }
        "#);
    }
}
