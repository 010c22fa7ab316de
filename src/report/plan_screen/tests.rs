//! The screen as it reads, and as JSON.

use std::borrow::Cow;

use super::costs::Why;
use super::*;
use crate::input::Location;
use crate::plan::{PlanTotals, User};

fn group(
    attribute: &'static str,
    value: Option<&'static str>,
    users: u32,
    requests: u32,
) -> GroupSummary<'static> {
    GroupSummary { attribute, value: value.map(Cow::Borrowed), users, requests }
}

const THOUSAND: NonZeroU32 = NonZeroU32::new(1000).unwrap();

fn attribute(name: &str, rows: u64, users: u64, values: u64, requests: u64) -> AttributeSummary<'_> {
    let users_per_request = costs::ratio(users, requests);
    AttributeSummary {
        name,
        rows,
        users,
        values,
        requests,
        users_per_request,
        superseded: rows - users,
        conflicts: 1,
        uncoalesced: requests > 1000 && users_per_request < 2.0,
    }
}

/// The figures of a plan with these attributes.
fn summary<'p>(attributes: &[AttributeSummary<'p>]) -> PlanSummary<'p> {
    let sum = |figure: fn(&AttributeSummary<'_>) -> u64| attributes.iter().map(figure).sum();
    let mut costliest = attributes.to_vec();
    costliest.sort_by_key(|attribute| std::cmp::Reverse(attribute.requests));
    PlanSummary {
        totals: PlanTotals {
            rows: sum(|it| it.rows),
            standing: sum(|it| it.users),
            superseded: sum(|it| it.superseded),
            conflicts: 0,
            groups: sum(|it| it.values),
            requests: sum(|it| it.requests),
        },
        attributes: attributes.to_vec(),
        costliest: costliest.iter().map(|attribute| attribute.name).collect(),
        largest: Vec::new(),
        conflicts: Vec::new(),
        shared: Vec::new(),
    }
}

fn plain(screen: &PlanScreen<'_>) -> String {
    anstream::adapter::strip_str(&screen.to_string()).to_string()
}

/// The screen of figures, if all rows are valid.
fn screen_of<'a>(plan: &'a PlanSummary<'a>, planning: Option<PlanningStats>) -> PlanScreen<'a> {
    PlanScreen {
        plan,
        counts: Counts { read: plan.totals.rows, ..Counts::default() },
        causes: &[],
        warnings: &[],
        rate: "10/s".parse().unwrap(),
        id_type: IdType::Id,
        batch_size: THOUSAND,
        planning,
        known: None,
        saved: None,
        columns: None,
    }
}

/// The screen of an input that has everything.
fn with_plan<R>(look: impl FnOnce(&PlanScreen<'_>) -> R) -> R {
    let attributes = [
        attribute("country", 5_000, 4_950, 3, 7),
        attribute("phone_number", 100_000, 100_000, 100_000, 100_000),
        attribute("email", 3, 3, 1, 1),
    ];
    let figures = summary(&attributes);
    let plan = PlanSummary {
        totals: PlanTotals { conflicts: 2, ..figures.totals },
        largest: vec![
            group("country", Some("United Kingdom of Great Britain and Northern Ireland"), 3_000, 3),
            group("country", None, 1, 1),
        ],
        conflicts: vec![Conflict {
            attribute: "country",
            user: User::Id(12),
            values: vec![Some("US\nA".into()), None],
        }],
        shared: vec![SharedValues {
            attribute: "email",
            values: 1,
            examples: vec![group("email", Some("a@example.com"), 3, 1)],
        }],
        ..figures
    };
    let place = |line| Location { input: "users.csv".into(), line, found: "x".into() };
    look(&PlanScreen {
        counts: Counts { read: 105_040, invalid: 30, skipped: 7 },
        causes: &[Issue { what: "`country` is empty".into(), count: 30, places: vec![place(17)] }],
        warnings: &[Issue {
            what: "`timezone` is none that is known".into(),
            count: 2,
            places: vec![place(3)],
        }],
        ..screen_of(&plan, None)
    })
}

#[test]
fn no_line_of_a_plan_is_wider_than_the_screen() {
    for columns in [40, 60, 80, 200] {
        let page =
            with_plan(|screen| plain(&PlanScreen { columns: Some(columns), warnings: &[], ..*screen }));
        // Messages have their own form.
        let lines = page.lines().take_while(|line| !line.starts_with("warning:"));
        for line in lines.filter(|line| !line.starts_with("hint:") && !line.contains("CSV import")) {
            assert!(line.chars().count() <= columns, "{columns} columns: {line}");
        }
        let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["attribute", "requests", "nearly every", "is empty", "(first: users.csv:17)"] {
            assert!(words.contains(part), "{columns} columns: {part} is not in\n{page}");
        }
    }
}

#[test]
fn a_plan_reads_as_one_page() {
    let page = with_plan(plain);
    insta::assert_snapshot!(page, @"
    105,040 rows: 104,953 to send, 50 superseded, 7 skipped, 30 invalid
    100,008 requests, about 2h 47m at 10/s

    attribute        rows    users   values  requests  users/request
    country         5,000    4,950        3         7          707.1
    phone_number  100,000  100,000  100,000   100,000            1.0
    email               3        3        1         1            3.0
    total         105,003  104,953  100,004   100,008

    costliest attributes: their share, their time, and why
      phone_number  >99%  2h 47m  nearly every user has a value of its own
    hint: leave `phone_number` out, send only what changed
          with `--only-changed`, use User.com's CSV import or ask for a higher limit

    most shared values
      country = `United Kingdom of Great Britain…` for 3,000 users: 3 requests
      country = null for 1 user: 1 request

    2 conflicts: one user and attribute, several values
      country of user 12: `US A`, null

    30 invalid rows
      30 rows: `country` is empty (first: users.csv:17)

    warning: `timezone` is none that is known, 2 times (first: users.csv:3)

    warning: `email`: 1 value would go to several users: `a@example.com` to 3 users
    hint: look at these rows: a value of `email` should be one user's alone
    ");
}

#[test]
fn a_plan_is_json_as_well() {
    let json = with_plan(|screen| serde_json::to_string_pretty(screen).expect("it is plain"));
    insta::assert_snapshot!(json, @r#"
    {
      "saved": null,
      "rows": {
        "read": 105040,
        "invalid": 30,
        "skipped": 7,
        "superseded": 50,
        "in_conflict": 0,
        "planned": 104953
      },
      "requests": 100008,
      "rate": "10/s",
      "duration_seconds": 10000.8,
      "planning": null,
      "costs": [
        {
          "attribute": "phone_number",
          "requests": 100000,
          "share": 0.9999200063994881,
          "duration_seconds": 10000.0,
          "why": "nearly every user has a value of its own"
        }
      ],
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
          "users_per_request": 707.1428571428571,
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
      ],
      "changes": null
    }
    "#);
}

const PLANNING: PlanningStats = PlanningStats {
    duration: Duration::from_millis(61_400),
    memory: Some(640_000_000),
    spilled: 812_000_000,
};

#[test]
fn a_large_plan_says_what_it_costs_and_why() {
    let plan = summary(&[
        attribute("city", 12_500_000, 12_247_000, 5_000, 14_800),
        attribute("country", 25_000_000, 24_500_000, 200, 24_600),
        attribute("last_name", 33_339_190, 32_670_370, 493_578, 493_584),
        attribute("phone_number", 33_328_540, 32_659_890, 32_600_440, 32_600_440),
        attribute("linkedin_url", 4_600_000, 4_500_000, 3_000_000, 3_000_000),
    ]);
    insta::assert_snapshot!(plain(&screen_of(&plan, Some(PLANNING))), @"
    108,767,730 rows: 106,577,260 to send, 2,190,470 superseded
    36,133,424 requests, about 41d 19h at 10/s
    read and planned in 1m 1s with 640 MB of memory, 812 MB in temporary files

    attribute            rows        users      values    requests  users/request
    city           12,500,000   12,247,000       5,000      14,800          827.5
    country        25,000,000   24,500,000         200      24,600          995.9
    last_name      33,339,190   32,670,370     493,578     493,584           66.2
    phone_number   33,328,540   32,659,890  32,600,440  32,600,440            1.0
    linkedin_url    4,600,000    4,500,000   3,000,000   3,000,000            1.5
    total         108,767,730  106,577,260  36,099,218  36,133,424

    costliest attributes: their share, their time, and why
      phone_number   90%  37d 17h  nearly every user has a value of its own
      linkedin_url    8%   3d 11h  about 1.5 users a value; 1,000 fit a request
    hint: leave `phone_number` and `linkedin_url` out, send only what changed
          with `--only-changed`, use User.com's CSV import or ask for a higher limit
    ");
}

#[test]
fn costs_are_told_apart_by_their_cause() {
    let why = |users, values, requests| {
        Why::of(&attribute("city", users, users, values, requests), THOUSAND).to_string()
    };
    assert_eq!(why(100, 95, 95), "nearly every user has a value of its own");
    assert_eq!(why(130, 100, 100), "about 1.3 users a value; 1,000 fit a request");
    assert_eq!(why(1_640, 100, 100), "about 16 users a value; 1,000 fit a request");
    assert_eq!(why(1_224_630, 3_000, 3_622), "3,000 values of 408 users on average");
    assert_eq!(why(10_000_000, 5_000, 15_000), "5,000 values of 2,000 users, 3 requests each");
    assert_eq!(why(1_500_000, 1, 1_500), "1 value of 1,500,000 users, 1,500 requests each");
}

#[test]
fn what_planning_took_is_told_of_large_inputs_and_of_those_that_spilled() {
    let of = |rows, planning| {
        let plan = summary(&[attribute("city", rows, rows, 3, 3)]);
        let screen = plain(&screen_of(&plan, Some(planning)));
        screen.lines().nth(2).unwrap_or_default().to_owned()
    };
    let fitted = PlanningStats { spilled: 0, ..PLANNING };
    assert_eq!(of(999_999, fitted), "");
    assert_eq!(of(1_000_000, fitted), "read and planned in 1m 1s with 640 MB of memory");
    assert_eq!(of(1_000_000, PlanningStats { memory: None, ..fitted }), "read and planned in 1m 1s");
    assert_eq!(
        of(10, PLANNING),
        "read and planned in 1m 1s with 640 MB of memory, 812 MB in temporary files"
    );
}

#[test]
fn short_runs_have_no_costs() {
    for (requests, costs) in [(1_000, 0), (1_001, 1)] {
        let plan = summary(&[attribute("city", requests, requests, requests, requests)]);
        assert_eq!(screen_of(&plan, None).costs().len(), costs);
    }
}

#[test]
fn a_plan_of_many_attributes_of_many_users_fits_the_width_and_stays_short() {
    let names: Vec<_> = (0..300).map(|number| format!("favourite_animals_of_childhood_{number}")).collect();
    let attributes: Vec<_> =
        names.iter().map(|name| attribute(name, 1_000_000, 990_000, 330_000, 330_000)).collect();
    let figures = summary(&attributes);
    let value = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch";
    let plan = PlanSummary {
        totals: PlanTotals { conflicts: 1, ..figures.totals },
        largest: vec![group("favourite_animals_of_childhood", Some(value), 331_000_000, 331_000)],
        conflicts: vec![Conflict {
            attribute: "favourite_animals_of_childhood",
            user: User::Id(i64::MAX.unsigned_abs()),
            values: vec![Some(value.into()), None, Some(value.into())],
        }],
        ..figures
    };
    let counts = Counts { read: 302_469_135, invalid: 1_234_567, skipped: 1_234_568 };
    let screen = plain(&PlanScreen { counts, ..screen_of(&plan, Some(PLANNING)) });
    let widest = screen.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(COLUMNS) && screen.lines().count() <= 45, "{widest:?}\n{screen}");
    assert!(screen.contains("\n278 others "), "{screen}");
}

#[test]
fn a_run_warns_of_what_batches_gain_nothing_for() {
    let warning = |attributes: &[AttributeSummary<'_>]| {
        let plan = summary(attributes);
        let warnings: Vec<_> = screen_of(&plan, None).warnings().map(|warning| warning.to_string()).collect();
        anstream::adapter::strip_str(&warnings.join("\n")).to_string()
    };
    let city = attribute("city", 500_000, 500_000, 100, 600);
    let phone = attribute("phone_number", 90_000, 90_000, 89_400, 89_400);
    let url = attribute("linkedin_url", 10_000, 10_000, 10_000, 10_000);
    assert_eq!(warning(&[city]), "");
    insta::assert_snapshot!(warning(&[city, phone]), @"
    note: `phone_number`: 89,400 of 90,000 requests (99%), 2h 29m at 10/s: nearly every user has a value of its own
    hint: leave it out, send only what changed
          with `--only-changed`, use User.com's CSV import or ask for a higher limit
    ");
    insta::assert_snapshot!(warning(&[city, phone, url]), @"
    note: `phone_number` and `linkedin_url`: 99,400 of 100,000 requests (99%), 2h 46m at 10/s: fewer than 2 users a request
    hint: leave them out, send only what changed
          with `--only-changed`, use User.com's CSV import or ask for a higher limit
    ");
    let email = attribute("email", 2_000, 2_000, 2_000, 2_000);
    assert!(warning(&[city, phone, url, email]).starts_with("note: `phone_number` and 2 others: "));
}
