//! Every function of a tenant's scope, called by one tenant with what is another's: nothing of the other's comes back,
//! and not one of its rows changes. Once where the ids are the other's alone, once where both have the same ids.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;

use rialto_model::delivery::{DeadLetter, Parked};
use rialto_model::key::Role;
use rialto_model::page::PageRequest;
use rialto_model::{ApiKeyId, DeadLetterId, TenantId, WriteKeyId};
use rialto_store::{
    DeliveryFilter, DestinationChange, LaneWrite, NewDestination, NewRoute, Result, RouteChange, RouteFilter, Settle,
    Skip, SourceChange, StoreError, TenantScope, Wanted,
};
use sea_orm::{ConnectionTrait, DatabaseConnection};

use crate::harness::{TestDb, at, profile_id, schema};
use crate::isolation::{Filled, filled, fingerprint};
use crate::steps::{identifier, merging, person, step};

on_both!(whatever_is_called_with_another_tenants_ids_leads_nowhere, whatever_is_called_with_ids_of_both_stays_at_home);

/// The other tenant with two of what can be taken away, and the ids of all it has.
struct Other {
    filled: Filled,
    write_key: WriteKeyId,
    api_key: ApiKeyId,
    second: DeadLetterId,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<String>> + Send + 'a>>;
type Call = for<'a> fn(&'a TenantScope, &'a Other) -> Answer<'a>;

/// What a call with ids that only the other tenant has comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    /// There is no such thing.
    Lost,
    /// It speaks of one's own, or of nothing.
    Own,
}
use With::{Lost, Own};

/// A row a function: its name, what strange ids come to, and the call.
macro_rules! calls {
    ($($name:ident: $with:ident, |$scope:ident, $other:ident| $call:expr;)*) => {{
        fn typed(name: &'static str, with: With, call: Call) -> (&'static str, With, Call) {
            (name, with, call)
        }
        vec![$(typed(stringify!($name), $with, |$scope, $other| {
            Box::pin(async move { $call.await.map(|found| format!("{found:?}")) })
        })),*]
    }};
}

/// Changes first, then what can be read of them, then what takes away.
fn calls() -> Vec<(&'static str, With, Call)> {
    let mut all = changes();
    all.extend(reads());
    all.extend(removals());
    all
}

fn changes() -> Vec<(&'static str, With, Call)> {
    calls! {
        create_source: Own, |scope, _o| scope.create_source("third", at(20));
        update_source: Lost, |scope, o| {
            let change = SourceChange { name: Some("mine".into()), enabled: Some(false), ..Default::default() };
            scope.update_source(o.filled.source, change, None, at(20))
        };
        create_write_key: Lost, |scope, o| scope.create_write_key(o.filled.source, at(20));
        create_api_key: Own, |scope, _o| scope.create_api_key("third", Role::Viewer, None, at(20));
        create_destination: Own, |scope, _o| scope.create_destination(NewDestination {
            name: "third".into(),
            connector: "rialto/webhook".into(),
            settings: BTreeMap::new(),
            secrets: Default::default(),
            enabled: true,
        }, at(20));
        update_destination: Lost, |scope, o| scope.update_destination(o.filled.destination, DestinationChange {
            name: Some("mine".into()),
            settings: Some(BTreeMap::new()),
            secrets: BTreeMap::from([("token".into(), Some("mine".into()))]),
            enabled: Some(false),
        }, None, at(20));
        create_route: Lost, |scope, o| async {
            let made = scope.create_route(NewRoute {
                name: "across".into(),
                source_id: Some(o.filled.source),
                destination_id: o.filled.destination,
                action: None,
                condition: None,
                enabled: true,
            }, at(20)).await?;
            scope.delete_route(made.id, None).await
        };
        update_route: Lost, |scope, o| scope.update_route(o.filled.route, RouteChange {
            name: Some("mine".into()),
            enabled: Some(false),
            ..Default::default()
        }, None, at(20));
        commit_step: Own, |scope, _o| async {
            let (mut one, three) = (person(1, "u0"), person(3, "u3"));
            scope.commit_step(&merging(4, &mut one, &three)).await
        };
        commit_lane: Lost, |scope, o| async { scope.commit_lane(&window(o, 3, 4, 7)).await };
        retry_parked: Lost, |scope, o| scope.retry_parked(o.filled.destination, 2, "", at(20));
        settle: Lost, |scope, o| async {
            let destination_id = o.filled.destination;
            let (parked, dead) = rows(o, 4, 8);
            scope.settle(&Settle {
                destination_id,
                delivered: vec![(2, String::new())],
                skipped: vec![skip(3, "other")],
                again: vec![Parked { position: 3, attempts: 7, ..parked }],
                dead: vec![DeadLetter { action: String::new(), ..dead }],
                now: at(21),
            }).await
        };
        redrive: Lost, |scope, o| scope.redrive(o.second, at(22));
        remember: Own, |scope, _o| scope.remember("key", "another request", at(22));
        remember_answer: Own, |scope, _o| scope.remember_answer("key", "done");
        suppress: Own, |scope, _o| async { scope.suppress(&identifier("user_id", "third"), None, at(22)).await };
        withdrawal_done: Own, |scope, _o| async { scope.withdrawal_done(&[2]).await };
        outbox_done: Own, |scope, _o| async { scope.outbox_done(&["o0".into()]).await };
    }
}

fn reads() -> Vec<(&'static str, With, Call)> {
    calls! {
        tenant: Own, |scope, _o| scope.tenant();
        config: Own, |scope, _o| async {
            let config = scope.config().await?;
            let opened: Vec<_> = config.destinations.iter().map(|(_, secrets)| secrets.0.clone()).collect();
            Ok::<_, StoreError>((config, opened))
        };
        config_version: Own, |scope, _o| scope.config_version();
        heads: Own, |scope, _o| scope.heads();
        processor_cursor: Own, |scope, _o| scope.processor_cursor();
        sources: Own, |scope, _o| async { scope.sources(&page()).await };
        source: Lost, |scope, o| scope.source(o.filled.source);
        write_keys: Lost, |scope, o| async { scope.write_keys(o.filled.source, &page()).await };
        api_keys: Own, |scope, _o| async { scope.api_keys(&page()).await };
        destinations: Own, |scope, _o| async { scope.destinations(&page()).await };
        destination: Lost, |scope, o| scope.destination(o.filled.destination);
        routes: Own, |scope, o| async {
            let filter =
                RouteFilter { source_id: Some(o.filled.source), destination_id: Some(o.filled.destination) };
            scope.routes(&filter, &page()).await
        };
        route: Lost, |scope, o| scope.route(o.filled.route);
        lanes: Own, |scope, _o| scope.lanes();
        lane: Lost, |scope, o| scope.lane(o.filled.destination);
        parked: Own, |scope, o| async { scope.parked(&of(o), &page()).await };
        due: Own, |scope, o| scope.due(o.filled.destination, at(99), 9);
        next_due: Own, |scope, o| scope.next_due(o.filled.destination);
        held_behind: Own, |scope, o| scope.held_behind(o.filled.destination, profile_id(1), 9);
        held_profiles: Own, |scope, o| scope.held_profiles(o.filled.destination);
        standing: Own, |scope, o| async { scope.standing(2, "m2", &[o.filled.destination]).await };
        dead_letters: Own, |scope, o| async { scope.dead_letters(&of(o), &page()).await };
        dead_letter: Own, |scope, o| scope.dead_letter(o.filled.dead);
        profile: Own, |scope, _o| scope.profile(profile_id(1));
        profile_by_identifier: Own, |scope, _o| scope.profile_by_identifier("user_id", "u0");
        profiles: Own, |scope, _o| async { scope.profiles(&page()).await };
        aliases_of: Own, |scope, _o| scope.aliases_of(profile_id(1));
        canonical: Own, |scope, _o| async { scope.canonical(&[profile_id(2)]).await };
        merges: Own, |scope, _o| async { scope.merges(profile_id(1), &page()).await };
        load: Own, |scope, _o| async {
            scope.load(&Wanted {
                message_ids: vec!["m1".into()],
                dedupe_since: at(0),
                identifiers: vec![identifier("user_id", "u0")],
                profile_ids: vec![profile_id(1)],
            suppressible: Some(vec![identifier("user_id", "gone")]),
            ..Wanted::default()
            }).await
        };
        timeline_after: Own, |scope, _o| scope.timeline_after(0, 99);
        timeline_of: Own, |scope, _o| scope.timeline_of("m1");
        timeline: Own, |scope, _o| async { scope.timeline(&page()).await };
        profile_events: Own, |scope, _o| async { scope.profile_events(profile_id(1), &page()).await };
        outbox: Own, |scope, _o| scope.outbox(99);
        suppressions: Own, |scope, _o| async { scope.suppressions(&page()).await };
        suppression: Lost, |scope, o| scope.suppression(o.filled.suppression);
        suppression_of: Own, |scope, _o| async { scope.suppression_of(&identifier("user_id", "gone")).await };
        withdrawn: Own, |scope, _o| scope.withdrawn(9);
    }
}

fn removals() -> Vec<(&'static str, With, Call)> {
    calls! {
        discard: Own, |scope, o| scope.discard(o.filled.dead, at(22));
        forget: Own, |scope, _o| async {
            scope.remember("other key", "a request", at(23)).await?;
            scope.forget("other key").await
        };
        revoke_write_key: Lost, |scope, o| scope.revoke_write_key(o.filled.source, o.write_key);
        revoke_api_key: Lost, |scope, o| scope.revoke_api_key(o.api_key);
        lift_suppression: Lost, |scope, o| scope.lift_suppression(o.filled.suppression);
        delete_route: Lost, |scope, o| scope.delete_route(o.filled.route, None);
        delete_destination: Lost, |scope, o| scope.delete_destination(o.filled.destination, None);
        delete_source: Lost, |scope, o| scope.delete_source(o.filled.source, None);
    }
}

fn page() -> PageRequest {
    PageRequest::default()
}

fn of(other: &Other) -> DeliveryFilter {
    DeliveryFilter { destination_id: Some(other.filled.destination), ..DeliveryFilter::default() }
}

/// A parked row and a dead letter of the third person at a position of the other's lane; the letter has another action.
fn rows(other: &Other, position: u64, dead: u128) -> (Parked, DeadLetter) {
    let id = DeadLetterId(uuid::Uuid::from_u128(dead));
    let (parked, letter) = crate::isolation::rows_of("mine", other.filled.destination, id);
    let (message_id, profile_id) = (format!("m{position}"), profile_id(3));
    let parked = Parked { position, message_id: message_id.clone(), profile_id, ..parked };
    (parked, DeadLetter { position, message_id, profile_id, action: "other".into(), ..letter })
}

fn skip(position: u64, action: &str) -> Skip {
    Skip { position, action: action.into(), code: "mine".into(), message: "mine".into() }
}

fn window(other: &Other, from: u64, to: u64, dead: u128) -> LaneWrite {
    let (parked, letter) = rows(other, to, dead);
    LaneWrite {
        destination_id: other.filled.destination,
        from,
        to,
        delivered: 0,
        skipped: vec![skip(to, "third")],
        parked: vec![parked],
        dead: vec![letter],
        now: at(10),
    }
}

/// Both tenants as [`filled`] leaves them and with a third person; the other one has keys, a secret and one more of
/// what waits and of what is dead.
async fn both(db: &TestDb) -> (TenantScope, Other) {
    let (ours, theirs) = (filled(db, "acme").await, filled(db, "globex").await);
    for tenant in [&ours, &theirs] {
        tenant.scope.commit_step(&step(3, 3, "u3")).await.expect("commits");
        tenant.scope.remember("other key", tenant.name, at(9)).await.expect("taken");
    }
    let scope = &theirs.scope;
    let write_key = scope.write_keys(theirs.source, &page()).await.expect("listed").items[0].id;
    let api_key = scope.api_keys(&page()).await.expect("listed").items[0].id;
    let token = BTreeMap::from([("token".to_owned(), Some("secret of globex".to_owned()))]);
    let change = DestinationChange { secrets: token, ..Default::default() };
    scope.update_destination(theirs.destination, change, None, at(10)).await.expect("changed");
    let second = DeadLetterId(uuid::Uuid::from_u128(6));
    let other = Other { filled: theirs, write_key, api_key, second };
    other.filled.scope.commit_lane(&window(&other, 2, 3, 6)).await.expect("commits");
    (ours.scope, other)
}

async fn whatever_is_called_with_another_tenants_ids_leads_nowhere(db: TestDb) {
    let (ours, other) = both(&db).await;
    let raw = db.raw().await;
    let before = fingerprint(&raw, other.filled.scope.tenant_id()).await;
    for (name, with, call) in calls() {
        let outcome = call(&ours, &other).await;
        match (with, &outcome) {
            (Lost, Err(StoreError::NotFound { .. } | StoreError::Invalid { .. } | StoreError::Fenced)) => {}
            (Own, Ok(found)) => assert!(!found.contains("globex"), "{name} shows another's: {found}"),
            _ => panic!("{name} with another's ids: {with:?} is expected, not {outcome:?}"),
        }
        assert_eq!(fingerprint(&raw, other.filled.scope.tenant_id()).await, before, "{name} changed another's rows");
    }
    raw.close().await.expect("closes");
}

async fn whatever_is_called_with_ids_of_both_stays_at_home(db: TestDb) {
    let (ours, other) = both(&db).await;
    let raw = db.raw().await;
    let theirs = other.filled.scope.tenant_id();
    twin(&raw, theirs, ours.tenant_id()).await;
    let before = fingerprint(&raw, theirs).await;
    for (name, _, call) in calls() {
        let found = call(&ours, &other).await.unwrap_or_else(|error| panic!("{name} with one's own ids: {error:?}"));
        assert!(!found.contains("globex"), "{name} shows another's: {found}");
        assert_eq!(fingerprint(&raw, theirs).await, before, "{name} changed another's rows");
    }
    assert_eq!(ours.lane(other.filled.destination).await.ok(), None, "what was called did something");
    raw.close().await.expect("closes");
}

/// Gives a tenant what the other has under the same ids, by hand: no function of the store lets ids be chosen.
async fn twin(raw: &DatabaseConnection, from: TenantId, to: TenantId) {
    let postgres = raw.get_database_backend() == sea_orm::DbBackend::Postgres;
    let literal = |bytes: &str| if postgres { format!("'\\x{bytes}'") } else { format!("x'{bytes}'") };
    let id = |tenant: TenantId| match postgres {
        true => format!("'{}'::uuid", tenant.0),
        false => format!("x'{}'", tenant.0.as_simple()),
    };
    let (from, to) = (id(from), id(to));
    let tables = schema(raw).await;
    for table in ["parked", "passed_over", "dead_letters"] {
        raw.execute_unprepared(&format!("DELETE FROM {table} WHERE tenant_id = {to}")).await.expect("is a statement");
    }
    for table in [
        "sources",
        "write_keys",
        "api_keys",
        "destinations",
        "lanes",
        "routes",
        "parked",
        "passed_over",
        "dead_letters",
        "suppressions",
    ] {
        let (_, columns) = tables.iter().find(|(name, _)| name == table).expect("there is such a table");
        let value = |column: &String| match column.as_str() {
            "tenant_id" => to.clone(),
            "name" | "delivery_id" | "reason" | "code" | "message" => format!("replace({column}, 'globex', 'twin')"),
            // Unique among all tenants.
            "hash" => literal(&"ab".repeat(32)),
            other => other.to_owned(),
        };
        let values: Vec<String> = columns.iter().map(value).collect();
        let sql = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {table} WHERE tenant_id = {from}",
            columns.join(", "),
            values.join(", ")
        );
        raw.execute_unprepared(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// A function that is added to the scope is added above too.
#[test]
fn no_function_of_the_scope_is_left_out() {
    let called: BTreeSet<String> = calls().into_iter().map(|(name, _, _)| name.to_owned()).collect();
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).expect("the store has its sources");
    let mut there = BTreeSet::new();
    for file in sources.map(|entry| entry.expect("listed").path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(file).expect("is text");
        for part in text.split("\nimpl TenantScope {").skip(1) {
            let part = part.split("\n}").next().unwrap_or_default();
            let functions = part.split("\n    pub async fn ").skip(1);
            there.extend(functions.filter_map(|function| function.split('(').next()).map(str::to_owned));
        }
    }
    assert!(there.len() > 50, "the scope has functions: {there:?}");
    assert_eq!(there.difference(&called).collect::<Vec<_>>(), Vec::<&String>::new(), "not called with another's ids");
}
