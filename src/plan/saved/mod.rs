//! Plans in files: written by one command, reviewed by people, sent by another command.
//!
//! A saved plan is text, with a JSON object on each line:
//!
//! 1. the header: what the file is, where the plan goes, what it was made from, and its figures ([`SavedHeader`]);
//! 2. a line for each request, in the order of sending. `body` is what is sent. `operation` is `standard` or `custom`.
//!    `input` is the value as the input has it, where that is not the text of the body's value;
//! 3. a line of kind `missing` for each request that would be sent if the account had its users, and that fails without
//!    being sent;
//! 4. the end: the number of requests, and the CRC-32 of all bytes before this line, so that a file which is damaged or
//!    cut off is noticed.
//!
//! ```json
//! {"format":"attrsync plan","version":1,"attrsync":"0.1.0","plan":{…}}
//! {"kind":"request","operation":"standard","body":{"ids":[10,15],"attribute":"country","value":"USA"}}
//! {"kind":"end","requests":1,"crc32":"0c1a2b3d"}
//! ```
//!
//! `kind` leaves room for lines of other kinds. A reader refuses a kind that it doesn't know.
//!
//! A plan that was read must send exactly what the file says. So it is written once more, and the result must have the
//! same checksum: the same batches in the same order, and each byte of each body. Whatever makes a difference, such as
//! another version of the program, is an error.
//!
//! Reading takes the memory of one line, and of the plan itself, which goes to temporary files when memory is short, as
//! any other plan does.

mod error;
mod figures;
mod header;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use error::SavedPlanError;
pub use figures::{Figures, SavedPlanning};
pub use header::{SavedHeader, SavedLedger, SavedSettings, SavedTarget};
pub use read::SavedPlan;

/// What the file is, in its first line.
const FORMAT: &str = "attrsync plan";

/// How all files of this format start, whatever their version.
const START: &[u8] = br#"{"format":"attrsync plan","version":"#;

/// The version of the format.
const VERSION: u32 = 1;

/// The kind of a line with a request.
const REQUEST: &str = "request";

/// The kind of a line with a request for users that the account doesn't have.
const MISSING: &str = "missing";

/// How the last line starts.
const END: &str = r#"{"kind":"end","#;
