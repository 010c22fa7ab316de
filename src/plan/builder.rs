//! Takes rows and settles them.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};

use super::rows::Rows;
use super::settle::Unsettled;
use super::users::Users;
use super::{OnConflict, Phase, Plan};
use crate::input::{AttributeId, Dictionary, Renumber, Row, Sink};

/// Takes valid rows in the order of the input, and makes a [`Plan`] of them.
#[derive(Debug)]
pub struct Builder {
    on_conflict: OnConflict,
    threads: NonZeroUsize,
    /// By attribute number.
    attributes: Vec<Rows>,
}

impl Builder {
    /// A builder that has taken nothing, and works in one thread.
    pub fn new(on_conflict: OnConflict) -> Self {
        Self { on_conflict, threads: NonZeroUsize::MIN, attributes: Vec::new() }
    }

    /// Lets [`finish`](Self::finish) use this many threads, one attribute each at a time. Each holds the working memory
    /// of its attribute.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Settles which row of each user and attribute stands, groups these by value and cuts the groups into batches of
    /// at most `batch_size` users. `dictionary` is that of the reading which the rows come from; numbers that it doesn't
    /// know panic.
    pub fn finish(self, dictionary: Dictionary, batch_size: NonZeroU32) -> Plan {
        let users = Users::of(&dictionary);
        let rows = (0..=u16::MAX).map(AttributeId).zip(self.attributes).filter(|(_, rows)| rows.len() > 0);
        let mut work: Vec<_> = rows
            .map(|(attribute, rows)| {
                let values = dictionary.values(attribute);
                let phase = Phase::of(dictionary.attribute(attribute));
                (phase, Unsettled { attribute, rows, values, users: &users, on_conflict: self.on_conflict })
            })
            .collect();
        work.sort_by_key(|(phase, unsettled)| (*phase, unsettled.attribute));
        let columns = in_threads(self.threads, work, |(phase, unsettled)| (phase, unsettled.settle()));
        Plan::new(columns, users, dictionary, batch_size)
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

    fn fork(&self) -> Self {
        Self { on_conflict: self.on_conflict, threads: self.threads, attributes: Vec::new() }
    }

    fn join(&mut self, later: Self, renumber: &Renumber) {
        let users: Option<Arc<[u64]>> =
            (!renumber.users.is_empty()).then(|| renumber.users.as_slice().into());
        for (old, rows) in later.attributes.into_iter().enumerate().filter(|(_, rows)| rows.len() > 0) {
            let new = usize::from(renumber.attributes[old].0);
            if new >= self.attributes.len() {
                self.attributes.resize_with(new + 1, Rows::default);
            }
            let values: Vec<u32> = renumber.values[old].iter().map(|value| value.0).collect();
            self.attributes[new].append(rows, &values, users.as_ref());
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
