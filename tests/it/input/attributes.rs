//! Which values each standard attribute takes, as the page about inputs says.

use attrsync::input::{ReadOptions, STANDARD};

use super::{read_bytes, triples};

/// A group of attributes with values that are sent, sent with a warning, and not sent.
type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);

#[test]
fn each_standard_attribute_takes_what_the_page_says() {
    let (forty, more) = ("ż".repeat(40), "ż".repeat(41));
    let urls = ["facebook_url", "google_url", "gravatar_url", "linkedin_url", "twitter_url"];
    let cases: [Case<'_>; 12] = [
        (&["first_name", "last_name"], &["Zoë", &forty], &["#N/A"], &[&more]),
        (&["city", "country", "region"], &["Łódź", "7", &more], &["NULL"], &[]),
        (&["email"], &["ann@example.com"], &["ann", "ann@example"], &[]),
        (&["phone_number"], &["+48123456789"], &["48 123 456 789", "123"], &[]),
        (&["gender"], &["1", "2", "3"], &[], &["0", "4", "male", "1.0", " 1"]),
        (&["status"], &["1", "2"], &[], &["0", "3", "user"]),
        (&["assigned_to", "company_id", "score"], &["0", "-7", "123456789012"], &[], &["x", "1.5", "7 "]),
        (&["notifications", "unsubscribed"], &["true", "False"], &["yes"], &["maybe", "2"]),
        (&["timezone"], &["Europe/Warsaw"], &["Warsaw"], &[]),
        (&urls, &["https://example.com/a"], &["example.com"], &[]),
        (&["custom_id"], &["C-1"], &[], &[]),
        (&["user_id"], &["C-1"], &[], &[]),
    ];
    let mut checked = Vec::new();
    for (names, fine, odd, wrong) in cases {
        for name in names {
            checked.push(*name);
            for (values, warnings, invalid) in [(fine, 0, 0), (odd, 1, 0), (wrong, 0, 1)] {
                for value in values {
                    let text = format!("user_id,attribute,value\n1,{name},{value}\n");
                    let reading = read_bytes(text.as_bytes(), &ReadOptions::default()).unwrap();
                    let found = (reading.warnings.len(), reading.counts.invalid);
                    assert_eq!(found, (warnings, invalid), "{name} = `{value}`: {:?}", reading.warnings);
                }
            }
        }
    }
    checked.sort_unstable();
    assert_eq!(checked, STANDARD);
}

#[test]
fn a_delimiter_that_is_named_is_stronger_than_what_the_header_looks_like() {
    let text = b"user_id;city,x\n1;Oslo,y\n";
    let options = |delimiter| ReadOptions { delimiter, ..ReadOptions::default() };
    let reading = read_bytes(b"user_id;city\n1;Oslo, Norway\n", &options(None)).unwrap();
    assert_eq!((reading.sources[0].delimiter, reading.sink.0.len()), (b';', 1));
    assert!(read_bytes(text, &options(Some(b'|'))).is_err());
    let custom = ReadOptions { vocabulary: attrsync::input::Vocabulary::Custom, ..options(Some(b';')) };
    let reading = read_bytes(text, &custom).unwrap();
    assert_eq!(triples(&reading), [("1".to_owned(), "city,x".to_owned(), Some("Oslo,y".to_owned()))]);
}
