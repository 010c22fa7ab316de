//! Chooses the users whose rows are sent first.

use std::sync::Arc;

use super::console::Console;
use super::failure::{Failure, blocking};
use crate::deliver::Canary;
use crate::plan::Plan;
use crate::report::Message;

/// How many attributes the warning names.
const MOST_NAMES: usize = 10;

/// Chooses this many users, and says which attributes they don't have.
pub(super) async fn choose_canary(
    plan: &Arc<Plan>,
    users: usize,
    console: Console,
) -> Result<Canary, Failure> {
    let plan = Arc::clone(plan);
    let canary = blocking("choosing the first users", move || Canary::choose(&plan, users)).await?;
    let uncovered = canary.uncovered();
    if !uncovered.is_empty() {
        let (named, others) = uncovered.split_at(uncovered.len().min(MOST_NAMES));
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        let names = named.join("`, `");
        let warning = format!("`--canary {users}` is too small to test `{names}`{more}");
        let enough = format!("use `--canary {}` to test each attribute", canary.needed());
        console.warning(&Message::warning(warning).with_hint(enough));
    }
    Ok(canary)
}
