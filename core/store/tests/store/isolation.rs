//! Two tenants with the same ids see nothing of each other, by the filters and, on PostgreSQL, without them.

use rialto_model::delivery::{DeadLetter, Parked};
use rialto_model::page::PageRequest;
use rialto_model::{DeadLetterId, DestinationId, RouteId, SourceId, SuppressionId, TenantId};
use rialto_store::{
    DeliveryFilter, LaneWrite, NewRoute, OutboxEvent, RouteFilter, Skip, StoreError, TenantScope, Wanted,
};
use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};

use crate::harness::{TestDb, at, destination, number, profile_id, schema};
use crate::steps::{identifier, merging, person, step};

on_both!(
    two_tenants_with_the_same_ids_see_nothing_of_each_other,
    another_tenants_ids_lead_nowhere,
    a_write_touches_its_own_tenant_only,
);

/// A tenant with one of everything; persons, positions and message ids are the same in each.
pub(crate) struct Filled {
    pub(crate) scope: TenantScope,
    pub(crate) source: SourceId,
    pub(crate) destination: DestinationId,
    pub(crate) route: RouteId,
    pub(crate) dead: DeadLetterId,
    pub(crate) suppression: SuppressionId,
    pub(crate) name: &'static str,
}

/// Unlike what the hub makes itself, a delivery's rows carry what the destination said: it says the tenant's name.
pub(crate) fn rows_of(name: &str, destination: DestinationId, dead: DeadLetterId) -> (Parked, DeadLetter) {
    let parked = Parked {
        position: 2,
        message_id: "m2".into(),
        destination_id: destination,
        action: String::new(),
        profile_id: profile_id(1),
        delivery_id: name.into(),
        attempts: 1,
        parked_at: at(7),
        due_at: Some(at(8)),
        history: Vec::new(),
    };
    let dead = DeadLetter {
        id: dead,
        position: 1,
        message_id: "m1".into(),
        destination_id: destination,
        action: String::new(),
        profile_id: profile_id(1),
        delivery_id: name.into(),
        attempts: 1,
        died_at: at(8),
        reason: name.into(),
        history: Vec::new(),
    };
    (parked, dead)
}

pub(crate) async fn filled(db: &TestDb, name: &'static str) -> Filled {
    let scope = db.tenant(name).await;
    let source = scope.create_source(name, at(1)).await.expect("made").id;
    scope.create_write_key(source, at(1)).await.expect("made");
    scope.create_api_key(name, rialto_model::key::Role::Admin, None, at(1)).await.expect("made");
    let target = destination(&scope, name).await;
    let route = NewRoute {
        name: name.into(),
        source_id: Some(source),
        destination_id: target,
        action: None,
        condition: None,
        enabled: true,
    };
    let route = scope.create_route(route, at(1)).await.expect("made").id;
    for n in 0..2u64 {
        let mut one = step(n, u128::from(n) + 1, &format!("u{n}"));
        one.timeline[0].name = name.into();
        one.outbox = vec![OutboxEvent { message_id: format!("o{n}"), body: name.into() }];
        scope.commit_step(&one).await.expect("commits");
    }
    let (mut one, two) = (person(1, "u0"), person(2, "u1"));
    let mut last = merging(2, &mut one, &two);
    last.timeline[0].name = name.into();
    last.withdrawn = vec![2];
    last.merges[0].message_id = name.into();
    scope.commit_step(&last).await.expect("commits");
    let dead = DeadLetterId(uuid::Uuid::from_u128(5));
    let (parked_row, dead_row) = rows_of(name, target, dead);
    let window = LaneWrite {
        destination_id: target,
        from: 0,
        to: 2,
        delivered: 0,
        skipped: vec![Skip { position: 2, action: "other".into(), code: name.into(), message: name.into() }],
        parked: vec![parked_row],
        dead: vec![dead_row],
        now: at(9),
    };
    scope.commit_lane(&window).await.expect("commits");
    scope.remember("key", name, at(9)).await.expect("taken");
    let suppression = scope.suppress(&identifier("user_id", "gone"), Some(name), at(9)).await.expect("made").id;
    Filled { scope, source, destination: target, route, dead, suppression, name }
}

async fn two_tenants_with_the_same_ids_see_nothing_of_each_other(db: TestDb) {
    let tenants = [filled(&db, "acme").await, filled(&db, "globex").await];
    for Filled { scope, source, destination, route, dead, suppression, name } in &tenants {
        let page = PageRequest::default();
        let sources = scope.sources(&page).await.expect("listed").items;
        assert_eq!(sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(), [*name]);
        assert_eq!(sources[0].id, *source);
        assert_eq!(scope.write_keys(*source, &page).await.expect("listed").items.len(), 1);
        let keys = scope.api_keys(&page).await.expect("listed").items;
        assert_eq!(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), [*name]);
        let destinations = scope.destinations(&page).await.expect("listed").items;
        assert_eq!(destinations.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), [*name]);
        let routes = scope.routes(&RouteFilter::default(), &page).await.expect("listed").items;
        assert_eq!(routes.iter().map(|r| r.id).collect::<Vec<_>>(), [*route]);
        let config = scope.config().await.expect("loads");
        assert_eq!((config.sources.len(), config.destinations.len(), config.routes.len()), (1, 1, 1));
        assert_eq!(
            scope.lanes().await.expect("listed").iter().map(|l| l.destination_id).collect::<Vec<_>>(),
            [*destination]
        );
        assert_eq!(scope.lane(*destination).await.expect("there").parked, 1);
        let standing = scope.standing(2, "m2", &tenants.each_ref().map(|one| one.destination)).await.expect("reads");
        assert_eq!((standing.lanes.len(), standing.parked.len()), (1, 1));
        assert_eq!(standing.passed_over.iter().map(|row| row.code.as_str()).collect::<Vec<_>>(), [*name]);

        let named = |entries: &[rialto_model::decision::TimelineEntry], count: usize| {
            assert_eq!(entries.len(), count);
            assert!(entries.iter().all(|entry| entry.name == *name), "{entries:?}");
        };
        named(&scope.timeline_after(0, 99).await.expect("reads"), 3);
        named(&scope.timeline(&page).await.expect("reads").items, 3);
        named(&scope.timeline_of("m1").await.expect("reads"), 1);
        named(&scope.profile_events(profile_id(1), &page).await.expect("reads").items, 3);
        let merges = scope.merges(profile_id(1), &page).await.expect("reads").items;
        assert_eq!(merges.iter().map(|merge| merge.message_id.as_str()).collect::<Vec<_>>(), [*name]);
        assert_eq!(scope.aliases_of(profile_id(1)).await.expect("reads"), [profile_id(2)]);
        assert_eq!(scope.canonical(&[profile_id(2)]).await.expect("reads").len(), 1);
        assert_eq!(scope.profiles(&page).await.expect("reads").items.len(), 1);
        let wanted = Wanted {
            message_ids: vec!["m1".into()],
            dedupe_since: at(0),
            identifiers: vec![identifier("user_id", "u0")],
            profile_ids: vec![profile_id(1)],
            suppressible: Some(vec![identifier("user_id", "gone")]),
            ..Wanted::default()
        };
        let loaded = scope.load(&wanted).await.expect("loads");
        assert_eq!(loaded.suppressed.len(), 1);
        assert_eq!((loaded.seen.len(), loaded.owners.len(), loaded.profiles.len()), (1, 1, 1));
        let suppressions = scope.suppressions(&page).await.expect("listed").items;
        assert_eq!(suppressions.iter().map(|one| one.reason.as_deref()).collect::<Vec<_>>(), [Some(*name)]);
        assert_eq!(suppressions[0].id, *suppression);
        assert_eq!(scope.withdrawn(99).await.expect("reads"), [2]);
        let outbox = scope.outbox(99).await.expect("reads");
        assert_eq!(outbox.iter().map(|event| event.body.as_str()).collect::<Vec<_>>(), [*name; 2]);

        let filter = DeliveryFilter::default();
        for rows in [
            scope.parked(&filter, &page).await.expect("listed").items,
            scope.due(*destination, at(99), 99).await.expect("reads"),
        ] {
            assert_eq!(rows.iter().map(|row| row.delivery_id.as_str()).collect::<Vec<_>>(), [*name]);
        }
        let letters = scope.dead_letters(&filter, &page).await.expect("listed").items;
        assert_eq!(letters.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(), [*name]);
        assert_eq!(scope.dead_letter(*dead).await.expect("there").reason, *name);
    }
}

async fn another_tenants_ids_lead_nowhere(db: TestDb) {
    let (acme, globex) = (filled(&db, "acme").await, filled(&db, "globex").await);
    let ours = &acme.scope;
    assert!(matches!(ours.source(globex.source).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(ours.delete_source(globex.source, None).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(ours.create_write_key(globex.source, at(1)).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(ours.destination(globex.destination).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(ours.delete_destination(globex.destination, None).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(ours.route(globex.route).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(ours.delete_route(globex.route, None).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(ours.suppression(globex.suppression).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(ours.lift_suppression(globex.suppression).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(ours.lane(globex.destination).await, Err(StoreError::NotFound { .. })));
    assert_eq!(ours.due(globex.destination, at(99), 9).await.expect("reads"), []);
    assert_eq!(ours.next_due(globex.destination).await.expect("reads"), None);
    assert_eq!(ours.held_behind(globex.destination, profile_id(1), 9).await.expect("reads"), []);
    assert!(ours.held_profiles(globex.destination).await.expect("reads").is_empty());
    assert!(matches!(ours.retry_parked(globex.destination, 2, "", at(9)).await, Err(StoreError::NotFound { .. })));
    let across = NewRoute {
        name: "across".into(),
        source_id: Some(acme.source),
        destination_id: globex.destination,
        action: None,
        condition: None,
        enabled: true,
    };
    assert!(matches!(ours.create_route(across, at(1)).await, Err(StoreError::Invalid { .. })));
}

async fn a_write_touches_its_own_tenant_only(db: TestDb) {
    let (acme, globex) = (filled(&db, "acme").await, filled(&db, "globex").await);
    let raw = db.raw().await;
    let before = fingerprint(&raw, globex.scope.tenant_id()).await;
    // Everything that changes or removes, with ids that both have.
    let ours = &acme.scope;
    ours.commit_step(&step(3, 1, "u9")).await.expect("commits");
    let (mut one, three) = (person(1, "u0"), person(3, "u3"));
    ours.commit_step(&step(4, 3, "u3")).await.expect("commits");
    ours.commit_step(&merging(5, &mut one, &three)).await.expect("commits");
    ours.withdrawal_done(&[2]).await.expect("removes");
    ours.lift_suppression(acme.suppression).await.expect("lifted");
    ours.outbox_done(&["o0".into(), "o1".into()]).await.expect("removes");
    ours.redrive(acme.dead, at(20)).await.expect("parked");
    ours.retry_parked(acme.destination, 1, "", at(20)).await.expect("due");
    ours.remember_answer("key", "done").await.expect("kept");
    ours.delete_route(acme.route, None).await.expect("removed");
    ours.delete_destination(acme.destination, None).await.expect("removed");
    ours.delete_source(acme.source, None).await.expect("removed");
    db.operator().delete_tenant(ours.tenant_id(), at(30)).await.expect("removed");
    assert_eq!(fingerprint(&raw, globex.scope.tenant_id()).await, before);
    raw.close().await.expect("closes");
}

/// Every row of a tenant in every table, as text.
pub(crate) async fn fingerprint(raw: &DatabaseConnection, tenant: TenantId) -> Vec<(String, Vec<String>)> {
    let postgres = raw.get_database_backend() == sea_orm::DbBackend::Postgres;
    let tenant = if postgres { format!("'{}'", tenant.0) } else { format!("x'{}'", tenant.0.as_simple()) };
    let mut all = Vec::new();
    for (table, columns) in schema(raw).await {
        let column = if table == "tenants" { "id" } else { "tenant_id" };
        if !columns.iter().any(|name| name == column) {
            continue;
        }
        let text = if postgres {
            "t::text".to_owned()
        } else {
            columns.iter().map(|name| format!("quote({name})")).collect::<Vec<_>>().join(" || '|' || ")
        };
        let sql = format!("SELECT {text} FROM {table} t WHERE {column} = {tenant} ORDER BY 1");
        let rows = crate::harness::rows(raw, &sql).await;
        all.push((table, rows.iter().map(|row| row.try_get_by_index(0).expect("text")).collect::<Vec<String>>()));
    }
    assert!(
        all.iter().filter(|(_, rows)| !rows.is_empty()).count() >= 17,
        "the tenant has rows nearly everywhere: {all:?}"
    );
    all
}

#[tokio::test]
async fn without_a_filter_row_level_security_shows_nothing() {
    crate::harness::on_postgres("isolation::without_a_filter_row_level_security_shows_nothing", |db| async move {
        let (acme, _globex) = (filled(&db, "acme").await, filled(&db, "globex").await);
        let raw = db.raw().await;
        let tables: Vec<String> = schema(&raw).await.into_iter().map(|(table, _)| table).collect();
        for table in tables.iter().filter(|table| *table != "seaql_migrations") {
            let count = format!("SELECT count(*) FROM {table}");
            let of_all = number(&raw, &count).await;
            let as_tenant = |setting: String| {
                let (raw, count, table) = (&raw, &count, table);
                async move {
                    let tx = raw.begin().await.expect("begins");
                    tx.execute_unprepared(&format!("SET LOCAL ROLE rialto_tenant; {setting}")).await.expect("runs");
                    let sql = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, count.as_str());
                    let seen: i64 =
                        tx.query_one_raw(sql).await.expect("runs").expect("a row").try_get_by_index(0).expect("n");
                    let gone =
                        tx.execute_unprepared(&format!("DELETE FROM {table}")).await.map(|done| done.rows_affected());
                    tx.rollback().await.expect("rolls back");
                    (seen, gone.ok())
                }
            };
            let hub_only = ["operator_tokens", "operator_audit", "hub_marks"].contains(&table.as_str());
            assert_eq!(as_tenant(String::new()).await, (0, Some(0)), "{table}: nobody's");
            let setting = format!("SET LOCAL rialto.tenant = '{}'", acme.scope.tenant_id().0);
            let (seen, _) = as_tenant(setting).await;
            match hub_only {
                true => assert_eq!(seen, 0, "{table} is the operator's"),
                false => assert_eq!(seen * 2, of_all, "{table}: one of two tenants"),
            }
        }
        // The role of tenants' transactions cannot change the schema or what was migrated.
        let tx = raw.begin().await.expect("begins");
        tx.execute_unprepared("SET LOCAL ROLE rialto_tenant").await.expect("runs");
        assert!(tx.execute_unprepared("SELECT * FROM seaql_migrations").await.is_err());
        tx.rollback().await.expect("rolls back");
        raw.close().await.expect("closes");
    })
    .await;
}

#[tokio::test]
async fn every_table_is_under_row_level_security_and_led_by_its_tenant() {
    let test = "isolation::every_table_is_under_row_level_security_and_led_by_its_tenant";
    crate::harness::on_postgres(test, |db| async move {
        let raw = db.raw().await;
        let sql = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname <> 'seaql_migrations' \
                   AND NOT (c.relrowsecurity AND c.relforcerowsecurity)";
        assert_eq!(number(&raw, sql).await, 0, "enabled and forced everywhere");
        let tables = schema(&raw).await;
        for (table, columns) in &tables {
            let listed = rialto_migrations::TENANT_TABLES.contains(&table.as_str());
            assert_eq!(listed, columns.iter().any(|column| column == "tenant_id"), "{table}");
        }
        let sql = "SELECT count(*) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid \
                   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' \
                   WHERE k.contype IN ('p', 'f') AND NOT a.attnum = ANY (k.conkey)";
        assert_eq!(number(&raw, sql).await, 0, "every primary and foreign key carries the tenant");
        raw.close().await.expect("closes");
    })
    .await;
}
