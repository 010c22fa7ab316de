//! Validates requests: key, attributes, values and users.

use std::collections::BTreeSet;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use serde_json::{Value, json};

use super::answer::Answer;
use super::options::{Options, Permission, Reject};
use super::standard_attributes;
use super::state::{User, UserIds, plain_text};
use super::update::Update;

/// Which attributes an operation sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vocabulary {
    Standard,
    /// All other names.
    Custom,
}

const CUSTOM_NAME_LENGTH: usize = 255;
const HIGHEST_ID: u64 = i64::MAX.unsigned_abs();

/// Validates requests by the options of the sandbox.
#[derive(Debug)]
pub(super) struct Validator {
    token: Option<String>,
    permission: Permission,
    highest_id: u64,
    unknown_ids: HashSet<u64, RandomState>,
    unknown_custom_ids: HashSet<String, RandomState>,
    reject: Reject,
    max_ids: usize,
    reject_values: BTreeSet<(String, String)>,
}

impl Validator {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            token: options.token.clone(),
            permission: options.permission,
            highest_id: options.users.unwrap_or(HIGHEST_ID),
            unknown_ids: options.reject_ids.iter().filter_map(|id| id.parse().ok()).collect(),
            unknown_custom_ids: options.reject_ids.iter().cloned().collect(),
            reject: options.reject,
            max_ids: options.max_ids.unwrap_or(usize::MAX),
            reject_values: options.reject_values.clone(),
        }
    }

    /// Checks the value of the header `authorization`.
    pub(super) fn authorize(&self, header: Option<&str>) -> Result<(), Answer> {
        let Some(token) = header.and_then(|header| header.strip_prefix("Token ")) else {
            return Err(Answer::unauthorized("Authentication credentials were not provided."));
        };
        let known = self.token.as_ref().map_or(!token.trim().is_empty(), |known| known == token);
        match (known, self.permission) {
            (false, _) => Err(Answer::unauthorized("Invalid token.")),
            (true, Permission::Denied) => Err(Answer::forbidden()),
            (true, Permission::Granted) => Ok(()),
        }
    }

    /// The update as it is to be applied, or the answer that rejects it.
    pub(super) fn check_update<'a>(
        &self,
        update: Update<'a>,
        vocabulary: Vocabulary,
    ) -> Result<Update<'a>, Answer> {
        if update.users.len() > self.max_ids {
            let fault = format!("Ensure this field has no more than {} elements.", self.max_ids);
            return Err(Answer::bad_request(&json!({ "ids": [fault] })));
        }
        let refuse = |field: &str, fault: String| Answer::bad_request(&json!({ field: [fault] }));
        check_attribute(&update.attribute, vocabulary).map_err(|fault| refuse("attribute", fault))?;
        self.check_value(&update.attribute, &update.value).map_err(|fault| refuse("value", fault))?;
        let users = self.known(update.users)?;
        Ok(Update { users, ..update })
    }

    /// Whether this user exists.
    pub(super) fn knows(&self, user: User<'_>) -> bool {
        match user {
            User::Id(id) => (1..=self.highest_id).contains(&id) && !self.unknown_ids.contains(&id),
            User::CustomId(id) => !self.unknown_custom_ids.contains(id),
        }
    }

    fn check_value(&self, attribute: &str, value: &Value) -> Result<(), String> {
        let text = plain_text(value);
        let refused = !self.reject_values.is_empty()
            && self.reject_values.contains(&(attribute.to_owned(), text.clone().into_owned()));
        if refused {
            return Err(format!("\"{text}\" is not a valid choice."));
        }
        standard_attributes::attribute_type(attribute).map_or(Ok(()), |kind| kind.check(value))
    }

    fn known(&self, users: UserIds) -> Result<UserIds, Answer> {
        match users {
            UserIds::Ids(ids) => self.partition(ids, |id| User::Id(*id)).map(UserIds::Ids),
            UserIds::CustomIds(ids) => self.partition(ids, |id| User::CustomId(id)).map(UserIds::CustomIds),
        }
    }

    fn partition<I>(&self, mut ids: Vec<I>, user: impl Fn(&I) -> User<'_>) -> Result<Vec<I>, Answer> {
        if ids.iter().all(|id| self.knows(user(id))) {
            return Ok(ids);
        }
        match self.reject {
            Reject::Ignored => {
                ids.retain(|id| self.knows(user(id)));
                Ok(ids)
            }
            Reject::NotFound => Err(Answer::not_found()),
            Reject::Unnamed => Err(Answer::bad_request(&json!({ "detail": "Invalid input." }))),
            Reject::Naming => {
                let faults: Vec<String> =
                    ids.iter().map(&user).filter(|user| !self.knows(*user)).map(invalid_pk).collect();
                Err(Answer::bad_request(&json!({ "ids": faults })))
            }
        }
    }
}

fn check_attribute(name: &str, vocabulary: Vocabulary) -> Result<(), String> {
    match (vocabulary, standard_attributes::attribute_type(name)) {
        (Vocabulary::Standard, Some(_)) => Ok(()),
        (Vocabulary::Standard, None) => Err(format!("\"{name}\" is not a valid choice.")),
        (Vocabulary::Custom, Some(_)) => Err(format!("\"{name}\" is a standard attribute.")),
        (Vocabulary::Custom, None) => match name.chars().count() {
            0 => Err("This field may not be blank.".to_owned()),
            1..=CUSTOM_NAME_LENGTH => Ok(()),
            _ => Err(format!("Ensure this field has no more than {CUSTOM_NAME_LENGTH} characters.")),
        },
    }
}

fn invalid_pk(user: User<'_>) -> String {
    match user {
        User::Id(id) => format!("Invalid pk \"{id}\" - object does not exist."),
        User::CustomId(id) => format!("Invalid pk \"{id}\" - object does not exist."),
    }
}
