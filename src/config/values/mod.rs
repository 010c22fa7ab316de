//! Values as users write them: each parses from text, and prints as text that parses to itself.

mod choice;
mod columns;
mod delimiter;
mod encoding;
mod limit;
mod period;
mod share;
mod size;

pub use choice::{LogFormat, ProgressMode};
pub use columns::Columns;
pub use delimiter::Delimiter;
pub use encoding::Encoding;
pub use limit::Limit;
pub use period::Period;
pub use share::Share;
pub use size::Size;

use std::num::NonZeroU64;
use std::str::FromStr;

/// The least memory that planning can do with, in bytes.
pub(super) const LEAST_MEMORY: NonZeroU64 = NonZeroU64::new(16_000_000).expect("16 MB are not 0");

/// A whole number from 1.
pub(super) fn count<N: FromStr>(text: &str) -> Result<N, String> {
    text.trim().parse().ok().ok_or_else(|| format!("`{text}` is not valid: write a whole number from 1"))
}

/// A whole number from 0.
pub(super) fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.trim().parse().ok().ok_or_else(|| format!("`{text}` is not valid: write a whole number from 0"))
}

/// How much memory planning may take.
pub(super) fn memory(text: &str) -> Result<Size, String> {
    let least = Size(LEAST_MEMORY);
    let size = text.parse::<Size>()?;
    if size.0 < least.0 {
        return Err(format!("`{text}` is too little memory to plan with: write at least `{least}`"));
    }
    Ok(size)
}

/// A number of days. A number that is too large for a `u64` means no limit.
pub(super) fn days(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is not a number of days: write a whole number, as `90`"));
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// The value of an option that is on or off.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither `true` nor `false`")),
    }
}

/// How often `-v` is given.
pub(super) fn detail(text: &str) -> Result<u8, String> {
    match text {
        "0" => Ok(0),
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err(format!("`{text}` is not a level of detail: write `0`, `1` or `2`")),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_count_is_a_whole_number_from_1() {
        assert_eq!(count::<NonZeroU32>("500").unwrap().get(), 500);
        for text in ["0", "-1", "", "1.5", "4294967296", "many"] {
            let error = count::<NonZeroU32>(text).unwrap_err();
            assert!(error.contains("whole number from 1"), "{error}");
        }
    }

    #[test]
    fn planning_has_a_least_memory() {
        assert_eq!(memory("16MB").map(|size| size.0), Ok(LEAST_MEMORY));
        assert_eq!(memory("2GiB").map(|size| size.0.get()), Ok(2 << 30));
        assert_eq!(
            memory("15999kB").unwrap_err(),
            "`15999kB` is too little memory to plan with: write at least `16MB`"
        );
        assert!(memory("1024").unwrap_err().contains("is not a size"));
    }

    #[test]
    fn a_switch_is_on_or_off() {
        assert_eq!([switch("true"), switch("1")], [Ok(true), Ok(true)]);
        assert_eq!([switch("false"), switch("0")], [Ok(false), Ok(false)]);
        assert_eq!(switch("yes").unwrap_err(), "`yes` is neither `true` nor `false`");
    }
}
