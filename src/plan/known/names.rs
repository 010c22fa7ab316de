//! Finds the numbers of users who go by the client's ids.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::input::Dictionary;
use crate::plan::User;
use crate::plan::users::Users;

/// The numbers of a plan's users.
#[derive(Debug)]
pub(super) struct Names<'p> {
    users: &'p Users,
    dictionary: &'p Dictionary,
    hasher: RandomState,
    /// By the client's id; empty where users go by User.com's own.
    numbers: HashTable<u32>,
}

impl<'p> Names<'p> {
    pub(super) fn of(users: &'p Users, dictionary: &'p Dictionary) -> Self {
        let count = match users {
            Users::Id => 0,
            Users::Custom { order, .. } => order.len(),
            Users::Ranked(count) => *count,
        };
        let hasher = RandomState::default();
        let hash = |number: &u32| hasher.hash_one(users.name((*number).into(), dictionary));
        let mut numbers = HashTable::with_capacity(count);
        for number in (0..).take(count) {
            numbers.insert_unique(hash(&number), number, hash);
        }
        Self { users, dictionary, hasher, numbers }
    }

    /// The user's number, which no user of the plan has if it is none of the plan's users.
    #[inline]
    pub(super) fn number(&self, user: User<'_>) -> Option<u64> {
        match (&user, self.users) {
            (User::Id(id), Users::Id) => Some(*id),
            (User::Custom(_), Users::Custom { .. } | Users::Ranked(_)) => {
                let equal = |number: &u32| self.users.name((*number).into(), self.dictionary) == user;
                self.numbers.find(self.hasher.hash_one(&user), equal).copied().map(u64::from)
            }
            _ => None,
        }
    }
}
