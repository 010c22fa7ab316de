//! Takes rows and settles them.

use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};

use super::memory_budget::{MemoryBudget, PlanStorage};
use super::resolve::{Numbering, UnresolvedRows};
use super::rows::Rows;
use super::users::UserNumbers;
use super::{OnConflict, Phase, Plan};
use crate::input::{AttributeId, Dictionary, Options, Renumber, Row, Sink};
use crate::spill::{Space, Store, least_worth};

/// Rows go to a temporary file when they take more than one part in so many of the memory: settling them takes as much
/// again.
const SHARE_OF_ROWS: u64 = 2;

/// Takes valid rows in the order of the input, and makes a [`Plan`] of them.
#[derive(Debug)]
pub struct Builder {
    on_conflict: OnConflict,
    threads: NonZeroUsize,
    /// By attribute number.
    attributes: Vec<Rows>,
    /// How many bytes of memory reading and planning may take.
    memory: u64,
    space: Space,
    /// Where rows are for which there was too little memory.
    store: Option<Store>,
}

impl Builder {
    /// A builder that has taken nothing, and works in one thread, in as much memory as it takes.
    pub fn new(on_conflict: OnConflict) -> Self {
        Self {
            on_conflict,
            threads: NonZeroUsize::MIN,
            attributes: Vec::new(),
            memory: u64::MAX,
            space: Space::default(),
            store: None,
        }
    }

    /// Lets [`finish`](Self::finish) use this many threads, one attribute each at a time. Each holds the working memory
    /// of its attribute.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Keeps to the memory, and the place for temporary files, that these options name.
    #[must_use]
    pub fn within(mut self, options: &Options) -> Self {
        self.memory = options.memory;
        self.space = Space::new(options.temp_dir.clone());
        self
    }

    /// Settles which row of each user and attribute stands, groups these by value and cuts the groups into batches of
    /// at most `batch_size` users. `dictionary` is that of the reading which the rows come from; numbers that it doesn't
    /// know panic. Fails if there is too little memory, and a temporary file can't be written.
    pub fn finish(mut self, dictionary: Dictionary, batch_size: NonZeroU32) -> io::Result<Plan> {
        let users = UserNumbers::of(&dictionary);
        let spilled = self.store.is_some() || dictionary.spills() > 0;
        if spilled {
            self.spill()?;
        }
        let Self { on_conflict, threads, attributes, memory, space, .. } = self;
        let rows = (0..=u16::MAX).map(AttributeId).zip(attributes).filter(|(_, rows)| rows.len() > 0);
        let mut work: Vec<_> = rows
            .map(|(attribute, rows)| {
                let values = dictionary.values(attribute);
                let phase = Phase::of(dictionary.attribute(attribute));
                let numbering = Numbering::AsRead { dictionary: &dictionary, users: &users };
                (phase, UnresolvedRows { attribute, rows, values, numbering, on_conflict })
            })
            .collect();
        work.sort_by_key(|(phase, unsettled)| (*phase, unsettled.attribute));
        let at_a_time = threads.get().min(work.len()).max(1) as u64;
        let budget = if spilled {
            MemoryBudget::new(memory / 4 * 3 / at_a_time, PlanStorage::Files, space.clone())
        } else {
            MemoryBudget::new(
                (memory - memory / SHARE_OF_ROWS) / at_a_time,
                PlanStorage::Memory,
                space.clone(),
            )
        };
        let columns =
            in_threads(threads, work, |(phase, unsettled)| Ok((phase, unsettled.resolve(&budget)?)));
        let columns = columns.into_iter().collect::<io::Result<_>>()?;
        let spilled = space.written_bytes() + dictionary.spilled_bytes();
        Ok(Plan::new(columns, users, dictionary, batch_size, spilled))
    }

    /// Moves all rows to a temporary file.
    fn spill(&mut self) -> io::Result<()> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.space.store()?,
        };
        let store = self.store.insert(store);
        self.attributes.iter_mut().try_for_each(|rows| rows.spill(store))
    }
}

impl Sink for Builder {
    #[inline]
    fn accept(&mut self, row: Row) {
        let attribute = usize::from(row.attribute.0);
        if attribute >= self.attributes.len() {
            self.attributes.resize_with(attribute + 1, Rows::default);
        }
        self.attributes[attribute].push(row.user, row.value.0);
    }

    fn check_memory(&mut self) -> io::Result<()> {
        let memory: usize = self.attributes.iter().map(Rows::memory_bytes).sum();
        let most = self.memory / SHARE_OF_ROWS / self.threads.get() as u64;
        if memory as u64 > most.max(least_worth(self.attributes.len())) { self.spill() } else { Ok(()) }
    }

    fn dictionary_spilled(&mut self, spill: u32) {
        self.attributes.iter_mut().for_each(|rows| rows.dictionary_spilled(spill));
    }

    fn fork(&self) -> Self {
        let space = self.space.clone();
        Self { attributes: Vec::new(), space, store: None, ..*self }
    }

    fn join(&mut self, later: Self, renumber: &Renumber) {
        self.store = self.store.take().or(later.store);
        let users: Option<Arc<[u64]>> =
            (!renumber.users.is_empty()).then(|| renumber.users.as_slice().into());
        for (old, rows) in later.attributes.into_iter().enumerate().filter(|(_, rows)| rows.len() > 0) {
            let new = usize::from(renumber.attributes[old].0);
            if new >= self.attributes.len() {
                self.attributes.resize_with(new + 1, Rows::default);
            }
            if let Some(before) = renumber.spills {
                self.attributes[new].appdictionary_spilleds(rows, before);
            } else {
                let values: Vec<u32> = renumber.values[old].iter().map(|value| value.0).collect();
                self.attributes[new].append(rows, &values, users.as_ref());
            }
        }
    }
}

/// Does each piece of work in one of so many threads, and returns the results in the order of the work.
fn in_threads<W: Send, R: Send>(threads: NonZeroUsize, work: Vec<W>, run: impl Fn(W) -> R + Sync) -> Vec<R> {
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
