//! Values that are one of a few words.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::input::{Empty, IdType, Layout};
use crate::plan::OnConflict;

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar on a terminal, else a line every 10 seconds; nothing with `--quiet`.
    #[default]
    Auto,
    /// The same with `--quiet`, too.
    Always,
    /// Not at all.
    Never,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Not derived, because most of these types belong to other layers, and `derive` would put their documentation into the
/// help.
macro_rules! words {
    ($choice:ty: $($variant:ident = $word:literal),+) => {
        impl ValueEnum for $choice {
            fn value_variants<'a>() -> &'a [Self] {
                &[$(Self::$variant),+]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(PossibleValue::new(match self { $(Self::$variant => $word),+ }))
            }
        }
    };
}

words!(ProgressMode: Auto = "auto", Always = "always", Never = "never");
words!(LogFormat: Text = "text", Json = "json");
words!(Layout: Long = "long", Wide = "wide", Auto = "auto");
words!(IdType: Id = "id", CustomId = "custom-id");
words!(Empty: Reject = "reject", Skip = "skip", Send = "send");
words!(OnConflict: Last = "last", First = "first", Error = "error");
