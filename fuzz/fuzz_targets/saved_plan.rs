//! Any bytes as a saved plan, and plans that were saved: a file is refused, or sends exactly what it says. What was saved is
//! read as it was, and refused if a byte of it changes or its end is missing.
#![no_main]

mod choices;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::num::NonZeroU32;

use attrsync::input::{
    AttributeRule, Counts, Dictionary, IdType, JsonType, ReadOptions, Row, Sink as _, Vocabulary,
};
use attrsync::plan::{
    Builder, Figures, OnConflict, Plan, SavedHeader, SavedLedger, SavedPlan, SavedPlanError, SavedSettings,
    SavedTarget,
};
use attrsync::spill::Resources;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

use choices::Choices;

/// `custom_id` and `user_id` are one attribute with two names; the last two are custom attributes.
const ATTRIBUTES: [&str; 8] = ["email", "user_id", "custom_id", "gender", "score", "city", "size", "vip"];

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::of(input);
    match choices.byte() % 3 {
        0 => check_file(choices.rest()),
        1 => {
            let lines = choices.rest();
            check_file(&[lines, &last_line(lines)].concat());
        }
        _ => check_plan(choices),
    }
});

/// The last line of a file with these lines: the number of requests that the first one says, and the checksum.
fn last_line(lines: &[u8]) -> Vec<u8> {
    let first = lines.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first: serde_json::Value = serde_json::from_slice(first).unwrap_or_default();
    let requests = first["plan"]["requests"].as_u64().unwrap_or_default();
    let checksum = crc32fast::hash(lines);
    format!("{{\"kind\":\"end\",\"requests\":{requests},\"crc32\":\"{checksum:08x}\"}}\n").into_bytes()
}

/// A file that is not refused sends what it says, and can be written again.
fn check_file(file: &[u8]) {
    let Ok(opened) = SavedPlan::open(Cursor::new(file)) else { return };
    let header = opened.header().clone();
    let Ok((plan, missing)) = opened.load(&Resources::default()) else { return };
    let again = saved(&plan, missing.as_ref(), &header);
    // The first line may be written otherwise, and with it the checksum in the last one.
    assert_eq!(middle(&again), middle(file), "what is sent is what the file says");
    assert_eq!(loaded(&again), (requests(&plan), missing.as_ref().map(requests)));
}

/// The lines between the first and the last one.
fn middle(file: &[u8]) -> Vec<&[u8]> {
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    lines[1..lines.len() - 1].to_vec()
}

/// A plan is saved, read, and damaged.
fn check_plan(mut choices: Choices<'_>) {
    let id_type = choices.among(&[IdType::Id, IdType::CustomId]);
    let batch_size = NonZeroU32::MIN.saturating_add(u32::from(choices.byte() % 5));
    let has_missing = choices.among(&[false, true]);
    let place = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
    let flipped = choices.byte().max(1);
    let bytes = choices.rest();
    let (one, other) = bytes.split_at(if has_missing { bytes.len() / 2 } else { bytes.len() });
    let plan = planned(id_type, one, batch_size);
    let missing = has_missing.then(|| planned(id_type, other, batch_size)).filter(|plan| plan.requests() > 0);
    let header = header(&plan, id_type, batch_size);
    let file = saved(&plan, missing.as_ref(), &header);

    let opened = SavedPlan::open(Cursor::new(&file)).expect("it was just saved");
    assert_eq!(*opened.header(), header);
    assert_eq!(loaded(&file), (requests(&plan), missing.as_ref().map(requests)));

    let place = place % file.len();
    let mut damaged = file.clone();
    damaged[place] ^= flipped;
    assert!(is_refused(&damaged), "byte {place} changed by {flipped}");
    assert!(is_refused(&file[..place]), "cut off at byte {place}");
}

fn is_refused(file: &[u8]) -> bool {
    SavedPlan::open(Cursor::new(file)).is_err()
}

fn saved(plan: &Plan, missing: Option<&Plan>, header: &SavedHeader) -> Vec<u8> {
    let mut file = Vec::new();
    plan.save(missing, header, &mut file).expect("memory takes everything");
    file
}

/// A request: what decides where it goes and when, and the value that a report would have.
type Request = (String, String, Option<String>);

fn loaded(file: &[u8]) -> (Vec<Request>, Option<Vec<Request>>) {
    let loaded = SavedPlan::open(Cursor::new(file)).and_then(|opened| opened.load(&Resources::default()));
    let (plan, missing) = loaded.unwrap_or_else(|error: SavedPlanError| panic!("it was just saved: {error}"));
    (requests(&plan), missing.as_ref().map(requests))
}

fn requests(plan: &Plan) -> Vec<Request> {
    let request = |batch| {
        let mut body = Vec::new();
        plan.body(batch, &mut body);
        let kind = format!("{:?} {:?}", plan.operation(batch), plan.phase(batch));
        let value = plan.value(batch.group).map(|value| value.into_owned());
        (kind, String::from_utf8(body).expect("JSON is text"), value)
    };
    plan.batches().map(request).collect()
}

fn settings(batch_size: NonZeroU32) -> SavedSettings {
    let rule = |json, map: &[(&str, &str)]| AttributeRule {
        json,
        map: map.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect(),
    };
    let attributes = [
        ("gender", rule(JsonType::Integer, &[("m", "2"), ("male", "2")])),
        ("score", rule(JsonType::Integer, &[])),
        ("size", rule(JsonType::Float, &[])),
        ("vip", rule(JsonType::Boolean, &[])),
        ("city", rule(JsonType::String, &[("m", "Oslo")])),
    ];
    SavedSettings {
        batch_size,
        null_token: Some("-".to_owned()),
        send_empty: true,
        allow_custom: true,
        attributes: attributes.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect(),
    }
}

fn header(plan: &Plan, id_type: IdType, batch_size: NonZeroU32) -> SavedHeader {
    SavedHeader {
        id: "00f3".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        target: SavedTarget { base_url: Some("https://acme.user.com/api/public/".to_owned()), id_type },
        ledger: Some(SavedLedger { identity: Some("0a".to_owned()), entry: 7, run: 2 }),
        inputs: vec!["users.csv".to_owned()],
        content: plan.fingerprint(),
        settings: settings(batch_size),
        requests: plan.requests(),
        missing: None,
        figures: Figures::of(&plan.summary(5), Counts::default(), None),
    }
}

/// The plan of rows, of which each is a number of a user, one of an attribute, and a value up to a byte 0.
fn planned(id_type: IdType, rows: &[u8], batch_size: NonZeroU32) -> Plan {
    let SavedSettings { null_token, attributes, .. } = settings(batch_size);
    let attributes: BTreeMap<String, AttributeRule> = attributes;
    let vocabulary = Vocabulary::Custom;
    let options = ReadOptions { id_type, vocabulary, null_token, attributes, ..ReadOptions::default() };
    let mut dictionary = Dictionary::new(&options);
    let mut builder = Builder::new(OnConflict::Last);
    for row in rows.split(|byte| *byte == 0) {
        let [user, attribute, value @ ..] = row else { continue };
        let name = ATTRIBUTES[usize::from(*attribute) % ATTRIBUTES.len()];
        let attribute = dictionary.attribute_id(name).expect("every name is allowed");
        let value = dictionary.intern(attribute, &String::from_utf8_lossy(value));
        let user = match id_type {
            IdType::Id => u64::from(*user) + 1,
            IdType::CustomId => dictionary.intern_user(&format!("\"u\" {}", char::from(*user))),
        };
        builder.accept(Row { user, attribute: attribute.column(), value });
    }
    builder.finish(dictionary, batch_size).expect("there is memory")
}
