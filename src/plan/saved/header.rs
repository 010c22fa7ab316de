//! The first line of a saved plan.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FORMAT, Figures, START, SavedPlanError, VERSION};
use crate::input::{AttributeRule, IdType, ReadOptions, Vocabulary};
use crate::spill::Resources;

/// What a saved plan says about itself: all that decides whether it may still be sent, and what people need to review it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedHeader {
    /// Tells this plan from any other.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it goes.
    pub target: SavedTarget,
    /// The ledger that it was made from; `None` if there is none to be.
    pub ledger: Option<SavedLedger>,
    /// The names of the inputs, as they are shown.
    pub inputs: Vec<String>,
    /// What the inputs have for all users, as [`Plan::fingerprint`](crate::plan::Plan::fingerprint), before anything was
    /// taken out because the API has it.
    pub content: String,
    /// The settings that decide what is sent.
    pub settings: SavedSettings,
    /// The number of requests, one on each line.
    pub requests: u64,
    /// Why rows fail without a request, if any do: the account doesn't have their users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What the inputs had, and what would be sent, in figures.
    pub figures: Figures,
}

/// Where a plan goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedTarget {
    /// The address of the API; `None` for a sandbox that starts with the run.
    pub base_url: Option<String>,
    /// What names a user: with `custom-id`, requests go to `users-by-id`.
    pub id_type: IdType,
}

/// The state of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedLedger {
    /// Tells this ledger from any other; `None` if there was no file yet.
    pub identity: Option<String>,
    /// Its newest entry, 0 before the first one.
    pub entry: u64,
    /// Its newest run, 0 before the first one.
    pub run: u64,
}

/// The settings that decide what is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSettings {
    /// The most users of one request.
    pub batch_size: NonZeroU32,
    /// The value that clears an attribute.
    pub null_token: Option<String>,
    /// Whether empty values are sent.
    pub send_empty: bool,
    /// Whether custom attributes are allowed.
    pub allow_custom: bool,
    /// Types and replaced values, by attribute.
    pub attributes: BTreeMap<String, AttributeRule>,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct FirstLine<Plan> {
    format: String,
    version: u32,
    /// The version of the program that has written it.
    attrsync: String,
    plan: Plan,
}

/// The same of any version.
#[derive(Deserialize)]
struct AnyVersion {
    version: u32,
    attrsync: String,
}

impl SavedHeader {
    /// As the first line.
    pub(super) fn line(&self) -> Vec<u8> {
        let attrsync = env!("CARGO_PKG_VERSION").to_owned();
        let line = FirstLine { format: FORMAT.to_owned(), version: VERSION, attrsync, plan: self };
        let mut line = serde_json::to_vec(&line).expect("texts and numbers are JSON");
        debug_assert!(line.starts_with(START), "a reader looks for this");
        line.push(b'\n');
        line
    }

    /// From the first line; and the version of the program that has written it.
    pub(super) fn parse(line: &[u8]) -> Result<(Self, String), SavedPlanError> {
        let Ok(AnyVersion { version, attrsync }) = serde_json::from_slice(line) else {
            return Err(SavedPlanError::Damaged);
        };
        if version > VERSION {
            return Err(SavedPlanError::TooNew { attrsync });
        }
        match serde_json::from_slice::<FirstLine<Self>>(line) {
            Ok(FirstLine { plan, .. }) => Ok((plan, attrsync)),
            Err(_) => Err(SavedPlanError::Damaged),
        }
    }

    /// How to read the values of the requests.
    pub(super) fn options(&self, resources: &Resources) -> ReadOptions {
        let SavedSettings { null_token, allow_custom, attributes, .. } = &self.settings;
        ReadOptions {
            id_type: self.target.id_type,
            vocabulary: if *allow_custom { Vocabulary::Custom } else { Vocabulary::Standard },
            null_token: null_token.clone(),
            attributes: attributes.clone(),
            resources: resources.clone(),
            ..ReadOptions::default()
        }
    }
}
