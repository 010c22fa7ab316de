//! Counting and reporting: the consumer of events, the screens and the files that a run writes.

mod advice;
mod atomic_file;
mod command_line;
mod csv_encoder;
mod end_screen;
mod event_consumer;
mod exit_code;
mod failures;
mod finished_rows;
mod format;
mod formulas;
mod github;
mod history;
mod messages;
mod metrics;
mod page;
mod plan_screen;
mod progress;
mod reasons;
mod requests;
mod statistics;
mod stop_reason;
mod style;
mod summary;
mod table;
mod tally;
mod visible;
mod wrap;

pub use advice::Rerun;
pub use atomic_file::{AtomicFile, Discard, WriteError};
pub use command_line::command_line;
pub use end_screen::EndScreen;
pub use event_consumer::{Consumed, EventConsumer, RecordError};
pub use exit_code::ExitCode;
pub use failures::{FailuresReport, NotAccepted, ReportRow};
pub use finished_rows::FinishedRows;
pub use format::{counted, time, why_stopped};
pub use formulas::{formula_warning, is_formula};
pub use github::GithubReport;
pub use history::{RunScreen, RunsScreen, UserScreen};
pub use messages::Message;
pub use metrics::{LatencySummary, METRICS_TYPE, Metrics, Snapshot, last_success};
pub use page::Page;
pub use plan_screen::{PlanScreen, PlanningStats};
pub use progress::{
    AboveBar, AboveWriter, Bar, Beat, Heartbeat, NoProgress, Progress, ProgressState, PullSpeed, PullState,
    ReadingSpeed, ReadingState,
};
pub use reasons::{FailedRows, Reasons};
pub use requests::Requests;
pub use statistics::{AttributeCounts, Interval, Statistics, Timeline};
pub use stop_reason::StopReason;
pub use summary::RunSummary;
pub use tally::{Latency, Tally};
pub use visible::{Visible, is_invisible, visible_json};
