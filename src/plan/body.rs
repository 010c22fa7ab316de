//! The bodies of requests.

use serde::Serialize;

use super::{Batch, Plan};

/// The length of the largest id in digits, and the comma.
const LONGEST_ID: usize = 20;

impl Plan {
    /// Appends the JSON body of the request for a batch, or for any other range of a group:
    /// `{"ids":[10,15],"attribute":"country","value":"USA"}`.
    pub fn body(&self, batch: Batch, body: &mut Vec<u8>) {
        self.body_of(batch.group, std::iter::once(batch), body);
    }

    /// The same for several ranges of one group, ascending.
    pub fn body_of(&self, group: u32, ranges: impl Iterator<Item = Batch>, body: &mut Vec<u8>) {
        body.extend_from_slice(br#"{"ids":["#);
        let mut is_first = true;
        for range in ranges {
            body.reserve(range.len as usize * LONGEST_ID);
            for user in self.users(range) {
                if !std::mem::take(&mut is_first) {
                    body.push(b',');
                }
                json(&user, body);
            }
        }
        let attribute = self.attribute(group);
        body.extend_from_slice(br#"],"attribute":"#);
        json(&attribute.name, body);
        body.extend_from_slice(br#","value":"#);
        body.extend_from_slice(self.value_token(group).as_bytes());
        body.push(b'}');
    }

    /// The JSON token that a group's requests set: `"USA"`, `7`, `null`.
    pub fn value_token(&self, group: u32) -> String {
        self.value(group).map_or_else(|| "null".to_owned(), |text| self.attribute(group).token(&text))
    }
}

fn json(value: &(impl Serialize + ?Sized), body: &mut Vec<u8>) {
    serde_json::to_writer(body, value).expect("numbers and texts are JSON, and memory takes all bytes");
}
