//! Looks over the journals before the storage engine replays them.
//!
//! The log has one writer and flushes each batch to disk before it begins the next. So of all batches only the very
//! last can be torn, and it was never acknowledged: it is cut off. Anything broken with a whole batch behind it was
//! acknowledged and has changed since: the log says where and does not open. (A bit that flips in the very last
//! batch cannot be told from a torn write; every opening and closing writes a batch, so that this is one written
//! moments before a crash.)

use std::{collections::HashMap, fs::OpenOptions, path::Path};

use rialto_model::{Position, TenantId};

use super::{
    journal::{self, Batch, Found},
    keys,
};
use crate::LogError;

/// How far each stream was acknowledged, when that is known: after a failed write, when the file may hold (in the
/// page cache alone) what the disk does not.
pub(super) type Acknowledged = HashMap<TenantId, Position>;

/// Cuts the torn end of the last journal, and with it what goes beyond `acknowledged`. Returns the bytes cut off.
///
/// # Errors
/// [`LogError::Damaged`] when what was acknowledged has changed; [`LogError::Unavailable`] when a file cannot be
/// read or cut.
pub(super) fn audit(folder: &Path, acknowledged: Option<&Acknowledged>) -> Result<u64, LogError> {
    let failed = |error| LogError::unavailable("the journals cannot be read", error);
    let files = journal::files(folder).map_err(failed)?;
    for (n, file) in files.iter().enumerate() {
        let content = journal::load(file).map_err(failed)?;
        let Some(cut) = first_unwanted(&content, acknowledged, n + 1 == files.len())
            .map_err(|(offset, reason)| damaged(file, offset, reason))?
        else {
            continue;
        };
        let journal = OpenOptions::new().write(true).open(file).map_err(failed)?;
        journal.set_len(cut as u64).and_then(|()| journal.sync_all()).map_err(failed)?;
        let gone = (content.len() - cut) as u64;
        tracing::warn!(file = %file.display(), offset = cut, bytes = gone, "cut an unacknowledged write off the log");
        return Ok(gone);
    }
    Ok(0)
}

fn damaged(file: &Path, offset: usize, reason: &str) -> LogError {
    LogError::Damaged { file: file.into(), offset: offset as u64, reason: reason.into() }
}

/// Where the part begins that must go, if any.
fn first_unwanted(
    content: &[u8],
    acknowledged: Option<&Acknowledged>,
    is_last: bool,
) -> Result<Option<usize>, (usize, &'static str)> {
    let mut at = 0;
    let mut before: Option<(usize, u64)> = None;
    loop {
        match journal::read(content, at) {
            Found::End => return Ok(None),
            Found::Batch(batch) => {
                if let Some((start, sequence)) = before
                    && batch.sequence <= sequence
                {
                    return Err((start, "this batch and the next are out of order"));
                }
                if acknowledged.is_some_and(|heads| goes_beyond(content, &batch, heads)) {
                    return Ok(Some(at));
                }
                before = Some((at, batch.sequence));
                at = batch.end;
            }
            Found::Broken { ends, .. } if is_last && !journal::goes_on(content, at, ends) => return Ok(Some(at)),
            Found::Broken { reason, .. } => return Err((at, reason)),
        }
    }
}

fn goes_beyond(content: &[u8], batch: &Batch, heads: &Acknowledged) -> bool {
    batch.items.iter().any(|item| {
        keys::parse_frame(&content[item.key.clone()])
            .is_some_and(|(tenant, last)| last > heads.get(&tenant).copied().unwrap_or(0))
    })
}

#[cfg(test)]
#[path = "tests/audit.rs"]
mod tests;
