//! Tenants, sources, destinations, routes: made, listed, changed, removed.

use std::collections::BTreeMap;

use rialto_model::page::PageRequest;
use rialto_model::tenant::Quota;
use rialto_model::{RouteId, SourceId};
use rialto_store::{
    DestinationChange, NewDestination, NewRoute, RouteChange, RouteFilter, SourceChange, StoreError, TenantChange,
};
use serde_json::json;

use crate::harness::{TestDb, at, destination};

on_both!(
    a_tenant_is_made_once_a_slug_and_changed,
    a_source_is_changed_only_as_it_was_read,
    what_is_in_use_cannot_go,
    a_destination_keeps_its_settings_and_hides_its_secrets,
    a_route_leads_only_between_what_is_there,
    pages_show_everything_once_while_the_list_grows,
    every_change_raises_the_version,
    the_configuration_comes_whole,
    a_request_that_comes_twice_is_done_once,
);

async fn a_tenant_is_made_once_a_slug_and_changed(db: TestDb) {
    let operator = db.operator();
    let tenant = operator.create_tenant("acme", " Acme ", at(1)).await.expect("made");
    assert_eq!(tenant.name, "Acme");
    assert_eq!(operator.tenant(tenant.id).await.expect("there"), tenant);
    assert_eq!(operator.tenant_by_slug("acme").await.expect("there"), tenant);
    let again = operator.create_tenant("acme", "Other", at(2)).await;
    assert!(matches!(again, Err(StoreError::Conflict { field: "slug", .. })), "{again:?}");
    for bad in ["", "Acme", "1acme", "a b"] {
        let refused = operator.create_tenant(bad, "x", at(2)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { field: "slug", .. })), "{bad}: {refused:?}");
    }
    let mut identity = tenant.identity.clone();
    identity.max_merges = 7;
    let quota = Quota { events_per_second: Some(7) };
    let change = TenantChange {
        name: Some("Acme Inc".into()),
        enabled: Some(false),
        identity: Some(identity.clone()),
        quota: Some(quota),
    };
    let changed = operator.update_tenant(tenant.id, change, Some(tenant.updated_at), at(3)).await.expect("changed");
    assert_eq!((changed.name.as_str(), changed.enabled, &changed.identity), ("Acme Inc", false, &identity));
    assert_eq!((tenant.quota, changed.quota), (Quota::default(), quota));
    assert_eq!(operator.tenant(tenant.id).await.expect("there"), changed);
    let stale = operator.update_tenant(tenant.id, TenantChange::default(), Some(tenant.updated_at), at(4)).await;
    assert!(matches!(stale, Err(StoreError::Changed)), "{stale:?}");
    let nothing = Quota { events_per_second: Some(0) };
    for refused in [
        operator.create_tenant_within(nothing, "globex", "Globex", at(4)).await,
        operator
            .update_tenant(tenant.id, TenantChange { quota: Some(nothing), ..Default::default() }, None, at(4))
            .await,
    ] {
        assert!(matches!(refused, Err(StoreError::Invalid { field: "quota", .. })), "{refused:?}");
    }
    assert_eq!(operator.tenant(tenant.id).await.expect("there").quota, quota, "a refused change changes nothing");
    assert_eq!(operator.all_tenants().await.expect("listed"), [tenant.id]);
    let nobody = rialto_model::TenantId(uuid::Uuid::from_u128(5));
    assert!(matches!(operator.tenant(nobody).await, Err(StoreError::NotFound { what: "tenant" })));
    assert!(matches!(operator.scope(nobody, "look", at(5)).await, Err(StoreError::NotFound { .. })));
    operator.scope(tenant.id, "support ticket 12", at(6)).await.expect("there");
    let audit = operator.audit(&PageRequest::default()).await.expect("listed").items;
    assert_eq!((audit.len(), audit[0].reason.as_str(), audit[0].tenant_id), (1, "support ticket 12", tenant.id));
}

async fn a_source_is_changed_only_as_it_was_read(db: TestDb) {
    let scope = db.tenant("acme").await;
    let made = scope.create_source("site", at(10)).await.expect("made");
    assert_eq!(scope.source(made.id).await.expect("there"), made);
    // Two changes in one microsecond still look different to who compares.
    let first = SourceChange { name: Some("shop".into()), ..Default::default() };
    let first = scope.update_source(made.id, first, Some(made.updated_at), at(10)).await.expect("changed");
    assert!(first.updated_at > made.updated_at);
    let second = SourceChange { enabled: Some(false), ..Default::default() };
    let stale = scope.update_source(made.id, second.clone(), Some(made.updated_at), at(11)).await;
    assert!(matches!(stale, Err(StoreError::Changed)), "{stale:?}");
    assert_eq!(scope.source(made.id).await.expect("there"), first, "a refused change changes nothing");
    let second = scope.update_source(made.id, second, Some(first.updated_at), at(11)).await.expect("changed");
    assert_eq!((second.name.as_str(), second.enabled), ("shop", false));
    let stale = scope.delete_source(made.id, Some(first.updated_at)).await;
    assert!(matches!(stale, Err(StoreError::Changed)), "{stale:?}");
    scope.delete_source(made.id, Some(second.updated_at)).await.expect("removed");
    assert!(matches!(scope.source(made.id).await, Err(StoreError::NotFound { what: "source" })));
    assert!(matches!(scope.delete_source(made.id, None).await, Err(StoreError::NotFound { .. })));
    for name in ["", "   ", &"x".repeat(201), "a\0b"] {
        assert!(matches!(scope.create_source(name, at(1)).await, Err(StoreError::Invalid { field: "name", .. })));
    }
}

fn route(source_id: Option<SourceId>, destination_id: rialto_model::DestinationId) -> NewRoute {
    NewRoute { name: "all".into(), source_id, destination_id, action: None, condition: None, enabled: true }
}

async fn what_is_in_use_cannot_go(db: TestDb) {
    let scope = db.tenant("acme").await;
    let source = scope.create_source("site", at(1)).await.expect("made");
    let (_, key) = scope.create_write_key(source.id, at(1)).await.expect("made");
    let target = destination(&scope, "crm").await;
    let made = scope.create_route(route(Some(source.id), target), at(1)).await.expect("made");
    for refused in [scope.delete_source(source.id, None).await, scope.delete_destination(target, None).await] {
        let Err(StoreError::Conflict { message, .. }) = refused else { panic!("{refused:?}") };
        assert!(message.contains(&made.id.to_string()), "names what uses it: {message}");
    }
    scope.delete_route(made.id, None).await.expect("removed");
    scope.delete_source(source.id, None).await.expect("removed");
    scope.delete_destination(target, None).await.expect("removed");
    assert_eq!(db.store.authenticate_write_key(&key).await.expect("answers"), None, "the key went with its source");
    assert!(matches!(scope.lane(target).await, Err(StoreError::NotFound { .. })), "the lane went too");
}

async fn a_destination_keeps_its_settings_and_hides_its_secrets(db: TestDb) {
    let scope = db.tenant("acme").await;
    let settings = BTreeMap::from([("url".to_owned(), json!("https://x")), ("n".to_owned(), json!({"a": [1, 2.5]}))]);
    let secrets = serde_json::from_value(json!({"token": "t0p", "old": "gone"})).expect("secrets");
    let new =
        NewDestination { name: "crm".into(), connector: "rialto/webhook".into(), settings, secrets, enabled: true };
    let made = scope.create_destination(new.clone(), at(1)).await.expect("made");
    assert_eq!(made.secrets.iter().collect::<Vec<_>>(), ["old", "token"]);
    assert_eq!(scope.destination(made.id).await.expect("there"), made);
    assert_eq!(scope.destinations(&PageRequest::default()).await.expect("listed").items, std::slice::from_ref(&made));
    let taken = scope.create_destination(new, at(2)).await;
    assert!(matches!(taken, Err(StoreError::Conflict { field: "name", .. })), "{taken:?}");
    let change = DestinationChange {
        secrets: BTreeMap::from([("old".to_owned(), None), ("token".to_owned(), Some("n3w".to_owned()))]),
        enabled: Some(false),
        ..Default::default()
    };
    let changed = scope.update_destination(made.id, change, Some(made.updated_at), at(3)).await.expect("changed");
    assert_eq!(changed.secrets.iter().collect::<Vec<_>>(), ["token"]);
    assert_eq!((changed.enabled, &changed.settings), (false, &made.settings));
    let config = scope.config().await.expect("loads");
    assert_eq!(config.destinations[0].1.0, BTreeMap::from([("token".to_owned(), "n3w".to_owned())]));
}

async fn a_route_leads_only_between_what_is_there(db: TestDb) {
    let scope = db.tenant("acme").await;
    let source = scope.create_source("site", at(1)).await.expect("made");
    let target = destination(&scope, "crm").await;
    let nowhere = rialto_model::DestinationId(uuid::Uuid::from_u128(9));
    let refused = scope.create_route(route(None, nowhere), at(1)).await;
    assert!(matches!(refused, Err(StoreError::Invalid { field: "destination_id", .. })), "{refused:?}");
    let refused = scope.create_route(route(Some(SourceId(uuid::Uuid::from_u128(9))), target), at(1)).await;
    assert!(matches!(refused, Err(StoreError::Invalid { field: "source_id", .. })), "{refused:?}");
    let mut new = route(Some(source.id), target);
    new.condition = Some(serde_json::from_value(json!({"field": "event.type", "eq": "track"})).expect("condition"));
    new.action = Some("upsert".into());
    let made = scope.create_route(new.clone(), at(1)).await.expect("made");
    assert_eq!(made.condition, new.condition);
    assert_eq!(scope.route(made.id).await.expect("there"), made);
    let change =
        RouteChange { condition: Some(None), source_id: Some(None), enabled: Some(false), ..Default::default() };
    let changed = scope.update_route(made.id, change, None, at(2)).await.expect("changed");
    assert_eq!((&changed.condition, changed.source_id, changed.enabled), (&None, None, false));
    assert_eq!(changed.action.as_deref(), Some("upsert"));
    assert_eq!(scope.route(made.id).await.expect("there"), changed);
    let moved = RouteChange { destination_id: Some(nowhere), ..Default::default() };
    assert!(matches!(scope.update_route(made.id, moved, None, at(3)).await, Err(StoreError::Invalid { .. })));
    let all = scope.create_route(route(Some(source.id), target), at(4)).await.expect("made");
    let from_source = RouteFilter { source_id: Some(source.id), destination_id: None };
    assert_eq!(scope.routes(&from_source, &PageRequest::default()).await.expect("listed").items, [all]);
    let to_target = RouteFilter { source_id: None, destination_id: Some(target) };
    assert_eq!(scope.routes(&to_target, &PageRequest::default()).await.expect("listed").items.len(), 2);
    let missing = RouteId(uuid::Uuid::from_u128(1));
    assert!(matches!(scope.delete_route(missing, None).await, Err(StoreError::NotFound { what: "route" })));
}

async fn pages_show_everything_once_while_the_list_grows(db: TestDb) {
    let scope = db.tenant("acme").await;
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(scope.create_source(format!("s{n}").as_str(), at(n)).await.expect("made").id);
    }
    let mut shown = Vec::new();
    let mut page = PageRequest { limit: Some(3), after: None };
    loop {
        let got = scope.sources(&page).await.expect("listed");
        assert!(got.items.len() <= 3);
        shown.extend(got.items.iter().map(|source| source.id));
        if shown.len() == 3 {
            made.push(scope.create_source("late", at(100)).await.expect("made").id);
            scope.delete_source(made[1], None).await.expect("removed");
        }
        let Some(next) = got.next else { break };
        page.after = Some(next);
    }
    assert_eq!(shown, made);
    let bad = scope.sources(&PageRequest { limit: None, after: Some("rte_x".into()) }).await;
    assert!(matches!(bad, Err(StoreError::Invalid { field: "after", .. })), "{bad:?}");
    let exact = scope.sources(&PageRequest { limit: Some(7), after: None }).await.expect("listed");
    assert_eq!((exact.items.len(), exact.next), (7, None), "a full last page has no next");
}

async fn every_change_raises_the_version(db: TestDb) {
    let scope = db.tenant("acme").await;
    let mut last = scope.config_version().await.expect("there");
    let mut grew = async |what: &str| {
        let version = scope.config_version().await.expect("there");
        assert!(version > last, "{what}");
        last = version;
    };
    let source = scope.create_source("site", at(1)).await.expect("made");
    grew("create_source").await;
    let change = SourceChange { enabled: Some(false), ..Default::default() };
    scope.update_source(source.id, change, None, at(2)).await.expect("changed");
    grew("update_source").await;
    let (key, _) = scope.create_write_key(source.id, at(2)).await.expect("made");
    grew("create_write_key").await;
    scope.revoke_write_key(source.id, key.id).await.expect("revoked");
    grew("revoke_write_key").await;
    let target = destination(&scope, "crm").await;
    grew("create_destination").await;
    scope.update_destination(target, DestinationChange::default(), None, at(3)).await.expect("changed");
    grew("update_destination").await;
    let made = scope.create_route(route(None, target), at(3)).await.expect("made");
    grew("create_route").await;
    scope.update_route(made.id, RouteChange::default(), None, at(3)).await.expect("changed");
    grew("update_route").await;
    scope.delete_route(made.id, None).await.expect("removed");
    grew("delete_route").await;
    scope.delete_destination(target, None).await.expect("removed");
    grew("delete_destination").await;
    scope.delete_source(source.id, None).await.expect("removed");
    grew("delete_source").await;
    db.operator().update_tenant(scope.tenant_id(), TenantChange::default(), None, at(4)).await.expect("changed");
    grew("update_tenant").await;
}

async fn the_configuration_comes_whole(db: TestDb) {
    let scope = db.tenant("acme").await;
    let source = scope.create_source("site", at(1)).await.expect("made");
    let (first, second) = (destination(&scope, "one").await, destination(&scope, "two").await);
    let made = scope.create_route(route(Some(source.id), second), at(1)).await.expect("made");
    let config = scope.config().await.expect("loads");
    assert_eq!(config.tenant, scope.tenant().await.expect("there"));
    assert_eq!(config.sources, [source]);
    let mut ids: Vec<_> = config.destinations.iter().map(|(destination, _)| destination.id).collect();
    ids.sort_unstable();
    let mut expected = [first, second];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(config.routes, [made]);
    assert_eq!(config.version, scope.heads().await.expect("there").config_version);
    assert_eq!(scope.processor_cursor().await.expect("there"), 0);
}

async fn a_request_that_comes_twice_is_done_once(db: TestDb) {
    use rialto_store::Remembered::*;
    let (scope, other) = (db.tenant("acme").await, db.tenant("globex").await);
    assert_eq!(scope.remember("k", "one", at(0)).await.expect("answers"), Fresh);
    assert_eq!(scope.remember("k", "one", at(1)).await.expect("answers"), Underway);
    assert_eq!(other.remember("k", "one", at(1)).await.expect("answers"), Fresh, "another tenant's key is another");
    scope.remember_answer("k", "{\"id\":1}").await.expect("kept");
    assert_eq!(scope.remember("k", "one", at(2)).await.expect("answers"), Replay("{\"id\":1}".into()));
    assert_eq!(scope.remember("k", "two", at(2)).await.expect("answers"), Mismatch);
    scope.forget("k").await.expect("is fine");
    assert_eq!(scope.remember("k", "one", at(3)).await.expect("answers"), Replay("{\"id\":1}".into()), "kept");
    assert_eq!(scope.remember("f", "one", at(3)).await.expect("answers"), Fresh);
    scope.forget("f").await.expect("given back");
    assert_eq!(scope.remember("f", "two", at(4)).await.expect("answers"), Fresh);
    assert_eq!(scope.remember("f", "two", at(70)).await.expect("answers"), Fresh, "whoever had it is gone");
    assert_eq!(scope.remember("k", "two", at(86_500)).await.expect("answers"), Fresh, "a day is over");
    assert!(matches!(scope.remember("", "x", at(1)).await, Err(StoreError::Invalid { .. })));
    assert!(matches!(scope.remember_answer("never", "x").await, Err(StoreError::NotFound { .. })));
}
