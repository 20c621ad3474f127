//! Reads the storage engine's journals (format 3) the way the log needs them read.
//!
//! fjall replays its journals at opening and cuts one where it stops making sense, without a word: right for the
//! torn end of the last write, and a silent loss of acknowledged events when a bit has flipped further up. When the
//! end was torn so that its last page came through and an earlier one did not, it refuses to open at all. So the log
//! looks first; see `audit`.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const MAGIC: &[u8] = b"FJL\x03";
const START_LENGTH: usize = 13;
const ITEM_PREFIX: usize = 21;
const END_LENGTH: usize = 13;

/// One committed batch; all offsets are in bytes from the file's start.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) sequence: u64,
    pub(super) items: Vec<Item>,
    /// From the first item to the last: what the checksum covers.
    pub(super) covered: Range<usize>,
    /// Where the checksum stands (8 bytes, little endian).
    pub(super) checksum_at: usize,
    pub(super) end: usize,
}

/// One key and value of a batch.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

/// What stands at a place in a journal.
pub(super) enum Found {
    Batch(Batch),
    /// Nothing more.
    End,
    Broken {
        reason: &'static str,
        /// Where the batch would have ended, if that could be told.
        ends: Option<usize>,
    },
}

/// The journals in the storage engine's folder, oldest first. The last is the one being written; those before it
/// were flushed to disk whole when they were sealed.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            files.extend(number.map(|number| (number, path)));
        }
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// The written part of a journal: it is preallocated with zeros, and no batch ends in one.
///
/// # Errors
/// Those of the file system.
pub(super) fn load(path: &Path) -> io::Result<Vec<u8>> {
    const STRIDE: usize = 64 * 1024;
    let mut journal = std::fs::read(path)?;
    let zeros = [0; STRIDE];
    while let Some(rest) = journal.len().checked_sub(STRIDE)
        && journal[rest..] == zeros
    {
        journal.truncate(rest);
    }
    let written = journal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    journal.truncate(written);
    Ok(journal)
}

/// Reads what stands at `at` in a journal that was loaded with [`load`].
pub(super) fn read(journal: &[u8], at: usize) -> Found {
    if at >= journal.len() {
        return Found::End;
    }
    match read_batch(journal, at) {
        Ok(batch) => Found::Batch(batch),
        Err((reason, ends)) => Found::Broken { reason, ends },
    }
}

fn read_batch(journal: &[u8], at: usize) -> Result<Batch, (&'static str, Option<usize>)> {
    let cut = ("the batch is cut short", None);
    let start = journal.get(at..at + START_LENGTH).ok_or(cut)?;
    if start[0] != START {
        return Err(("no batch begins here", None));
    }
    let count = u32::from_le_bytes(start[1..5].try_into().expect("four bytes are four bytes"));
    let sequence = u64::from_le_bytes(start[5..].try_into().expect("eight bytes are eight bytes"));
    let mut next = at + START_LENGTH;
    let mut items = Vec::new();
    while journal.get(next) == Some(&ITEM) {
        let item = read_item(journal, next).ok_or(cut)?;
        next = item.value.end;
        items.push(item);
    }
    let covered = at + START_LENGTH..next;
    let end = journal.get(next..next + END_LENGTH).ok_or(cut)?;
    let ends = Some(next + END_LENGTH);
    if end[0] != END {
        return Err(("neither an item nor the batch's end stands where one must", None));
    }
    if &end[9..] != MAGIC {
        return Err(("the batch's end is not as written", ends));
    }
    if items.len() != count as usize || items.is_empty() {
        return Err(("the batch does not have the items it says", ends));
    }
    let mut hash = Xxh3::new();
    hash.update(&journal[covered.clone()]);
    if hash.digest().to_le_bytes() != end[1..9] {
        return Err(("the batch's checksum does not match", ends));
    }
    Ok(Batch { sequence, items, covered, checksum_at: next + 1, end: next + END_LENGTH })
}

fn read_item(journal: &[u8], at: usize) -> Option<Item> {
    // tag (1), value type (1), compression (1), keyspace (8), key length (2), value length (4), its length here (4)
    let prefix = journal.get(at..at + ITEM_PREFIX)?;
    let key = usize::from(u16::from_le_bytes(prefix[11..13].try_into().ok()?));
    let value = u32::from_le_bytes(prefix[17..].try_into().ok()?) as usize;
    let key = at + ITEM_PREFIX..at + ITEM_PREFIX + key;
    let value = key.end..key.end.checked_add(value)?;
    (value.end <= journal.len()).then_some(Item { key, value })
}

/// Whether a whole batch stands somewhere behind `at`, where a broken one stands that may have ended at `ends`.
pub(super) fn goes_on(journal: &[u8], at: usize, ends: Option<usize>) -> bool {
    let behind_ends = journal[at..]
        .windows(MAGIC.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == MAGIC)
        .map(|(offset, _)| at + offset + MAGIC.len());
    ends.into_iter().chain(behind_ends).any(|next| matches!(read(journal, next), Found::Batch(_)))
}
