//! What becomes of a body before anything reads it: it is decompressed, and the key is taken out.

use std::io::Read as _;

use bytes::Bytes;

/// Replaces the key where a server repeats it.
pub(super) const REDACTED: &str = "[key]";

/// Decompresses the body, as some servers compress it unasked. If that is not possible, the returned body says so.
pub(super) fn decoded(body: Bytes, encoding: Option<&str>, most: usize) -> Bytes {
    if body.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        // What comes before an error, as where only the beginning was read, is worth having.
        drop(flate2::read::MultiGzDecoder::new(&*body).take(most).read_to_end(&mut plain));
        return plain.into();
    }
    match encoding.map(str::trim).filter(|name| !["", "identity", "gzip", "x-gzip"].contains(name)) {
        Some(name) if !body.is_empty() => {
            format!("the answer is compressed as `{name}`, which was not asked for").into()
        }
        _ => body,
    }
}

/// The body without the key, because bodies are shown in reports and logs. The key may also be written with JSON escapes.
pub(super) fn without(body: Bytes, token: &str) -> Bytes {
    let has_key = |body: &[u8]| memchr::memmem::find(body, token.as_bytes()).is_some();
    let body = if has_key(&body) {
        Bytes::from(String::from_utf8_lossy(&body).replace(token, REDACTED))
    } else {
        body
    };
    if memchr::memmem::find(&body, b"\\u").is_some()
        && let Ok(json) = serde_json::from_slice::<serde_json::Value>(&body)
    {
        let plain = json.to_string();
        if has_key(plain.as_bytes()) {
            return plain.replace(token, REDACTED).into();
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_can_not_be_decompressed_says_so_unless_it_is_empty() {
        let of = |body: &'static [u8], encoding| decoded(Bytes::from_static(body), encoding, 100);
        assert_eq!(of(b"x", Some("br")), "the answer is compressed as `br`, which was not asked for");
        for (body, encoding) in [("", Some("br")), ("x", Some(" identity")), ("x", Some("gzip")), ("x", None)]
        {
            assert_eq!(of(body.as_bytes(), encoding), body);
        }
    }

    #[test]
    fn a_key_that_the_server_repeats_is_taken_out() {
        let said = without(Bytes::from_static(b"bad Token abc, abc!"), "abc");
        assert_eq!(said, "bad Token [key], [key]!");
        assert_eq!(without(Bytes::from_static(b"\xffbad"), "abc"), Bytes::from_static(b"\xffbad"));
        let escaped = Bytes::from_static(br#"{"detail": "bad \u0061\u0062c"}"#);
        assert_eq!(without(escaped, "abc"), r#"{"detail":"bad [key]"}"#);
        let both = Bytes::from_static(br#"{"detail": "bad abc", "key": "\u0061bc"}"#);
        assert_eq!(without(both, "abc"), r#"{"detail":"bad [key]","key":"[key]"}"#);
    }
}
