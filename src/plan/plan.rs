//! The plan itself: what is to be sent, and by which request.

use std::borrow::Cow;
use std::num::NonZeroU32;

use super::column::{Column, Range, UserConflict};
use super::cursor::{Batches, Cursor};
use super::users::UserNumbers;
use super::{Batch, Phase, User};
use crate::input::{Attribute, Dictionary, Operation, ValueId};

/// What is to be sent: groups of users that get one value of one attribute, cut into batches. It never changes.
///
/// Groups have numbers from 0 without gaps, in the order in which they are to be sent; so have the users of a group.
/// Numbers of another plan panic.
#[derive(Debug)]
pub struct Plan {
    dictionary: Dictionary,
    users: UserNumbers,
    batch_size: NonZeroU32,
    columns: Vec<PlannedColumn>,
    groups: u32,
    /// In bytes.
    spilled: u64,
}

/// A column and its place in the plan.
#[derive(Debug)]
pub(super) struct PlannedColumn {
    pub(super) phase: Phase,
    pub(super) column: Column,
    /// The number of its first group.
    pub(super) first: u32,
    pub(super) requests: u64,
}

/// One user's values of one attribute that disagree.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Conflict<'a> {
    /// The attribute's name.
    pub attribute: &'a str,
    /// The user.
    pub user: User<'a>,
    /// Distinct values, in the order of the input; `None` clears the attribute. All of them where conflicts are refused,
    /// otherwise the first eight.
    pub values: Vec<Option<Cow<'a, str>>>,
}

impl Plan {
    pub(super) fn new(
        columns: Vec<(Phase, Column)>,
        mut users: UserNumbers,
        dictionary: Dictionary,
        batch_size: NonZeroU32,
        spilled: u64,
    ) -> Self {
        users.forget_ranks();
        let mut groups = 0_u32;
        let planned = |(phase, mut column): (Phase, Column)| {
            column.attribute = column.called();
            let first = groups;
            groups = groups.checked_add(column.groups.len()).expect("fewer than 2^32 groups fit memory");
            let requests =
                column.groups.sizes().map(|users| u64::from(users.div_ceil(batch_size.get()))).sum();
            PlannedColumn { phase, column, first, requests }
        };
        let columns = columns.into_iter().map(planned).collect();
        Self { dictionary, users, batch_size, columns, groups, spilled }
    }

    /// The same plan with what becomes of its columns, each of which stays in its place.
    pub(super) fn try_map<E>(
        self,
        change: impl FnOnce(Vec<Column>, &UserNumbers, &Dictionary) -> Result<Vec<Column>, E>,
    ) -> Result<Self, E> {
        let Self { dictionary, users, batch_size, columns, spilled, .. } = self;
        let (phases, columns): (Vec<_>, _) =
            columns.into_iter().map(|PlannedColumn { phase, column, .. }| (phase, column)).unzip();
        let columns = change(columns, &users, &dictionary)?;
        Ok(Self::new(phases.into_iter().zip(columns).collect(), users, dictionary, batch_size, spilled))
    }

    /// A cursor before the first batch.
    pub fn cursor(&self) -> Cursor {
        Cursor::default()
    }

    /// Every batch, in the order in which they are to be sent.
    pub fn batches(&self) -> Batches<'_> {
        Batches::new(self)
    }

    /// When a batch may go: after all those of earlier phases.
    pub fn phase(&self, batch: Batch) -> Phase {
        self.planned_column(batch.group).phase
    }

    /// The operation that sends a batch.
    pub fn operation(&self, batch: Batch) -> Operation {
        self.attribute(batch.group).operation
    }

    /// How many batches there are: one request each, if all goes well.
    pub fn requests(&self) -> u64 {
        self.columns.iter().map(|planned| planned.requests).sum()
    }

    /// How many rows stand: one per user and attribute.
    pub fn rows(&self) -> u64 {
        self.columns.iter().map(|planned| planned.column.users()).sum()
    }

    /// How many rows lost to another one of the same user and attribute, be its value equal or not. With
    /// [`OnConflict::Error`](super::OnConflict::Error), every value in [`disputed`](Self::disputed) is a row that
    /// neither stands nor lost; the counts add up with these.
    pub fn superseded(&self) -> u64 {
        self.columns.iter().map(|planned| planned.column.superseded()).sum()
    }

    /// How many groups there are.
    pub fn groups(&self) -> u32 {
        self.groups
    }

    /// The first group of each attribute.
    pub fn first_groups(&self) -> impl Iterator<Item = u32> + '_ {
        self.columns.iter().filter(|planned| planned.requests > 0).map(|planned| planned.first)
    }

    /// The most users in a batch.
    pub fn batch_size(&self) -> NonZeroU32 {
        self.batch_size
    }

    /// The attribute that a group sets.
    pub fn attribute(&self, group: u32) -> &Attribute {
        let planned = self.planned_column(group);
        self.dictionary.attribute_of(planned.column.attribute, planned.value(group))
    }

    /// The value that a group sets, as the input has it; `None` where it clears the attribute.
    pub fn value(&self, group: u32) -> Option<Cow<'_, str>> {
        let planned = self.planned_column(group);
        self.dictionary.value(planned.column.attribute, planned.value(group))
    }

    /// How many users a group has, at least 1.
    pub fn group_len(&self, group: u32) -> u32 {
        self.planned_column(group).range(group).len()
    }

    /// The users of a batch, or of any other range of a group, ascending.
    pub fn users(&self, batch: Batch) -> impl Iterator<Item = User<'_>> + '_ {
        let planned = self.planned_column(batch.group);
        let range = planned.range(batch.group);
        let places = range.part(batch.first, batch.len);
        planned.column.ids.walk(places).map(|number| self.name(number))
    }

    /// The user at this position of a group.
    pub fn user(&self, group: u32, position: u32) -> User<'_> {
        let planned = self.planned_column(group);
        self.name(planned.column.ids.get(planned.range(group).at(position)))
    }

    /// The number of the user at this position of a group: the same for one user in all groups of this plan, and for
    /// nobody else.
    pub fn user_number(&self, group: u32, position: u32) -> u64 {
        let planned = self.planned_column(group);
        planned.column.ids.get(planned.range(group).at(position))
    }

    /// With [`OnConflict::Error`](super::OnConflict::Error) all conflicts, by attribute and user; otherwise none. Their
    /// rows are in no group.
    pub fn disputed(&self) -> impl Iterator<Item = Conflict<'_>> + '_ {
        self.columns
            .iter()
            .filter(|planned| planned.column.disputed > 0)
            .flat_map(|planned| self.conflicts(planned))
    }

    /// How much memory the plan holds.
    pub fn memory_bytes(&self) -> usize {
        self.dictionary.memory_bytes()
            + self.users.memory_bytes()
            + self.columns.iter().map(|planned| planned.column.memory_bytes()).sum::<usize>()
    }

    /// How many bytes reading and planning wrote to temporary files.
    pub fn spilled_bytes(&self) -> u64 {
        self.spilled
    }

    /// The conflicts that are remembered for an attribute.
    pub(super) fn conflicts(&self, planned: &PlannedColumn) -> impl Iterator<Item = Conflict<'_>> {
        let id = planned.column.attribute;
        let attribute = self.attribute_name(planned);
        planned.column.conflict_list.iter().map(move |UserConflict { user, values }| Conflict {
            attribute,
            user: self.name(user),
            values: values.iter().map(|&value| self.dictionary.value(id, ValueId(value))).collect(),
        })
    }

    pub(super) fn attribute_name(&self, planned: &PlannedColumn) -> &str {
        &self.dictionary.attribute(planned.column.attribute).name
    }

    pub(super) fn planned_columns(&self) -> &[PlannedColumn] {
        &self.columns
    }

    /// Where a group is.
    #[inline]
    pub(super) fn planned_column(&self, group: u32) -> &PlannedColumn {
        let after = self.columns.partition_point(|planned| planned.first <= group);
        &self.columns[after - 1]
    }

    fn name(&self, number: u64) -> User<'_> {
        self.users.name(number, &self.dictionary)
    }
}

impl PlannedColumn {
    /// Where the users of a group are in the column.
    #[inline]
    pub(super) fn range(&self, group: u32) -> Range {
        self.column.groups.range(group - self.first)
    }

    fn value(&self, group: u32) -> ValueId {
        self.column.groups.value(group - self.first)
    }
}
