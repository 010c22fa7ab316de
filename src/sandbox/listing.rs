//! The list of all users, page by page.

use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HOST;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::Answer;
use super::options::{Count, Options};
use super::profile::profile;
use super::route::LIST;
use super::state::{State, UserNumber};

/// The most lists that are read at the same time. A further one ends the oldest.
const MOST_LISTS: usize = 8;

/// The lists that clients read at present. Each has the users that there were when its first page was asked for; their
/// values are those at the time of each page.
#[derive(Debug)]
pub(super) struct Listing {
    page_size: usize,
    overlap: usize,
    lifetime: Option<Duration>,
    count: Count,
    users: u64,
    last: u64,
    lists: Vec<List>,
}

#[derive(Debug)]
struct List {
    number: u64,
    begun: Instant,
    users: Arc<[UserNumber]>,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    list: u64,
    position: usize,
}

impl Listing {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            page_size: options.page_size.get(),
            overlap: options.page_overlap.min(options.page_size.get() - 1),
            lifetime: options.cursor_lifetime,
            count: options.count,
            users: options.users.unwrap_or(0),
            last: 0,
            lists: Vec::new(),
        }
    }

    /// The page that the query names, or the first one.
    pub(super) fn page(
        &mut self,
        query: Option<&str>,
        headers: &HeaderMap,
        state: &State,
        now: Instant,
    ) -> Answer {
        let mut parameters = query.into_iter().flat_map(|query| query.split('&'));
        let cursor = parameters.find_map(|parameter| parameter.strip_prefix("cursor="));
        let found = match cursor {
            None => Some(self.begin(state, now)),
            Some(cursor) => Cursor::parse(cursor).and_then(|cursor| self.find(cursor, now)),
        };
        let Some((Cursor { list, position }, users)) = found else { return Answer::invalid_cursor() };

        let end = users.len().min(position + self.page_size);
        let results = users[position..end].iter().map(|user| profile(state, state.user(*user)));
        let address = |position: usize| {
            let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            json!(format!("http://{host}{LIST}?cursor={}", Cursor { list, position }.text()))
        };
        let mut page = serde_json::Map::new();
        if self.count == Count::Given {
            page.insert("count".to_owned(), json!(users.len()));
        }
        // Users at the end of a page come again in the next one, as those do that move in the list meanwhile.
        let next = if end < users.len() { address(end - self.overlap) } else { Value::Null };
        let previous =
            if position > 0 { address(position.saturating_sub(self.page_size)) } else { Value::Null };
        page.insert("next".to_owned(), next);
        page.insert("previous".to_owned(), previous);
        page.insert("results".to_owned(), results.collect());
        Answer::json(&Value::Object(page))
    }

    fn begin(&mut self, state: &State, now: Instant) -> (Cursor, Arc<[UserNumber]>) {
        self.last += 1;
        if self.lists.len() == MOST_LISTS {
            self.lists.remove(0);
        }
        let users: Arc<[UserNumber]> = state.users(self.users).into();
        self.lists.push(List { number: self.last, begun: now, users: Arc::clone(&users) });
        (Cursor { list: self.last, position: 0 }, users)
    }

    fn find(&self, cursor: Cursor, now: Instant) -> Option<(Cursor, Arc<[UserNumber]>)> {
        let list = self.lists.iter().find(|list| list.number == cursor.list)?;
        let is_fresh = self.lifetime.is_none_or(|lifetime| now - list.begun < lifetime);
        (is_fresh && cursor.position <= list.users.len()).then(|| (cursor, Arc::clone(&list.users)))
    }
}

impl Cursor {
    /// It means nothing to a client.
    fn text(self) -> String {
        format!("{:x}p{:x}", self.list, self.position)
    }

    fn parse(text: &str) -> Option<Self> {
        let (list, position) = text.split_once('p')?;
        let position = usize::from_str_radix(position, 16).ok()?;
        Some(Self { list: u64::from_str_radix(list, 16).ok()?, position })
    }
}

impl State {
    /// All users that have a value, and those whose ids are not above `more`: first those by User.com's ids, ascending.
    fn users(&self, more: u64) -> Vec<UserNumber> {
        let mut users: Vec<_> = self.numbers().chain((1..=more).map(UserNumber::Id)).collect();
        users.sort_unstable();
        users.dedup();
        users
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_it_was() {
        let cursor = Cursor { list: 17, position: 123_456 };
        assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        for text in ["", "p", "1p", "p1", "1p1p1", "-1p1", "gp1", "1p10000000000000000"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
