//! Takes erased bodies out of the journals, where they would otherwise lie until the journals are evicted.
//!
//! The bytes are overwritten with zeros in place and the batch's checksum is made to fit. Since that is more than one
//! write, a plan of it is put on disk first and carried out again at opening, should the process or the power end in
//! between. What a replay reads is then a frame that does not check, and over it the frame that the erasure wrote.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rialto_model::{Position, TenantId};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    frame::Frame,
    journal::{self, Batch, Found},
    keys,
};

const PLAN: &str = "scrub.plan";
/// The length of one step on disk, in bytes.
const LINE: usize = 25;

/// One stretch of a journal to overwrite.
#[derive(Debug, PartialEq, Eq)]
struct Overwrite {
    journal: u64,
    offset: u64,
    with: With,
}

#[derive(Debug, PartialEq, Eq)]
enum With {
    /// So many.
    Zeros(u64),
    Checksum(u64),
}

/// Overwrites, in the journals under `folder`, the bodies that `is_erased` names. The plan lies in `plans`. Returns
/// how many bodies there were.
///
/// # Errors
/// Those of the file system; what was begun is finished by [`resume`].
pub(super) fn scrub(plans: &Path, folder: &Path, is_erased: impl Fn(TenantId, Position) -> bool) -> io::Result<usize> {
    let mut plan = Vec::new();
    for path in journal::files(folder)? {
        let content = match journal::load(&path) {
            // Evicted in the meantime: nothing of it is left.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            content => content?,
        };
        let mut at = 0;
        while let Found::Batch(batch) = journal::read(&content, at) {
            at = batch.end;
            plan_batch(&mut plan, number(&path), content.as_slice(), batch, &is_erased);
        }
    }
    if plan.is_empty() {
        return Ok(0);
    }
    write_plan(plans, &plan)?;
    carry_out(folder, &plan)?;
    remove_plan(plans)?;
    Ok(plan.iter().filter(|step| matches!(step.with, With::Zeros(_))).count())
}

/// Finishes what an earlier process began.
///
/// # Errors
/// Those of the file system.
pub(super) fn resume(plans: &Path, folder: &Path) -> io::Result<()> {
    let Some(plan) = read_plan(plans)? else { return Ok(()) };
    tracing::info!(steps = plan.len(), "finishing an erasure that was interrupted");
    carry_out(folder, &plan)?;
    remove_plan(plans)
}

fn plan_batch(
    plan: &mut Vec<Overwrite>,
    journal: u64,
    content: &[u8],
    batch: Batch,
    is_erased: &impl Fn(TenantId, Position) -> bool,
) {
    let mut covered = Vec::new();
    for item in &batch.items {
        let Some((tenant, last)) = keys::parse_frame(&content[item.key.clone()]) else { continue };
        let value = Bytes::copy_from_slice(&content[item.value.clone()]);
        let Ok(frame) = Frame::parse(tenant, last, value) else { continue };
        for slot in frame.slots().filter(|slot| !slot.body.is_empty() && is_erased(tenant, slot.position)) {
            let body = item.value.start + slot.body.start..item.value.start + slot.body.end;
            if content[body.clone()].iter().all(|byte| *byte == 0) {
                continue;
            }
            let covered: &mut Vec<u8> = &mut covered;
            if covered.is_empty() {
                covered.extend_from_slice(&content[batch.covered.clone()]);
            }
            covered[body.start - batch.covered.start..body.end - batch.covered.start].fill(0);
            plan.push(Overwrite { journal, offset: body.start as u64, with: With::Zeros(body.len() as u64) });
        }
    }
    if !covered.is_empty() {
        let with = With::Checksum(xxh3_64(&covered));
        plan.push(Overwrite { journal, offset: batch.checksum_at as u64, with });
    }
}

fn carry_out(folder: &Path, plan: &[Overwrite]) -> io::Result<()> {
    for steps in plan.chunk_by(|one, other| one.journal == other.journal) {
        let path = folder.join(format!("{}.jnl", steps[0].journal));
        let file = match OpenOptions::new().write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        for step in steps {
            match step.with {
                With::Zeros(count) => file.write_all_at(&vec![0; count as usize], step.offset)?,
                With::Checksum(checksum) => file.write_all_at(&checksum.to_le_bytes(), step.offset)?,
            }
        }
        file.sync_data()?;
    }
    Ok(())
}

fn number(journal: &Path) -> u64 {
    journal.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(0)
}

fn plan_file(plans: &Path) -> PathBuf {
    plans.join(PLAN)
}

fn write_plan(plans: &Path, plan: &[Overwrite]) -> io::Result<()> {
    let mut text = Vec::with_capacity(plan.len() * LINE + 8);
    for step in plan {
        let (tag, number) = match step.with {
            With::Zeros(count) => (0, count),
            With::Checksum(checksum) => (1, checksum),
        };
        text.extend_from_slice(&step.journal.to_le_bytes());
        text.extend_from_slice(&step.offset.to_le_bytes());
        text.push(tag);
        text.extend_from_slice(&number.to_le_bytes());
    }
    text.extend_from_slice(&xxh3_64(&text).to_le_bytes());
    let mut file = File::create(plan_file(plans))?;
    file.write_all(&text)?;
    file.sync_all()?;
    File::open(plans)?.sync_all()
}

/// The plan on disk; `None` if there is none, or one that was not written to its end (and so not begun).
fn read_plan(plans: &Path) -> io::Result<Option<Vec<Overwrite>>> {
    let text = match std::fs::read(plan_file(plans)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let whole = text.split_last_chunk::<8>().filter(|(steps, sum)| xxh3_64(steps).to_le_bytes() == **sum);
    Ok(whole.map(|(steps, _)| steps.chunks_exact(LINE).map(read_step).collect()))
}

fn read_step(step: &[u8]) -> Overwrite {
    let number = |at: usize| u64::from_le_bytes(step[at..at + 8].try_into().expect("eight bytes are eight bytes"));
    let with = if step[16] == 0 { With::Zeros(number(17)) } else { With::Checksum(number(17)) };
    Overwrite { journal: number(0), offset: number(8), with }
}

fn remove_plan(plans: &Path) -> io::Result<()> {
    std::fs::remove_file(plan_file(plans))?;
    File::open(plans)?.sync_all()
}

#[cfg(test)]
#[path = "tests/scrub.rs"]
mod tests;
