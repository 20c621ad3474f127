//! With whose rights the store acts on PostgreSQL, and what it says where it may not.

use rialto_model::page::PageRequest;
use rialto_store::{Store, StoreError, StoreOptions};
use sea_orm::{ConnectionTrait, Database};

use crate::harness::{SECRET, at, on_postgres, server};
use crate::steps::step;

#[tokio::test]
async fn the_stores_own_statements_are_under_row_level_security() {
    on_postgres("rights::the_stores_own_statements_are_under_row_level_security", |db| async move {
        let acme = db.tenant("acme").await;
        acme.create_source("site", at(1)).await.expect("made");
        acme.commit_step(&step(0, 1, "jane")).await.expect("commits");
        let raw = db.raw().await;
        // Without its policy a table shows nothing to anyone who is under row-level security.
        raw.execute_unprepared("DROP POLICY own ON sources; DROP POLICY own ON timeline").await.expect("runs");
        assert_eq!(acme.sources(&PageRequest::default()).await.expect("reads").items, []);
        assert_eq!(acme.timeline_after(0, 9).await.expect("reads"), []);
        let refused = acme.commit_step(&step(1, 2, "joe")).await;
        assert!(matches!(refused, Err(StoreError::Setup(_))), "no policy lets the row in: {refused:?}");
        assert_eq!(acme.processor_cursor().await.expect("there"), 1);
        // And it acts as the one role, whoever the hub connects as.
        raw.execute_unprepared("REVOKE ALL ON routes FROM rialto_tenant").await.expect("runs");
        let refused = acme.routes(&Default::default(), &PageRequest::default()).await;
        assert!(matches!(refused, Err(StoreError::Setup(_))), "{refused:?}");
        raw.close().await.expect("closes");
    })
    .await;
}

#[tokio::test]
async fn a_hub_without_the_right_is_told_what_an_administrator_has_to_run() {
    let test = "rights::a_hub_without_the_right_is_told_what_an_administrator_has_to_run";
    let Some(server) = server(test) else { return };
    let admin = Database::connect(&server).await.expect("the server answers");
    // Makes sure of the role itself, whichever test runs first.
    on_postgres(test, |_| async {}).await;
    let name = format!("rialto_plain_{}", std::process::id());
    let (head, _) = server.rsplit_once('/').expect("a URL with a database");
    let (scheme, host) = head.split_once("://").expect("a URL");
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let url = format!("{scheme}://{name}:{name}@{host}/{name}");
    for sql in [
        format!("CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEROLE PASSWORD '{name}'"),
        format!("CREATE DATABASE {name} OWNER {name}"),
    ] {
        admin.execute_unprepared(&sql).await.expect("runs");
    }
    let outcome = tokio::spawn(plain_hub(admin.clone(), url, name.clone())).await;
    for sql in [format!("DROP DATABASE {name} WITH (FORCE)"), format!("DROP ROLE {name}")] {
        admin.execute_unprepared(&sql).await.expect("runs");
    }
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// A hub that owns its database and has no other right on the server.
async fn plain_hub(admin: sea_orm::DatabaseConnection, url: String, name: String) {
    let refused = Store::open(StoreOptions::new(&url, SECRET)).await;
    let Err(StoreError::Setup(message)) = refused else { panic!("{refused:?}") };
    assert!(message.contains("GRANT rialto_tenant TO"), "{message}");
    admin.execute_unprepared(&format!("GRANT rialto_tenant TO {name}")).await.expect("runs");
    let store = Store::open(StoreOptions::new(&url, SECRET)).await.expect("opens now");
    let tenant = store.operator().create_tenant("acme", "Acme", at(1)).await.expect("made");
    let acme = store.lease(tenant.id);
    acme.commit_step(&step(0, 1, "jane")).await.expect("commits");
    assert_eq!(acme.timeline_after(0, 9).await.expect("reads").len(), 1);
    // It owns the tables, and is under row-level security all the same.
    let raw = Database::connect(&url).await.expect("connects");
    assert_eq!(crate::harness::number(&raw, "SELECT count(*) FROM timeline").await, 0);
    raw.close().await.expect("closes");
    store.close().await;
}
