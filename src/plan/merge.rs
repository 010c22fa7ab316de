//! Merges columns of one attribute that have different users: each has its groups in the order of their values.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::column::{Column, ColumnConflicts, Groups, GroupsWriter, Ids, IdsWriter};
use super::memory_budget::MemoryBudget;
use super::resolve::Span;
use crate::spill::Store;

/// Bytes of a buffer, where columns are few; and where they are very many.
const LARGEST_BUFFER: u64 = 64 << 10;
const SMALLEST_BUFFER: u64 = 4 << 10;

/// One column, in a temporary file, of several whose users follow each other: within a value they ascend, as the columns
/// do. All of them are in the span.
pub(super) fn by_value(mut parts: Vec<Column>, span: Span, budget: &MemoryBudget) -> io::Result<Column> {
    let store = budget.columns()?;
    let last = parts.pop().expect("what is divided has rows");
    if parts.is_empty() {
        return last.store(&store);
    }
    let attribute = last.attribute;
    parts.push(last);
    let (ids, groups) = users_by_value(&parts, span, &store, budget)?;
    let sum = |of: fn(&Column) -> u64| parts.iter().map(of).sum();
    Ok(Column {
        attribute,
        ids,
        groups,
        rows: sum(|part| part.rows),
        conflicts: sum(|part| part.conflicts),
        disputed: sum(|part| part.disputed),
        conflict_list: ColumnConflicts::join(parts.iter().map(|part| &part.conflict_list), &store)?,
    })
}

fn users_by_value(
    parts: &[Column],
    span: Span,
    store: &Store,
    budget: &MemoryBudget,
) -> io::Result<(Ids, Groups)> {
    let buffer = (budget.bytes() / 2 / parts.len() as u64).clamp(SMALLEST_BUFFER, LARGEST_BUFFER);
    let buffer = usize::try_from(buffer).expect("a buffer fits memory");
    let users = parts.iter().map(Column::users).sum();
    let groups = parts.iter().map(|part| u64::from(part.groups.len())).sum();
    let mut ids_to = IdsWriter::new(store, users, span.smallest, span.largest, buffer);
    let mut groups_to = GroupsWriter::new(store, groups, buffer);

    let walks = parts
        .iter()
        .map(|part| (part.groups.walk(buffer), part.ids.walk_buffered(0..part.ids.len(), buffer)));
    let mut walks: Vec<_> = walks.collect();
    // The next group of each column, by value, and among equal ones by column.
    let mut next = BinaryHeap::new();
    for (part, (groups, _)) in walks.iter_mut().enumerate() {
        next.extend(groups.try_next()?.map(|(value, size)| Reverse((value, part, size))));
    }
    while let Some(Reverse((value, part, size))) = next.pop() {
        let (groups, ids) = &mut walks[part];
        for _ in 0..size {
            ids_to.push(ids.try_next()?.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        }
        if next.peek().is_none_or(|Reverse((other, ..))| *other != value) {
            groups_to.end(value, ids_to.len())?;
        }
        next.extend(groups.try_next()?.map(|(value, size)| Reverse((value, part, size))));
    }
    Ok((ids_to.seal()?, groups_to.seal()?))
}
