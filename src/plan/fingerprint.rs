//! A fingerprint of a plan, which tells whether an input has changed.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use crc32fast::Hasher;

use crate::plan::{Batch, Plan, SentValue, User};

/// Spreads the checksum of a group over 64 bits, so that the sum over many groups hardly collides.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The fewest groups that are worth a thread.
const LEAST_GROUPS: u32 = 1 << 14;

/// The bytes to add to a checksum at a time.
const BLOCK: usize = 4096;

impl Plan {
    /// A text that is the same for plans that give the same users the same values, whatever the order of their rows.
    /// Other plans hardly ever have the same. It shows whether an input has changed, but is not a proof.
    pub fn fingerprint(&self) -> String {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let groups = self.groups().div_ceil(u32::try_from(threads).unwrap_or(1)).max(LEAST_GROUPS);
        let starts = (0..self.groups()).step_by(groups as usize);
        let sum = thread::scope(|scope| {
            let sums: Vec<_> = starts
                .map(|start| start..self.groups().min(start.saturating_add(groups)))
                .map(|groups| scope.spawn(|| self.sum(groups)))
                .collect();
            let sums = sums.into_iter().map(|sum| sum.join().unwrap_or_else(|panic| resume_unwind(panic)));
            sums.fold(0, u64::wrapping_add)
        });
        format!("{:x}-{sum:016x}", self.rows())
    }

    fn sum(&self, groups: Range<u32>) -> u64 {
        let mut users = Vec::new();
        groups.fold(0, |sum, group| {
            let spread = (u64::from(self.group_sum(group, &mut users)) + 1).wrapping_mul(SPREAD);
            sum.wrapping_add(spread ^ spread >> 29)
        })
    }

    /// `users` is room for the bytes of users.
    fn group_sum(&self, group: u32, users: &mut Vec<u8>) -> u32 {
        let mut hasher = Hasher::new();
        let mut text = |text: &str| {
            hasher.update(&text.len().to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(&self.attribute(group).name);
        match self.sent_value(group) {
            SentValue::Null => text("null"),
            SentValue::Text(value) | SentValue::Json(value) => text(&value),
        }
        users.clear();
        for user in self.users(Batch { group, first: 0, len: self.group_len(group) }) {
            match user {
                User::Id(id) => users.extend_from_slice(&id.to_le_bytes()),
                User::Custom(id) => {
                    users.extend_from_slice(id.as_bytes());
                    users.push(b'\n');
                }
            }
            if users.len() >= BLOCK {
                hasher.update(users);
                users.clear();
            }
        }
        hasher.update(users);
        hasher.finalize()
    }
}
