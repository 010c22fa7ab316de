//! The finished plan: what is sent, and by which requests.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::attribute_plan::AttributePlan;
use super::conflicts::UserConflict;
use super::cursor::{Batches, Cursor};
use super::groups::GroupRange;
use super::users::UserNumbers;
use super::{BUFFER, Batch, Phase, User};
use crate::input::{Attribute, Dictionary, Operation, ValueId};

/// What is sent: groups of users that get one value of one attribute, cut into batches. A plan does not change.
///
/// Groups are numbered from 0 in the order of sending, and so are the users of a group. Numbers of another plan panic.
#[derive(Debug)]
pub struct Plan {
    dictionary: Arc<Dictionary>,
    users: Arc<UserNumbers>,
    batch_size: NonZeroU32,
    attributes: Vec<NumberedAttribute>,
    groups: u32,
    spilled_bytes: u64,
}

/// The plan of an attribute, and its groups' numbers in the whole plan.
#[derive(Debug)]
pub(super) struct NumberedAttribute {
    pub(super) phase: Phase,
    pub(super) plan: AttributePlan,
    pub(super) first_group: u32,
    pub(super) requests: u64,
}

/// The plan of an attribute, divided in two.
#[derive(Debug)]
pub(super) struct Divided {
    pub(super) kept: AttributePlan,
    pub(super) taken: Option<AttributePlan>,
}

/// The conflicting values of one user and attribute.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Conflict<'a> {
    /// The attribute's name.
    pub attribute: &'a str,
    /// The user.
    pub user: User<'a>,
    /// Distinct values, in the order of the input; `None` clears the attribute. All of them if conflicts are refused,
    /// otherwise the first eight.
    pub values: Vec<Option<Cow<'a, str>>>,
}

impl Plan {
    pub(super) fn new(
        attributes: Vec<(Phase, AttributePlan)>,
        mut users: UserNumbers,
        dictionary: Dictionary,
        batch_size: NonZeroU32,
        spilled_bytes: u64,
    ) -> Self {
        users.drop_ranks();
        Self::of(attributes, Arc::new(users), Arc::new(dictionary), batch_size, spilled_bytes)
    }

    fn of(
        attributes: Vec<(Phase, AttributePlan)>,
        users: Arc<UserNumbers>,
        dictionary: Arc<Dictionary>,
        batch_size: NonZeroU32,
        spilled_bytes: u64,
    ) -> Self {
        let mut groups = 0_u32;
        let number = |(phase, mut plan): (Phase, AttributePlan)| {
            plan.attribute = plan.common_name();
            let first_group = groups;
            groups = groups.checked_add(plan.groups.len()).expect("fewer than 2^32 groups fit memory");
            let requests = plan.groups.sizes().map(|users| u64::from(users.div_ceil(batch_size.get()))).sum();
            NumberedAttribute { phase, plan, first_group, requests }
        };
        let attributes = attributes.into_iter().map(number).collect();
        Self { dictionary, users, batch_size, attributes, groups, spilled_bytes }
    }

    /// Divides the plan in two, attribute by attribute: what is left of it, and what was taken out. Both keep the order of the
    /// attributes.
    pub(super) fn try_divide<E>(
        self,
        divide: impl FnOnce(Vec<AttributePlan>, &UserNumbers, &Dictionary) -> Result<Vec<Divided>, E>,
    ) -> Result<(Self, Option<Self>), E> {
        let Self { dictionary, users, batch_size, attributes, spilled_bytes, .. } = self;
        let (phases, attributes): (Vec<_>, _) =
            attributes.into_iter().map(|NumberedAttribute { phase, plan, .. }| (phase, plan)).unzip();
        let (mut kept, mut taken) = (Vec::new(), Vec::new());
        for (phase, divided) in phases.into_iter().zip(divide(attributes, &users, &dictionary)?) {
            kept.push((phase, divided.kept));
            taken.extend(divided.taken.map(|plan| (phase, plan)));
        }
        let plan = |attributes, spilled_bytes| {
            let (users, dictionary) = (Arc::clone(&users), Arc::clone(&dictionary));
            Self::of(attributes, users, dictionary, batch_size, spilled_bytes)
        };
        let taken = if taken.is_empty() { None } else { Some(plan(taken, 0)) };
        Ok((plan(kept, spilled_bytes), taken))
    }

    /// A cursor before the first batch.
    pub fn cursor(&self) -> Cursor {
        Cursor::default()
    }

    /// All batches, in the order of sending.
    pub fn batches(&self) -> Batches<'_> {
        Batches::new(self)
    }

    /// The phase of a batch: it is sent after all batches of earlier phases.
    pub fn phase(&self, batch: Batch) -> Phase {
        self.attribute_of(batch.group).phase
    }

    /// The operation that sends a batch.
    pub fn operation(&self, batch: Batch) -> Operation {
        self.attribute(batch.group).operation
    }

    /// The number of batches: one request each, if all goes well.
    pub fn requests(&self) -> u64 {
        self.attributes.iter().map(|attribute| attribute.requests).sum()
    }

    /// The number of rows to send: one for each user and attribute.
    pub fn rows(&self) -> u64 {
        self.attributes.iter().map(|attribute| attribute.plan.users()).sum()
    }

    /// The number of rows that lost to another row of the same user and attribute, whether or not its value is equal.
    /// With
    /// [`OnConflict::Error`](super::OnConflict::Error), each value in [`disputed`](Self::disputed) is a row that is
    /// neither sent nor superseded.
    pub fn superseded(&self) -> u64 {
        self.attributes.iter().map(|attribute| attribute.plan.superseded()).sum()
    }

    /// The number of groups.
    pub fn groups(&self) -> u32 {
        self.groups
    }

    /// The first group of each attribute.
    pub fn first_groups(&self) -> impl Iterator<Item = u32> + '_ {
        self.attributes
            .iter()
            .filter(|attribute| attribute.requests > 0)
            .map(|attribute| attribute.first_group)
    }

    /// The most users in a batch.
    pub fn batch_size(&self) -> NonZeroU32 {
        self.batch_size
    }

    /// The attribute that a group sets.
    pub fn attribute(&self, group: u32) -> &Attribute {
        let attribute = self.attribute_of(group);
        self.dictionary.attribute_of(attribute.plan.attribute, attribute.value(group))
    }

    /// The value that a group sets, as the input has it; `None` if it clears the attribute.
    pub fn value(&self, group: u32) -> Option<Cow<'_, str>> {
        let attribute = self.attribute_of(group);
        self.dictionary.value(attribute.plan.attribute, attribute.value(group))
    }

    /// The number of users of a group, at least 1.
    pub fn group_len(&self, group: u32) -> u32 {
        self.attribute_of(group).range(group).len()
    }

    /// The users of a batch, or of any other range of a group, ascending.
    pub fn users(&self, batch: Batch) -> impl Iterator<Item = User<'_>> + '_ {
        self.user_numbers(batch).map(|number| self.users.user(number, &self.dictionary))
    }

    /// The user at this position of a group.
    pub fn user(&self, group: u32, position: u32) -> User<'_> {
        self.users.user(self.user_number(group, position), &self.dictionary)
    }

    /// The number of the user at this position of a group. It identifies the user in all groups of this plan.
    pub fn user_number(&self, group: u32, position: u32) -> u64 {
        let attribute = self.attribute_of(group);
        attribute.plan.ids.get(attribute.range(group).at(position))
    }

    /// The numbers of the users of a batch, or of any other range of a group, ascending.
    pub fn user_numbers(&self, batch: Batch) -> impl Iterator<Item = u64> + '_ {
        let attribute = self.attribute_of(batch.group);
        let positions = attribute.range(batch.group).part(batch.first, batch.len);
        attribute.plan.ids.reader(positions, BUFFER)
    }

    /// All rows in the order of sending: the group, the position of the user in it, and the number of the user. It reads
    /// what is in temporary files from beginning to end.
    pub fn all_rows(&self) -> impl Iterator<Item = (u32, u32, u64)> + '_ {
        self.attributes.iter().flat_map(|attribute| {
            let groups = (attribute.first_group..).zip(attribute.plan.groups.sizes());
            let positions = groups.flat_map(|(group, len)| (0..len).map(move |position| (group, position)));
            let users = attribute.plan.ids.reader(0..attribute.plan.ids.len(), BUFFER);
            positions.zip(users).map(|((group, position), user)| (group, position, user))
        })
    }

    /// The number of the user with this own id of the client's, if the plan knows users by such ids and has this one.
    pub fn number_of_custom_id(&self, id: &str) -> Option<u64> {
        self.users.number(id, &self.dictionary)
    }

    /// With [`OnConflict::Error`](super::OnConflict::Error) all conflicts, by attribute and user; otherwise none. Their
    /// rows are in no group.
    pub fn disputed(&self) -> impl Iterator<Item = Conflict<'_>> + '_ {
        let disputed = self.attributes.iter().filter(|attribute| attribute.plan.disputed > 0);
        disputed.flat_map(|attribute| self.conflicts(attribute))
    }

    /// How much memory the plan takes.
    pub fn memory_bytes(&self) -> usize {
        self.dictionary.memory_bytes()
            + self.users.memory_bytes()
            + self.attributes.iter().map(|attribute| attribute.plan.memory_bytes()).sum::<usize>()
    }

    /// How many bytes reading and planning wrote to temporary files.
    pub fn spilled_bytes(&self) -> u64 {
        self.spilled_bytes
    }

    /// The conflicts of an attribute that were recorded.
    pub(super) fn conflicts(&self, attribute: &NumberedAttribute) -> impl Iterator<Item = Conflict<'_>> {
        let id = attribute.plan.attribute;
        let name = self.attribute_name(attribute);
        attribute.plan.conflict_list.iter().map(move |UserConflict { user, values }| Conflict {
            attribute: name,
            user: self.users.user(user, &self.dictionary),
            values: values.iter().map(|&value| self.dictionary.value(id, ValueId(value))).collect(),
        })
    }

    pub(super) fn attribute_name(&self, attribute: &NumberedAttribute) -> &str {
        &self.dictionary.attribute(attribute.plan.attribute).name
    }

    pub(super) fn attributes(&self) -> &[NumberedAttribute] {
        &self.attributes
    }

    /// The attribute that a group belongs to.
    #[inline]
    fn attribute_of(&self, group: u32) -> &NumberedAttribute {
        let after = self.attributes.partition_point(|attribute| attribute.first_group <= group);
        &self.attributes[after - 1]
    }
}

impl NumberedAttribute {
    #[inline]
    fn range(&self, group: u32) -> GroupRange {
        self.plan.groups.range(group - self.first_group)
    }

    fn value(&self, group: u32) -> ValueId {
        self.plan.groups.value(group - self.first_group)
    }
}
