//! What answers have shown about the account, its attributes, values and users, in this run.

use std::collections::{HashMap, HashSet};

use super::event::Reason;
use super::limits::Limit;
use super::part::Part;
use crate::plan::{Batch, Plan};

/// Groups refused in the same words without an acknowledgement between: the account's doing, or the attribute's.
pub(super) const GROUPS: usize = 10;

/// The same where the status itself speaks of the operation or the account.
pub(super) const GROUPS_BY_STATUS: usize = 3;

/// Users whose existence is remembered: beyond that it is asked for when it matters. About 4 MB.
const MOST_EXISTING: usize = 250_000;

/// Ranges of acknowledged users that are kept until the first refusal asks for them.
const MOST_RANGES: usize = 10_000;

/// Classes of words that are kept. A server that never repeats itself must not fill the memory.
const MOST_CLASSES: usize = 1_000;

/// How precisely a limit on bytes is found: about the length of one id.
const BYTES_PRECISION: u32 = 24;

/// What answers have shown.
#[derive(Debug)]
pub(super) struct Facts {
    /// Something was acknowledged, by this run or the one that it continues: the address and the key work.
    pub(super) proven: bool,
    /// An acknowledged row of an attribute that changes nobody's identity. Sending it again changes nothing.
    pub(super) known_good: Option<(u32, u32)>,
    /// The operation's address exists.
    pub(super) address_exists: bool,
    pub(super) users: Limit,
    pub(super) bytes: Limit,
    /// A single user was refused for the size of the request: smaller requests don't help.
    pub(super) size_is_no_matter: bool,
    accepted_groups: HashSet<u32>,
    condemned_groups: HashMap<u32, Reason>,
    accepted_attributes: HashSet<String>,
    condemned_attributes: HashMap<String, Reason>,
    /// Groups that were refused, by attribute and class, as long as nothing of the attribute was accepted.
    refused_of_attribute: HashMap<(String, String), RefusedGroups>,
    offenders: HashMap<u64, Offender>,
    existing: Existing,
    classes: HashMap<String, Class>,
    chances: u32,
    streak: Streak,
}

/// Groups of an attribute that were refused in the same words.
#[derive(Debug, Default)]
struct RefusedGroups {
    groups: HashSet<u32>,
    /// Evidence showed of one of them that it was not for its users.
    is_shown: bool,
}

/// Why a user is left out of later requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offender {
    /// The account doesn't have it.
    Unknown,
    /// Requests with it fail for another reason.
    Refused,
}

/// What became of refusals in the same words.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    /// How often evidence showed a cause.
    confirmed: u32,
    /// How often the same request was accepted afterwards.
    chance: u32,
}

/// Groups that were refused in the same words since the last acknowledgement.
#[derive(Debug, Default)]
struct Streak {
    class: String,
    groups: HashSet<u32>,
    /// How many times a streak turned out not to be the account's doing.
    cleared: u32,
}

/// Users who exist, since something was acknowledged for them.
#[derive(Debug, Default)]
struct Existing {
    /// Not yet looked at.
    ranges: Vec<Batch>,
    users: HashSet<u64>,
}

impl Facts {
    /// Nothing is known yet, but whether the account acknowledged anything before.
    pub(super) fn new(proven: bool) -> Self {
        Self {
            proven,
            known_good: None,
            address_exists: proven,
            users: Limit::new(1),
            bytes: Limit::new(BYTES_PRECISION),
            size_is_no_matter: false,
            accepted_groups: HashSet::new(),
            condemned_groups: HashMap::new(),
            accepted_attributes: HashSet::new(),
            condemned_attributes: HashMap::new(),
            refused_of_attribute: HashMap::new(),
            offenders: HashMap::new(),
            existing: Existing::default(),
            classes: HashMap::new(),
            chances: 0,
            streak: Streak::default(),
        }
    }

    /// These users were acknowledged in a request of this size in bytes.
    pub(super) fn acknowledged(&mut self, part: &Part, bytes: usize, plan: &Plan) {
        let group = part.group;
        self.proven = true;
        self.address_exists = true;
        self.users.accept(part.len());
        self.bytes.accept(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.size_is_no_matter = false;
        self.streak = Streak { cleared: self.streak.cleared, ..Streak::default() };
        if plan.group_len(group) > part.len() {
            self.accepted_groups.insert(group);
        }
        self.condemned_groups.remove(&group);
        let attribute = &plan.attribute(group).name;
        if !self.accepted_attributes.contains(attribute) {
            self.accepted_attributes.insert(attribute.clone());
            self.condemned_attributes.remove(attribute);
            self.refused_of_attribute.retain(|(of, _), _| of != attribute);
        }
        if !self.offenders.is_empty() {
            for place in part.places() {
                self.offenders.remove(&plan.user_number(group, place));
            }
        }
        self.existing.add(part);
    }

    /// Whether anyone got this value, or the attribute in another group.
    pub(super) fn is_accepted(&self, group: u32) -> bool {
        self.accepted_groups.contains(&group)
    }

    /// Why a group is refused, if it is known to be.
    pub(super) fn condemned(&self, group: u32, plan: &Plan) -> Option<&Reason> {
        if self.condemned_groups.is_empty() && self.condemned_attributes.is_empty() {
            return None;
        }
        let attribute = &plan.attribute(group).name;
        self.condemned_groups.get(&group).or_else(|| self.condemned_attributes.get(attribute))
    }

    /// The value is refused, whoever gets it.
    pub(super) fn condemn_group(&mut self, group: u32, reason: &Reason) {
        self.condemned_groups.insert(group, reason.clone());
    }

    /// The attribute is refused, whatever the value.
    pub(super) fn condemn_attribute(&mut self, group: u32, reason: &Reason, plan: &Plan) {
        self.condemned_attributes.insert(plan.attribute(group).name.clone(), reason.clone());
    }

    /// Counts a group that is refused in these words. Returns how many of its attribute were, as long as nothing of the
    /// attribute was ever accepted.
    pub(super) fn refused_of_attribute(&mut self, group: u32, class: &str, plan: &Plan) -> usize {
        let attribute = &plan.attribute(group).name;
        if self.accepted_attributes.contains(attribute) {
            return 0;
        }
        let refused = self.refused_of_attribute.entry((attribute.clone(), class.to_owned())).or_default();
        refused.groups.insert(group);
        refused.groups.len()
    }

    /// Evidence showed that a group is refused in these words whoever gets the value.
    pub(super) fn show_refused(&mut self, group: u32, class: &str, plan: &Plan) {
        let key = (plan.attribute(group).name.clone(), class.to_owned());
        if let Some(refused) = self.refused_of_attribute.get_mut(&key) {
            refused.is_shown = true;
        }
    }

    /// Whether so many groups of the attribute were refused alike that it is the attribute.
    pub(super) fn is_attribute_refused(&self, group: u32, class: &str, plan: &Plan) -> bool {
        let key = (plan.attribute(group).name.clone(), class.to_owned());
        self.refused_of_attribute
            .get(&key)
            .is_some_and(|refused| refused.is_shown && refused.groups.len() >= GROUPS)
    }

    /// Whether anything of the group's attribute was accepted.
    pub(super) fn attribute_is_accepted(&self, group: u32, plan: &Plan) -> bool {
        self.accepted_attributes.contains(&plan.attribute(group).name)
    }

    /// Counts a refusal in these words. True when so many groups were refused alike, with nothing acknowledged between,
    /// that the account is to be asked.
    pub(super) fn is_streak(&mut self, group: u32, class: &str, most: usize) -> bool {
        if self.streak.class != class {
            self.streak =
                Streak { class: class.to_owned(), cleared: self.streak.cleared, ..Streak::default() };
        }
        self.streak.groups.insert(group);
        self.streak.groups.len() >= most << self.streak.cleared.min(10)
    }

    /// The account is well: what was refused was so for itself.
    pub(super) fn clear_streak(&mut self) {
        self.streak = Streak { cleared: self.streak.cleared + 1, ..Streak::default() };
    }

    /// Remembers a user to be left out of later requests.
    pub(super) fn add_offender(&mut self, user: u64, why: Offender) {
        self.offenders.insert(user, why);
    }

    /// Whether a user is to be left out, and why.
    pub(super) fn offender(&self, user: u64) -> Option<Offender> {
        self.offenders.get(&user).copied()
    }

    /// Whether anyone is to be left out.
    pub(super) fn has_offenders(&self) -> bool {
        !self.offenders.is_empty()
    }

    /// Whether a user is known to exist.
    pub(super) fn exists(&mut self, user: u64, plan: &Plan) -> bool {
        self.existing.contains(user, plan)
    }

    /// A user was shown to exist.
    pub(super) fn add_existing(&mut self, user: u64) {
        self.existing.insert(user);
    }

    /// Evidence showed the cause of a refusal in these words.
    pub(super) fn confirm(&mut self, class: &str) {
        self.class(class).confirmed += 1;
    }

    /// A refusal in these words did not come again.
    pub(super) fn add_chance(&mut self, class: &str) {
        self.chances += 1;
        self.class(class).chance += 1;
    }

    /// Whether refusals in these words always had a cause so far.
    pub(super) fn trusts(&self, class: &str) -> bool {
        self.classes.get(class).is_some_and(|class| class.confirmed > 0 && class.chance == 0)
    }

    /// Whether refusals come by chance here, so that asking again is cheaper than searching.
    pub(super) fn are_chances_seen(&self) -> bool {
        self.chances > 0
    }

    fn class(&mut self, class: &str) -> &mut Class {
        if self.classes.len() >= MOST_CLASSES && !self.classes.contains_key(class) {
            self.classes.clear();
        }
        self.classes.entry(class.to_owned()).or_default()
    }
}

impl Existing {
    fn add(&mut self, part: &Part) {
        for batch in part.batches() {
            if let Some(last) = self.ranges.last_mut()
                && last.group == batch.group
                && last.first + last.len == batch.first
            {
                last.len += batch.len;
            } else if self.ranges.len() < MOST_RANGES {
                self.ranges.push(batch);
            }
        }
    }

    fn insert(&mut self, user: u64) {
        if self.users.len() < MOST_EXISTING {
            self.users.insert(user);
        }
    }

    fn contains(&mut self, user: u64, plan: &Plan) -> bool {
        for Batch { group, first, len } in std::mem::take(&mut self.ranges) {
            let room = MOST_EXISTING.saturating_sub(self.users.len());
            self.users.extend((first..first + len).take(room).map(|place| plan.user_number(group, place)));
        }
        self.users.contains(&user)
    }
}

/// The words of a refusal without what differs from one request to the next: numbers, and what stands in quotes.
pub(super) fn class(error: &str) -> String {
    let mut class = String::new();
    let mut quote = None;
    for c in error.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => continue,
            None if matches!(c, '"' | '`' | '“') => quote = Some(if c == '“' { '”' } else { c }),
            None if c.is_ascii_digit() => continue,
            None => {}
        }
        class.push(c);
    }
    class
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_leaves_out_what_differs_from_request_to_request() {
        assert_eq!(
            class(r#"ids: Invalid pk "42" - no such object"#),
            class(r#"ids: Invalid pk "7" - no such object"#)
        );
        assert_eq!(class("user 42 of 99"), class("user 7 of 1000"));
        assert_ne!(class("value: too long"), class("value: too short"));
    }

    #[test]
    fn words_are_trusted_once_a_cause_was_shown_and_never_after_chance() {
        let mut facts = Facts::new(false);
        assert!(!facts.trusts("no"));
        facts.confirm("no");
        assert!(facts.trusts("no"));
        facts.add_chance("no");
        assert!(!facts.trusts("no") && facts.are_chances_seen());
    }

    #[test]
    fn a_streak_is_of_groups_in_the_same_words_and_tests_of_the_account_become_rarer() {
        let mut facts = Facts::new(true);
        let refuse = |facts: &mut Facts, group| facts.is_streak(group, "no", GROUPS);
        assert!((0..9).all(|group| !refuse(&mut facts, group)));
        assert!(!refuse(&mut facts, 8), "the same group again");
        assert!(refuse(&mut facts, 9));
        facts.clear_streak();
        assert!((10..29).all(|group| !refuse(&mut facts, group)) && refuse(&mut facts, 29));
        assert!(!facts.is_streak(1, "other words", GROUPS));
    }
}
