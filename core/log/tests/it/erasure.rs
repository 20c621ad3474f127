//! After an erasure, no byte of what was erased is in any file.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use rialto_log::{EmbeddedLog, EmbeddedOptions, EventLog};

use crate::clients::{now, options, tenant};

const CANARY: &str = "canary-of-someone-who-wants-to-be-forgotten";

/// The files under a folder in which the canary is found.
fn found_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        if path.is_dir() {
            found.extend(found_in(&path));
        } else if memchr::memmem::find(&std::fs::read(&path).expect("a file"), CANARY.as_bytes()).is_some() {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Appends canaries between other entries, `bytes` of them in all, and returns where the canaries stand.
async fn fill(log: &EmbeddedLog, bytes: usize) -> Vec<u64> {
    let filler = "f".repeat(1000);
    let mut canaries = Vec::new();
    for _ in 0..bytes / 10_000 {
        for n in 1..=2 {
            let bodies = (0..5).map(|k| Bytes::from(if k == 2 { format!("{CANARY} {n}") } else { filler.clone() }));
            let range = log.append(tenant(n), now(), bodies.collect()).await.expect("append");
            canaries.extend((n == 1).then_some(range.start() + 2));
        }
    }
    canaries
}

async fn erases(bytes: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Arc::new(EmbeddedLog::open(folder.path(), options()).expect("open"));
    let canaries = fill(&log, bytes).await;
    assert!(!found_in(folder.path()).is_empty(), "the canaries are not found even before");
    assert_eq!(log.erase(tenant(1), &canaries).await.expect("erase"), canaries.len());
    let head = log.head(tenant(2)).await.expect("head");
    let theirs: Vec<_> = (1..=head).filter(|position| position % 5 == 3).collect();
    assert_eq!(log.get_many(tenant(2), &theirs).await.expect("get_many").len(), theirs.len(), "another tenant's stay");
    assert_eq!(log.erase(tenant(2), &theirs).await.expect("erase"), theirs.len());
    assert_eq!(found_in(folder.path()), Vec::<String>::new());
    let left = log.read(tenant(1), 0, usize::MAX, 1 << 30).await.expect("read");
    assert_eq!(left.len(), canaries.len() * 4);
    log.close().await;
    let log = EmbeddedLog::open(folder.path(), options()).expect("open");
    assert_eq!(log.read(tenant(1), 0, usize::MAX, 1 << 30).await.expect("read"), left, "also after reopening");
    assert_eq!(found_in(folder.path()), Vec::<String>::new(), "also after reopening");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erased_bytes_leave_the_journal() {
    erases(50_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erased_bytes_leave_the_tables() {
    erases(6_000_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_tenants_bytes_leave_every_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = EmbeddedLog::open(folder.path(), options()).expect("open");
    fill(&log, 3_000_000).await;
    for n in 1..=2 {
        assert!(!found_in(folder.path()).is_empty(), "the canaries of tenant {n} are not found even before");
        log.drop_tenant(tenant(n)).await.expect("drop_tenant");
    }
    assert_eq!(found_in(folder.path()), Vec::<String>::new());
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasing_while_others_append_and_read_disturbs_neither() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = EmbeddedOptions { recent_bytes: 0, ..options() };
    let log = Arc::new(EmbeddedLog::open(folder.path(), options).expect("open"));
    let canaries = fill(&log, 2_000_000).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..4_u64)
        .map(|n| {
            let (log, is_over) = (log.clone(), is_over.clone());
            tokio::spawn(async move {
                let mut turn = n;
                while !is_over.load(Ordering::Relaxed) {
                    turn += 1;
                    let body = Bytes::from(format!("{n} {}", "b".repeat(3000)));
                    log.append(tenant(3), now(), vec![body]).await.expect("append");
                    // From disk, so that there is hardly a moment without a reader under way.
                    let read = log.read(tenant(1), turn % 50, 200, 1 << 20).await.expect("read");
                    assert!(read.len() == 200 && read.iter().all(|entry| entry.position > turn % 50));
                }
                turn
            })
        })
        .collect();
    for some in canaries.chunks(canaries.len() / 4 + 1) {
        assert_eq!(log.erase(tenant(1), some).await.expect("erase"), some.len());
    }
    log.drop_tenant(tenant(2)).await.expect("drop_tenant");
    assert_eq!(found_in(folder.path()), Vec::<String>::new());
    is_over.store(true, Ordering::Relaxed);
    for busy in busy {
        assert!(busy.await.expect("appending and reading went on") > 10);
    }
    log.close().await;
}
