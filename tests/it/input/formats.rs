//! Files that are not what they are taken for.

use attrsync::input::ReadOptions;

use super::{check_refused, gzip, read_bytes, triples};

const SHEET: &str = "open it in the spreadsheet program and save the sheet as CSV (UTF-8)";

fn options(encoding: &'static encoding_rs::Encoding) -> ReadOptions {
    ReadOptions { encoding, ..ReadOptions::default() }
}

#[test]
fn other_formats_are_named_with_the_way_out() {
    let csv = b"user_id,city\n1,a\n";
    for (bytes, what, hint) in [
        (&b"PK\x03\x04\x14\0\0\0\x08\0\xed\x9d\n[Content_Types].xml"[..], "an Excel workbook (.xlsx)", SHEET),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "an Excel workbook (.xls)", SHEET),
        (b"PK\x03\x04\x14\0\0\0\x08\0users.csv\n", "a zip archive", "unpack it first, as `unzip FILE`"),
        (b"\xfd7zXZ\0\0\x04", "compressed by xz", "decompress it first, as `xz -d FILE`"),
        (b"BZh91AY&SY\0\x01", "compressed by bzip2", "decompress it first, as `bzip2 -d FILE`"),
        (
            b"[{\"user_id\": 1, \"city\": \"a\"}]\n",
            "JSON",
            "convert it, as `jq -r '.[] | [.user_id, .city] | @csv' FILE`, and put a header above",
        ),
        (
            b"<!DOCTYPE html>\n<html>",
            "an HTML page",
            "download the file itself: this may be a page that asks for a login",
        ),
        (&gzip(&gzip(csv)), "compressed twice", "decompress it once, as `gzip -d FILE`"),
        (&gzip(b"%PDF-1.7\n"), "a PDF", "export the table that it shows as CSV where it comes from"),
        (b"u\0\0\0s\0\0\0e\0\0\0", "encoded in UTF-32", "convert it, as `iconv -f utf-32 -t utf-8 FILE`"),
    ] {
        check_refused(bytes, &ReadOptions::default(), &format!("FILE: is {what}"), Some(hint));
    }
}

#[test]
fn utf_16_without_a_mark_is_named_and_then_read() {
    let text: Vec<u16> = "user_id,city\n1,Łódź\n".encode_utf16().collect();
    let little: Vec<u8> = text.iter().copied().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.iter().copied().flat_map(u16::to_be_bytes).collect();
    for (bytes, encoding, other) in [
        (little, encoding_rs::UTF_16LE, encoding_rs::UTF_16BE),
        (big, encoding_rs::UTF_16BE, encoding_rs::WINDOWS_1250),
    ] {
        let what = "FILE: is encoded in UTF-16, without a byte-order mark";
        let hint = format!("name the encoding, as `--encoding {}`", encoding.name().to_lowercase());
        check_refused(&bytes, &ReadOptions::default(), what, Some(&hint));
        check_refused(&bytes, &options(other), what, Some(&hint));
        let reading = read_bytes(&bytes, &options(encoding)).unwrap();
        assert_eq!(triples(&reading)[0].2.as_deref(), Some("Łódź"));
    }
    let what = "FILE: is not encoded in UTF-16";
    let hint = Some("leave out `--encoding utf-16be`");
    check_refused(b"user_id,city\n1,a\n", &options(encoding_rs::UTF_16BE), what, hint);
}

#[test]
fn utf_8_that_is_read_as_something_else_is_warned_of() {
    let warnings = |bytes: &[u8], encoding| {
        let reading = read_bytes(bytes, &options(encoding)).unwrap();
        reading.warnings.into_iter().map(|warning| warning.what).collect::<Vec<_>>()
    };
    let utf_8 = "user_id,city\n1,Łódź\n";
    let found = warnings(utf_8.as_bytes(), encoding_rs::WINDOWS_1250);
    let expected = ": is UTF-8, but was read as windows-1250: leave out `--encoding`";
    assert!(found.iter().any(|what| what.ends_with(expected)), "{found:?}");
    let (cp_1250, _, _) = encoding_rs::WINDOWS_1250.encode(utf_8);
    for (bytes, encoding) in [
        (utf_8.as_bytes(), encoding_rs::UTF_8),
        (&cp_1250, encoding_rs::WINDOWS_1250),
        (b"user_id,city\n1,a\n", encoding_rs::WINDOWS_1250),
    ] {
        assert_eq!(warnings(bytes, encoding), Vec::<String>::new());
    }
}

#[test]
fn a_code_page_is_suggested_where_the_bytes_speak_for_it() {
    let suggested = |text: &str, encoding: &'static encoding_rs::Encoding| {
        let (bytes, _, _) = encoding.encode(text);
        let reading = read_bytes(&bytes, &ReadOptions::default()).unwrap();
        let cause = reading.causes.into_iter().next().unwrap();
        assert!(
            cause.what.starts_with("bytes that are not text in the input's encoding; they look like"),
            "{}",
            cause.what
        );
        cause.what.split("`--encoding ").nth(1).map(|rest| rest.trim_end_matches('`').to_owned())
    };
    let polish = "user_id,attribute,value\n11,city,Łódź\n12,city,Gdańsk\n13,last_name,Wiśniewski\n14,city,Częstochowa\n";
    let german =
        "user_id,attribute,value\n11,city,Köln\n12,city,München\n13,last_name,Weiß\n14,city,Düsseldorf\n";
    for (text, encoding, name) in [
        (polish, encoding_rs::WINDOWS_1250, "windows-1250"),
        (polish, encoding_rs::ISO_8859_2, "iso-8859-2"),
        (german, encoding_rs::WINDOWS_1252, "windows-1252"),
    ] {
        assert_eq!(suggested(text, encoding).as_deref(), Some(name));
    }
    let reading = read_bytes(b"user_id,attribute,value\n1,city,a\xffb\n", &ReadOptions::default()).unwrap();
    assert_eq!(reading.causes[0].what, "bytes that are not text in the input's encoding");
}
