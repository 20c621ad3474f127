//! Secrets: sealed at rest, of use nowhere but where they belong.

use std::collections::BTreeMap;

use rialto_model::DestinationId;
use rialto_store::{
    DestinationChange, NewDestination, NewSource, SourceChange, Store, StoreError, TenantChange, TenantScope,
};
use sea_orm::ConnectionTrait;

use crate::harness::{TestDb, at, number};

on_both!(
    a_secret_is_nowhere_in_the_clear,
    secrets_swapped_between_tenants_do_not_open,
    secrets_swapped_within_a_tenant_do_not_open,
    another_master_secret_opens_nothing,
    nothing_secret_is_shown_in_debug,
    what_proves_webhooks_opens_for_them_alone,
);

const CANARY: &str = "canary-7f3a-secret";

async fn with_secret(scope: &TenantScope, name: &str, secret: &str) -> DestinationId {
    let new = NewDestination {
        name: name.into(),
        connector: "rialto/webhook".into(),
        settings: Default::default(),
        secrets: rialto_model::destination::Secrets(BTreeMap::from([("token".into(), secret.into())])),
        enabled: true,
    };
    scope.create_destination(new, at(1)).await.expect("made").id
}

async fn opened(scope: &TenantScope) -> rialto_store::Result<Vec<String>> {
    let config = scope.config().await?;
    Ok(config.destinations.into_iter().map(|(_, secrets)| secrets.0["token"].clone()).collect())
}

async fn a_secret_is_nowhere_in_the_clear(db: TestDb) {
    let scope = db.tenant("acme").await;
    with_secret(&scope, "crm", CANARY).await;
    assert_eq!(opened(&scope).await.expect("opens"), [CANARY]);
    let raw = db.raw().await;
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let of = if db.is_postgres() { "encode(sealed, 'hex')" } else { "lower(hex(sealed))" };
    assert_eq!(number(&raw, &format!("SELECT count(*) FROM secrets WHERE {of} LIKE '%{hex}%'")).await, 0);
    assert_eq!(number(&raw, "SELECT count(*) FROM secrets").await, 1);
    raw.close().await.expect("closes");
    if let Some(path) = db.options.url.strip_prefix("sqlite://") {
        for file in [path.to_owned(), format!("{path}-wal")] {
            let bytes = std::fs::read(file).expect("is there");
            assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()));
        }
    }
}

/// Moves the sealed bytes of one row into another and asks for both.
async fn swap(db: &TestDb, from: (&TenantScope, DestinationId), to: (&TenantScope, DestinationId)) {
    let raw = db.raw().await;
    let id = |id: uuid::Uuid| match db.is_postgres() {
        true => format!("'{id}'"),
        false => format!("x'{}'", id.as_simple()),
    };
    let row = |(scope, destination): (&TenantScope, DestinationId)| {
        format!("tenant_id = {} AND destination_id = {}", id(scope.tenant_id().0), id(destination.0))
    };
    let sql = format!("UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE {}) WHERE {}", row(from), row(to));
    assert_eq!(raw.execute_unprepared(&sql).await.expect("runs").rows_affected(), 1);
    raw.close().await.expect("closes");
}

async fn secrets_swapped_between_tenants_do_not_open(db: TestDb) {
    let (acme, globex) = (db.tenant("acme").await, db.tenant("globex").await);
    let (ours, theirs) = (with_secret(&acme, "crm", "ours").await, with_secret(&globex, "crm", "theirs").await);
    swap(&db, (&acme, ours), (&globex, theirs)).await;
    let refused = opened(&globex).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { what: "a secret", .. })), "{refused:?}");
    assert_eq!(opened(&acme).await.expect("opens"), ["ours"]);
    // Writing it anew heals it.
    let secrets = BTreeMap::from([("token".to_owned(), Some("new".to_owned()))]);
    let change = DestinationChange { secrets, ..Default::default() };
    globex.update_destination(theirs, change, None, at(2)).await.expect("changed");
    assert_eq!(opened(&globex).await.expect("opens"), ["new"]);
}

async fn secrets_swapped_within_a_tenant_do_not_open(db: TestDb) {
    let acme = db.tenant("acme").await;
    let (one, two) = (with_secret(&acme, "one", "1").await, with_secret(&acme, "two", "2").await);
    swap(&db, (&acme, one), (&acme, two)).await;
    assert!(matches!(opened(&acme).await, Err(StoreError::Corrupt { what: "a secret", .. })));
}

async fn another_master_secret_opens_nothing(db: TestDb) {
    let acme = db.tenant("acme").await;
    with_secret(&acme, "crm", CANARY).await;
    let mut options = db.options.clone();
    options.master_secret = [1; 32];
    let refused = Store::open(options).await.err();
    assert!(
        matches!(&refused, Some(StoreError::Setup(why)) if why.contains("master.key")),
        "nothing would open, so it does not start: {refused:?}"
    );
    let mut options = db.options.clone();
    options.url = options.url.replacen("postgres://", "postgresql://", 1);
    Store::open(options).await.expect("the one it was begun with, by either spelling").close().await;
}

async fn nothing_secret_is_shown_in_debug(db: TestDb) {
    let acme = db.tenant("acme").await;
    with_secret(&acme, "crm", CANARY).await;
    let change = DestinationChange {
        secrets: BTreeMap::from([("token".to_owned(), Some(CANARY.to_owned()))]),
        ..Default::default()
    };
    let mut options = db.options.clone();
    options.master_secret = [211; 32];
    options.url = format!("postgres://hub:{CANARY}@db/rialto");
    let shown = format!("{:?} {change:?} {options:?} {:?} {acme:?}", acme.config().await.expect("loads"), db.store);
    assert!(!shown.contains(CANARY) && !shown.contains("211"), "{shown}");
    assert!(shown.contains("token"), "the names are shown");
}

async fn what_proves_webhooks_opens_for_them_alone(db: TestDb) {
    let (acme, globex) = (db.tenant("acme").await, db.tenant("globex").await);
    let secrets = rialto_model::destination::Secrets(BTreeMap::from([("signing".into(), CANARY.into())]));
    let new = NewSource { connector: Some("rialto/json-webhook".into()), secrets, ..NewSource::from("hooks") };
    assert!(!format!("{new:?}").contains(CANARY));
    let source = acme.create_source(new, at(1)).await.expect("made");
    assert_eq!(source.secrets.iter().collect::<Vec<_>>(), ["signing"]);
    let other = globex.create_source("plain", at(1)).await.expect("made");
    let found = db.store.webhook_source(source.id).await.expect("asked").expect("there");
    assert_eq!((found.grant.tenant_id, &found.grant.source), (acme.tenant_id(), &source));
    assert_eq!(found.secrets.0["signing"], CANARY);
    assert!(!format!("{found:?}").contains(CANARY));
    let plain = db.store.webhook_source(other.id).await.expect("asked").expect("there");
    assert!(plain.secrets.0.is_empty() && plain.grant.tenant_id == globex.tenant_id());
    assert!(acme.config().await.expect("loads").destinations.is_empty(), "the engine is not told");
    let unknown = rialto_model::SourceId::from_parts(1, &[1; 10]);
    assert_eq!(db.store.webhook_source(unknown).await.expect("asked"), None);

    let change = SourceChange { secrets: BTreeMap::from([("signing".into(), None)]), ..SourceChange::default() };
    acme.update_source(source.id, change, None, at(2)).await.expect("changed");
    let found = db.store.webhook_source(source.id).await.expect("asked").expect("there");
    assert!(found.secrets.0.is_empty(), "at once");
    let off = TenantChange { enabled: Some(false), ..TenantChange::default() };
    db.store.operator().update_tenant(acme.tenant_id(), off, None, at(3)).await.expect("changed");
    assert_eq!(db.store.webhook_source(source.id).await.expect("asked"), None, "a disabled tenant has none");
    globex.delete_source(other.id, None).await.expect("removed");
    assert_eq!(db.store.webhook_source(other.id).await.expect("asked"), None);
}
