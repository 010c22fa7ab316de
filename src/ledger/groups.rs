//! The encoding of users and their values, in few bytes.
//!
//! A group consists of where it comes from (the number of requests it took, or the run that read it), the value, the number of
//! users, the length of the users in bytes, and the users. Numeric ids are stored as differences from the one before, which takes one byte each if
//! they are dense. The client's own ids are stored as text.

use std::borrow::Cow;

use super::varint;
use crate::plan::{SentValue, User};

/// Where what a group says comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A run sent it, with this number of requests.
    Sent { attempts: u32 },
    /// This run read it.
    Read { run: u64 },
}

/// Users that got one value, or may have got it.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) source: Source,
    /// The value; `None` if the requests failed, so that the present value is not known.
    pub(super) value: Option<SentValue<'a>>,
    /// Who got it.
    pub(super) users: GroupUsers<'a>,
}

/// The bytes are not an encoded group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Groups, from the bytes that they were written as.
#[derive(Clone, Debug)]
pub(super) struct Groups<'a> {
    bytes: &'a [u8],
}

/// The users of a group, ascending. What is malformed ends them early.
#[derive(Clone, Debug)]
pub(super) struct GroupUsers<'a> {
    left: usize,
    bytes: &'a [u8],
    kind: IdKind,
    /// The least that the next id can be.
    least: u64,
}

#[derive(Clone, Copy, Debug)]
enum IdKind {
    Id,
    Custom,
}

const NULL: u8 = 0;
const TEXT: u8 = 1;
const JSON: u8 = 2;
const UNKNOWN: u8 = 3;

/// Added to one of these: the value was read.
const READ: u8 = 0x10;

const IDS: u8 = 0;
const CUSTOM: u8 = 1;

/// Appends a group. Its users ascend, and are of one kind.
pub(super) fn write<'u>(
    source: Source,
    value: Option<&SentValue<'_>>,
    users: impl Iterator<Item = User<'u>>,
    out: &mut Vec<u8>,
) {
    let (tag, text) = match value {
        None => (UNKNOWN, ""),
        Some(SentValue::Null) => (NULL, ""),
        Some(SentValue::Text(text)) => (TEXT, &**text),
        Some(SentValue::Json(token)) => (JSON, &**token),
    };
    match source {
        Source::Sent { attempts } => {
            varint::write(attempts.into(), out);
            out.push(tag);
        }
        Source::Read { run } => {
            varint::write(run, out);
            out.push(tag | READ);
        }
    }
    write_text(text, out);

    let (mut count, mut least, mut kind) = (0, 0, IDS);
    let mut bytes = Vec::with_capacity(users.size_hint().0);
    for user in users {
        count += 1;
        match user {
            User::Id(id) => {
                varint::write(id - least, &mut bytes);
                least = id.saturating_add(1);
            }
            User::Custom(id) => {
                kind = CUSTOM;
                write_text(&id, &mut bytes);
            }
        }
    }
    out.push(kind);
    varint::write(count, out);
    varint::write(bytes.len() as u64, out);
    out.extend_from_slice(&bytes);
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    varint::write(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn read_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(varint::read(from)?).ok()?;
    std::str::from_utf8(from.split_off(..len)?).ok()
}

impl<'a> Groups<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn read(&mut self) -> Option<Group<'a>> {
        let from = &mut self.bytes;
        let number = varint::read(from)?;
        let tag = *from.split_off_first()?;
        let source = if tag & READ == 0 {
            Source::Sent { attempts: u32::try_from(number).ok()? }
        } else {
            Source::Read { run: number }
        };
        let text = Cow::Borrowed(read_text(from)?);
        let value = match tag & !READ {
            UNKNOWN => None,
            NULL => Some(SentValue::Null),
            TEXT => Some(SentValue::Text(text)),
            JSON => Some(SentValue::Json(text)),
            _ => return None,
        };
        let kind = match *from.split_off_first()? {
            IDS => IdKind::Id,
            CUSTOM => IdKind::Custom,
            _ => return None,
        };
        let left = usize::try_from(varint::read(from)?).ok()?;
        let len = usize::try_from(varint::read(from)?).ok()?;
        // Each user takes a byte or more, so that nothing makes room for users that can't be there.
        let bytes = from.split_off(..len).filter(|bytes| left <= bytes.len())?;
        Some(Group { source, value, users: GroupUsers { left, bytes, kind, least: 0 } })
    }
}

impl<'a> Iterator for Groups<'a> {
    type Item = Result<Group<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let group = self.read().ok_or(Malformed);
        if group.is_err() {
            self.bytes = &[];
        }
        Some(group)
    }
}

impl GroupUsers<'_> {
    /// Whether all users came, and nothing else was there.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.left == 0 && self.bytes.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

impl<'a> Iterator for GroupUsers<'a> {
    type Item = User<'a>;

    #[inline]
    fn next(&mut self) -> Option<User<'a>> {
        if self.left == 0 {
            return None;
        }
        let user = match self.kind {
            IdKind::Id => {
                let id = self.least.checked_add(varint::read(&mut self.bytes)?)?;
                self.least = id.saturating_add(1);
                User::Id(id)
            }
            IdKind::Custom => User::Custom(read_text(&mut self.bytes)?.into()),
        };
        self.left -= 1;
        Some(user)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for GroupUsers<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Option<SentValue<'static>>> {
        prop_oneof![
            Just(None),
            Just(Some(SentValue::Null)),
            ".*".prop_map(|text: String| Some(SentValue::Text(text.into()))),
            "[0-9]+".prop_map(|token: String| Some(SentValue::Json(token.into()))),
        ]
    }

    fn source() -> impl Strategy<Value = Source> {
        prop_oneof![
            any::<u32>().prop_map(|attempts| Source::Sent { attempts }),
            any::<u64>().prop_map(|run| Source::Read { run }),
        ]
    }

    proptest! {
        #[test]
        fn groups_come_back(
            written in prop::collection::vec((source(), value(), prop::collection::btree_set(any::<u64>(), 1..20), any::<bool>()), 0..8),
        ) {
            let mut bytes = Vec::new();
            let texts = |ids: &std::collections::BTreeSet<u64>| ids.iter().map(u64::to_string).collect::<Vec<_>>();
            for (source, value, ids, custom) in &written {
                let texts = texts(ids);
                if *custom {
                    write(*source, value.as_ref(), texts.iter().map(|id| User::Custom(id.into())), &mut bytes);
                } else {
                    write(*source, value.as_ref(), ids.iter().copied().map(User::Id), &mut bytes);
                }
            }
            let mut read = Groups::of(&bytes);
            for (source, value, ids, custom) in written {
                let mut group = read.next().unwrap().unwrap();
                prop_assert_eq!((group.source, group.value), (source, value));
                let users: Vec<String> = group.users.by_ref().map(|user| user.to_string()).collect();
                prop_assert_eq!(users, texts(&ids), "custom: {}", custom);
                prop_assert_eq!(group.users.finish(), Ok(()));
            }
            prop_assert!(read.next().is_none());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for mut group in Groups::of(&bytes).flatten() {
                let count = group.users.len();
                prop_assert!(count <= bytes.len());
                let read = group.users.by_ref().count();
                prop_assert!(read == count || group.users.finish() == Err(Malformed));
            }
        }
    }

    #[test]
    fn more_users_than_bytes_are_refused_before_there_is_room_for_them() {
        let mut bytes = vec![1, TEXT, 0, IDS];
        varint::write(1 << 60, &mut bytes);
        bytes.extend([1, 7]);
        assert_eq!(Groups::of(&bytes).map(|group| group.is_err()).collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn fewer_users_or_more_bytes_than_a_group_should_have_are_refused() {
        let finished = |count: u8, users: &[u8]| {
            let mut bytes = vec![1, TEXT, 0, IDS, count, u8::try_from(users.len()).unwrap()];
            bytes.extend(users);
            let mut group = Groups::of(&bytes).next().unwrap().unwrap();
            group.users.by_ref().for_each(drop);
            group.users.finish()
        };
        assert_eq!(finished(2, &[7, 7]), Ok(()));
        assert_eq!(finished(1, &[7, 7]), Err(Malformed), "a byte is left");
        assert_eq!(finished(2, &[7, 0x80]), Err(Malformed), "the second user is cut");
    }

    #[test]
    fn an_id_takes_a_byte_where_ids_are_dense() {
        let mut bytes = Vec::new();
        write(
            Source::Sent { attempts: 1 },
            Some(&SentValue::Null),
            (1_000_000..1_001_000).map(User::Id),
            &mut bytes,
        );
        assert!(bytes.len() < 1_015, "{}", bytes.len());
    }
}
