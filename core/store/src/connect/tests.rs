//! How SQLite is set up, and what happens when its disk is full.

use rialto_model::profile::Profile;
use rialto_model::{ProfileId, Timestamp};
use sea_orm::sqlx::Connection;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement, TransactionTrait};

use crate::{StepWrite, Store, StoreError, StoreOptions, TenantScope};

async fn opened() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let url = format!("sqlite://{}/rialto.db", folder.path().display());
    (Store::open(StoreOptions::new(url, [3; 32])).await.expect("opens"), folder)
}

async fn pragma(db: &DatabaseConnection, what: &str) -> String {
    let sql = Statement::from_string(db.get_database_backend(), format!("PRAGMA {what}"));
    let row = db.query_one_raw(sql).await.expect("answers").expect("a row");
    row.try_get_by_index::<i64>(0).map_or_else(|_| row.try_get_by_index(0).expect("a text"), |n| n.to_string())
}

#[tokio::test]
async fn sqlite_is_set_up_to_survive_a_power_cut() {
    let (store, _folder) = opened().await;
    let crate::connect::Connections { write, read, .. } = &store.0.connections;
    for pool in [write, read] {
        for (what, expected) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
            assert_eq!(pragma(pool, what).await, expected, "{what}");
        }
    }
    assert_eq!(pragma(read, "query_only").await, "1");
    let version = Statement::from_string(write.get_database_backend(), "SELECT sqlite_version()");
    let version: String =
        write.query_one_raw(version).await.expect("answers").expect("a row").try_get_by_index(0).expect("text");
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().expect("a number")).collect();
    assert!(parts >= vec![3, 51, 3], "{version} can corrupt the database when the WAL is reset");
}

/// A step that brings so many persons, each of a kilobyte.
fn crowd(from: u64, count: u128) -> StepWrite {
    let persons = (0..count).map(|n| {
        let mut profile = Profile::new(ProfileId(uuid::Uuid::from_u128((u128::from(from) << 32) + n)), Timestamp(1));
        let held = rialto_model::profile::HeldIdentifier {
            kind: "custom".to_owned(),
            value: "x".repeat(1000),
            first_seen_at: Timestamp(1),
        };
        profile.identifiers.push(held);
        profile
    });
    StepWrite { from, to: from + 1, profiles: persons.collect(), now: Timestamp(2), ..Default::default() }
}

async fn limit_pages(scope: &TenantScope, pages: &str) {
    pragma(&scope.store.connections.write, &format!("max_page_count = {pages}")).await;
}

#[tokio::test]
async fn a_full_disk_is_unavailable_until_there_is_room_again() {
    let (store, _folder) = opened().await;
    let tenant = store.operator().create_tenant("acme", "Acme", Timestamp(1)).await.expect("made");
    let scope = store.lease(tenant.id);
    scope.commit_step(&crowd(0, 10)).await.expect("there is room");
    let pages: u64 = pragma(&scope.store.connections.write, "page_count").await.parse().expect("a number");
    limit_pages(&scope, &(pages + 10).to_string()).await;
    for _ in 0..3 {
        let full = scope.commit_step(&crowd(1, 1000)).await;
        assert!(matches!(full, Err(StoreError::Unavailable { .. })), "{full:?}");
        assert_eq!(scope.heads().await.expect("reads stay up").processor, 1);
    }
    scope.commit_step(&crowd(1, 1)).await.expect("what fits goes through");
    limit_pages(&scope, "1000000").await;
    scope.commit_step(&crowd(2, 1000)).await.expect("there is room again");
    assert_eq!(scope.processor_cursor().await.expect("reads"), 3);
    let all = scope.profiles(&rialto_model::page::PageRequest { limit: Some(200), after: None }).await.expect("reads");
    assert_eq!(all.items.len(), 200);
    // No transaction was left open on the one connection that writes.
    let write = &scope.store.connections.write;
    write.execute_unprepared("BEGIN IMMEDIATE").await.expect("there is no transaction");
    write.execute_unprepared("ROLLBACK").await.expect("ends");
}

#[tokio::test]
async fn a_transaction_that_sqlite_ended_itself_is_not_carried_on() {
    let (store, _folder) = opened().await;
    let write = &store.0.connections.write;
    let whole = write.begin().await.expect("begins");
    // As a full disk or a failed write does.
    whole.execute_unprepared("ROLLBACK").await.expect("ends");
    assert!(whole.commit().await.is_err(), "there is nothing to commit");
    // Were this a savepoint of the lost one, the reader of another connection would not be kept off writing.
    let next = write.begin().await.expect("begins");
    let nested = next.execute_unprepared("BEGIN").await.expect_err("a transaction is open");
    assert!(nested.to_string().contains("within a transaction"), "{nested}");
    let pool = write.get_sqlite_connection_pool();
    drop(next);
    let connection = pool.acquire().await.expect("is free");
    assert!(!connection.is_in_transaction());
}
