//! What must hold of every encoding.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::groups::{Groups, Malformed, Source, write};
use super::rows::{
    AttributeRow, Doubt, EntryHeader, Field, Fields, JournalEntry, LedgerState, PriorPart, PullRow, Record,
    RunRow, TargetRow,
};
use super::varint;
use crate::choices::Choices;
use crate::plan::{SentValue, User};

/// A group, decoded.
type Decoded = (Source, Option<SentValue<'static>>, Vec<User<'static>>);

/// Bytes are refused, or what they mean is the same after it was written again.
pub(crate) fn check_any_groups(bytes: &[u8]) {
    let Ok(groups) = decoded(bytes) else { return };
    let written = encoded(&groups);
    assert_eq!(decoded(&written).as_ref(), Ok(&groups));
    assert!(written.len() <= bytes.len(), "{} bytes became {}", bytes.len(), written.len());
}

/// What was written is read as it was, and refused if its end is missing.
pub(crate) fn check_written_groups(mut choices: Choices<'_>) {
    let cut = usize::from(choices.byte());
    let mut groups = Vec::new();
    let mut bytes = choices.rest();
    while !bytes.is_empty() {
        let Some(group) = group(&mut bytes) else { break };
        groups.push(group);
    }
    let written = encoded(&groups);
    assert_eq!(decoded(&written).as_ref(), Ok(&groups));
    let Some(last) = groups.pop() else { return };
    let whole = encoded(&groups).len();
    // A part of the last group is none.
    let cut = whole + 1 + cut % (encoded(&[last]).len() - 1).max(1);
    assert!(cut >= written.len() || decoded(&written[..cut]).is_err(), "cut off at byte {cut}");
}

fn group(bytes: &mut &[u8]) -> Option<Decoded> {
    let kind = *bytes.split_off_first()?;
    let number = varint::read(bytes)?;
    let source = match u32::try_from(number) {
        Ok(attempts) if kind & 1 == 0 => Source::Sent { attempts },
        _ => Source::Read { run: number },
    };
    let text = |bytes: &mut &[u8]| -> Option<String> {
        let len = usize::from(bytes.split_off_first()? % 16);
        Some(String::from_utf8_lossy(bytes.split_off(..len)?).into_owned())
    };
    let value = match kind >> 1 & 3 {
        0 => None,
        1 => Some(SentValue::Null),
        2 => Some(SentValue::Text(text(bytes)?.into())),
        _ => Some(SentValue::Json(text(bytes)?.into())),
    };
    let count = kind >> 4;
    let users = if kind & 8 == 0 {
        let ids: BTreeSet<u64> = (0..count).filter_map(|_| varint::read(bytes)).collect();
        ids.into_iter().map(User::Id).collect()
    } else {
        let ids: BTreeSet<String> = (0..count).filter_map(|_| text(bytes)).collect();
        ids.into_iter().map(|id| User::Custom(id.into())).collect()
    };
    Some((source, value, users))
}

fn encoded(groups: &[Decoded]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (source, value, users) in groups {
        write(*source, value.as_ref(), users.iter().map(borrowed), &mut bytes);
    }
    bytes
}

fn borrowed<'a>(user: &'a User<'static>) -> User<'a> {
    match user {
        User::Id(id) => User::Id(*id),
        User::Custom(id) => User::Custom(Cow::Borrowed(id)),
    }
}

fn decoded(bytes: &[u8]) -> Result<Vec<Decoded>, Malformed> {
    let mut groups = Vec::new();
    for group in Groups::of(bytes) {
        let group = group?;
        let mut users = group.users;
        assert!(users.len() <= bytes.len(), "{} users in {} bytes", users.len(), bytes.len());
        let owned = |user| match user {
            User::Id(id) => User::Id(id),
            User::Custom(id) => User::Custom(Cow::Owned(id.into_owned())),
        };
        let decoded: Vec<User<'static>> = users.by_ref().map(owned).collect();
        users.finish()?;
        groups.push((group.source, group.value.map(SentValue::into_owned), decoded));
    }
    Ok(groups)
}

/// A row of one of the tables, from any fields.
pub(crate) fn check_any_row(mut choices: Choices<'_>) {
    let table = choices.byte() % 9;
    let bit = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
    let bytes = choices.rest();
    match table {
        0 => check_row::<LedgerState>(bytes, bit),
        1 => check_row::<TargetRow>(bytes, bit),
        2 => check_row::<RunRow>(bytes, bit),
        3 => check_row::<AttributeRow>(bytes, bit),
        4 => check_row::<EntryHeader>(bytes, bit),
        5 => check_row::<JournalEntry>(bytes, bit),
        6 => check_row::<PullRow>(bytes, bit),
        7 => check_row::<PriorPart>(bytes, bit),
        _ => check_row::<Doubt>(bytes, bit),
    }
}

/// The fields are refused, or the row that they make has these fields, and others after one bit of them has changed.
fn check_row<R: Record>(mut bytes: &[u8], bit: usize) {
    let mut fields: Vec<Field> = std::iter::from_fn(|| field(&mut bytes)).collect();
    let Some(row) = R::of(&mut Fields::from(fields.clone())) else { return };
    let written = row.fields();
    let columns = R::TABLE.columns;
    let again = R::of(&mut Fields::from(written.clone())).expect("it was just written");
    assert_eq!((again.fields(), again.sum()), (written.clone(), row.sum()));
    assert_eq!(written.len() + 1, columns.len(), "the last column is the checksum");

    // The key of these tables has no meaning, and a column of the journal is a checksum by itself.
    let skipped = match R::TABLE.name {
        "state" | "prior" => vec![0],
        "journal" => vec![5],
        _ => Vec::new(),
    };
    fields = written;
    let (bit, place) = (bit / fields.len(), bit % fields.len());
    if skipped.contains(&place) || !flip(&mut fields[place], bit) {
        return;
    }
    if let Some(other) = R::of(&mut Fields::from(fields.clone())) {
        assert!(
            other.fields() != row.fields() && other.sum() != row.sum(),
            "column {place} of {:?}",
            R::TABLE
        );
    }
}

fn field(bytes: &mut &[u8]) -> Option<Field> {
    let kind = *bytes.split_off_first()?;
    Some(match kind & 3 {
        0 => Field::Number(varint::read(bytes)?.cast_signed()),
        1 => Field::Text(String::from_utf8_lossy(bytes.split_off(..usize::from(kind >> 3))?).into_owned()),
        2 => Field::Bytes(bytes.split_off(..usize::from(kind >> 3))?.to_owned()),
        _ => Field::None,
    })
}

/// Flips one bit of a field, if that makes another field of the same type.
fn flip(field: &mut Field, bit: usize) -> bool {
    match field {
        Field::Number(number) => *number ^= 1 << (bit % 64),
        Field::Text(text) if !text.is_empty() => {
            let mut bytes = std::mem::take(text).into_bytes();
            let place = bit % (bytes.len() * 8);
            bytes[place / 8] ^= 1 << (place % 8);
            let Ok(flipped) = String::from_utf8(bytes) else { return false };
            *text = flipped;
        }
        Field::Bytes(bytes) if !bytes.is_empty() => {
            let place = bit % (bytes.len() * 8);
            bytes[place / 8] ^= 1 << (place % 8);
        }
        Field::Text(_) | Field::Bytes(_) | Field::None => return false,
    }
    true
}
