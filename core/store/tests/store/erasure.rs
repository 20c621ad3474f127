//! The end of a tenant: no row of it in any table, whatever tables there are.

use rialto_store::{OutboxEvent, StoreError};

use crate::harness::{TestDb, at, destination, number, schema};
use crate::steps::{crowd, step};

on_both!(a_removed_tenant_leaves_no_row_in_any_table, a_removal_that_was_cut_short_goes_on);

/// Tables whose rows are not a tenant's. The audit outlives the tenants it speaks of; it holds no personal data.
const OTHERS: [&str; 5] = ["tenants", "operator_tokens", "operator_audit", "hub_marks", "seaql_migrations"];

async fn a_removed_tenant_leaves_no_row_in_any_table(db: TestDb) {
    let (acme, globex) = (db.tenant("acme").await, db.tenant("globex").await);
    let source = acme.create_source("site", at(1)).await.expect("made");
    let (_, key) = acme.create_write_key(source.id, at(1)).await.expect("made");
    destination(&acme, "crm").await;
    // More than goes at once.
    for n in 0..5 {
        let mut bit = crowd(n * 1000, 1000);
        bit.outbox = vec![OutboxEvent { message_id: format!("o{n}"), body: "{}".into() }];
        acme.commit_step(&bit).await.expect("commits");
    }
    globex.commit_step(&step(0, 1, "jane")).await.expect("commits");
    assert!(db.store.authenticate_write_key(&key).await.expect("answers").is_some());
    db.operator().delete_tenant(acme.tenant_id(), at(9)).await.expect("removed");

    assert_eq!(db.store.authenticate_write_key(&key).await.expect("answers"), None);
    let raw = db.raw().await;
    let id = acme.tenant_id().0;
    let id = if db.is_postgres() { format!("'{id}'") } else { format!("x'{}'", id.as_simple()) };
    let mut looked = 0;
    for (table, columns) in schema(&raw).await {
        if !columns.iter().any(|column| column == "tenant_id") {
            assert!(OTHERS.contains(&table.as_str()), "{table} is nobody's: give it a tenant_id or name it here");
            continue;
        }
        looked += 1;
        let left = number(&raw, &format!("SELECT count(*) FROM {table} WHERE tenant_id = {id}")).await;
        assert_eq!(left, 0, "{table}");
    }
    assert!(looked >= 19, "{looked}");
    assert_eq!(number(&raw, "SELECT count(*) FROM tenants").await, 1);
    assert_eq!(number(&raw, "SELECT count(*) FROM timeline").await, 1, "the other tenant's is untouched");
    assert_eq!(number(&raw, "SELECT count(*) FROM operator_audit WHERE action = 'delete'").await, 1);
    raw.close().await.expect("closes");

    assert!(matches!(acme.tenant().await, Err(StoreError::NotFound { .. })));
    assert!(matches!(acme.heads().await, Err(StoreError::NotFound { .. })));
    let late = acme.commit_step(&step(5000, 1, "ghost")).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "a step that was under way: {late:?}");
    assert!(matches!(acme.create_source("ghost", at(10)).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(db.operator().delete_tenant(acme.tenant_id(), at(11)).await, Err(StoreError::NotFound { .. })));
}

async fn a_removal_that_was_cut_short_goes_on(db: TestDb) {
    let acme = db.tenant("acme").await;
    for n in 0..6 {
        acme.commit_step(&crowd(n * 1000, 1000)).await.expect("commits");
    }
    let operator = db.operator();
    let cut =
        tokio::time::timeout(std::time::Duration::from_millis(30), operator.delete_tenant(acme.tenant_id(), at(9)));
    let _ = cut.await;
    assert!(matches!(acme.commit_step(&step(6000, 1, "late")).await, Err(StoreError::Fenced)));
    match operator.delete_tenant(acme.tenant_id(), at(10)).await {
        // The first was quick enough.
        Ok(()) | Err(StoreError::NotFound { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
    let raw = db.raw().await;
    for table in ["timeline", "profiles", "identifiers", "tenants"] {
        assert_eq!(number(&raw, &format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    raw.close().await.expect("closes");
}
