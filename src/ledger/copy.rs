//! Copies a ledger to another place: from a file to a database, or back.

use jiff::Timestamp;

use super::database::{Database, Waits};
use super::rows::PriorPart;
use super::{LedgerError, LedgerLocation};

/// Why a ledger was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A run is writing it.
    #[error("a run is using the ledger `{0}`")]
    InUse(LedgerLocation),
    /// There is a ledger already, which is not replaced.
    #[error("there is a ledger at `{0}` already, with runs in it")]
    NotEmpty(LedgerLocation),
    /// One of the two can't be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// How many runs.
    pub runs: u64,
    /// How many entries of the journal.
    pub entries: u64,
    /// How many known values, without those that only the journal has.
    pub values: u64,
}

/// Copies all of a ledger, also what tells it from others, so that saved plans and runs that were interrupted go on with the copy.
/// The copy is made in one commit.
pub fn copy(from: &LedgerLocation, to: &LedgerLocation, now: Timestamp) -> Result<Copied, CopyError> {
    let source = Database::open_to_read(from)?;
    if source.holder().is_some() {
        return Err(CopyError::InUse(from.clone()));
    }
    let copy = Database::open_to_write(to, Waits::default(), now)?;
    if !copy.runs()?.is_empty() {
        return Err(CopyError::NotEmpty(to.clone()));
    }
    Ok(copy.in_one_commit(|| copy_rows(&source, &copy))?)
}

fn copy_rows(source: &Database, copy: &Database) -> Result<Copied, LedgerError> {
    let state = source.state()?;
    copy.put_state(&state)?;
    let mut copied = Copied { runs: 0, entries: 0, values: 0 };
    source.targets()?.iter().try_for_each(|target| copy.put_target(target))?;
    let runs = source.runs()?;
    copied.runs = runs.len() as u64;
    runs.iter().try_for_each(|run| copy.put_run(run))?;
    source.pulls()?.iter().try_for_each(|pull| copy.put_pull(pull))?;
    let mut id = 0;
    for attribute in source.attributes()? {
        let (mut own, mut failure) = (attribute.clone(), None);
        let mut parts =
            source.known_parts(&attribute).map_while(|part| part.map_err(|error| failure = Some(error)).ok());
        copy.replace_known(&mut own, &mut parts)?;
        drop(parts);
        failure.map_or(Ok(()), Err)?;
        copy.put_attribute(&attribute)?;
        copied.values += attribute.facts;
        for run in &runs {
            source.each_prior(run.id, attribute.id, |groups| {
                id += 1;
                let groups = groups.to_vec();
                copy.put_prior(&PriorPart { id, run: run.id, attribute: attribute.id, groups })
            })?;
        }
    }
    for entry in source.entries(source.headings(state.expired)?) {
        copied.entries += 1;
        copy.put_entry(&entry?)?;
    }
    Ok(copied)
}
