//! Formats of e-mail addresses, phone numbers, time zones and URLs. The API documents little about these, so a value
//! that does not match gets only a warning.

/// E.164: a plus, then at most fifteen digits, the first not 0.
pub(super) fn phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (2..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// A name, one `@`, and a host with a dot; no space.
pub(super) fn email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| {
        let dotted = host.split('.').count() > 1 && host.split('.').all(|label| !label.is_empty());
        !name.is_empty() && dotted && !text.contains(char::is_whitespace) && !host.contains('@')
    })
}

/// `Area/City`, as the IANA database has it, or `UTC`.
pub(super) fn timezone(text: &str) -> bool {
    let word = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_uppercase())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+".contains(&byte))
    };
    matches!(text, "UTC" | "GMT") || (text.contains('/') && text.split('/').all(word))
}

/// `http://` or `https://`, and more.
pub(super) fn url(text: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            && text.len() > scheme.len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: fn(&str) -> bool, fitting: &[&str], others: &[&str]) {
        for text in fitting {
            assert!(shape(text), "{text:?}");
        }
        for text in others {
            assert!(!shape(text), "{text:?}");
        }
    }

    #[test]
    fn phone_numbers_are_international() {
        check(
            phone,
            &["+48123456789", "+12"],
            &["48123456789", "+0123", "+48 123", "+", "", "+1234567890123456"],
        );
    }

    #[test]
    fn e_mail_addresses_have_a_name_and_a_dotted_host() {
        check(
            email,
            &["a@b.pl", "jan.k+x@mail.example.com"],
            &["a@b", "@b.pl", "a b@c.pl", "a@@b.pl", "a@b..pl", ""],
        );
    }

    #[test]
    fn time_zones_are_named_as_by_iana() {
        check(
            timezone,
            &["Europe/Warsaw", "UTC", "Etc/GMT+1", "America/Argentina/Buenos_Aires"],
            &["CET+1", "warsaw", "Europe/", "+01:00", ""],
        );
    }

    #[test]
    fn addresses_of_pages_start_with_their_scheme() {
        check(url, &["http://x", "HTTPS://x.pl/ą"], &["x.pl", "https://", "ftp://x", ""]);
    }
}
