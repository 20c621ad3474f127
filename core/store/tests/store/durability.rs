//! What is committed is there after a restart; what was given up half way is not.

use std::time::Duration;

use rialto_store::{Store, StoreError, StoreOptions};

use crate::harness::{SECRET, TestDb};
use crate::steps::{crowd, step};

on_both!(
    a_store_opens_again_where_it_was,
    several_nodes_open_one_database_at_once,
    a_closed_store_is_unavailable,
    a_step_given_up_half_way_leaves_nothing_and_hinders_nobody,
);

async fn a_store_opens_again_where_it_was(db: TestDb) {
    let acme = db.tenant("acme").await;
    acme.commit_step(&step(0, 1, "jane")).await.expect("commits");
    db.store.close().await;
    let again = Store::open(db.options.clone()).await.expect("opens");
    again.ping().await.expect("answers");
    let scope = again.lease(acme.tenant_id());
    assert_eq!(scope.processor_cursor().await.expect("there"), 1);
    assert_eq!(scope.timeline_after(0, 9).await.expect("reads").len(), 1);
    again.close().await;
}

async fn several_nodes_open_one_database_at_once(db: TestDb) {
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..4 {
        opening.spawn(Store::open(db.options.clone()));
    }
    while let Some(opened) = opening.join_next().await {
        opened.expect("no panic").expect("opens").close().await;
    }
}

async fn a_closed_store_is_unavailable(db: TestDb) {
    let acme = db.tenant("acme").await;
    db.store.close().await;
    assert!(matches!(db.store.ping().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(acme.heads().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(acme.commit_step(&step(0, 1, "jane")).await, Err(StoreError::Unavailable { .. })));
}

async fn a_step_given_up_half_way_leaves_nothing_and_hinders_nobody(db: TestDb) {
    let acme = db.tenant("acme").await;
    for micros in [50, 200, 500, 1_000, 2_000, 3_000] {
        let from = acme.processor_cursor().await.expect("there");
        let write = crowd(from, 500);
        let cut = tokio::time::timeout(Duration::from_micros(micros), acme.commit_step(&write)).await;
        // Who gave up does not know whether it was written; a fence tells, and reading the cursor anew helps.
        loop {
            let now = acme.processor_cursor().await.expect("there");
            assert!(now == from || now == write.to, "{now} ({micros} µs, {cut:?})");
            match acme.commit_step(&crowd(now, 1)).await {
                Err(StoreError::Fenced) => {}
                outcome => break outcome.expect("the next one goes through"),
            }
        }
        let now = acme.processor_cursor().await.expect("there");
        let rows = acme.timeline_after(0, 100_000).await.expect("reads").len() as u64;
        assert_eq!(now, rows, "cursor and timeline move together");
    }
}

#[tokio::test]
async fn a_url_that_leads_nowhere_says_what_would_be_right() {
    for url in ["mysql://x", "sqlite://relative.db", "sqlite::memory:", ""] {
        let refused = Store::open(StoreOptions::new(url, SECRET)).await;
        assert!(matches!(refused, Err(StoreError::Setup(_))), "{url}: {refused:?}");
    }
    let mut nowhere = StoreOptions::new("postgres://nobody@127.0.0.1:9/none", SECRET);
    nowhere.acquire_timeout = Duration::from_millis(500);
    let refused = Store::open(nowhere).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
}
