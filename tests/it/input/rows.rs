//! What becomes of rows.

use attrsync::input::{self, AttributeRule, Dictionary, Empty, IdType, JsonType, ReadOptions, Vocabulary};

use super::{check, fixture, invalid, read_bytes, read_files, triples};

#[test]
fn the_long_layout_has_its_columns_in_any_order_and_any_case() {
    check(
        "note,VALUE, User_ID ,attribute\nx, Kraków ,10, city \ny,2,11,gender\n",
        &ReadOptions::default(),
        &["10 city \" Kraków \"", "11 gender \"2\""],
        &[],
    );
}

#[test]
fn a_row_that_breaks_a_rule_is_invalid_and_says_why() {
    check(
        "user_id,attribute,value\n\n0,city,A\n1,contry,B\n2,gender,4\n3,city,\n4,city\n5,\"city\",\"a\nb\"\n6,score,x\n7,city,\"open",
        &ReadOptions::default(),
        &["5 city \"a\\nb\""],
        &[
            "3 `user_id` must be a positive whole number, not `0`",
            "4 unknown attribute: `contry`; did you mean `country`?",
            "5 `gender` must be 1 (unknown), 2 (male) or 3 (female), not `4`",
            "6 `city` has no value",
            "7 expected 3 fields, found 2: 4,city",
            "10 `score` must be a whole number, not `x`",
            "11 a quote is never closed: 7,city,\"open",
        ],
    );
}

#[test]
fn a_wide_record_has_a_row_for_each_cell() {
    let mut reading = read_files(&[fixture("wide.csv")], &ReadOptions::default()).unwrap();
    let valid: Vec<_> =
        triples(&reading).into_iter().map(|(user, name, value)| (user, name, value.unwrap())).collect();
    let expected = [
        ("10", "city", "Kraków"),
        ("10", "country", "Polska"),
        ("10", "gender", "2"),
        ("15", "country", "Polska"),
    ];
    assert_eq!(
        valid,
        expected.map(|(user, name, value)| (user.to_owned(), name.to_owned(), value.to_owned()))
    );
    assert_eq!(reading.counts, input::Counts { read: 9, invalid: 3, skipped: 2 });
    let rows = invalid(&mut reading);
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.line, row.user_id.as_str(), row.attribute.as_str(), row.value.as_str()))
        .collect();
    assert_eq!(rows, [(3, "15", "gender", "9"), (4, "x", "city", "Łódź"), (4, "x", "gender", "1")]);
    let [warning] = &reading.warnings[..] else { panic!("{:?}", reading.warnings) };
    assert!(warning.what.ends_with("wide.csv: column is not sent: `shoe size`"), "{}", warning.what);
}

#[test]
fn custom_attributes_are_allowed_when_asked_for() {
    let custom = ReadOptions { vocabulary: Vocabulary::Custom, ..ReadOptions::default() };
    check(
        "user_id,shoe size,City\n10,42,Kraków\n",
        &custom,
        &["10 shoe size \"42\"", "10 city \"Kraków\""],
        &[],
    );
    let long = "x".repeat(256);
    check(
        &format!("user_id,attribute,value\n10,shoe size,42\n11,{long},1\n"),
        &custom,
        &["10 shoe size \"42\""],
        &[&format!(
            "3 the name of a custom attribute must be at most 255 characters long: `{}… (256 bytes)`",
            "x".repeat(40)
        )],
    );
}

#[test]
fn columns_go_by_the_names_that_the_options_map() {
    let columns =
        [("Client", "user_id"), ("TOWN", "city")].map(|(from, to)| (from.to_owned(), to.to_owned()));
    let options = ReadOptions { columns: columns.into(), ..ReadOptions::default() };
    check(
        "client,town,user_id\n10,Kraków,u-10\n",
        &options,
        &["10 city \"Kraków\"", "10 user_id \"u-10\""],
        &[],
    );
}

#[test]
fn an_empty_value_is_rejected_skipped_or_sent() {
    let text = "user_id,attribute,value\n1,city,\n2,gender,\"\"\n3,city, \n";
    let with = |empty| ReadOptions { empty, ..ReadOptions::default() };
    check(text, &with(None), &["3 city \" \""], &["2 `city` has no value", "3 `gender` has no value"]);
    check(text, &with(Some(Empty::Skip)), &["3 city \" \""], &[]);
    check(text, &with(Some(Empty::Send)), &["1 city \"\"", "2 gender \"\"", "3 city \" \""], &[]);
    let wide = "user_id,city\n1,\nx,\n";
    check(wide, &with(None), &[], &[]);
    check(
        wide,
        &with(Some(Empty::Reject)),
        &[],
        &["2 `city` has no value", "3 `user_id` must be a positive whole number, not `x`"],
    );
}

#[test]
fn the_null_token_clears_an_attribute_whatever_its_rules() {
    let options = ReadOptions { null_token: Some("NULL".to_owned()), ..ReadOptions::default() };
    check(
        "user_id,attribute,value\n1,gender,NULL\n2,gender,null\n",
        &options,
        &["1 gender null"],
        &["3 `gender` must be 1 (unknown), 2 (male) or 3 (female), not `null`"],
    );
}

#[test]
fn a_mapped_value_is_judged_by_what_is_sent() {
    let map = [("male", "2"), ("robot", "4"), ("", "1")].map(|(from, to)| (from.to_owned(), to.to_owned()));
    let rule = AttributeRule { map: map.into(), ..AttributeRule::default() };
    let options = ReadOptions { attributes: [("gender".to_owned(), rule)].into(), ..ReadOptions::default() };
    check(
        "user_id,attribute,value\n1,gender,male\n2,gender,robot\n3,gender,3\n4,gender,\n",
        &options,
        &["1 gender \"male\"", "3 gender \"3\"", "4 gender \"\""],
        &["3 `gender` must be 1 (unknown), 2 (male) or 3 (female), not `robot`"],
    );
}

#[test]
fn a_value_that_is_to_be_typed_json_has_to_be_such_json() {
    let typed = |name: &str, json| (name.to_owned(), AttributeRule { json, ..AttributeRule::default() });
    let attributes = [
        typed("score", JsonType::Integer),
        typed("region", JsonType::Float),
        typed("unsubscribed", JsonType::Boolean),
    ];
    let options = ReadOptions { attributes: attributes.into(), ..ReadOptions::default() };
    check(
        "user_id,attribute,value\n1,score,-7\n2,score,007\n3,region,1.5e3\n4,region,1e999\n5,unsubscribed,true\n\
         6,unsubscribed,True\n7,region, 1\n8,score,7.0\n9,unsubscribed,yes\n",
        &options,
        &[
            "1 score \"-7\"",
            "2 score \"007\"",
            "3 region \"1.5e3\"",
            "5 unsubscribed \"true\"",
            "6 unsubscribed \"true\"",
            "7 region \" 1\"",
        ],
        &[
            "5 `region` must be a number, as its `type` is `float`, not `1e999`",
            "9 `score` must be a whole number, as its `type` is `integer`, not `7.0`",
            "10 `unsubscribed` must be `true` or `false`, as its `type` is `boolean`, not `yes`",
        ],
    );
}

#[test]
fn what_is_only_suspected_is_a_warning_with_its_first_places() {
    let rows: String = (1..=9).map(|user| format!("{user},phone_number,123\n")).collect();
    let text = format!(
        "user_id,attribute,value\n{rows}10,email,nobody\n11,unsubscribed,yes\n12,timezone,Europe/Warsaw\n"
    );
    let reading = read_bytes(text.as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!(reading.counts, input::Counts { read: 12, invalid: 0, skipped: 0 });
    let warnings: Vec<_> =
        reading.warnings.iter().map(|warning| (warning.what.as_str(), warning.count)).collect();
    let expected = [
        ("`phone_number` is not in the form `+48123456789`; it is sent all the same", 9),
        ("`email` is not an e-mail address; it is sent all the same", 1),
        ("`unsubscribed` is neither `true` nor `false`; it is sent all the same", 1),
    ];
    assert_eq!(warnings, expected);
    let places: Vec<_> =
        reading.warnings[0].places.iter().map(|place| (place.line, place.found.as_str())).collect();
    assert_eq!(places, [(2, "123"), (3, "123"), (4, "123"), (5, "123"), (6, "123")]);
}

#[test]
fn the_clients_own_ids_are_any_text() {
    let options = ReadOptions { id_type: IdType::CustomId, ..ReadOptions::default() };
    check(
        "user_id,attribute,value\n ü-1 ,city,a\n007,city,b\n ,city,c\nü-1,country,d\nuser_id,attribute,value\n",
        &options,
        &["ü-1 city \"a\"", "007 city \"b\"", "ü-1 country \"d\""],
        &["4 `user_id` must not be empty", "6 the header is repeated"],
    );
}

#[test]
fn a_header_that_comes_again_is_an_invalid_row() {
    check(
        "user_id,attribute,value\n1,city,a\nuser_id,attribute,value\n2,city,b\n",
        &ReadOptions::default(),
        &["1 city \"a\"", "2 city \"b\""],
        &["3 the header is repeated"],
    );
    check(
        "user_id,city\n1,a\nuser_id,city\n",
        &ReadOptions::default(),
        &["1 city \"a\""],
        &["3 the header is repeated: user_id,city"],
    );
}

#[test]
fn bytes_that_are_not_text_make_their_row_invalid_and_are_kept() {
    let mut reading = read_bytes(
        b"user_id,attribute,value\n1,city,Krak\xf3w\n\xff,city,a\n2,city,b\0c\n",
        &ReadOptions::default(),
    )
    .unwrap();
    assert_eq!(triples(&reading), [("2".to_owned(), "city".to_owned(), Some("b\0c".to_owned()))]);
    let errors: Vec<_> = invalid(&mut reading).into_iter().map(|row| (row.user_id, row.error)).collect();
    let what = "bytes that are not text in the input's encoding";
    assert_eq!(
        errors,
        [
            (String::new(), format!("{what}: 1,city,Krak\\xf3w")),
            (String::new(), format!("{what}: \\xff,city,a"))
        ]
    );
}

#[test]
fn a_failures_report_is_an_input() {
    let text = "user_id,attribute,value,fate,status,error,attempts,source,line\n10,city,\"a\nb\",failed,400,\"no, \"\"b\"\"\",3,x.csv,\n";
    check(text, &ReadOptions::default(), &["10 city \"a\\nb\""], &[]);
}

#[test]
fn a_dictionary_can_be_made_without_an_input() {
    let mut dictionary = Dictionary::new(&ReadOptions::default());
    let city = dictionary.attribute_id("city").unwrap();
    let value = dictionary.intern(city, "Kraków");
    assert_eq!(dictionary.intern(city, "Kraków"), value);
    assert_eq!(dictionary.value(city, value).as_deref(), Some("Kraków"));
    assert_eq!(dictionary.attribute_id("shoe size"), None);
    assert_eq!(dictionary.intern_user("u-1"), 0);
    assert_eq!(
        (dictionary.user(0).as_deref(), dictionary.user(1), dictionary.users()),
        (Some("u-1"), None, 1)
    );
}
