//! The oracle of the tests: what reading and planning should come to, without a line of the program's own.

#[path = "../../../tests/it/oracle/planning.rs"]
mod planning;
#[path = "../../../tests/it/oracle/reading.rs"]
mod reading;

pub(crate) use planning::Expected;
pub(crate) use reading::read;

/// A row: user, attribute, and value, where `None` clears the attribute.
pub(crate) type Triple = (String, String, Option<String>);
