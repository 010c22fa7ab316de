//! Handles users whose own ids were changed.
//!
//! If a target uses the client's own ids, the attribute `custom_id` (also called `user_id`) is the user's id. After a run has
//! changed it, the user with the old id has the new one, so nothing that was known of either id holds any more.

use std::borrow::Cow;

use super::LedgerError;
use super::fingerprint::Fingerprint;
use super::groups::{Group, Malformed};
use super::reader::LedgerReader;
use super::rows::{AttributeRow, EntryHeader, RunRow, TargetRow};
use crate::plan::{SentValue, User};

/// The attribute that names users.
pub(super) const IDENTITY: &str = "custom_id";

/// Its former name.
const FORMER_IDENTITY: &str = "user_id";

/// The name under which an attribute is known: one, where the API has two for it.
pub(super) fn known_as(name: &str) -> &str {
    if name == FORMER_IDENTITY { IDENTITY } else { name }
}

/// The user that has this value as its id.
pub(super) fn named<'v>(value: &'v SentValue<'_>) -> Option<User<'v>> {
    match value {
        SentValue::Null => None,
        SentValue::Text(text) | SentValue::Json(text) => Some(User::Custom(Cow::Borrowed(text))),
    }
}

/// What an entry of the id attribute means for one user.
pub(super) enum Renamed<'g> {
    /// The user got the id that it already had.
    Kept(User<'g>),
    /// What is behind this id is not known any more.
    Unknown(User<'g>),
}

/// Calls `see` with what a group of the id attribute says, if the target uses the client's own ids.
pub(super) fn each(group: &mut Group<'_>, mut see: impl FnMut(Renamed<'_>)) -> Result<(), Malformed> {
    let Group { value, users, .. } = group;
    let new = value.as_ref().and_then(named);
    let mut renamed = false;
    for user in users.by_ref() {
        if new.as_ref() == Some(&user) {
            see(Renamed::Kept(user));
        } else {
            renamed = true;
            see(Renamed::Unknown(user));
        }
    }
    if let Some(new) = new.filter(|_| renamed) {
        see(Renamed::Unknown(new));
    }
    users.clone().finish()
}

/// Up to which entry the records of a target can't be trusted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UntrustedUpTo {
    by_custom_id: bool,
    /// The entry up to which nothing can be trusted.
    all: u64,
    /// The same for what depends on the ids that runs have changed which name users in the other way.
    renamed: u64,
}

impl UntrustedUpTo {
    /// The entry up to which nothing that is recorded of this attribute can be trusted, 0 if all can.
    pub(super) fn of(self, attribute: &str) -> u64 {
        if self.by_custom_id || attribute == IDENTITY { self.all.max(self.renamed) } else { self.all }
    }
}

impl TargetRow {
    /// Whether the target uses the client's own ids.
    pub(super) fn goes_by_custom_ids(&self) -> bool {
        self.users == super::run::CUSTOM_ID
    }
}

impl LedgerReader {
    /// Up to which entry the records of a target can't be trusted by a run with this content.
    pub(super) fn untrusted_up_to(
        &self,
        runs: &[RunRow],
        target: &TargetRow,
        content: Option<&str>,
    ) -> Result<UntrustedUpTo, LedgerError> {
        let all = self.untrusted(runs, target.id, content)?;
        Ok(UntrustedUpTo {
            by_custom_id: target.goes_by_custom_ids(),
            all,
            renamed: self.renamed_elsewhere(runs, target)?,
        })
    }

    /// The last entry by which a run may have changed the custom ids of users that it named by another type of id. The ledger
    /// can't tell which users had them before.
    fn renamed_elsewhere(&self, runs: &[RunRow], target: &TargetRow) -> Result<u64, LedgerError> {
        let is_sibling = |other: &TargetRow| other.base_url == target.base_url && other.id != target.id;
        let Some(sibling) = self.database.targets()?.into_iter().find(is_sibling) else { return Ok(0) };
        let renames = |run: &&RunRow| {
            Fingerprint::parse(&run.settings).is_some_and(|fingerprint| fingerprint.renames())
        };
        let renaming: Vec<RunRow> = runs.iter().filter(renames).cloned().collect();
        let lost = self.untrusted(&renaming, sibling.id, None)?;
        let attributes = self.database.attributes()?;
        let identity = attributes.iter().find(|attribute| is_identity(attribute, sibling.id));
        let Some(identity) = identity else { return Ok(lost) };
        let headings = self.database.headings(self.database.state()?.expired)?;
        let own = |heading: &&EntryHeader| heading.attribute == identity.id;
        let recorded = headings.iter().rfind(own).map_or(0, |heading| heading.entry);
        Ok(lost.max(recorded).max(identity.generation))
    }
}

/// Whether it is the attribute that names users, of this target.
pub(super) fn is_identity(attribute: &AttributeRow, target: u64) -> bool {
    attribute.target == target && attribute.name == IDENTITY
}
