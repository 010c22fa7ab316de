//! When two values mean the same to the API.

use std::borrow::Cow;

use super::SentValue;

/// What a value means, as a text that is equal for values that mean the same: `male` and 2 for a gender, `True` and `1` for a
/// boolean, an e-mail address in any case, an empty text and null. The JSON type makes no difference, as the API shows a number
/// or a boolean for what was sent as text.
pub fn meaning<'v>(attribute: &str, value: &'v SentValue<'_>) -> Cow<'v, str> {
    let text: &str = match value {
        SentValue::Null => "",
        SentValue::Text(text) | SentValue::Json(text) => text,
    };
    match attribute {
        "email" => lowercase(text),
        "gender" => constant(text, &[("unknown", "1"), ("male", "2"), ("female", "3")]),
        "status" => constant(text, &[("visitor", "1"), ("user", "2")]),
        "notifications" | "unsubscribed" => constant(text, &[("1", "true"), ("0", "false")]),
        "assigned_to" | "company_id" | "score" => {
            text.trim().parse::<i64>().map_or(Cow::Borrowed(text), |number| Cow::Owned(number.to_string()))
        }
        _ => Cow::Borrowed(text),
    }
}

fn lowercase(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        Cow::Owned(text.to_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// A word in any case, or what stands for it.
fn constant<'t>(text: &'t str, names: &[(&str, &'static str)]) -> Cow<'t, str> {
    let word = lowercase(text);
    names.iter().find(|(name, _)| *name == word).map_or(word, |(_, number)| Cow::Borrowed(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> SentValue<'static> {
        match text {
            "null" => SentValue::Null,
            _ => match text.strip_prefix('=') {
                Some(token) => SentValue::Json(token.to_owned().into()),
                None => SentValue::Text(text.to_owned().into()),
            },
        }
    }

    #[test]
    fn values_agree_by_meaning() {
        for (attribute, one, other) in [
            ("gender", "2", "male"),
            ("gender", "=1", "Unknown"),
            ("gender", "=3", "female"),
            ("status", "1", "visitor"),
            ("status", "2", "user"),
            ("unsubscribed", "True", "=true"),
            ("notifications", "0", "=false"),
            ("score", "007", "=7"),
            ("email", "Ann@Example.com", "ann@example.COM"),
            ("city", "Łódź", "Łódź"),
            ("city", "", "null"),
            ("plan level", "3", "=3"),
        ] {
            assert_eq!(
                meaning(attribute, &value(one)),
                meaning(attribute, &value(other)),
                "{attribute} {one} {other}"
            );
        }
        for (attribute, one, other) in [
            ("gender", "2", "female"),
            ("city", "2", "male"),
            ("city", "Oslo", "oslo"),
            ("city", "007", "7"),
            ("score", "=7", "null"),
        ] {
            assert_ne!(
                meaning(attribute, &value(one)),
                meaning(attribute, &value(other)),
                "{attribute} {one} {other}"
            );
        }
    }
}
