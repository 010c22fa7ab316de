//! What the answers of this run have shown of the account, its attributes, values and users.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::deliver::size_limit::SizeLimit;
use crate::deliver::user_set::UserSet;
use crate::deliver::verdict::Reason;
use crate::plan::{Batch, Plan};

/// This many groups in a row, rejected with the same message, suggest that the API rejects the account or the attribute.
/// Fewer may be bad values in a row; more would waste requests of a run that can't succeed.
pub(in crate::deliver) const GROUPS: usize = 10;

/// The same if the status itself is about the operation or the account.
pub(in crate::deliver) const GROUPS_BY_STATUS: usize = 3;

/// How many existing users are remembered, in about 4 MB. Others are asked for when it matters.
const MOST_EXISTING: usize = 250_000;

/// How many ranges of acknowledged users are kept until a rejection needs them. They bound the memory of a run in which
/// nothing is rejected.
const MOST_RANGES: usize = 10_000;

/// How many patterns of messages are kept, so that a server whose messages all differ doesn't fill the memory.
const MOST_PATTERNS: usize = 1_000;

/// How precisely a limit in bytes is found: about the length of one id, as a user more or less makes no other difference.
const BYTES_PRECISION: u32 = 24;

/// What the answers of a run have shown.
#[derive(Debug)]
pub(in crate::deliver) struct Knowledge {
    /// Something was acknowledged, in this run or in the one that it continues, so the address and the key are right.
    pub(in crate::deliver) proven: bool,
    /// An acknowledged row. Sending it again changes nothing, because its attribute is not part of a user's identity.
    pub(in crate::deliver) known_good: Option<(u32, u32)>,
    /// The operation's address exists.
    pub(in crate::deliver) address_exists: bool,
    pub(in crate::deliver) users: SizeLimit,
    pub(in crate::deliver) bytes: SizeLimit,
    /// A single user was rejected for the size of the request: smaller requests don't help.
    pub(in crate::deliver) size_is_no_matter: bool,
    accepted_groups: HashSet<u32>,
    rejected_groups: HashMap<u32, Reason>,
    /// How many users of a group were rejected alone, of whom it is not known that they exist, as long as no user of the group
    /// was accepted.
    rejected_alone: HashMap<u32, usize>,
    /// Attributes of which a value was accepted, or is known to be in the account.
    accepted_attributes: HashSet<String>,
    rejected_attributes: HashMap<String, Reason>,
    /// Groups that were rejected, by attribute and pattern, as long as nothing of the attribute was accepted.
    rejected_of_attribute: HashMap<(String, String), RejectedGroups>,
    offenders: HashMap<u64, Offender>,
    existing: Existing,
    /// Messages whose cause was found, by pattern.
    patterns: HashMap<String, Causes>,
    random_rejections: u32,
    streak: Streak,
}

/// What caused the rejections with one message.
#[derive(Clone, Copy, Debug, Default)]
struct Causes {
    /// Once it was nothing: the same request was accepted later.
    chance: bool,
    /// Once it was a value.
    value: bool,
    /// Once it was a user who was rejected with a value that others got.
    user: bool,
}

/// Groups of an attribute that were rejected with the same message.
#[derive(Debug, Default)]
struct RejectedGroups {
    groups: HashSet<u32>,
    /// It was confirmed for one of them that its users are not the cause.
    is_shown: bool,
}

/// Why later requests leave a user out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::deliver) enum Offender {
    /// The account doesn't have it.
    Unknown,
    /// Requests with it fail for another reason.
    Rejected,
}

/// Groups that were rejected with the same message since the last acknowledgement.
#[derive(Debug, Default)]
struct Streak {
    pattern: String,
    groups: HashSet<u32>,
    /// How many streaks were not caused by the account.
    cleared: u32,
}

/// Users that exist, because something was acknowledged for them.
#[derive(Debug, Default)]
struct Existing {
    /// Ranges whose users are not in `users` yet.
    ranges: Vec<Batch>,
    users: HashSet<u64>,
}

impl Knowledge {
    /// Nothing is known yet, except whether the account acknowledged anything before.
    pub(in crate::deliver) fn new(proven: bool) -> Self {
        Self {
            proven,
            known_good: None,
            address_exists: proven,
            users: SizeLimit::new(1),
            bytes: SizeLimit::new(BYTES_PRECISION),
            size_is_no_matter: false,
            accepted_groups: HashSet::new(),
            rejected_groups: HashMap::new(),
            rejected_alone: HashMap::new(),
            accepted_attributes: HashSet::new(),
            rejected_attributes: HashMap::new(),
            rejected_of_attribute: HashMap::new(),
            offenders: HashMap::new(),
            existing: Existing::default(),
            patterns: HashMap::new(),
            random_rejections: 0,
            streak: Streak::default(),
        }
    }

    /// The account is known to have values of these attributes.
    pub(in crate::deliver) fn add_known_attributes(&mut self, attributes: &BTreeSet<String>) {
        self.accepted_attributes.extend(attributes.iter().cloned());
    }

    /// These users were acknowledged in a request of this size in bytes.
    pub(in crate::deliver) fn acknowledged(&mut self, users: &UserSet, bytes: usize, plan: &Plan) {
        let group = users.group;
        self.proven = true;
        self.address_exists = true;
        self.users.accept(users.len());
        self.bytes.accept(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.size_is_no_matter = false;
        self.streak = Streak { cleared: self.streak.cleared, ..Streak::default() };
        if plan.group_len(group) > users.len() {
            self.accepted_groups.insert(group);
        }
        self.rejected_groups.remove(&group);
        self.rejected_alone.remove(&group);
        let attribute = &plan.attribute(group).name;
        if !self.accepted_attributes.contains(attribute) {
            self.accepted_attributes.insert(attribute.clone());
            self.rejected_attributes.remove(attribute);
            self.rejected_of_attribute.retain(|(of, _), _| of != attribute);
        }
        if !self.offenders.is_empty() {
            for place in users.places() {
                self.offenders.remove(&plan.user_number(group, place));
            }
        }
        self.existing.add(users);
    }

    /// Whether the value of this group was accepted.
    pub(in crate::deliver) fn is_accepted(&self, group: u32) -> bool {
        self.accepted_groups.contains(&group)
    }

    /// Why a group is rejected, if that is known.
    pub(in crate::deliver) fn rejected_because(&self, group: u32, plan: &Plan) -> Option<&Reason> {
        if self.rejected_groups.is_empty() && self.rejected_attributes.is_empty() {
            return None;
        }
        let attribute = &plan.attribute(group).name;
        self.rejected_groups.get(&group).or_else(|| self.rejected_attributes.get(attribute))
    }

    /// The value is rejected for all users.
    pub(in crate::deliver) fn reject_group(&mut self, group: u32, reason: &Reason) {
        self.rejected_groups.insert(group, reason.clone());
    }

    /// These users of the group were rejected alone as well. Returns how many were.
    pub(in crate::deliver) fn add_rejected_alone(&mut self, group: u32, users: usize) -> usize {
        let all = self.rejected_alone.entry(group).or_default();
        *all += users;
        *all
    }

    /// The attribute is rejected with all values.
    pub(in crate::deliver) fn reject_attribute(&mut self, group: u32, reason: &Reason, plan: &Plan) {
        self.rejected_attributes.insert(plan.attribute(group).name.clone(), reason.clone());
    }

    /// Counts a group that is rejected with this message. Returns how many of its attribute were, as long as nothing of the
    /// attribute was ever accepted.
    pub(in crate::deliver) fn rejected_of_attribute(
        &mut self,
        group: u32,
        pattern: &str,
        plan: &Plan,
    ) -> usize {
        let attribute = &plan.attribute(group).name;
        if self.accepted_attributes.contains(attribute) {
            return 0;
        }
        let rejected = self.rejected_of_attribute.entry((attribute.clone(), pattern.to_owned())).or_default();
        rejected.groups.insert(group);
        rejected.groups.len()
    }

    /// It was confirmed that a group is rejected with this message for all users.
    pub(in crate::deliver) fn show_rejected(&mut self, group: u32, pattern: &str, plan: &Plan) {
        let key = (plan.attribute(group).name.clone(), pattern.to_owned());
        if let Some(rejected) = self.rejected_of_attribute.get_mut(&key) {
            rejected.is_shown = true;
        }
    }

    /// Whether enough groups of the attribute were rejected with the same message to blame the attribute.
    pub(in crate::deliver) fn is_attribute_rejected(&self, group: u32, pattern: &str, plan: &Plan) -> bool {
        let key = (plan.attribute(group).name.clone(), pattern.to_owned());
        self.rejected_of_attribute
            .get(&key)
            .is_some_and(|rejected| rejected.is_shown && rejected.groups.len() >= GROUPS)
    }

    /// Counts a rejection with this message. Returns true if enough groups in a row were rejected with it that the account
    /// is to be checked.
    pub(in crate::deliver) fn is_streak(&mut self, group: u32, pattern: &str, most: usize) -> bool {
        if self.streak.pattern != pattern {
            self.streak =
                Streak { pattern: pattern.to_owned(), cleared: self.streak.cleared, ..Streak::default() };
        }
        self.streak.groups.insert(group);
        self.streak.groups.len() >= most << self.streak.cleared.min(10)
    }

    /// The account is not the cause of the streak.
    pub(in crate::deliver) fn clear_streak(&mut self) {
        self.streak = Streak { cleared: self.streak.cleared + 1, ..Streak::default() };
    }

    /// Remembers a user to be left out of later requests.
    pub(in crate::deliver) fn add_offender(&mut self, user: u64, why: Offender) {
        self.offenders.insert(user, why);
    }

    /// Whether a user is to be left out, and why.
    pub(in crate::deliver) fn offender(&self, user: u64) -> Option<Offender> {
        self.offenders.get(&user).copied()
    }

    /// Whether any user is to be left out.
    pub(in crate::deliver) fn has_offenders(&self) -> bool {
        !self.offenders.is_empty()
    }

    /// Whether a user is known to exist.
    pub(in crate::deliver) fn exists(&mut self, user: u64, plan: &Plan) -> bool {
        self.existing.contains(user, plan)
    }

    /// A user was shown to exist.
    pub(in crate::deliver) fn add_existing(&mut self, user: u64) {
        self.existing.insert(user);
    }

    /// The cause of a rejection with this message was confirmed.
    pub(in crate::deliver) fn confirm(&mut self, pattern: &str) {
        self.causes(pattern);
    }

    /// It was confirmed that the value is the cause.
    pub(in crate::deliver) fn confirm_value(&mut self, pattern: &str) {
        self.causes(pattern).value = true;
    }

    /// It was confirmed that a user is the cause, as others got the value.
    pub(in crate::deliver) fn confirm_user(&mut self, pattern: &str) {
        self.causes(pattern).user = true;
    }

    /// A request that was rejected with this message was accepted the second time.
    pub(in crate::deliver) fn add_random_rejection(&mut self, pattern: &str) {
        self.random_rejections += 1;
        self.causes(pattern).chance = true;
    }

    /// Whether every rejection with this message had a cause so far.
    pub(in crate::deliver) fn trusts(&self, pattern: &str) -> bool {
        self.patterns.get(pattern).is_some_and(|causes| !causes.chance)
    }

    /// Whether every rejection with this message was for the value so far, and at least one was.
    pub(in crate::deliver) fn trusts_value(&self, pattern: &str) -> bool {
        self.patterns.get(pattern).is_some_and(|causes| causes.value && !causes.user && !causes.chance)
    }

    /// Whether a rejection with this message was for a user, with a value that others got.
    pub(in crate::deliver) fn was_for_user(&self, pattern: &str) -> bool {
        self.patterns.get(pattern).is_some_and(|causes| causes.user)
    }

    /// Whether requests are rejected at random, so that sending one again is cheaper than a search.
    pub(in crate::deliver) fn rejects_at_random(&self) -> bool {
        self.random_rejections > 0
    }

    fn causes(&mut self, pattern: &str) -> &mut Causes {
        if self.patterns.len() >= MOST_PATTERNS && !self.patterns.contains_key(pattern) {
            self.patterns.clear();
        }
        self.patterns.entry(pattern.to_owned()).or_default()
    }
}

impl Existing {
    fn add(&mut self, users: &UserSet) {
        for batch in users.batches() {
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

/// The message of a rejection without the parts that differ from request to request: numbers, and text in quotes.
pub(in crate::deliver) fn pattern(error: &str) -> String {
    let mut pattern = String::new();
    let mut quote = None;
    for c in error.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => continue,
            None if matches!(c, '"' | '`' | '“') => quote = Some(if c == '“' { '”' } else { c }),
            None if c.is_ascii_digit() => continue,
            None => {}
        }
        pattern.push(c);
    }
    pattern
}
