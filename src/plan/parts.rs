//! Settles an attribute that is too large to be settled at once: divides its users into ranges, settles one range after
//! the other, and merges what comes of them by value.
//!
//! Ranges are settled in ascending order. So within a value, users ascend if each range's are written after those of the
//! ranges before it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::OnConflict;
use super::column::{Column, Disagreements, GroupsWriter, IdsWriter};
use super::conflict::EXAMPLES;
use super::room::Room;
use super::rows::{Rows, index};
use super::settle::{Naming, Span, Unsettled};
use crate::spill::Store;

/// The most ranges to divide users into at a time, as a power of two: so many files are written to side by side.
const MOST_PARTS_BITS: u32 = 6;

/// Rows to divide before looking how much memory they take.
const STRIDE: u64 = 1 << 12;

/// Bytes of a buffer while columns are merged, where these are few; and where they are very many.
const LARGEST_BUFFER: u64 = 64 << 10;
const SMALLEST_BUFFER: u64 = 4 << 10;

pub(super) fn settle(rows: Unsettled<'_>, span: Span, room: &Room) -> io::Result<Column> {
    let on_conflict = rows.on_conflict;
    let mut settled = Vec::new();
    settle_range(rows, span, room, &room.scratch()?, &mut settled)?;
    merge(settled, span, on_conflict, room)
}

/// Settles the users of one range, in as many columns as it takes.
fn settle_range(
    rows: Unsettled<'_>,
    span: Span,
    room: &Room,
    store: &Store,
    settled: &mut Vec<Column>,
) -> io::Result<()> {
    if let Some(way) = rows.size(span).way(room.bytes()) {
        settled.push(rows.settle_at_once(way, span)?.store(store)?);
        return Ok(());
    }
    let (attribute, values, on_conflict) = (rows.attribute, rows.values, rows.on_conflict);
    for part in divide(rows, span, room)? {
        let part = Unsettled { attribute, rows: part, values, naming: Naming::Planned, on_conflict };
        let span = part.span();
        settle_range(part, span, room, store, settled)?;
    }
    Ok(())
}

/// Rows by equal ranges of their users, ascending; only those that have any.
fn divide(rows: Unsettled<'_>, span: Span, room: &Room) -> io::Result<Vec<Rows>> {
    let needed = rows.size(span).least_bytes().div_ceil(room.bytes());
    let bits = (u64::BITS - needed.leading_zeros()).clamp(1, MOST_PARTS_BITS);
    let shift = (u64::BITS - span.reach().leading_zeros()).saturating_sub(bits);
    let mut parts: Vec<Rows> = Vec::new();
    parts.resize_with(index(span.reach() >> shift) + 1, Rows::default);
    let store = room.scratch()?;
    let (mut taken, mut trouble) = (0_u64, None);
    rows.drain(|user, value| {
        if trouble.is_some() {
            return;
        }
        parts[index((user - span.smallest) >> shift)].push(user, value);
        taken += 1;
        if taken % STRIDE == 0 {
            let memory: usize = parts.iter().map(Rows::memory_bytes).sum();
            if memory as u64 > room.bytes() / 2 {
                trouble = parts.iter_mut().try_for_each(|part| part.spill(&store)).err();
            }
        }
    })?;
    trouble.map_or(Ok(()), Err)?;
    parts.retain(|part| part.len() > 0);
    parts.iter_mut().try_for_each(|part| part.spill(&store))?;
    Ok(parts)
}

/// One column of several that follow each other, each having other users than the others.
fn merge(mut parts: Vec<Column>, span: Span, on_conflict: OnConflict, room: &Room) -> io::Result<Column> {
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return only.store(&room.columns()?);
    }
    let first = parts.first().expect("what is divided has rows");
    let attribute = first.attribute;
    let (users, groups) = parts
        .iter()
        .fold((0, 0), |(users, groups), part| (users + part.users(), groups + u64::from(part.groups.len())));
    let buffer = (room.bytes() / 2 / parts.len() as u64).clamp(SMALLEST_BUFFER, LARGEST_BUFFER);
    let buffer = usize::try_from(buffer).expect("a buffer fits memory");

    let store = room.columns()?;
    let mut ids_to = IdsWriter::new(&store, users, span.smallest, span.largest, buffer);
    let mut groups_to = GroupsWriter::new(&store, groups, buffer);
    let mut walks: Vec<_> = parts
        .iter()
        .map(|part| (part.groups.walk(buffer), part.ids.walk_buffered(0..part.ids.len(), buffer)))
        .collect();
    // By value, and among equal ones by part.
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
    drop(walks);

    let sum = |of: fn(&Column) -> u64| parts.iter().map(of).sum();
    let (rows, conflicts) = (sum(|part| part.rows), sum(|part| part.conflicts));
    let disputed = sum(|part| part.disputed);
    let disagreements = match on_conflict {
        OnConflict::Last | OnConflict::First => {
            let all = parts.iter().flat_map(|part| part.disagreements.iter());
            Disagreements::Memory(all.take(EXAMPLES).collect())
        }
        OnConflict::Error => {
            let all: Vec<_> = parts.iter().map(|part| &part.disagreements).collect();
            Disagreements::join(&all, &store)?
        }
    };
    let (ids, groups) = (ids_to.seal()?, groups_to.seal()?);
    Ok(Column { attribute, ids, groups, rows, conflicts, disputed, disagreements })
}
