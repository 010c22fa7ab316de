//! Resolves the rows of one attribute: decides which row of each user counts, and groups the users by value.
//!
//! An attribute with more rows, users or values than the memory budget allows is resolved in parts: its users are
//! divided into ranges, each range is resolved by itself, and the results are merged by value. Ranges are resolved in
//! ascending order, so that the merge keeps the users of a value ascending.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::attribute_plan::AttributePlan;
use super::conflicts::{ConflictCollector, ConflictList};
use super::groups::{GroupWriter, ValueGroups};
use super::id_column::{IdColumn, IdWriter, Span};
use super::memory_budget::MemoryBudget;
use super::rows::AttributeRows;
use super::strategy::{SlotWidth, Strategy};
use super::unresolved_rows::{Numbering, UnresolvedRows};
use super::{dense, index, sparse};
use crate::spill::TempFile;

/// The most parts to divide users into at a time, as a power of two. Each part has open columns of its own.
const MOST_PARTS_BITS: u32 = 6;

/// Rows to divide between two checks of their memory.
const CHECK_INTERVAL: u64 = 1 << 12;

/// The buffer of each column while parts are merged, for few and for very many parts. Beyond 64 KiB reads get no
/// faster; below 4 KiB, a page, they get much slower.
const LARGEST_BUFFER: u64 = 64 << 10;
const SMALLEST_BUFFER: u64 = 4 << 10;

/// Columns that are read of each part: ids, and the ends and values of groups.
const COLUMNS_PER_PART: u64 = 3;

/// Fails if a temporary file cannot be written or read.
pub(super) fn resolve(rows: UnresolvedRows<'_>, budget: &MemoryBudget) -> io::Result<AttributePlan> {
    let span = rows.span();
    match rows.workload(span).strategy(budget.bytes()) {
        Some(strategy) => budget.store(resolve_in_memory(rows, strategy, span)?),
        None => resolve_in_parts(rows, span, budget),
    }
}

fn resolve_in_memory(rows: UnresolvedRows<'_>, strategy: Strategy, span: Span) -> io::Result<AttributePlan> {
    let (attribute, count, on_conflict) = (rows.attribute, rows.rows.len(), rows.on_conflict);
    let mut conflicts = ConflictCollector::new(on_conflict, attribute.name_bits());
    let resolved = match strategy {
        Strategy::Table(SlotWidth::One, grouping) => {
            dense::resolve::<u8>(rows, span, grouping, &mut conflicts)
        }
        Strategy::Table(SlotWidth::Two, grouping) => {
            dense::resolve::<u16>(rows, span, grouping, &mut conflicts)
        }
        Strategy::Table(SlotWidth::Four, grouping) => {
            dense::resolve::<u32>(rows, span, grouping, &mut conflicts)
        }
        Strategy::Sort(grouping) => sparse::resolve(rows, span, grouping, &mut conflicts),
    };
    Ok(AttributePlan::new(attribute, count, resolved?, conflicts))
}

fn resolve_in_parts(
    rows: UnresolvedRows<'_>,
    span: Span,
    budget: &MemoryBudget,
) -> io::Result<AttributePlan> {
    let mut resolved = Vec::new();
    resolve_range(rows, span, budget, &budget.scratch_file()?, &mut resolved)?;
    merge(resolved, span, budget)
}

/// Resolves the users of one range, in as many parts as necessary.
fn resolve_range(
    rows: UnresolvedRows<'_>,
    span: Span,
    budget: &MemoryBudget,
    file: &TempFile,
    resolved: &mut Vec<AttributePlan>,
) -> io::Result<()> {
    if let Some(strategy) = rows.workload(span).strategy(budget.bytes()) {
        let mut part = resolve_in_memory(rows, strategy, span)?;
        part.move_to(file)?;
        resolved.push(part);
        return Ok(());
    }
    let (attribute, values, on_conflict) = (rows.attribute, rows.values, rows.on_conflict);
    for part in divide(rows, span, budget)? {
        let part =
            UnresolvedRows { attribute, rows: part, values, numbering: Numbering::Planned, on_conflict };
        let span = part.span();
        resolve_range(part, span, budget, file, resolved)?;
    }
    Ok(())
}

/// Divides rows by equal ranges of their users, ascending, and returns the ranges that have any.
fn divide(rows: UnresolvedRows<'_>, span: Span, budget: &MemoryBudget) -> io::Result<Vec<AttributeRows>> {
    let parts = rows.workload(span).least_bytes().div_ceil(budget.bytes());
    let bits = (u64::BITS - parts.leading_zeros()).clamp(1, MOST_PARTS_BITS);
    let shift = (u64::BITS - span.reach().leading_zeros()).saturating_sub(bits);
    let mut parts: Vec<AttributeRows> = Vec::new();
    parts.resize_with(index(span.reach() >> shift) + 1, AttributeRows::default);
    let file = budget.scratch_file()?;
    let (mut taken, mut failure) = (0_u64, None);
    rows.drain(|user, value| {
        if failure.is_some() {
            return;
        }
        parts[index((user - span.smallest) >> shift)].push(user, value);
        taken += 1;
        if taken % CHECK_INTERVAL == 0 {
            let memory: usize = parts.iter().map(AttributeRows::memory_bytes).sum();
            if memory as u64 > budget.bytes() / 2 {
                failure = parts.iter_mut().try_for_each(|part| part.move_to(&file)).err();
            }
        }
    })?;
    failure.map_or(Ok(()), Err)?;
    parts.retain(|part| part.len() > 0);
    parts.iter_mut().try_for_each(|part| part.move_to(&file))?;
    Ok(parts)
}

/// Merges the parts of an attribute, whose users are in ascending ranges, into one plan in a temporary file.
fn merge(mut parts: Vec<AttributePlan>, span: Span, budget: &MemoryBudget) -> io::Result<AttributePlan> {
    let file = budget.plan_file()?;
    let mut last = parts.pop().expect("an attribute that is divided has rows");
    if parts.is_empty() {
        last.move_to(&file)?;
        return Ok(last);
    }
    let attribute = last.attribute;
    parts.push(last);
    let (ids, groups) = merge_by_value(&parts, span, &file, budget)?;
    let sum = |of: fn(&AttributePlan) -> u64| parts.iter().map(of).sum();
    Ok(AttributePlan {
        attribute,
        ids,
        groups,
        rows: sum(|part| part.rows),
        conflicts: sum(|part| part.conflicts),
        disputed: sum(|part| part.disputed),
        conflict_list: ConflictList::concat(parts.iter().map(|part| &part.conflict_list), &file)?,
    })
}

fn merge_by_value(
    parts: &[AttributePlan],
    span: Span,
    file: &TempFile,
    budget: &MemoryBudget,
) -> io::Result<(IdColumn, ValueGroups)> {
    let buffer = budget.bytes() / COLUMNS_PER_PART / parts.len() as u64;
    let buffer = usize::try_from(buffer.clamp(SMALLEST_BUFFER, LARGEST_BUFFER)).expect("64 KiB fit memory");
    let users = parts.iter().map(AttributePlan::users).sum();
    let groups = parts.iter().map(|part| u64::from(part.groups.len())).sum();
    let mut merged_ids = IdWriter::new(file, users, span, buffer);
    let mut merged_groups = GroupWriter::to_file(file, groups, buffer);

    let readers =
        parts.iter().map(|part| (part.groups.reader(buffer), part.ids.reader(0..part.ids.len(), buffer)));
    let mut readers: Vec<_> = readers.collect();
    // The next group of each part, by value, and by part where values are equal.
    let mut next = BinaryHeap::new();
    for (part, (groups, _)) in readers.iter_mut().enumerate() {
        next.extend(groups.try_next()?.map(|(value, users)| Reverse((value, part, users))));
    }
    while let Some(Reverse((value, part, users))) = next.pop() {
        let (groups, ids) = &mut readers[part];
        for _ in 0..users {
            merged_ids.push(ids.try_next()?.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        }
        if next.peek().is_none_or(|Reverse((other, ..))| *other != value) {
            merged_groups.push(value, merged_ids.len())?;
        }
        next.extend(groups.try_next()?.map(|(value, users)| Reverse((value, part, users))));
    }
    Ok((merged_ids.finish()?, merged_groups.finish()?))
}
