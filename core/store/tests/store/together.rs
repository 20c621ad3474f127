//! Many tenants write at the same time: whether or not they share a transaction, each fails or holds alone.

use rialto_store::{StepWrite, StoreError, TenantScope};

use crate::harness::{TestDb, number};
use crate::steps::step;

on_both!(one_that_fails_in_company_takes_none_along, who_gives_up_waiting_takes_none_along);

const TENANTS: usize = 40;

/// Tenants with one step each behind them.
async fn tenants(db: &TestDb) -> Vec<TenantScope> {
    let mut scopes = Vec::new();
    for n in 0..TENANTS {
        let scope = db.tenant(&format!("tenant-{n}")).await;
        scope.commit_step(&step(0, 1, "jane")).await.expect("commits");
        scopes.push(scope);
    }
    scopes
}

/// A step that gets as far as its timeline and no further: that position is taken.
fn poisoned() -> StepWrite {
    let mut write = step(1, 2, "joe");
    write.timeline[0].position = 1;
    write
}

async fn one_that_fails_in_company_takes_none_along(db: TestDb) {
    let scopes = tenants(&db).await;
    let all: Vec<_> = scopes
        .iter()
        .enumerate()
        .map(|(n, scope)| {
            let write = match n % 4 {
                1 => poisoned(),
                2 => step(7, 2, "joe"),
                _ => step(1, 2, "joe"),
            };
            let scope = scope.clone();
            tokio::spawn(async move { scope.commit_step(&write).await })
        })
        .collect();
    for (n, (task, scope)) in all.into_iter().zip(&scopes).enumerate() {
        let outcome = task.await.expect("does not panic");
        let cursor = scope.processor_cursor().await.expect("there");
        match n % 4 {
            1 => assert!(matches!(outcome, Err(StoreError::Poison { .. })) && cursor == 1, "{outcome:?} at {cursor}"),
            2 => assert!(matches!(outcome, Err(StoreError::Fenced)) && cursor == 1, "{outcome:?} at {cursor}"),
            _ => assert!(outcome.is_ok() && cursor == 2, "{outcome:?} at {cursor}"),
        }
    }
    let raw = db.raw().await;
    let kept = (TENANTS + TENANTS / 2) as i64;
    for table in ["profiles", "identifiers", "timeline"] {
        assert_eq!(number(&raw, &format!("SELECT count(*) FROM {table}")).await, kept, "{table}");
    }
    raw.close().await.expect("closes");
}

async fn who_gives_up_waiting_takes_none_along(db: TestDb) {
    let scopes = tenants(&db).await;
    let writes: Vec<_> = scopes
        .iter()
        .map(|scope| {
            let scope = scope.clone();
            tokio::spawn(async move { scope.commit_step(&step(1, 2, "joe")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    writes.iter().step_by(2).for_each(tokio::task::JoinHandle::abort);
    for (n, write) in writes.into_iter().enumerate() {
        match write.await {
            Ok(outcome) => outcome.expect("commits"),
            Err(error) => assert!(error.is_cancelled() && n % 2 == 0, "{error}"),
        }
    }
    // Whoever gave up does not know; but a write stands whole or not at all, and the next one finds its way.
    for scope in &scopes {
        let cursor = scope.processor_cursor().await.expect("there");
        let rows = scope.timeline_after(0, 10).await.expect("reads").len();
        assert_eq!(cursor as usize, rows);
        scope.commit_step(&step(cursor, 3, "jim")).await.expect("commits");
    }
}
