//! Keys: shown once, hashed, ended at once.

use std::time::Duration;

use rialto_model::key::Role;
use rialto_model::page::PageRequest;
use rialto_store::{SourceChange, StoreError, TenantChange};

use crate::harness::{TestDb, at, rows};

on_both!(
    a_write_key_gives_its_source_until_it_is_revoked,
    a_disabled_tenant_or_source_shows_at_once,
    an_api_key_gives_its_tenant_until_it_ends,
    an_operator_token_is_one_only_if_it_was_made,
    no_key_is_stored,
);

fn first() -> PageRequest {
    PageRequest::default()
}

async fn a_write_key_gives_its_source_until_it_is_revoked(db: TestDb) {
    let scope = db.tenant("acme").await;
    let source = scope.create_source("site", at(1)).await.expect("made");
    let (made, key) = scope.create_write_key(source.id, at(2)).await.expect("made");
    assert!(key.starts_with("wk_") && key.ends_with(&made.hint), "{key}");
    assert_eq!(scope.write_keys(source.id, &first()).await.expect("listed").items, std::slice::from_ref(&made));
    for _ in 0..2 {
        let grant = db.store.authenticate_write_key(&key).await.expect("answers").expect("is a key");
        assert_eq!((grant.tenant_id, &grant.source), (scope.tenant_id(), &source));
    }
    for wrong in ["", "wk_", "wk_x", &format!("{key}x"), &key[..45], &key.replace("wk_", "rk_"), &"wk_".repeat(50)] {
        assert_eq!(db.store.authenticate_write_key(wrong).await.expect("answers"), None, "{wrong}");
    }
    let other = scope.create_source("app", at(3)).await.expect("made");
    assert!(matches!(scope.revoke_write_key(other.id, made.id).await, Err(StoreError::NotFound { .. })));
    scope.revoke_write_key(source.id, made.id).await.expect("revoked");
    assert_eq!(db.store.authenticate_write_key(&key).await.expect("answers"), None, "though it was remembered");
    assert!(matches!(scope.revoke_write_key(source.id, made.id).await, Err(StoreError::NotFound { .. })));
    let nowhere = rialto_model::SourceId(uuid::Uuid::from_u128(3));
    assert!(matches!(scope.create_write_key(nowhere, at(4)).await, Err(StoreError::NotFound { what: "source" })));
    assert!(matches!(scope.write_keys(nowhere, &first()).await, Err(StoreError::NotFound { what: "source" })));
}

async fn a_disabled_tenant_or_source_shows_at_once(db: TestDb) {
    let scope = db.tenant("acme").await;
    let source = scope.create_source("site", at(1)).await.expect("made");
    let (_, write_key) = scope.create_write_key(source.id, at(2)).await.expect("made");
    let (_, api_key) = scope.create_api_key("ci", Role::Admin, None, at(2)).await.expect("made");
    let grant = db.store.authenticate_write_key(&write_key).await.expect("answers").expect("is a key");
    assert!(grant.source.enabled);
    let off = SourceChange { enabled: Some(false), ..Default::default() };
    scope.update_source(source.id, off, None, at(3)).await.expect("changed");
    let grant = db.store.authenticate_write_key(&write_key).await.expect("answers").expect("still known");
    assert!(!grant.source.enabled);
    for (enabled, second) in [(false, 4), (true, 5)] {
        let change = TenantChange { enabled: Some(enabled), ..Default::default() };
        db.operator().update_tenant(scope.tenant_id(), change, None, at(second)).await.expect("changed");
        let grant = db.store.authenticate_write_key(&write_key).await.expect("answers");
        assert_eq!(grant.is_some(), enabled);
        let access = db.store.authenticate_api_key(&api_key, at(6)).await.expect("answers");
        assert_eq!(access.is_some(), enabled);
    }
    // What another node changed shows when the remembered answer is too old.
    let elsewhere = rialto_store::Store::open(db.options.clone()).await.expect("opens");
    elsewhere.operator().delete_tenant(scope.tenant_id(), at(9)).await.expect("removed");
    assert!(db.store.authenticate_write_key(&write_key).await.expect("answers").is_some(), "remembered");
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    assert_eq!(db.store.authenticate_write_key(&write_key).await.expect("answers"), None);
    elsewhere.close().await;
}

async fn an_api_key_gives_its_tenant_until_it_ends(db: TestDb) {
    let scope = db.tenant("acme").await;
    let (made, key) = scope.create_api_key("ci", Role::Viewer, Some(at(100)), at(2)).await.expect("made");
    let (granted, shown) = db.store.authenticate_api_key(&key, at(99)).await.expect("answers").expect("is a key");
    assert_eq!((granted.tenant_id(), &shown), (scope.tenant_id(), &made));
    assert!(db.store.authenticate_api_key(&key, at(100)).await.expect("answers").is_none(), "its end is past");
    assert!(db.store.authenticate_api_key(&key[..45], at(5)).await.expect("answers").is_none());
    assert_eq!(scope.api_keys(&first()).await.expect("listed").items, std::slice::from_ref(&made));
    scope.revoke_api_key(made.id).await.expect("revoked");
    assert!(db.store.authenticate_api_key(&key, at(5)).await.expect("answers").is_none());
    assert!(matches!(scope.revoke_api_key(made.id).await, Err(StoreError::NotFound { .. })));
    let past = scope.create_api_key("old", Role::Admin, Some(at(2)), at(2)).await;
    assert!(matches!(past, Err(StoreError::Invalid { field: "expires_at", .. })), "{past:?}");
}

async fn an_operator_token_is_one_only_if_it_was_made(db: TestDb) {
    let operator = db.operator();
    assert!(!operator.has_token().await.expect("answers"));
    let token = operator.create_token(at(1)).await.expect("made");
    assert!(operator.has_token().await.expect("answers"));
    assert!(token.starts_with("ro_"));
    assert!(db.store.authenticate_operator(&token).await.expect("answers").is_some());
    for wrong in ["", "ro_", &token[..45], &token.replace("ro_", "rk_")] {
        assert!(db.store.authenticate_operator(wrong).await.expect("answers").is_none(), "{wrong}");
    }
}

async fn no_key_is_stored(db: TestDb) {
    let scope = db.tenant("acme").await;
    let source = scope.create_source("site", at(1)).await.expect("made");
    let (_, write_key) = scope.create_write_key(source.id, at(2)).await.expect("made");
    let (_, api_key) = scope.create_api_key("ci", Role::Viewer, None, at(2)).await.expect("made");
    let token = db.operator().create_token(at(2)).await.expect("made");
    let raw = db.raw().await;
    let bytes = if db.is_postgres() { "encode(hash, 'escape')" } else { "CAST(hash AS TEXT)" };
    for (table, key) in [("write_keys", write_key), ("api_keys", api_key), ("operator_tokens", token)] {
        let kept = rows(&raw, &format!("SELECT {bytes}, length(hash) FROM {table}")).await;
        let text: Vec<u8> = kept[0].try_get_by_index::<String>(0).unwrap_or_default().into_bytes();
        assert!(!text.windows(8).any(|part| key.as_bytes().windows(8).any(|secret| secret == part)), "{table}");
        assert_ne!(text, key.as_bytes());
    }
    raw.close().await.expect("closes");
}
