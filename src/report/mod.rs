//! What a run tells: the tally, the screen and the files.

mod advice;
mod clerk;
mod closing;
mod draft;
mod exit_code;
mod failures;
mod fates;
mod history;
mod messages;
mod plan_screen;
mod progress;
mod reasons;
mod settled;
mod style;
mod summary;
mod table;
mod tally;
mod wording;

pub use advice::Rerun;
pub use clerk::Clerk;
pub use closing::Closing;
pub use draft::{Draft, Unwritten};
pub use exit_code::ExitCode;
pub use failures::{FailuresReport, Lost, LostRow};
pub use fates::{Fates, Requests};
pub use history::{RunScreen, RunsScreen, UserScreen};
pub use messages::Message;
pub use plan_screen::{Effort, PlanScreen};
pub use progress::{AboveBar, AboveWriter, Bar, Heartbeat, Progress, Silence, State};
pub use reasons::{Failure, Reasons};
pub use settled::Settled;
pub use summary::Summary;
pub use tally::{Latency, Tally};
pub use wording::{counted, why_stopped};
