//! Bodies leave the journals, and a scrub that was interrupted is finished.

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use rialto_model::Timestamp;

use super::*;
use crate::embedded::{
    audit::audit,
    frame::{Builder, Draft},
};

fn tenant(n: u8) -> TenantId {
    TenantId::from_parts(1, &[n; 10])
}

/// A journal of three batches, each with a frame of three entries of each of two tenants.
fn write(folder: &Path) {
    let database = Database::builder(folder.join("engine")).open().expect("open");
    let window = database.keyspace("window", KeyspaceCreateOptions::default).expect("a keyspace");
    for first in [1, 4, 7] {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        for tenant in [1, 2] {
            let mut builder = Builder::new(self::tenant(tenant), first);
            for n in first..first + 3 {
                builder.push(Timestamp(0), &Draft::new(Bytes::from(format!("canary {tenant} {n}."))));
            }
            let (last, value) = builder.finish();
            batch.insert(&window, keys::frame(self::tenant(tenant), last), value);
        }
        batch.commit().expect("commit");
    }
}

fn canaries(folder: &Path) -> usize {
    let journals = journal::files(&folder.join("engine")).expect("journals");
    let content: Vec<u8> = journals.iter().flat_map(|path| journal::load(path).expect("a journal")).collect();
    let count = |tenant: u64, n: u64| {
        let canary = format!("canary {tenant} {n}.");
        usize::from(content.windows(canary.len()).any(|bytes| bytes == canary.as_bytes()))
    };
    (1..=2).map(|tenant| (1..=9).map(|n| count(tenant, n)).sum::<usize>()).sum()
}

fn is_erased(whose: TenantId, position: Position) -> bool {
    whose == tenant(1) && [2, 3, 8].contains(&position)
}

#[test]
fn bodies_leave_the_journal_and_the_batches_stay_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let engine = folder.path().join("engine");
    assert_eq!(canaries(folder.path()), 18);
    assert_eq!(scrub(folder.path(), &engine, is_erased).expect("scrub"), 3);
    assert_eq!(canaries(folder.path()), 15);
    assert_eq!(audit(&engine, None).expect("every batch checks"), 0, "nothing was cut");
    assert_eq!(scrub(folder.path(), &engine, is_erased).expect("scrub"), 0, "nothing is left to do");
    assert!(!plan_file(folder.path()).exists());
}

#[test]
fn a_scrub_that_was_interrupted_is_finished() {
    let original = tempfile::tempdir().expect("a folder");
    write(original.path());
    let engine = original.path().join("engine");
    let path = journal::files(&engine).expect("journals").pop().expect("a journal");
    let intact = journal::load(&path).expect("a journal");
    let mut plan = Vec::new();
    let mut at = 0;
    while let Found::Batch(batch) = journal::read(&intact, at) {
        at = batch.end;
        plan_batch(&mut plan, number(&path), &intact, batch, &is_erased);
    }
    assert_eq!(plan.len(), 3 + 2, "three bodies in two batches");
    for done in 0..=plan.len() {
        std::fs::write(&path, &intact).expect("the journal");
        write_plan(original.path(), &plan).expect("a plan");
        carry_out(&engine, &plan[..done]).expect("a part of it");
        resume(original.path(), &engine).expect("resume");
        assert_eq!(canaries(original.path()), 15, "interrupted after {done} steps");
        assert_eq!(audit(&engine, None).expect("every batch checks"), 0);
        assert!(!plan_file(original.path()).exists());
    }
}

#[test]
fn a_plan_that_was_not_written_to_its_end_is_not_carried_out() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let plan = [Overwrite { journal: 0, offset: 0, with: With::Zeros(50) }];
    write_plan(folder.path(), &plan).expect("a plan");
    let whole = std::fs::read(plan_file(folder.path())).expect("the plan");
    std::fs::write(plan_file(folder.path()), &whole[..whole.len() - 1]).expect("a torn plan");
    resume(folder.path(), &folder.path().join("engine")).expect("resume");
    assert_eq!(canaries(folder.path()), 18);
}
