//! attrsync makes User.com agree with a CSV.

pub mod clock;
pub mod cli;
pub mod config;
pub mod deliver;
pub mod input;
pub mod ledger;
pub mod plan;
pub mod report;
pub mod sandbox;
