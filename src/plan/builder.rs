//! Takes rows and makes a plan of them.

use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};

use super::memory_budget::{MemoryBudget, PlanStorage};
use super::resolve::resolve;
use super::rows::AttributeRows;
use super::unresolved_rows::{Numbering, UnresolvedRows};
use super::users::UserNumbers;
use super::{OnConflict, Phase, Plan};
use crate::input::{AttributeId, Dictionary, Renumber, Row, Sink};
use crate::spill::{Resources, TempFile, TempFiles, least_worth};

/// Rows may take this part of the memory before they go to a temporary file: resolving them takes as much again.
const ROWS_DIVISOR: u64 = 2;

/// Takes valid rows in the order of the input, and makes a [`Plan`] of them.
#[derive(Debug)]
pub struct Builder {
    on_conflict: OnConflict,
    threads: NonZeroUsize,
    memory: u64,
    /// By attribute number.
    attributes: Vec<AttributeRows>,
    files: TempFiles,
    /// The file of rows that did not fit in memory.
    file: Option<TempFile>,
}

impl Builder {
    /// A builder without rows, which uses one thread and any amount of memory.
    pub fn new(on_conflict: OnConflict) -> Self {
        Self {
            on_conflict,
            threads: NonZeroUsize::MIN,
            memory: u64::MAX,
            attributes: Vec::new(),
            files: TempFiles::default(),
            file: None,
        }
    }

    /// Sets the threads, the memory and the directory of temporary files. Each thread resolves one attribute at a time,
    /// in its share of the memory.
    #[must_use]
    pub fn resources(mut self, resources: &Resources) -> Self {
        self.threads = resources.threads;
        self.memory = resources.memory;
        self.files = TempFiles::new(resources.temp_dir.clone());
        self
    }

    /// Resolves which row of each user and attribute counts, groups these by value, and cuts the groups into batches
    /// of at most `batch_size` users. `dictionary` is that of the reading which the rows come from; it panics on
    /// numbers of another one. Fails if memory is short and a temporary file cannot be written.
    pub fn finish(mut self, dictionary: Dictionary, batch_size: NonZeroU32) -> io::Result<Plan> {
        let users = UserNumbers::new(&dictionary);
        let spilled = self.file.is_some() || dictionary.spills() > 0;
        if spilled {
            self.spill()?;
        }
        let Self { on_conflict, threads, memory, attributes, files, .. } = self;
        let rows = (0..=u16::MAX).map(AttributeId).zip(attributes).filter(|(_, rows)| rows.len() > 0);
        let mut work: Vec<_> = rows
            .map(|(attribute, rows)| {
                let values = dictionary.values(attribute);
                let phase = Phase::of(dictionary.attribute(attribute));
                let numbering = Numbering::AsRead { dictionary: &dictionary, users: &users };
                (phase, UnresolvedRows { attribute, rows, values, numbering, on_conflict })
            })
            .collect();
        work.sort_by_key(|(phase, rows)| (*phase, rows.attribute));
        let at_a_time = threads.get().min(work.len()).max(1) as u64;
        let budget = if spilled {
            MemoryBudget::new(memory / 4 * 3 / at_a_time, PlanStorage::File, files.clone())
        } else {
            let memory = memory - memory / ROWS_DIVISOR;
            MemoryBudget::new(memory / at_a_time, PlanStorage::Memory, files.clone())
        };
        let attributes = parallel_map(threads, work, |(phase, rows)| Ok((phase, resolve(rows, &budget)?)));
        let attributes = attributes.into_iter().collect::<io::Result<_>>()?;
        let spilled_bytes = files.written_bytes() + dictionary.spilled_bytes();
        Ok(Plan::new(attributes, users, dictionary, batch_size, spilled_bytes))
    }

    /// Moves all rows to a temporary file.
    fn spill(&mut self) -> io::Result<()> {
        let file = self.files.get_or_create(&mut self.file)?;
        self.attributes.iter_mut().try_for_each(|rows| rows.move_to(&file))
    }

    fn rows_of(&mut self, attribute: AttributeId) -> &mut AttributeRows {
        let attribute = usize::from(attribute.0);
        if attribute >= self.attributes.len() {
            self.attributes.resize_with(attribute + 1, AttributeRows::default);
        }
        &mut self.attributes[attribute]
    }
}

impl Sink for Builder {
    #[inline]
    fn accept(&mut self, row: Row) {
        self.rows_of(row.attribute).push(row.user, row.value.0);
    }

    fn check_memory(&mut self) -> io::Result<()> {
        let memory: usize = self.attributes.iter().map(AttributeRows::memory_bytes).sum();
        let most = self.memory / ROWS_DIVISOR / self.threads.get() as u64;
        if memory as u64 > most.max(least_worth(self.attributes.len())) { self.spill() } else { Ok(()) }
    }

    fn dictionary_spilled(&mut self, spill: u32) {
        self.attributes.iter_mut().for_each(|rows| rows.dictionary_spilled(spill));
    }

    fn fork(&self) -> Self {
        let files = self.files.clone();
        Self { attributes: Vec::new(), files, file: None, ..*self }
    }

    fn join(&mut self, later: Self, renumber: &Renumber) {
        self.file = self.file.take().or(later.file);
        let users: Option<Arc<[u64]>> =
            (!renumber.users.is_empty()).then(|| renumber.users.as_slice().into());
        for (old, rows) in later.attributes.into_iter().enumerate().filter(|(_, rows)| rows.len() > 0) {
            let own = self.rows_of(renumber.attributes[old]);
            if let Some(before) = renumber.spills {
                own.append_spilled(rows, before);
            } else {
                let values: Vec<u32> = renumber.values[old].iter().map(|value| value.0).collect();
                own.append(rows, &values, users.as_ref());
            }
        }
    }
}

/// Calls `run` for each piece of work, in this number of threads, and returns the results in the order of the work.
fn parallel_map<W: Send, R: Send>(
    threads: NonZeroUsize,
    work: Vec<W>,
    run: impl Fn(W) -> R + Sync,
) -> Vec<R> {
    let threads = threads.get().min(work.len());
    if threads < 2 {
        return work.into_iter().map(run).collect();
    }
    let queue = Mutex::new(work.into_iter().enumerate());
    let worker = || {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, piece)) = next else { return done };
            done.push((place, run(piece)));
        }
    };
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::ReadOptions;
    use crate::plan::User;

    /// A builder with this memory that got as many rows, and the dictionary of their one value.
    fn builder(memory: u64, rows: u64) -> (Builder, Dictionary) {
        let resources = Resources { threads: NonZeroUsize::MIN, memory, temp_dir: None };
        let mut dictionary = Dictionary::new(&ReadOptions::default());
        let mut builder = Builder::new(OnConflict::Last).resources(&resources);
        let attribute = dictionary.attribute_id("city").expect("it is the first");
        let value = dictionary.intern(attribute, "A");
        (1..=rows).for_each(|user| builder.accept(Row { user, attribute, value }));
        (builder, dictionary)
    }

    #[test]
    fn rows_go_to_a_file_when_they_take_their_share_of_the_memory() {
        const ROWS: u64 = 1 << 20;
        let (with_room, _) = builder(u64::MAX, ROWS);
        let taken: usize = with_room.attributes.iter().map(AttributeRows::memory_bytes).sum();
        let taken = taken as u64;
        assert!(taken > least_worth(1));
        for (memory, spills) in [(2 * taken, false), (2 * taken - 2, true), (0, true)] {
            let (mut builder, dictionary) = builder(memory, ROWS);
            builder.check_memory().expect("there is room for a file");
            let left: usize = builder.attributes.iter().map(AttributeRows::memory_bytes).sum();
            assert_eq!(builder.file.is_some(), spills, "{memory}");
            assert_eq!((left as u64) < taken / 2, spills, "{memory}: {left} of {taken} bytes");
            let written = builder.files.written_bytes();
            let plan = builder.finish(dictionary, NonZeroU32::MIN).expect("there is room for a file");
            assert_eq!(plan.rows(), ROWS);
            assert!(plan.spilled_bytes() >= written && (written > 0) == spills);
        }
    }

    #[test]
    fn the_last_value_of_a_user_counts_among_as_many_values_as_a_byte_can_number() {
        let mut dictionary = Dictionary::new(&ReadOptions::default());
        let mut builder = Builder::new(OnConflict::Last);
        let attribute = dictionary.attribute_id("city").expect("it is the first");
        let values: Vec<_> =
            (0..127).map(|number| dictionary.intern(attribute, &format!("v{number}"))).collect();
        let mut add = |user, number: usize| {
            builder.accept(Row { user, attribute, value: values[number] });
        };
        // One user has all values; and each value comes after the first one, and before it.
        (0..127).for_each(|number| add(1_000, number));
        for (user, number) in (1..).zip(0..127) {
            add(user, 0);
            add(user, number);
            add(200 + user, number);
            add(200 + user, 0);
        }
        let plan = builder.finish(dictionary, NonZeroU32::MAX).expect("it is in memory");
        for batch in plan.batches() {
            let value = plan.sent_value(batch.group).to_string();
            for user in plan.users(batch) {
                let number = match user {
                    User::Id(1_000) => 126,
                    User::Id(id @ 1..=127) => id - 1,
                    _ => 0,
                };
                assert_eq!(value, format!("v{number}"), "{user}");
            }
        }
        assert_eq!(plan.rows(), 1 + 2 * 127);
    }
}
