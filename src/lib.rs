//! attrsync updates contacts in User.com from CSV files of (`user_id`, attribute, value): with as few mass updates as
//! possible, within the API's rate limit, and with every row accounted for.
//!
//! Data passes these layers in order:
//!
//! ```text
//! bytes ── input ──▶ rows ── plan ──▶ batches ── deliver ──▶ events ──▶ ledger, counts, reports
//!          (sync, parallel)  (pure)             (async)            (one consumer, in this order)
//! ```
//!
//! Each layer imports only layers to its left. A test checks this:
//!
//! [`clock`] ← [`spill`] ← [`input`] ← [`plan`] ← [`deliver`] ← [`ledger`] ← [`report`] ← [`config`] ← [`cli`]
//!
//! The [`sandbox`] imports no other layer, so that a mistake in one of them cannot be repeated on the server's side.
//!
//! # Invariants
//!
//! - Every row that is read has exactly one fate. If the counts don't add up, the run fails ([`ledger::RowCounts`]).
//! - An invalid row is data. Only an input that can't be read or understood is an error ([`input`]).
//! - The plan is complete before anything is sent. No two requests disagree about a user ([`plan`]).
//! - Every request, first or repeated, passes one limiter ([`deliver::Limiter`]). What to send next, and what an answer
//!   means, is decided in one place that neither waits nor sends ([`deliver`]).
//! - No row fails because of an error message alone. Either it was refused by itself, or others were accepted without it.
//! - What happened to a batch is data ([`deliver::Outcome`]). One consumer takes these events in their order
//!   ([`report::EventConsumer`]).
//! - If there is a [`ledger`], it has a row on the disk before the row is counted or shown as done. A run that can't be
//!   recorded stops.
//! - Only [`cli`] prints. Only [`cli`] and [`config`] read the environment. Only [`clock`] reads a clock.
//!
//! # Deliberately absent
//!
//! - A queue of batches with workers. One dispatcher takes batches from the plan and starts requests, so events have an
//!   order, and a batch that waits holds up no other one.
//! - Retries, redirects or limits in the HTTP client. They would bypass the limiter and the counts.
//! - Guessing. Types, nulls and encodings are not inferred from values.

pub mod cli;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod input;
pub mod ledger;
pub mod plan;
pub mod report;
pub mod sandbox;
pub mod spill;
