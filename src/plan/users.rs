//! The users of a plan, and their numbers.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::index;
use crate::input::Dictionary;

/// A user, by the id that the input has. It is displayed without quotes, and serialized as a number or a string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum User<'a> {
    /// User.com's own id.
    Id(u64),
    /// The client's own id.
    Custom(Cow<'a, str>),
}

impl fmt::Display for User<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Custom(id) => id.fmt(f),
        }
    }
}

/// How the users of a plan are numbered. User.com's ids are their own numbers. The client's ids are ranked by their
/// bytes, so that numbers ascend as ids do.
#[derive(Debug)]
pub(super) enum UserNumbers {
    /// Numbers are User.com's ids.
    Id,
    /// Numbers are ranks of the client's ids.
    Custom {
        /// By number in the dictionary.
        ranks: Vec<u32>,
        /// By rank, numbers in the dictionary.
        order: Vec<u32>,
    },
    /// The dictionary has ranked this number of the client's ids, since it merged its spills.
    Ranked(usize),
}

impl UserNumbers {
    pub(super) fn new(dictionary: &Dictionary) -> Self {
        if dictionary.users() == 0 {
            return Self::Id;
        }
        if dictionary.users_are_ranked() {
            return Self::Ranked(dictionary.users());
        }
        let count = u32::try_from(dictionary.users()).expect("the dictionary numbers ids in 32 bits");
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by_key(|&user| dictionary.user(user.into()));
        let mut ranks = vec![0; order.len()];
        for (rank, &user) in (0..count).zip(&order) {
            ranks[user as usize] = rank;
        }
        Self::Custom { ranks, order }
    }

    /// Frees the ranks, which are needed only to resolve rows.
    pub(super) fn drop_ranks(&mut self) {
        if let Self::Custom { ranks, .. } = self {
            *ranks = Vec::new();
        }
    }

    /// The user with this number.
    pub(super) fn user<'d>(&self, number: u64, dictionary: &'d Dictionary) -> User<'d> {
        let custom = |number| {
            User::Custom(dictionary.user(number).expect("every number below `users` stands for a text"))
        };
        match self {
            Self::Id => User::Id(number),
            Self::Ranked(_) => custom(number),
            Self::Custom { order, .. } => custom(order[index(number)].into()),
        }
    }

    /// The number of the user with this own id of the client's.
    pub(super) fn number(&self, id: &str, dictionary: &Dictionary) -> Option<u64> {
        let (mut low, mut high) = match self {
            Self::Id => return None,
            Self::Ranked(count) => (0, *count as u64),
            Self::Custom { order, .. } => (0, order.len() as u64),
        };
        while low < high {
            let middle = low + (high - low) / 2;
            let User::Custom(found) = self.user(middle, dictionary) else { return None };
            match (*found).cmp(id) {
                Ordering::Equal => return Some(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Id | Self::Ranked(_) => 0,
            Self::Custom { ranks, order } => (ranks.capacity() + order.capacity()) * size_of::<u32>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{IdType, ReadOptions};

    #[test]
    fn each_id_has_the_number_of_its_place_and_no_other_has_one() {
        let options = ReadOptions { id_type: IdType::CustomId, ..ReadOptions::default() };
        for count in 1..20_u64 {
            let mut dictionary = Dictionary::new(&options);
            // In an order that is not theirs.
            for n in 0..count {
                dictionary.intern_user(&format!("u{:02}", n * 7 % count.max(8) * 2 + 1));
            }
            let mut ids: Vec<String> =
                (0..count).map(|n| format!("u{:02}", n * 7 % count.max(8) * 2 + 1)).collect();
            ids.sort();
            ids.dedup();
            let mut users = UserNumbers::new(&dictionary);
            users.drop_ranks();
            for (number, id) in (0..).zip(&ids) {
                assert_eq!(users.number(id, &dictionary), Some(number), "{id} of {count}");
                assert_eq!(users.user(number, &dictionary), User::Custom(id.as_str().into()));
            }
            for n in (0..45).step_by(2) {
                assert_eq!(users.number(&format!("u{n:02}"), &dictionary), None, "{n} of {count}");
            }
        }
    }
}
