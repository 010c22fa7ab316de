//! `PostgreSQL` 15 or newer, for runs on more than one machine.
//!
//! - `address` parses `postgres://…`, and is the only place that knows the password;
//! - `tls` says which certificates are trusted;
//! - `background` is the thread that all connections live on;
//! - `store` has the ledger's rows: `tables` reads and changes them by `statements`, `schema` creates their tables, and `lease` is
//!   the right to write them;
//! - `session` is one connection, made again when it is lost; `parameter` and `error` are what goes in and comes out;
//! - `quota` shares one rate between processes.
//!
//! Nothing outlives a transaction on the server's side, so all of this works through a pooler in transaction mode:
//! statements have no names, types are built in, and there are no settings of a session.

mod address;
mod background;
mod error;
mod lease;
mod leased_rate;
mod parameter;
mod quota;
#[cfg(test)]
mod said;
mod schema;
mod session;
mod statements;
mod store;
mod tables;
mod tls;

pub use address::{Access, Address, DEFAULT_SCHEMA, Host};
pub use background::Background;
pub use error::DatabaseError;
pub use parameter::Parameter;
pub use quota::Quota;
pub use session::{Session, Statement};
pub(super) use store::PostgresStore;
pub use tokio_postgres::Row;
