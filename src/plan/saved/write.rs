//! Writes a plan.

use std::io::{self, Write};

use crc32fast::Hasher;

use super::{END, MISSING, REQUEST, SavedHeader};
use crate::input::Operation;
use crate::plan::{Batch, Plan};

impl Plan {
    /// Writes the plan, so that a [`SavedPlan`](super::SavedPlan) can send exactly this later; and the rows of users that the
    /// account doesn't have.
    pub fn save(&self, missing: Option<&Self>, header: &SavedHeader, out: &mut dyn Write) -> io::Result<()> {
        let first = header.line();
        let mut checksum = Hasher::new();
        checksum.update(&first);
        out.write_all(&first)?;
        each_line(self, missing, |line| {
            checksum.update(line);
            out.write_all(line)
        })?;
        out.write_all(&last_line(self.requests(), checksum.finalize()))?;
        out.flush()
    }
}

/// The checksum that the plan would have in a file that starts like this.
pub(super) fn checksum(plan: &Plan, missing: Option<&Plan>, first: &[u8]) -> u32 {
    let mut checksum = Hasher::new();
    checksum.update(first);
    let hashed: Result<(), std::convert::Infallible> = each_line(plan, missing, |line| {
        checksum.update(line);
        Ok(())
    });
    match hashed {
        Ok(()) => checksum.finalize(),
    }
}

/// The line at the end.
pub(super) fn last_line(requests: u64, checksum: u32) -> Vec<u8> {
    format!("{END}\"requests\":{requests},\"crc32\":\"{checksum:08x}\"}}\n").into_bytes()
}

/// How an operation is called.
pub(super) fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Standard => "standard",
        Operation::Custom => "custom",
    }
}

/// Passes the line of each request to `write`.
fn each_line<E>(
    plan: &Plan,
    missing: Option<&Plan>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut line = Vec::new();
    for (kind, plan) in [(REQUEST, Some(plan)), (MISSING, missing)] {
        for (plan, batch) in plan.into_iter().flat_map(|plan| plan.batches().map(move |batch| (plan, batch)))
        {
            line.clear();
            append(kind, plan, batch, &mut line);
            write(&line)?;
        }
    }
    Ok(())
}

fn append(kind: &str, plan: &Plan, batch: Batch, line: &mut Vec<u8>) {
    let operation = name(plan.operation(batch));
    line.extend_from_slice(format!(r#"{{"kind":"{kind}","operation":"{operation}","#).as_bytes());
    if let Some(text) = plan.value(batch.group) {
        let text = serde_json::Value::from(text).to_string();
        if text != plan.value_token(batch.group) {
            line.extend_from_slice(format!(r#""input":{text},"#).as_bytes());
        }
    }
    line.extend_from_slice(br#""body":"#);
    plan.body(batch, line);
    line.extend_from_slice(b"}\n");
}
