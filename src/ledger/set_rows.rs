//! The rows of one attribute that a run got acknowledged, as many at a time as fit the memory.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::mem;

use fixedbitset::FixedBitSet;

use super::LedgerError;
use super::database::Database;
use super::prior::each_group;
use super::rows::EntryHeader;
use crate::plan::{SentValue, User};

/// About how much memory a row takes while it is read and used, without the text of an id, …
const ROW_BYTES: u64 = 48;

/// … and an id that is a text, or a value, without the text itself.
const TEXT_BYTES: u64 = 96;

/// The rows of one attribute that a run got acknowledged: at most one for each user. If there are too many, they come in
/// parts, from the lowest users to the highest.
#[derive(Debug)]
pub(super) struct SetRows {
    users: UserList,
    values: Vec<SentValue<'static>>,
    /// By position of the user, the position of the value.
    value_of: Vec<u32>,
}

/// Users, ascending.
#[derive(Debug)]
enum UserList {
    Ids(Vec<u64>),
    Custom(Vec<String>),
}

/// Users of a list that are still to be found, and are found once.
#[derive(Debug)]
pub(super) struct Search<'r> {
    rows: &'r SetRows,
    found: FixedBitSet,
}

/// All rows of a run, a part at a time. The entries are read for each part.
pub(super) struct Parts<'l> {
    database: &'l Database,
    /// The entries, ascending.
    entries: &'l [EntryHeader],
    /// About how many bytes a part may take.
    memory: u64,
    /// Where the next part begins.
    next: Next,
}

enum Next {
    First,
    From(User<'static>),
    End,
}

impl SetRows {
    /// The rows of a run, from these entries, which ascend. There is at least one part.
    pub(super) fn parts<'l>(database: &'l Database, entries: &'l [EntryHeader], memory: u64) -> Parts<'l> {
        Parts { database, entries, memory, next: Next::First }
    }

    pub(super) fn len(&self) -> usize {
        self.value_of.len()
    }

    /// The user at a position.
    pub(super) fn user(&self, position: usize) -> User<'_> {
        match &self.users {
            UserList::Ids(ids) => User::Id(ids[position]),
            UserList::Custom(ids) => User::Custom(ids[position].as_str().into()),
        }
    }

    /// The value that the user at a position got.
    pub(super) fn value(&self, position: usize) -> &SentValue<'static> {
        &self.values[self.value_of[position] as usize]
    }

    /// The position of a user.
    pub(super) fn position(&self, user: &User<'_>) -> Option<usize> {
        match (&self.users, user) {
            (UserList::Ids(ids), User::Id(id)) => position_of(ids, id),
            (UserList::Custom(ids), User::Custom(id)) => position_of(ids, &**id),
            _ => None,
        }
    }

    pub(super) fn search(&self) -> Search<'_> {
        Search { rows: self, found: FixedBitSet::with_capacity(self.len()) }
    }

    /// The same rows with these ids, by the old ones, if that makes a difference.
    pub(super) fn renamed(&self, renamed: &BTreeMap<String, String>) -> Option<Self> {
        let UserList::Custom(ids) = &self.users else { return None };
        if renamed.is_empty() {
            return None;
        }
        let now = ids.iter().map(|id| renamed.get(id).unwrap_or(id).clone());
        let mut rows: Vec<(String, u32)> = now.zip(self.value_of.iter().copied()).collect();
        keep_last_of_each(&mut rows);
        let (ids, value_of) = rows.into_iter().unzip();
        Some(Self { users: UserList::Custom(ids), values: self.values.clone(), value_of })
    }
}

/// The position of an id. Most ids that are looked for are in another part.
fn position_of<B: Ord + ?Sized, U: Borrow<B>>(ids: &[U], id: &B) -> Option<usize> {
    let (first, last): (&B, &B) = (ids.first()?.borrow(), ids.last()?.borrow());
    if id < first || id > last {
        return None;
    }
    ids.binary_search_by(|other| Borrow::<B>::borrow(other).cmp(id)).ok()
}

impl Search<'_> {
    /// The position of a user that is found for the first time.
    pub(super) fn find(&mut self, user: &User<'_>) -> Option<usize> {
        let position = self.rows.position(user)?;
        self.mark(position).then_some(position)
    }

    /// Counts the user at this position as found. Returns whether it is for the first time.
    pub(super) fn mark(&mut self, position: usize) -> bool {
        !self.found.put(position)
    }

    /// Whether all users were found.
    pub(super) fn is_done(&self) -> bool {
        self.found.count_ones(..) == self.rows.len()
    }
}

impl Iterator for Parts<'_> {
    type Item = Result<SetRows, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = match mem::replace(&mut self.next, Next::End) {
            Next::First => None,
            Next::From(user) => Some(user),
            Next::End => return None,
        };
        Some(self.read(from))
    }
}

impl Parts<'_> {
    fn read(&mut self, from: Option<User<'static>>) -> Result<SetRows, LedgerError> {
        let (from_id, from_custom) = match from {
            None => (None, None),
            Some(User::Id(id)) => (Some(id), None),
            Some(User::Custom(id)) => (None, Some(id.into_owned())),
        };
        // A target has users of one kind only.
        let mut ids = UserRange::<u64>::new(from_id, |_| ROW_BYTES);
        let mut custom = UserRange::<str>::new(from_custom, |id| ROW_BYTES + TEXT_BYTES + id.len() as u64);
        let mut values = Values::default();
        for entry in self.database.entries(self.entries.iter().copied()) {
            each_group(self.database, &entry?.groups, |group| {
                let Some(value) = &group.value else { return };
                let mut number = None;
                for user in group.users.clone() {
                    let is_wanted = match &user {
                        User::Id(id) => ids.has(id),
                        User::Custom(id) => custom.has(id),
                    };
                    if !is_wanted {
                        continue;
                    }
                    let number_now = *number.get_or_insert_with(|| values.number(value));
                    match user {
                        User::Id(id) => ids.push(id, number_now),
                        User::Custom(id) => custom.push(id.into_owned(), number_now),
                    }
                    if ids.bytes + custom.bytes + values.bytes > self.memory {
                        ids.narrow();
                        custom.narrow();
                        values.keep(ids.numbers().chain(custom.numbers()));
                        // Values may have other numbers now.
                        number = None;
                    }
                }
            })?;
        }
        let values = values.take();
        let custom_until = custom.until.take().map(|id| User::Custom(id.into()));
        self.next = ids.until.map(User::Id).or(custom_until).map_or(Next::End, Next::From);
        let (ids, custom) = (ids.finish(), custom.finish());
        let (users, value_of) = if custom.0.is_empty() {
            (UserList::Ids(ids.0), ids.1)
        } else {
            (UserList::Custom(custom.0), custom.1)
        };
        Ok(SetRows { users, values, value_of })
    }
}

/// The rows of users from one on. Where there are too many, the higher half is left for the next part.
struct UserRange<B: ToOwned + ?Sized> {
    from: Option<B::Owned>,
    until: Option<B::Owned>,
    rows: Vec<(B::Owned, u32)>,
    /// How much memory the rows take.
    bytes: u64,
    /// The same for one row.
    bytes_of: fn(&B) -> u64,
}

impl<B: Ord + ToOwned<Owned: Ord + Clone> + ?Sized> UserRange<B> {
    fn new(from: Option<B::Owned>, bytes_of: fn(&B) -> u64) -> Self {
        Self { from, until: None, rows: Vec::new(), bytes: 0, bytes_of }
    }

    fn has(&self, user: &B) -> bool {
        let is_below = |bound: &B::Owned| {
            let bound: &B = bound.borrow();
            user < bound
        };
        !self.from.as_ref().is_some_and(is_below) && self.until.as_ref().is_none_or(is_below)
    }

    fn push(&mut self, user: B::Owned, value: u32) {
        self.bytes += (self.bytes_of)(user.borrow());
        self.rows.push((user, value));
    }

    /// Drops superseded values and the higher half of the users.
    fn narrow(&mut self) {
        keep_last_of_each(&mut self.rows);
        let half = self.rows.len() / 2;
        if half > 0 {
            self.until = Some(self.rows[half].0.clone());
            self.rows.truncate(half);
        }
        let bytes_of = self.bytes_of;
        self.bytes = self.rows.iter().map(|(user, _)| bytes_of(user.borrow())).sum();
    }

    /// The numbers of the values.
    fn numbers(&mut self) -> impl Iterator<Item = &mut u32> {
        self.rows.iter_mut().map(|(_, number)| number)
    }

    fn finish(mut self) -> (Vec<B::Owned>, Vec<u32>) {
        keep_last_of_each(&mut self.rows);
        self.rows.into_iter().unzip()
    }
}

/// Sorts by user, and keeps the last value of each.
fn keep_last_of_each<U: Ord>(rows: &mut Vec<(U, u32)>) {
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    rows.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if is_same {
            kept.1 = later.1;
        }
        is_same
    });
}

fn text_len(value: &SentValue<'_>) -> u64 {
    match value {
        SentValue::Null => 0,
        SentValue::Text(text) | SentValue::Json(text) => text.len() as u64,
    }
}

/// Values by number.
#[derive(Default)]
struct Values {
    numbers: HashMap<SentValue<'static>, u32>,
    bytes: u64,
}

impl Values {
    fn number(&mut self, value: &SentValue<'_>) -> u32 {
        self.add(value.clone().into_owned())
    }

    fn add(&mut self, value: SentValue<'static>) -> u32 {
        let next = u32::try_from(self.numbers.len()).expect("groups are numbered in 32 bits");
        let bytes = TEXT_BYTES + text_len(&value);
        *self.numbers.entry(value).or_insert_with(|| {
            self.bytes += bytes;
            next
        })
    }

    fn take(&mut self) -> Vec<SentValue<'static>> {
        let mut values: Vec<_> = mem::take(&mut self.numbers).into_iter().collect();
        values.sort_unstable_by_key(|(_, number)| *number);
        self.bytes = 0;
        values.into_iter().map(|(value, _)| value).collect()
    }

    /// Keeps the values with these numbers, and replaces the numbers.
    fn keep<'n>(&mut self, used: impl Iterator<Item = &'n mut u32>) {
        let mut values = self.take();
        let mut new: Vec<Option<u32>> = vec![None; values.len()];
        for number in used {
            let old = *number as usize;
            let kept = new[old].unwrap_or_else(|| self.add(mem::replace(&mut values[old], SentValue::Null)));
            new[old] = Some(kept);
            *number = kept;
        }
    }
}
