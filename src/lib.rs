//! attrsync updates contacts in User.com from CSV files of (`user_id`, attribute, value): with as few mass updates as
//! possible, within the API's rate limit, and with every row accounted for.
//!
//! Data passes these layers in order:
//!
//! ```text
//! bytes ── input ──▶ rows ── plan ──▶ batches ── deliver ──▶ events ──▶ ledger, tally, reports
//!          (sync, parallel)  (pure)             (async)            (one consumer, in this order)
//! ```
//!
//! Each layer imports only layers to its left. A test checks this:
//!
//! [`clock`] ← [`spill`] ← [`input`] ← [`plan`] ← [`deliver`] ← [`ledger`] ← [`report`] ← [`config`] ← [`cli`]
//!
//! The [`sandbox`] imports no other layer, so that a mistake in one of them cannot be repeated on the server's side.
//!
//! # What always holds
//!
//! - Every row that is read has exactly one fate, and the run is an error if they don't add up ([`ledger::RowCounts`]).
//! - A wrong row is data; only a source that can't be read or understood is an error ([`input`]).
//! - The plan is settled before anything is sent: no two requests disagree about one user ([`plan`]).
//! - Every request, first or repeated, passes one limiter ([`deliver::Limiter`]); what to send next and what
//!   an answer means is decided in one place, without waiting or sending ([`deliver`]).
//! - Nobody fails for the words of an answer alone: a row is refused by itself, or others are accepted without it.
//! - What happened to a batch is data ([`deliver::Outcome`]). One consumer takes it, in the order in which it happened.
//! - Nothing is counted or shown as done before the [`ledger`] has it on the disk, where there is one; and a run that
//!   can't be recorded stops.
//! - The library prints nothing, never exits and reads no environment, outside [`cli`] and [`config`]; no clock, outside
//!   [`clock`].
//!
//! # What is deliberately absent
//!
//! - A queue of batches, and workers that sleep on one: a single dispatcher claims from the plan and starts requests, so
//!   that what happens has an order and a waiting batch holds up nobody.
//! - Retries, redirects or limits inside the HTTP client: they would pass the limiter and the count by.
//! - Guessing: no types, nulls or encodings are inferred from values.

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
