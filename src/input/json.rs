//! Values as JSON: which texts can be written as which type, and how. Checking and sending both use this.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::rules::Rule;

/// The JSON type of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JsonType {
    /// A string, exactly as in the input.
    #[default]
    String,
    /// An integer.
    Integer,
    /// A floating-point number.
    Float,
    /// `true` or `false`.
    Boolean,
}

impl JsonType {
    /// Whether a text can be written as this type.
    pub fn admits(self, text: &str) -> bool {
        self.token(text).is_ok()
    }

    /// The JSON token of a text. For types other than strings, `+05`, ` 5` and `True` mean what they say.
    pub(super) fn token(self, text: &str) -> Result<Cow<'_, str>, Rule> {
        let bare = text.trim();
        match self {
            Self::String => Ok(Cow::Owned(serde_json::Value::from(text).to_string())),
            Self::Integer => {
                bare.parse::<i64>().ok().map(|number| number.to_string().into()).ok_or(Rule::JsonInteger)
            }
            Self::Float => float(bare).ok_or(Rule::JsonFloat),
            Self::Boolean => boolean(bare).map(Cow::Borrowed).ok_or(Rule::JsonBoolean),
        }
    }

    /// The JSON token of a text. If it cannot be written as this type, it is sent as a string, for the server to judge.
    pub fn write(self, text: &str) -> Cow<'_, str> {
        self.token(text).or_else(|_| Self::String.token(text)).unwrap_or_default()
    }

    /// Equal for tokens that mean the same: for floats, their digits and exponent.
    pub(super) fn identity(self, token: &str) -> Cow<'_, str> {
        match self {
            Self::Float if !token.starts_with('"') => decimal(token).map_or(Cow::Borrowed(token), Cow::Owned),
            _ => Cow::Borrowed(token),
        }
    }
}

/// The text itself if it is JSON, so that no digit is lost; otherwise the nearest double: `.5` is 0.5.
fn float(text: &str) -> Option<Cow<'_, str>> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    if serde_json::from_str::<serde_json::Number>(text).is_ok() {
        return Some(Cow::Borrowed(text));
    }
    Some(Cow::Owned(serde_json::Value::from(number).to_string()))
}

fn boolean(text: &str) -> Option<&'static str> {
    let is = |word: &&str| text.eq_ignore_ascii_case(word);
    if ["true", "1"].iter().any(is) {
        return Some("true");
    }
    ["false", "0"].iter().any(is).then_some("false")
}

/// A JSON number as its digits, without zeros at either end, and an exponent: `5.0`, `50e-1` and `5` are `5e0`.
fn decimal(number: &str) -> Option<String> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |digits| ("-", digits));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    let significant = digits.trim_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let shift = i64::try_from(zeros).ok()? - i64::try_from(part.len()).ok()?;
    let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
    Some(format!("{sign}{significant}e{exponent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_reads_what_is_meant_by_it() {
        for (json, text, token) in [
            (JsonType::Integer, "5", Some("5")),
            (JsonType::Integer, "005", Some("5")),
            (JsonType::Integer, "+5", Some("5")),
            (JsonType::Integer, " 5\t", Some("5")),
            (JsonType::Integer, "-0", Some("0")),
            (JsonType::Integer, "-07", Some("-7")),
            (JsonType::Integer, "9223372036854775808", None),
            (JsonType::Integer, "5.0", None),
            (JsonType::Integer, "", None),
            (JsonType::Float, "42.50", Some("42.50")),
            (JsonType::Float, " .5", Some("0.5")),
            (JsonType::Float, "+5", Some("5.0")),
            (JsonType::Float, "1e999", None),
            (JsonType::Float, "inf", None),
            (JsonType::Boolean, "True", Some("true")),
            (JsonType::Boolean, " 0 ", Some("false")),
            (JsonType::Boolean, "yes", None),
            (JsonType::String, " 5", Some("\" 5\"")),
        ] {
            assert_eq!(json.token(text).ok().as_deref(), token, "{json:?} {text:?}");
            assert_eq!(json.admits(text), token.is_some());
        }
        assert_eq!(JsonType::Integer.write("many"), "\"many\"");
    }

    #[test]
    fn floats_are_the_same_however_they_are_written() {
        let same = |texts: &[&str]| {
            let identity = |text: &&str| JsonType::Float.identity(&JsonType::Float.write(text)).into_owned();
            texts.iter().map(identity).collect::<std::collections::HashSet<_>>().len()
        };
        assert_eq!(same(&["5", "5.0", "5e0", "50e-1", "0.5e1", "+5", " 5.", "5E+0"]), 1);
        assert_eq!(same(&["0", "0.0", "0e9", "-0"]), 1);
        assert_eq!(same(&["5", "-5", "50", "0.5", "5.0000000000000000001"]), 5);
    }
}
