//! What reading and planning should come to, found the plain way: byte by byte, with maps and sorting, and without a line
//! of the program's own.

mod hostile;
mod planning;
mod reading;

pub(crate) use hostile::{hostile, hostile_lines};
pub(crate) use planning::Expected;
pub(crate) use reading::read;

/// A row: user, attribute, and value, where `None` clears the attribute.
pub(crate) type Triple = (String, String, Option<String>);
