//! From batches to answers.

mod event;
mod options;

pub use event::{Answer, End, Event, Held, Outcome, Pulse, Purpose, Reason, Stop};
pub use options::{Options, Rate};
