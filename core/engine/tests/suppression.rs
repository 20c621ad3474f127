//! Suppression: what a suppressed person's events leave behind, on a real store and a real log, around crashes.

#![allow(clippy::print_stdout, reason = "what was skipped is for the one who runs the tests")]

#[path = "simulator/database.rs"]
mod database;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rialto_engine::accept::{Envelope, Form, Stamp};
use rialto_engine::faults::{Crash, Faults, Point};
use rialto_engine::lane::Next;
use rialto_engine::{Connector, Engine, EngineOptions, EngineParts, Failure, Job, ManualClock};
use rialto_log::{EmbeddedLog, EmbeddedOptions, EventLog};
use rialto_model::delivery::{Outcome, Verdict};
use rialto_model::identifier::Identifier;
use rialto_model::manifest::Limits;
use rialto_model::source::Source;
use rialto_model::{DestinationId, SuppressionId, Timestamp};
use rialto_store::{NewDestination, NewRoute, Store, TenantScope, WriteGrant};
use serde_json::{Value, json};
use sqlx::Connection as _;

const START: Timestamp = Timestamp::from_millis(1_769_860_800_000);
/// What nothing may hold in the end.
const CANARY: &str = "canary-of-whom-nothing-is-kept";

/// Takes everything and remembers what it was.
#[derive(Default)]
struct Taker(Mutex<Vec<String>>);

#[async_trait]
impl Connector for Taker {
    fn limits(&self, _: &str) -> Option<Limits> {
        Some(Limits::default())
    }

    async fn deliver(&self, job: Job) -> Result<Vec<Outcome>, Failure> {
        let texts = job.events.iter().map(|event| String::from_utf8_lossy(&event.body).into_owned());
        self.0.lock().extend(texts);
        let outcome = Outcome {
            verdict: Verdict::Delivered,
            code: "http_200".to_owned(),
            message: String::new(),
            retry_after_ms: None,
        };
        Ok(vec![outcome; job.events.len()])
    }
}

/// Crashes once, where it is told to.
#[derive(Default)]
struct Once(Mutex<Option<Point>>);

impl Faults for Once {
    fn reach(&self, point: Point) -> Result<(), Crash> {
        let mut wanted = self.0.lock();
        match *wanted == Some(point) {
            true => {
                *wanted = None;
                Err(Crash)
            }
            false => Ok(()),
        }
    }
}

struct Ground {
    store: Store,
    log: Arc<dyn EventLog>,
    taker: Arc<Taker>,
    faults: Arc<Once>,
    engine: Engine,
    folder: tempfile::TempDir,
}

/// A tenant that sends all it gets to one destination.
struct Tenant {
    scope: TenantScope,
    source: Source,
    destination: DestinationId,
}

impl Ground {
    fn on(store: Store) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (taker, faults) = (Arc::<Taker>::default(), Arc::<Once>::default());
        let log: Arc<dyn EventLog> =
            Arc::new(EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default()).expect("the log opens"));
        let engine = engine(&store, &log, &taker, &faults);
        Self { store, log, taker, faults, engine, folder }
    }

    /// Ends the engine and the log as they are and begins anew over what they left.
    async fn restart(&mut self) {
        self.engine.shutdown().await;
        self.log.close().await;
        let log = EmbeddedLog::open(self.folder.path().join("log"), EmbeddedOptions::default());
        self.log = Arc::new(log.expect("the log opens again"));
        self.engine = engine(&self.store, &self.log, &self.taker, &self.faults);
    }

    async fn tenant(&self, slug: &str) -> Tenant {
        let id = self.store.operator().create_tenant(slug, slug, START).await.expect("a tenant").id;
        let scope = self.store.lease(id);
        let source = scope.create_source("web", START).await.expect("a source");
        let new = NewDestination {
            name: "all".to_owned(),
            connector: "test/taker".to_owned(),
            settings: Default::default(),
            secrets: Default::default(),
            enabled: true,
        };
        let destination = scope.create_destination(new, START).await.expect("a destination").id;
        let route = NewRoute {
            name: "all".to_owned(),
            source_id: None,
            destination_id: destination,
            action: None,
            condition: None,
            enabled: true,
        };
        scope.create_route(route, START).await.expect("a route");
        Tenant { scope, source, destination }
    }

    /// Takes events in as a client sends them.
    async fn send(&self, tenant: &Tenant, events: &[Value]) {
        let body = json!({ "batch": events }).to_string();
        let envelope = Envelope::parse(body.as_bytes(), Form::Batch).expect("a batch");
        let stamp = Stamp {
            source_id: tenant.source.id,
            now: START,
            ip: None,
            new_id: &mut || unreachable!("every event has its id"),
            given_id: None,
        };
        let events = envelope.stamp(stamp).expect("events");
        let grant = WriteGrant {
            tenant_id: tenant.scope.tenant_id(),
            source: tenant.source.clone(),
            quota: Default::default(),
        };
        self.engine.accept(&grant, events).await.expect("they are taken");
    }

    /// Processes all that waits, a few at a time so that something is read ahead, and delivers what is to be.
    async fn process(&self, tenant: &Tenant) {
        let id = tenant.scope.tenant_id();
        while self.engine.process(id, 600).await.expect("processed").events > 0 {}
        while self.engine.dispatch(id, tenant.destination).await.expect("dispatched") == Next::Again {}
    }

    async fn through(&self, tenant: &Tenant, events: &[Value]) {
        self.send(tenant, events).await;
        self.process(tenant).await;
    }

    fn arrived(&self, what: &str) -> usize {
        self.taker.0.lock().iter().filter(|payload| payload.contains(what)).count()
    }

    async fn explained(&self, tenant: &Tenant, message_id: &str) -> Value {
        let told = self.engine.explain(&tenant.scope, message_id).await.expect("told").expect("there is such an event");
        serde_json::to_value(told).expect("JSON")
    }

    /// That an event went nowhere, and that explain says so.
    #[track_caller]
    fn assert_nowhere(told: &Value) {
        let said = told["said"].as_str().expect("a sentence");
        assert!(said.starts_with("Its person is suppressed since 2026-01-31"), "{told}");
        assert!(said.ends_with("; it went nowhere."), "{told}");
        for absent in ["profile_id", "payload"] {
            assert_eq!(told.get(absent), None, "{told}");
        }
        assert_eq!((&told["destinations"], &told["decision"].get("resolution")), (&json!([]), &None), "{told}");
    }
}

fn engine(store: &Store, log: &Arc<dyn EventLog>, taker: &Arc<Taker>, faults: &Arc<Once>) -> Engine {
    Engine::by_hand(EngineParts {
        log: Arc::clone(log),
        store: store.clone(),
        connector: Arc::<Taker>::clone(taker),
        clock: Arc::new(ManualClock::new(START)),
        options: EngineOptions { faults: Arc::<Once>::clone(faults), read_ahead_from: 1, ..EngineOptions::default() },
    })
}

async fn suppress(tenant: &Tenant, kind: &str, value: &str) -> SuppressionId {
    let rules = tenant.scope.tenant().await.expect("there").identity;
    let identifier = Identifier::new(kind, value, &rules).expect("it identifies");
    tenant.scope.suppress(&identifier, None, START).await.expect("suppressed").id
}

/// The files under a folder that hold the canary.
fn found_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        if path.is_dir() {
            found.extend(found_in(&path));
        } else if std::fs::read(&path).expect("a file").windows(CANARY.len()).any(|part| part == CANARY.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Runs tests on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let database = super::database::sqlite().await;
                super::$name(super::Ground::on(database.store.clone()), &database).await;
            }
        )*}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(database) = super::database::postgres(stringify!($name)).await else { return };
                super::$name(super::Ground::on(database.store.clone()), &database).await;
                database.drop().await;
            }
        )*}
    };
}

on_both!(
    by_whatever_a_person_is_suppressed_their_events_go_nowhere,
    a_suppression_holds_for_the_whole_person_and_for_nobody_else,
    one_tenants_list_is_not_anothers_and_what_is_lifted_is_lifted,
    a_repeat_stays_a_repeat_and_leaves_no_payload_either,
    nothing_is_left_of_it_whatever_dies_in_between,
);

fn track(id: &str, more: &Value) -> Value {
    let mut event = json!({"type": "track", "messageId": id, "event": "E", "properties": {"note": id}});
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

/// Each kind as events bring it, and as an admin may write it.
fn every_kind() -> Vec<(&'static str, &'static str, Value)> {
    let with = |context: Value| json!({"anonymousId": "bystander", "context": context});
    vec![
        ("user_id", " u-gone ", json!({"userId": "u-gone"})),
        ("anonymous_id", "a-gone", json!({"anonymousId": "a-gone"})),
        ("email", "Jane@Example.COM", with(json!({"traits": {"email": " jane@example.com"}}))),
        (
            "email",
            "joe@example.com",
            json!({"type": "identify", "userId": "u1", "traits": {"email": "JOE@example.com"}}),
        ),
        (
            "email",
            "carried@example.com",
            json!({"type": "identify", "userId": "u4", "traits": {"email": "own@example.com"},
                "context": {"traits": {"email": "Carried@example.com"}}}),
        ),
        ("phone", "+49 170 1234567", with(json!({"traits": {"phone": "0049 (170) 123-4567"}}))),
        ("device.idfa", "ab-cd", with(json!({"device": {"type": "iOS", "advertisingId": "AB-cd"}}))),
        ("device.gaid", "EF-gh", with(json!({"device": {"type": "android", "advertisingId": "ef-GH"}}))),
        ("device.push_token", "tok", with(json!({"device": {"token": "tok"}}))),
        ("ga_client_id", "ga.1", with(json!({"externalIds": [{"id": "ga.1", "type": "ga_client_id"}]}))),
        (
            "crm_id",
            "c-7",
            with(json!({"externalIds": [{"id": "c-6", "type": "crm_id"}, {"id": "c-7", "type": "crm_id"}]})),
        ),
        ("anonymous_id", "old", json!({"type": "alias", "userId": "u2", "previousId": "old"})),
        ("user_id", "older", json!({"type": "alias", "userId": "u3", "previousId": "older"})),
    ]
}

async fn by_whatever_a_person_is_suppressed_their_events_go_nowhere(on: Ground, _: &database::Database) {
    let acme = on.tenant("acme").await;
    for (index, (kind, value, event)) in every_kind().into_iter().enumerate() {
        suppress(&acme, kind, value).await;
        let id = format!("m{index}");
        on.through(&acme, &[track(&id, &event)]).await;
        Ground::assert_nowhere(&on.explained(&acme, &id).await);
    }
    let profiles = acme.scope.profiles(&Default::default()).await.expect("listed").items;
    assert_eq!(profiles, [], "no profile, and no identifier of a bystander's either");
    assert_eq!(on.arrived(""), 0, "and nothing arrived");
    assert_eq!(on.engine.status().suppressed, every_kind().len() as u64);
    on.through(&acme, &[track("other", &json!({"userId": "u-gone-not", "anonymousId": "bystander"}))]).await;
    assert_eq!(on.arrived("other"), 1, "who is not meant is not touched");
}

async fn a_suppression_holds_for_the_whole_person_and_for_nobody_else(on: Ground, _: &database::Database) {
    let acme = on.tenant("acme").await;
    let before = [
        track("b1", &json!({"userId": "jane", "anonymousId": "phone"})),
        track("b2", &json!({"anonymousId": "laptop"})),
        track("b3", &json!({"userId": "jane", "anonymousId": "laptop"})),
    ];
    on.through(&acme, &before).await;
    let jane = acme.scope.profile_by_identifier("user_id", "jane").await.expect("reads").expect("she is known");
    let sent = on.taker.0.lock().len();
    suppress(&acme, "user_id", "jane").await;
    let events = [
        track("s1", &json!({"userId": "jane", "anonymousId": "tablet", "context": {"traits": {"plan": CANARY}}})),
        // By a device of hers alone, one that became hers by a merge among them.
        track("s2", &json!({"anonymousId": "phone"})),
        track("s3", &json!({"anonymousId": "laptop", "context": {"traits": {"email": "jane@example.com"}}})),
        // Another person at her laptop, and one who only asks to become her.
        track("o1", &json!({"userId": "john", "anonymousId": "laptop"})),
        track("o2", &json!({"anonymousId": "tablet"})),
        json!({"type": "alias", "messageId": "s4", "userId": "jane", "previousId": "tv"}),
    ];
    on.through(&acme, &events).await;
    for id in ["s1", "s2", "s3", "s4"] {
        Ground::assert_nowhere(&on.explained(&acme, id).await);
    }
    for id in ["o1", "o2"] {
        assert_eq!(on.arrived(&format!("\"note\":\"{id}\"")), 1, "{id}: {}", on.explained(&acme, id).await);
    }
    assert_eq!(on.arrived(CANARY), 0);
    let after = acme.scope.profile_by_identifier("user_id", "jane").await.expect("reads").expect("what was stays");
    assert_eq!(after, jane, "no event counts, no trait, no identifier, no merge");
    assert_eq!(acme.scope.profile_by_identifier("email", "jane@example.com").await.expect("reads"), None);
    let john = acme.scope.profile_by_identifier("user_id", "john").await.expect("reads").expect("he is known");
    assert_eq!(john.identifiers.len(), 1, "the laptop stays hers: {john:?}");
    assert!(on.arrived("profile.merged") <= 1, "no merge is told but the one of before");
    assert!(on.taker.0.lock().len() > sent);
}

async fn one_tenants_list_is_not_anothers_and_what_is_lifted_is_lifted(on: Ground, _: &database::Database) {
    let (acme, globex) = (on.tenant("acme").await, on.tenant("globex").await);
    let suppression = suppress(&acme, "email", "jane@example.com").await;
    assert_eq!(suppress(&acme, "email", " JANE@example.com").await, suppression, "once an identifier");
    let jane = |id: &str| track(id, &json!({"userId": "jane", "context": {"traits": {"email": "Jane@example.com"}}}));
    on.through(&acme, &[jane("ours")]).await;
    on.through(&globex, &[jane("theirs")]).await;
    assert_eq!((on.arrived("ours"), on.arrived("theirs")), (0, 1));
    acme.scope.lift_suppression(suppression).await.expect("lifted");
    on.through(&acme, &[jane("later")]).await;
    assert_eq!((on.arrived("ours"), on.arrived("later")), (0, 1), "what went nowhere does not come back");
    assert!(acme.scope.profile_by_identifier("email", "jane@example.com").await.expect("reads").is_some());
    Ground::assert_nowhere(&on.explained(&acme, "ours").await);
}

async fn a_repeat_stays_a_repeat_and_leaves_no_payload_either(on: Ground, _: &database::Database) {
    let acme = on.tenant("acme").await;
    suppress(&acme, "user_id", "jane").await;
    let jane = |id: &str| track(id, &json!({"userId": "jane"}));
    on.through(&acme, &[jane("m1"), jane("m1"), jane("m2")]).await;
    on.through(&acme, &[jane("m1")]).await;
    let rows = acme.scope.timeline_of("m1").await.expect("reads");
    let duplicates: Vec<_> = rows.iter().map(|row| row.decision.duplicate_of).collect();
    assert_eq!(duplicates, [None, Some(1), Some(1)]);
    assert_eq!(on.explained(&acme, "m1").await["duplicates"], json!([2, 4]));
    assert!(rows.iter().all(|row| row.name == "track" && row.profile_id.is_none()), "{rows:?}");
    assert_eq!(on.engine.withdraw(&[acme.scope.tenant_id()]).await.expect("withdrawn"), 4);
    let left = on.log.read(acme.scope.tenant_id(), 0, 99, 1 << 20).await.expect("reads");
    assert_eq!(left, []);
}

async fn nothing_is_left_of_it_whatever_dies_in_between(mut on: Ground, database: &database::Database) {
    let (acme, globex) = (on.tenant("acme").await, on.tenant("globex").await);
    let owing = [acme.scope.tenant_id(), globex.scope.tenant_id()];
    for tenant in [&acme, &globex] {
        suppress(tenant, "user_id", CANARY).await;
    }
    let gone = |id: &str| {
        let traits = json!({"email": format!("{CANARY}@example.com"), CANARY: 1});
        track(id, &json!({"userId": CANARY, "anonymousId": CANARY, "event": CANARY, "context": {"traits": traits}}))
    };
    let stays = |id: &str| track(id, &json!({"userId": "stays"}));
    for (round, point) in [Point::BeforeCommitStep, Point::AfterCommitStep].into_iter().enumerate() {
        let id = |name: &str| format!("{name}{round}");
        on.send(&acme, &[gone(&id("a")), stays(&id("b")), gone(&id("c"))]).await;
        on.send(&globex, &[gone(&id("a")), stays(&id("b"))]).await;
        *on.faults.0.lock() = Some(point);
        on.engine.process(owing[0], 1 << 20).await.expect_err("it crashes");
        on.restart().await;
        for tenant in [&acme, &globex] {
            on.process(tenant).await;
            Ground::assert_nowhere(&on.explained(tenant, &id("a")).await);
            assert_eq!(tenant.scope.timeline_of(&id("b")).await.expect("reads").len(), 1);
        }
    }
    assert!(!found_in(&on.folder.path().join("log")).is_empty(), "the canary is not found even before");
    // What was removed and not yet struck off the list when the hub died is removed once more.
    on.log.erase(owing[0], &acme.scope.withdrawn(9).await.expect("reads")).await.expect("erased");
    on.restart().await;
    assert_eq!(on.engine.withdraw(&owing).await.expect("withdrawn"), 6);
    assert_eq!(on.engine.withdraw(&owing).await.expect("nothing is left"), 0);
    assert_eq!(found_in(&on.folder.path().join("log")), Vec::<String>::new());
    assert_eq!(held_by(database).await, Vec::<String>::new());
    assert_eq!((on.arrived(CANARY), on.arrived("stays")), (0, 4));
    for tenant in owing {
        let left = on.log.read(tenant, 0, 99, 1 << 20).await.expect("reads");
        assert_eq!(left.len(), 2, "what is not concerned stays");
    }
    Ground::assert_nowhere(&on.explained(&acme, "a0").await);
}

/// Where the database holds the canary: which of SQLite's files, or which rows of PostgreSQL's tables.
async fn held_by(database: &database::Database) -> Vec<String> {
    if let Some(file) = database.url.strip_prefix("sqlite://") {
        return found_in(Path::new(file).parent().expect("it lies in a folder"));
    }
    let mut server = sqlx::PgConnection::connect(&database.url).await.expect("the server answers");
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut server).await.expect("tables");
    let mut found = Vec::new();
    for table in tables {
        let rows = format!("SELECT t::text FROM {table} t WHERE strpos(t::text, '{CANARY}') > 0");
        let rows = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(rows)).fetch_all(&mut server).await;
        found.extend(rows.expect("rows").into_iter().map(|row| format!("{table}: {row}")));
    }
    found
}
