//! A fingerprint of a plan, which tells whether an input has changed.

use crc32fast::Hasher;

use crate::plan::{Batch, Plan, User};

/// Spreads the checksum of a group over 64 bits, so that the sum over many groups hardly collides.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The bytes to add to a checksum at a time.
const BLOCK: usize = 4096;

impl Plan {
    /// A text that is the same for plans that give the same users the same values, whatever the order of their rows.
    /// Other plans hardly ever have the same. It shows whether an input has changed, but is not a proof.
    pub fn fingerprint(&self) -> String {
        let sum = |sum: u64, group| {
            let spread = (u64::from(self.group_sum(group)) + 1).wrapping_mul(SPREAD);
            sum.wrapping_add(spread ^ spread >> 29)
        };
        format!("{:x}-{:016x}", self.rows(), (0..self.groups()).fold(0, sum))
    }

    fn group_sum(&self, group: u32) -> u32 {
        let mut hasher = Hasher::new();
        let mut text = |text: &str| {
            hasher.update(&text.len().to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(&self.attribute(group).name);
        text(&self.sent_value(group).to_string());
        let mut users = Vec::new();
        for user in self.users(Batch { group, first: 0, len: self.group_len(group) }) {
            match user {
                User::Id(id) => users.extend_from_slice(&id.to_le_bytes()),
                User::Custom(id) => {
                    users.extend_from_slice(id.as_bytes());
                    users.push(b'\n');
                }
            }
            if users.len() >= BLOCK {
                hasher.update(&users);
                users.clear();
            }
        }
        hasher.update(&users);
        hasher.finalize()
    }
}
