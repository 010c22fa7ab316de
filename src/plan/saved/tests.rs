use std::collections::BTreeMap;
use std::io::Cursor;
use std::num::{NonZeroU32, NonZeroUsize};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::input::{AttributeRule, Counts, Dictionary, IdType, Issue, JsonType, Location, Row, Sink};
use crate::plan::{
    Builder, KnownPlan, KnownRows, OnConflict, Phase, Plan, SentValue, SkipReason, User, ValueChange,
};
use crate::spill::Resources;

/// `custom_id` and `user_id` are one attribute with two names; the last two are custom attributes.
const ATTRIBUTES: [&str; 8] = ["email", "user_id", "custom_id", "gender", "score", "city", "size", "vip"];

const VALUES: [&str; 10] = ["-", "male", "2", "02", "1.50", "1.5", "true", "True", "a \"b\"\\\n\u{1b}é", ""];

const NOTHING: Resources = Resources { threads: NonZeroUsize::MIN, memory: u64::MAX, temp_dir: None };

fn settings(batch_size: u32) -> SavedSettings {
    let rule = |json, map: &[(&str, &str)]| AttributeRule {
        json,
        map: map.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect(),
    };
    let attributes = [
        ("gender", rule(JsonType::Integer, &[("male", "2")])),
        ("score", rule(JsonType::Integer, &[])),
        ("size", rule(JsonType::Float, &[])),
        ("vip", rule(JsonType::Boolean, &[])),
        ("city", rule(JsonType::String, &[("male", "Oslo")])),
    ];
    SavedSettings {
        batch_size: NonZeroU32::new(batch_size).unwrap(),
        null_token: Some("-".to_owned()),
        send_empty: true,
        allow_custom: true,
        attributes: attributes.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect(),
    }
}

fn header(plan: &Plan, id_type: IdType, settings: SavedSettings) -> SavedHeader {
    SavedHeader {
        id: "00f3".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        target: SavedTarget { base_url: Some("https://acme.user.com/api/public/".to_owned()), id_type },
        ledger: Some(SavedLedger { identity: Some("0a".to_owned()), entry: 7, run: 2 }),
        inputs: vec!["users.csv".to_owned()],
        content: plan.fingerprint(),
        settings,
        requests: plan.requests(),
        missing: None,
        figures: Figures::of(&plan.summary(5), Counts::default(), None),
    }
}

/// The plan of these rows, which are numbers of users, attributes and values.
fn plan(id_type: IdType, rows: &[(u64, usize, String)], batch_size: u32) -> (Plan, SavedHeader) {
    let (settings, empty) = (settings(batch_size), BTreeMap::new());
    let bare = SavedSettings { attributes: empty, ..settings.clone() };
    let none = Builder::new(OnConflict::Last);
    let none = none.finish(Dictionary::default(), settings.batch_size).unwrap();
    let options =
        SavedHeader { settings: settings.clone(), ..header(&none, id_type, bare) }.options(&NOTHING);
    let mut dictionary = Dictionary::new(&options);
    let mut builder = Builder::new(OnConflict::Last);
    for (user, attribute, value) in rows {
        let attribute = dictionary.attribute_id(ATTRIBUTES[*attribute]).unwrap();
        let value = dictionary.intern(attribute, value);
        let user = match id_type {
            IdType::Id => *user,
            IdType::CustomId => dictionary.intern_user(&format!("\"u\" {user}")),
        };
        builder.accept(Row { user, attribute: attribute.column(), value });
    }
    let plan = builder.finish(dictionary, settings.batch_size).unwrap();
    let header = header(&plan, id_type, settings);
    (plan, header)
}

fn saved(plan: &Plan, header: &SavedHeader) -> Vec<u8> {
    let mut file = Vec::new();
    plan.save(None, header, &mut file).unwrap();
    file
}

fn opened(file: &[u8]) -> Result<SavedPlan<Cursor<&[u8]>>, SavedPlanError> {
    SavedPlan::open(Cursor::new(file))
}

fn loaded(file: &[u8]) -> Plan {
    opened(file).unwrap().load(&NOTHING).unwrap().0
}

/// The requests of a plan: each with what decides where it goes and when, and the values that a report would have.
fn requests(plan: &Plan) -> Vec<(String, Phase, String, Option<String>)> {
    let request = |batch| {
        let mut body = Vec::new();
        plan.body(batch, &mut body);
        let value = plan.value(batch.group).map(std::borrow::Cow::into_owned);
        let operation = format!("{:?}", plan.operation(batch));
        (operation, plan.phase(batch), String::from_utf8(body).unwrap(), value)
    };
    plan.batches().map(request).collect()
}

fn rows() -> impl Strategy<Value = Vec<(u64, usize, String)>> {
    let value = prop::sample::select(&VALUES[..]).prop_map(str::to_owned);
    prop::collection::vec((1..12_u64, 0..ATTRIBUTES.len(), value), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_plan_that_was_saved_sends_the_same_requests(
        rows in rows(),
        batch_size in 1..5_u32,
        id_type in prop::sample::select(&[IdType::Id, IdType::CustomId][..]),
    ) {
        let (plan, header) = plan(id_type, &rows, batch_size);
        let file = saved(&plan, &header);
        let opened = opened(&file).unwrap();
        prop_assert_eq!(opened.header(), &header);
        let again = loaded(&file);
        prop_assert_eq!(requests(&again), requests(&plan));
        prop_assert_eq!((again.rows(), again.superseded()), (plan.rows(), 0));
        prop_assert_eq!(again.fingerprint(), plan.fingerprint());
    }

    #[test]
    fn so_does_one_without_the_rows_that_are_known(rows in rows(), known in prop::collection::vec(1..12_u64, 0..9)) {
        let (plan, header) = plan(IdType::Id, &rows, 2);
        let (plan, _, _) = plan
            .skip_known(
                &NOTHING,
                crate::plan::Compare::No,
                |_| Ok::<_, std::io::Error>(()),
                |(), filter| {
                    let value = SentValue::Text("a \"b\"\\\n\u{1b}é".into());
                    let known: std::collections::BTreeSet<_> = known.iter().copied().collect();
                    filter.mark_sent(&value, Some(SkipReason::Unchanged), known.into_iter().map(User::Id));
                    Ok(())
                },
            )
            .unwrap();
        let header = SavedHeader { requests: plan.requests(), ..header };
        prop_assert_eq!(requests(&loaded(&saved(&plan, &header))), requests(&plan));
    }
}

#[test]
fn each_line_is_json_that_people_can_read() {
    let rows = [(7, 5, "Oslo"), (3, 5, "Oslo"), (3, 3, "male"), (9, 6, "1.50"), (9, 0, "-")];
    let rows = rows.map(|(user, attribute, value)| (user, attribute, value.to_owned()));
    let (plan, header) = plan(IdType::Id, &rows, 10);
    let file = String::from_utf8(saved(&plan, &header)).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(
        lines[1..5],
        [
            r#"{"kind":"request","operation":"standard","body":{"ids":[3,7],"attribute":"city","value":"Oslo"}}"#,
            r#"{"kind":"request","operation":"standard","input":"male","body":{"ids":[3],"attribute":"gender","value":2}}"#,
            r#"{"kind":"request","operation":"custom","input":"1.50","body":{"ids":[9],"attribute":"size","value":1.50}}"#,
            r#"{"kind":"request","operation":"standard","body":{"ids":[9],"attribute":"email","value":null}}"#,
        ]
    );
    assert!(lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{file}");
    assert!(lines[0].starts_with(r#"{"format":"attrsync plan","version":1,"attrsync":""#), "{file}");
    assert!(lines[5].starts_with(r#"{"kind":"end","requests":4,"crc32":""#), "{file}");
    assert_eq!((lines.len(), file.ends_with('\n')), (6, true));
}

fn small() -> Vec<u8> {
    let rows = [(7, 5, "Oslo"), (3, 5, "Rome"), (3, 3, "male"), (4, 1, "x")];
    let (plan, header) =
        plan(IdType::Id, &rows.map(|(user, attribute, value)| (user, attribute, value.to_owned())), 1);
    saved(&plan, &header)
}

#[test]
fn a_file_with_a_changed_byte_is_refused() {
    let mut file = small();
    opened(&file).unwrap();
    for at in 0..file.len() {
        for bit in 0..8 {
            file[at] ^= 1 << bit;
            assert!(opened(&file).is_err(), "bit {bit} of byte {at}");
            file[at] ^= 1 << bit;
        }
    }
}

#[test]
fn a_file_that_is_cut_off_or_goes_on_is_refused() {
    let file = small();
    for len in 0..file.len() {
        let refused = opened(&file[..len]).unwrap_err();
        assert!(matches!(refused, SavedPlanError::CutOff) || len == 0, "{len} bytes: {refused}");
    }
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    for missing in 0..lines.len() {
        let rest = lines.iter().enumerate().filter(|(line, _)| *line != missing).map(|(_, line)| *line);
        assert!(opened(&rest.collect::<Vec<_>>().concat()).is_err(), "without line {missing}");
    }
    for more in ["\n", " ", "x\n", std::str::from_utf8(lines.last().unwrap()).unwrap()] {
        assert!(opened(&[&file, more.as_bytes()].concat()).is_err(), "{more:?}");
    }
}

#[test]
fn other_files_are_told_apart() {
    let refusal = |file: &[u8]| opened(file).unwrap_err().to_string();
    for other in [b"".as_slice(), b"user_id,attribute,value\n", b"{}", b"\x1f\x8b\x08\0", b"\n"] {
        assert_eq!(refusal(other), SavedPlanError::NotAPlan.to_string());
    }
    let newer = br#"{"format":"attrsync plan","version":2,"attrsync":"9.1.0","steps":[]}
"#;
    let words = "was written by attrsync 9.1.0, whose plans this version cannot read";
    assert_eq!(refusal(newer), words);
}

/// The same file with a text replaced, and with the checksum that fits.
fn forged(from: &str, to: &str) -> Vec<u8> {
    let file = String::from_utf8(small()).unwrap();
    let (first, rest) = file.split_once('\n').unwrap();
    assert!(rest.contains(from), "{file}");
    let file = format!("{first}\n{}", rest.replacen(from, to, 1));
    let (content, _) = file.rsplit_once("{\"kind\":\"end\"").unwrap();
    let requests = u64::try_from(content.lines().count()).unwrap() - 1;
    [content.as_bytes(), &write::last_line(requests, crc32fast::hash(content.as_bytes()))].concat()
}

#[test]
fn what_would_not_be_sent_exactly_as_it_stands_is_refused() {
    let rome = r#""body":{"ids":[3],"attribute":"city","value":"Rome"}"#;
    for (from, to) in [
        // A type that the settings don't have, and a value that they don't make of the input.
        (r#""value":2"#, r#""value":"2""#),
        (r#""input":"male""#, r#""input":"3""#),
        (r#""value":"Rome""#, r#""value":5"#),
        // The wrong operation, and an unknown attribute.
        (r#""standard","body":{"ids":[3]"#, r#""custom","body":{"ids":[3]"#),
        // Other batches: users that would be one request, and a user twice.
        (r#""ids":[3],"attribute":"city""#, r#""ids":[3,4],"attribute":"city""#),
        (r#""value":"Rome""#, r#""value":"Oslo""#),
        // Another form of the same.
        (rome, &rome.replace("[3]", "[ 3]")),
        (rome, &rome.replace('}', r#","more":1}"#)),
        // Something else.
        (rome, r#""bodies":[]"#),
    ] {
        let file = forged(from, to);
        let refused = opened(&file).unwrap().load(&NOTHING).unwrap_err();
        assert!(matches!(refused, SavedPlanError::Unfit { .. }), "{to}: {refused}");
    }
    let file = forged(r#"{"kind":"request""#, r#"{"kind":"another""#);
    let refused = opened(&file).unwrap().load(&NOTHING).unwrap_err();
    assert!(matches!(refused, SavedPlanError::TooNew { .. }), "{refused}");
    loaded(&forged(r#""value":"Rome""#, r#""value":"Roma""#));
}

#[test]
fn rows_of_users_that_the_account_does_not_have_are_kept_beside_the_plan() {
    for id_type in [IdType::Id, IdType::CustomId] {
        let planned = |users: std::ops::Range<u64>| {
            let rows: Vec<_> = users.map(|user| (user, 0, "Rome".to_owned())).collect();
            plan(id_type, &rows, 2)
        };
        let ((sent, header), (missing, _)) = (planned(1..6), planned(6..9));
        let mut file = Vec::new();
        sent.save(Some(&missing), &header, &mut file).unwrap();
        let (again, also) = opened(&file).unwrap().load(&NOTHING).unwrap();
        assert_eq!(requests(&again), requests(&sent));
        assert_eq!(requests(&also.unwrap()), requests(&missing));
    }
}

#[test]
fn a_plan_that_does_not_fit_in_memory_is_read_into_temporary_files() {
    for id_type in [IdType::Id, IdType::CustomId] {
        let rows: Vec<_> = (1..40_000_u64)
            .map(|user| (user, [5, 6][(user % 2) as usize], format!("{}", user / 3)))
            .collect();
        let (plan, header) = plan(id_type, &rows, 2);
        let file = saved(&plan, &header);
        let tight = Resources { memory: 100_000, ..NOTHING };
        let (again, _) = opened(&file).unwrap().load(&tight).unwrap();
        assert!(again.spilled_bytes() > 0 && plan.spilled_bytes() == 0);
        assert_eq!(requests(&again), requests(&plan));
    }
}

#[test]
fn the_figures_come_back_as_they_were() {
    let numbers = (1..30_u64).zip(1..30_usize);
    let rows: Vec<_> =
        numbers.map(|(user, number)| (user, number % 8, VALUES[number % 10].to_owned())).collect();
    let (plan, header) = plan(IdType::CustomId, &rows, 2);
    let known = KnownPlan {
        attributes: vec![(
            "city".to_owned(),
            KnownRows { unchanged: 1, resumed: 2, equal: 3, changed: 4, missing: 5 },
        )],
        changes: [SentValue::Null, SentValue::Text("null".into()), SentValue::Json("1.50".into())]
            .map(|from| ValueChange { attribute: "size".to_owned(), to: from.clone(), from, users: 9 })
            .to_vec(),
    };
    let place = Location { input: "users.csv".to_owned(), line: 7, found: "x".to_owned() };
    let counts = Counts { read: 40, invalid: 8, skipped: 3 };
    let mut figures = Figures::of(&plan.summary(20), counts, Some(&known));
    figures.invalid =
        vec![Issue { what: "user_id must be a number".to_owned(), count: 8, places: vec![place] }];
    figures.planning = Some(SavedPlanning { milliseconds: 12, memory: None, spilled: 3 });
    let header = SavedHeader { figures, ..header };
    let file = saved(&plan, &header);
    let again = opened(&file).unwrap();
    let figures = &again.header().figures;
    assert_eq!(again.header(), &header);
    assert_eq!((figures.known(), figures.rows, figures.planned), (Some(known), counts, plan.rows()));
    assert_eq!(figures.summary(20), plan.summary(20));
    assert_eq!(figures.summary(3).largest, plan.summary(3).largest);
}
