//! What a request says.

use serde::Serialize;

use super::{Batch, Plan, User, value};

/// Of the decimal form of any id, and the comma.
const LONGEST_ID: usize = 20;

impl Plan {
    /// Appends the JSON body of the request for a batch, or for any other range of a group:
    /// `{"ids":[10,15],"attribute":"country","value":"USA"}`.
    pub fn body(&self, batch: Batch, body: &mut Vec<u8>) {
        self.render(batch.group, self.users(batch), batch.len as usize, body);
    }

    /// Appends the body of a request for the users at these positions of a group.
    pub fn body_of(&self, group: u32, positions: &[u32], body: &mut Vec<u8>) {
        let users = positions.iter().map(|&position| self.user(group, position));
        self.render(group, users, positions.len(), body);
    }

    fn render<'a>(
        &self,
        group: u32,
        users: impl Iterator<Item = User<'a>>,
        count: usize,
        body: &mut Vec<u8>,
    ) {
        body.reserve(count * LONGEST_ID);
        body.extend_from_slice(br#"{"ids":["#);
        for (place, user) in users.enumerate() {
            if place > 0 {
                body.push(b',');
            }
            json(&user, body);
        }
        let attribute = self.attribute(group);
        body.extend_from_slice(br#"],"attribute":"#);
        json(&attribute.name, body);
        body.extend_from_slice(br#","value":"#);
        match self.value(group) {
            None => body.extend_from_slice(b"null"),
            Some(text) => body.extend_from_slice(value::token(attribute, text).as_bytes()),
        }
        body.push(b'}');
    }
}

fn json(value: &(impl Serialize + ?Sized), body: &mut Vec<u8>) {
    serde_json::to_writer(body, value).expect("numbers and texts are JSON, and memory takes all bytes");
}
