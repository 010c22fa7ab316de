//! How numbers of users are ordered and shown.

use super::User;
use super::rows::index;
use crate::input::Dictionary;

/// How users go by numbers in a plan: User.com's own ids stand for themselves, the client's ids are ranked by their
/// bytes, so that "ascending" is a matter of numbers for both.
#[derive(Debug)]
pub(super) enum UserNumbers {
    /// Numbers are User.com's own ids.
    Id,
    /// Numbers are ranks among the client's ids.
    Custom {
        /// By number in the dictionary.
        ranks: Vec<u32>,
        /// By rank, numbers in the dictionary.
        order: Vec<u32>,
    },
    /// Numbers are ranks among the client's ids, of which there are so many, in the dictionary itself.
    Ranked(usize),
}

impl UserNumbers {
    pub(super) fn of(dictionary: &Dictionary) -> Self {
        if dictionary.users() == 0 {
            return Self::Id;
        }
        if dictionary.users_are_ranked() {
            return Self::Ranked(dictionary.users());
        }
        let count = u32::try_from(dictionary.users()).expect("fewer than 2^32 texts fit memory");
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by_key(|&user| dictionary.user(user.into()));
        let mut ranks = vec![0; order.len()];
        for (rank, &user) in (0..count).zip(&order) {
            ranks[user as usize] = rank;
        }
        Self::Custom { ranks, order }
    }

    /// Frees what only settling needs.
    pub(super) fn forget_ranks(&mut self) {
        if let Self::Custom { ranks, .. } = self {
            *ranks = Vec::new();
        }
    }

    /// The user of a number of this plan.
    pub(super) fn name<'d>(&self, number: u64, dictionary: &'d Dictionary) -> User<'d> {
        match self {
            Self::Id => User::Id(number),
            Self::Ranked(_) => custom(number, dictionary),
            Self::Custom { order, .. } => custom(order[index(number)].into(), dictionary),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Id | Self::Ranked(_) => 0,
            Self::Custom { ranks, order } => (ranks.capacity() + order.capacity()) * size_of::<u32>(),
        }
    }
}

fn custom(number: u64, dictionary: &Dictionary) -> User<'_> {
    User::Custom(dictionary.user(number).expect("every number below `users` stands for a text"))
}
