//! Settles an attribute that is too large to be settled at once: divides its users into ranges, settles one range after
//! the other, and merges what comes of them by value.
//!
//! Ranges are settled in ascending order. So within a value, users ascend if each range's are written after those of the
//! ranges before it.

use std::io;

use super::column::Column;
use super::memory_budget::MemoryBudget;
use super::merge;
use super::resolve::{Numbering, Span, UnresolvedRows};
use super::rows::{Rows, index};
use crate::spill::Store;

/// The most ranges to divide users into at a time, as a power of two: so many files are written to side by side.
const MOST_PARTS_BITS: u32 = 6;

/// Rows to divide before looking how much memory they take.
const STRIDE: u64 = 1 << 12;

pub(super) fn resolve(rows: UnresolvedRows<'_>, span: Span, budget: &MemoryBudget) -> io::Result<Column> {
    let mut settled = Vec::new();
    resolve_range(rows, span, budget, &budget.scratch()?, &mut settled)?;
    merge::by_value(settled, span, budget)
}

/// Settles the users of one range, in as many columns as it takes.
fn resolve_range(
    rows: UnresolvedRows<'_>,
    span: Span,
    budget: &MemoryBudget,
    store: &Store,
    settled: &mut Vec<Column>,
) -> io::Result<()> {
    if let Some(way) = rows.size(span).strategy(budget.bytes()) {
        settled.push(rows.resolve_in_memory(way, span)?.store(store)?);
        return Ok(());
    }
    let (attribute, values, on_conflict) = (rows.attribute, rows.values, rows.on_conflict);
    for part in divide(rows, span, budget)? {
        let part =
            UnresolvedRows { attribute, rows: part, values, numbering: Numbering::Planned, on_conflict };
        let span = part.span();
        resolve_range(part, span, budget, store, settled)?;
    }
    Ok(())
}

/// Rows by equal ranges of their users, ascending; only those that have any.
fn divide(rows: UnresolvedRows<'_>, span: Span, budget: &MemoryBudget) -> io::Result<Vec<Rows>> {
    let needed = rows.size(span).least_bytes().div_ceil(budget.bytes());
    let bits = (u64::BITS - needed.leading_zeros()).clamp(1, MOST_PARTS_BITS);
    let shift = (u64::BITS - span.reach().leading_zeros()).saturating_sub(bits);
    let mut parts: Vec<Rows> = Vec::new();
    parts.resize_with(index(span.reach() >> shift) + 1, Rows::default);
    let store = budget.scratch()?;
    let (mut taken, mut trouble) = (0_u64, None);
    rows.drain(|user, value| {
        if trouble.is_some() {
            return;
        }
        parts[index((user - span.smallest) >> shift)].push(user, value);
        taken += 1;
        if taken % STRIDE == 0 {
            let memory: usize = parts.iter().map(Rows::memory_bytes).sum();
            if memory as u64 > budget.bytes() / 2 {
                trouble = parts.iter_mut().try_for_each(|part| part.spill(&store)).err();
            }
        }
    })?;
    trouble.map_or(Ok(()), Err)?;
    parts.retain(|part| part.len() > 0);
    parts.iter_mut().try_for_each(|part| part.spill(&store))?;
    Ok(parts)
}
