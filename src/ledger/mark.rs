//! The state of a ledger at one moment, and what has happened since. A saved plan is sent only if that is nothing.

use super::rows::RunRow;
use super::run::RunId;
use super::{Fingerprint, LedgerError, LedgerReader};

/// The state of a ledger at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerMark {
    /// Tells this ledger from any other; `None` if there was no file yet.
    pub identity: Option<u64>,
    /// Its newest entry, 0 before the first one.
    pub entry: u64,
    /// Its newest run, 0 before the first one.
    pub run: u64,
}

/// What has happened to a ledger since a mark, as a run sees it that is about to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinceMark {
    /// Nothing, or only runs of the same command that left rows unsent.
    Nothing,
    /// This run of the same command went to its end.
    Done(RunId),
    /// Another run.
    OtherRun(RunId),
    /// It has less than it had then, or it no longer has what came after.
    Lost,
    /// It is another ledger.
    OtherLedger,
}

impl LedgerReader {
    /// The state of the ledger.
    pub fn mark(&self) -> Result<LedgerMark, LedgerError> {
        let run = self.database.runs()?.last().map_or(0, |run| run.id);
        let identity = Some(self.database.state()?.identity);
        Ok(LedgerMark { identity, entry: self.database.last()?, run })
    }

    /// What has happened since a mark. Without one, only whether this command went to its end is told.
    pub fn since(
        &self,
        mark: Option<&LedgerMark>,
        fingerprint: &Fingerprint,
    ) -> Result<SinceMark, LedgerError> {
        let runs = self.database.runs()?;
        let is_own = |run: &&RunRow| {
            let found = Fingerprint::parse(&run.settings);
            found.is_some_and(|found| found.differing(fingerprint).is_empty())
        };
        for own in runs.iter().filter(is_own) {
            if self.is_final(own)? {
                return Ok(SinceMark::Done(RunId(own.id)));
            }
        }
        let Some(mark) = mark else { return Ok(SinceMark::Nothing) };
        let now = self.mark()?;
        if mark.identity.is_some_and(|identity| Some(identity) != now.identity) {
            return Ok(SinceMark::OtherLedger);
        }
        if now.run < mark.run || now.entry < mark.entry {
            return Ok(SinceMark::Lost);
        }
        let mut others = runs.iter().filter(|run| run.id > mark.run && !is_own(run));
        if let Some(other) = others.next_back() {
            return Ok(SinceMark::OtherRun(RunId(other.id)));
        }
        if mark.entry < self.database.state()?.expired {
            return Ok(SinceMark::Lost);
        }
        // A run that had begun before may have gone on.
        let headings = self.database.headings(mark.entry)?;
        let other = headings.iter().find(|heading| heading.run <= mark.run);
        Ok(other.map_or(SinceMark::Nothing, |heading| SinceMark::OtherRun(RunId(heading.run))))
    }
}
