//! Finds out by the path what a request is for.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::update::IdKind;
use super::validation::Vocabulary;

/// The path of the API below the host.
pub(super) const API: &str = "/api/public/";

/// The path of the list of users.
pub(super) const LIST: &str = "/api/public/users/";

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Page(Page),
    Operation(Operation<'a>),
}

/// A page of the sandbox itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// The values of all users.
    State,
    Counters,
}

/// An operation of the API.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    /// Sets an attribute of many users.
    Update(IdKind, Vocabulary),
    /// Shows the user of this id.
    Show(IdKind, Cow<'a, str>),
    /// Shows a page of all users.
    List,
}

impl<'a> Route<'a> {
    /// What this path names, if anything. The slash at its end belongs to it.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        match path {
            "/sandbox/state.csv" => Some(Self::Page(Page::State)),
            "/sandbox/counters" => Some(Self::Page(Page::Counters)),
            LIST => Some(Self::Operation(Operation::List)),
            _ => Operation::of(path.strip_prefix(API)?).map(Self::Operation),
        }
    }
}

impl Page {
    /// The one method that it answers to.
    pub(super) const METHOD: &'static str = "GET";
}

impl<'a> Operation<'a> {
    /// The one method that it answers to.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::Update(..) => "PUT",
            Self::Show(..) | Self::List => "GET",
        }
    }

    fn of(path: &'a str) -> Option<Self> {
        let (users, rest) = path.strip_suffix('/')?.split_once('/')?;
        let ids = match users {
            "users" => IdKind::Id,
            "users-by-id" => IdKind::CustomId,
            _ => return None,
        };
        match rest {
            "mass_update_standard_attributes" => Some(Self::Update(ids, Vocabulary::Standard)),
            "mass_update_custom_attributes" => Some(Self::Update(ids, Vocabulary::Custom)),
            id if id.is_empty() || id.contains('/') => None,
            id => Some(Self::Show(ids, percent_decode_str(id).decode_utf8().ok()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_operations_users_and_pages_and_nothing_else() {
        let user = |ids, id: &str| Some(Route::Operation(Operation::Show(ids, id.to_owned().into())));
        let update = |ids, vocabulary| Some(Route::Operation(Operation::Update(ids, vocabulary)));
        for (path, route) in [
            ("/api/public/users/mass_update_standard_attributes/", update(IdKind::Id, Vocabulary::Standard)),
            (
                "/api/public/users-by-id/mass_update_custom_attributes/",
                update(IdKind::CustomId, Vocabulary::Custom),
            ),
            ("/api/public/users/mass_update_standard_attributes", None),
            ("/api/public//mass_update_standard_attributes/", None),
            ("/api/public/users/17/", user(IdKind::Id, "17")),
            ("/api/public/users-by-id/a%2Fb%20%C5%BC+/", user(IdKind::CustomId, "a/b ż+")),
            ("/api/public/users-by-id/%ff/", None),
            ("/api/public/users/17", None),
            ("/api/public/users/17/events/", None),
            ("/api/public/users//", None),
            ("/api/public/users/", Some(Route::Operation(Operation::List))),
            ("/api/public/users", None),
            ("/api/public/users-by-id/", None),
            ("/api/public/", None),
            ("/", None),
            ("/sandbox/state.csv", Some(Route::Page(Page::State))),
            ("/sandbox/counters", Some(Route::Page(Page::Counters))),
            ("/sandbox/", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
