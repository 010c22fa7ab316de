//! Finds the numbers of users who go by the client's ids.

use std::hash::BuildHasher;
use std::sync::OnceLock;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::input::Dictionary;
use crate::plan::User;
use crate::plan::users::UserNumbers;

/// The numbers of a plan's users.
#[derive(Debug)]
pub(super) struct UserLookup<'p> {
    users: &'p UserNumbers,
    dictionary: &'p Dictionary,
    hasher: RandomState,
    /// By the client's id; built when one is first asked for.
    numbers: OnceLock<HashTable<u32>>,
}

impl<'p> UserLookup<'p> {
    pub(super) fn of(users: &'p UserNumbers, dictionary: &'p Dictionary) -> Self {
        Self { users, dictionary, hasher: RandomState::default(), numbers: OnceLock::new() }
    }

    /// The user's number, which no user of the plan has if it is none of the plan's users.
    #[inline]
    pub(super) fn number(&self, user: &User<'_>) -> Option<u64> {
        match (user, self.users) {
            (User::Id(id), UserNumbers::Id) => Some(*id),
            (User::Custom(_), UserNumbers::Custom { .. } | UserNumbers::Ranked(_)) => {
                let equal = |number: &u32| self.users.name((*number).into(), self.dictionary) == *user;
                let numbers = self.numbers.get_or_init(|| self.numbers());
                numbers.find(self.hasher.hash_one(user), equal).copied().map(u64::from)
            }
            _ => None,
        }
    }

    fn numbers(&self) -> HashTable<u32> {
        let count = match self.users {
            UserNumbers::Id => 0,
            UserNumbers::Custom { order, .. } => order.len(),
            UserNumbers::Ranked(count) => *count,
        };
        let hash = |number: &u32| self.hasher.hash_one(self.users.name((*number).into(), self.dictionary));
        let mut numbers = HashTable::with_capacity(count);
        for number in (0..).take(count) {
            numbers.insert_unique(hash(&number), number, hash);
        }
        numbers
    }
}
