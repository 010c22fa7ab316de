//! The tests of the whole program and of its layers, in one binary.

mod architecture;
mod cli;
mod config;
mod deliver;
mod fixtures;
mod input;
mod ledger;
mod oracle;
mod plan;
#[cfg(feature = "postgres")]
mod postgres;
mod read_and_plan;
mod report;
mod sandbox;
