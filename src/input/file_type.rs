//! Recognizes files that are not CSV by their first bytes.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use super::invisible::trim;

/// What a file is if not CSV, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileType {
    /// Completes a sentence that starts with `is`.
    pub(super) what: &'static str,
    pub(super) hint: &'static str,
}

const fn file_type(what: &'static str, hint: &'static str) -> FileType {
    FileType { what, hint }
}

const SAVE_AS: &str = "open it in the spreadsheet program and save the sheet as CSV (UTF-8)";
const EXPORT: &str = "export it as CSV";

const ZIP: &[u8] = b"PK\x03\x04";

/// File types by their first bytes.
const BINARY: [(&[u8], FileType); 14] = [
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", file_type("an Excel workbook (.xls)", SAVE_AS)),
    (b"PK\x05\x06", file_type("an empty zip archive", "name the file that was to be in it")),
    (b"\xfd7zXZ\0", file_type("compressed by xz", "decompress it first, as `xz -d FILE`")),
    (b"7z\xbc\xaf\x27\x1c", file_type("a 7z archive", "unpack it first, as `7z x FILE`")),
    (b"Rar!\x1a\x07", file_type("a RAR archive", "unpack it first, as `unrar x FILE`")),
    (b"\x04\x22\x4d\x18", file_type("compressed by lz4", "decompress it first, as `lz4 -d FILE`")),
    (b"\x1f\x9d", file_type("compressed by compress", "decompress it first, as `uncompress FILE`")),
    (b"\x1f\x8b", file_type("compressed twice", "decompress it once, as `gzip -d FILE`")),
    (b"\x28\xb5\x2f\xfd", file_type("compressed twice", "decompress it once, as `zstd -d FILE`")),
    (
        b"SQLite format 3\0",
        file_type("an SQLite database", "export a table, as `sqlite3 -csv -header FILE 'SELECT …'`"),
    ),
    (b"%PDF-", file_type("a PDF", "export the table that it shows as CSV where it comes from")),
    (b"Obj\x01", file_type("an Avro file", EXPORT)),
    (b"\xff\xfe\0\0", file_type("encoded in UTF-32", "convert it, as `iconv -f utf-32 -t utf-8 FILE`")),
    (b"\0\0\xfe\xff", file_type("encoded in UTF-32", "convert it, as `iconv -f utf-32 -t utf-8 FILE`")),
];

/// File types whose first bytes could also be the name of a column. They apply if bytes follow that no text has.
const MIXED: [(&[u8], FileType); 4] = [
    (b"PAR1", file_type("a Parquet file", EXPORT)),
    (b"ARROW1", file_type("an Arrow file", EXPORT)),
    (b"ORC", file_type("an ORC file", EXPORT)),
    (b"BZh", file_type("compressed by bzip2", "decompress it first, as `bzip2 -d FILE`")),
];

/// The type of a file, if it cannot be CSV in any encoding.
pub(super) fn of_bytes(start: &[u8]) -> Option<FileType> {
    if start.starts_with(ZIP) {
        let has = |name: &[u8]| memchr::memmem::find(start, name).is_some();
        return Some(if has(b"[Content_Types].xml") || has(b"xl/") {
            file_type("an Excel workbook (.xlsx)", SAVE_AS)
        } else if has(b"opendocument.spreadsheet") {
            file_type("an OpenDocument spreadsheet (.ods)", SAVE_AS)
        } else {
            file_type("a zip archive", "unpack it first, as `unzip FILE`")
        });
    }
    let is_binary = || start.iter().any(|byte| *byte < b'\t');
    let mixed = MIXED.iter().filter(|_| is_binary());
    let found = BINARY.iter().chain(mixed).find(|(magic, _)| start.starts_with(magic));
    if let Some((_, file_type)) = found {
        return Some(*file_type);
    }
    match start {
        [first, 0, 0, 0, second, 0, 0, 0, ..] | [0, 0, 0, first, 0, 0, 0, second, ..]
            if first.is_ascii_graphic() && second.is_ascii_graphic() =>
        {
            Some(file_type("encoded in UTF-32", "convert it, as `iconv -f utf-32 -t utf-8 FILE`"))
        }
        _ => None,
    }
}

/// The encoding of UTF-16 without a byte-order mark.
pub(super) fn utf_16(start: &[u8]) -> Option<&'static Encoding> {
    match start {
        [first, 0, second, 0, ..] if first.is_ascii() && second.is_ascii_graphic() => Some(UTF_16LE),
        [0, first, 0, second, ..] if first.is_ascii() && second.is_ascii_graphic() => Some(UTF_16BE),
        _ => None,
    }
}

/// The type of a text whose first line is not a header.
pub(super) fn of_text(start: &[u8]) -> Option<FileType> {
    let start = trim(start.get(..1024).unwrap_or(start));
    let is = |tag: &[u8]| start.get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag));
    if is(b"{\\rtf") {
        return Some(file_type("a text document (RTF)", EXPORT));
    }
    if is(b"{") || is(b"[") {
        let hint = "convert it, as `jq -r '.[] | [.user_id, .city] | @csv' FILE`, and put a header above";
        return Some(file_type("JSON", hint));
    }
    if is(b"<!doctype html") || is(b"<html") {
        return Some(file_type(
            "an HTML page",
            "download the file itself: this may be a page that asks for a login",
        ));
    }
    is(b"<").then_some(file_type("XML", EXPORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_files_are_known_by_their_first_bytes() {
        for (start, what) in [
            (&b"PK\x03\x04\x14\0\0\0\x08\0..[Content_Types].xml"[..], "an Excel workbook (.xlsx)"),
            (
                b"PK\x03\x04\x14\0mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
                "an OpenDocument spreadsheet (.ods)",
            ),
            (b"PK\x03\x04\x14\0users.csv", "a zip archive"),
            (b"PAR1\x15\x04", "a Parquet file"),
            (b"BZh91AY&SY\0", "compressed by bzip2"),
            (b"SQLite format 3\0\x10\0", "an SQLite database"),
            (b"u\0\0\0s\0\0\0", "encoded in UTF-32"),
            (b"\0\0\0u\0\0\0s", "encoded in UTF-32"),
            (b"\xff\xfe\0\0u\0\0\0", "encoded in UTF-32"),
        ] {
            assert_eq!(of_bytes(start).map(|file_type| file_type.what), Some(what));
        }
        for text in [&b"PAR1,city\n"[..], b"BZh,x\n", b"user_id,city\n", b"\xff\xfeu\0", b"u\0s\0", b""] {
            assert_eq!(of_bytes(text), None);
        }
    }

    #[test]
    fn utf_16_is_known_by_its_zeros() {
        assert_eq!(utf_16(b"u\0s\0e\0"), Some(UTF_16LE));
        assert_eq!(utf_16(b"\0u\0s\0e"), Some(UTF_16BE));
        assert_eq!(utf_16(b"user"), None);
    }

    #[test]
    fn other_texts_are_known_by_their_first_characters() {
        for (text, what) in [
            (&b" [{\"user_id\": 1}]"[..], Some("JSON")),
            (b"{\"user_id\": 1}", Some("JSON")),
            (b"<!DOCTYPE HTML>", Some("an HTML page")),
            (b"<?xml version='1.0'?>", Some("XML")),
            (b"{\\rtf1", Some("a text document (RTF)")),
            (b"user,city", None),
        ] {
            assert_eq!(of_text(text).map(|file_type| file_type.what), what);
        }
    }
}
