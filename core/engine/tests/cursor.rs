//! A lane goes on while its cursor is written, but not far, and it rests only once it is.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rialto_engine::clock::ManualClock;
use rialto_engine::lane::Next;
use rialto_engine::{Connector, Engine, EngineOptions, EngineParts, Failure, Job};
use rialto_log::{EmbeddedLog, EmbeddedOptions};
use rialto_model::delivery::{Outcome, Verdict};
use rialto_model::event::Event;
use rialto_model::manifest::Limits;
use rialto_model::{DestinationId, TenantId, Timestamp};
use rialto_store::{NewDestination, NewRoute, Store, StoreOptions, WriteGrant};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Executor as _};

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// How many events a window holds.
const WINDOW: usize = 1_000;

/// Takes everything, and counts.
#[derive(Default)]
struct Taker(AtomicUsize);

#[async_trait]
impl Connector for Taker {
    fn limits(&self, _: &str) -> Option<Limits> {
        Some(Limits { batch_events: 100, batch_bytes: 1 << 20, concurrency: 10 })
    }

    async fn deliver(&self, job: Job) -> Result<Vec<Outcome>, Failure> {
        self.0.fetch_add(job.events.len(), Ordering::Relaxed);
        let taken =
            Outcome { verdict: Verdict::Delivered, code: String::new(), message: String::new(), retry_after_ms: None };
        Ok(vec![taken; job.events.len()])
    }
}

struct World {
    engine: Engine,
    store: Store,
    tenant: TenantId,
    destination: DestinationId,
    taker: Arc<Taker>,
    /// Another process's connection, to keep the database's one writer waiting.
    other: SqliteConnection,
    _folder: tempfile::TempDir,
}

impl World {
    /// So many events are processed and wait for their lane; a write is waited for with so much patience.
    async fn with(events: usize, patience: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("rialto.db").display());
        let options = StoreOptions { statement_timeout: patience, ..StoreOptions::new(url.clone(), [7; 32]) };
        let store = Store::open(options).await.expect("SQLite opens");
        let log = EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default()).expect("the log opens");
        let tenant = store.operator().create_tenant("acme", "Acme", AT).await.expect("a tenant").id;
        let scope = store.lease(tenant);
        let source = scope.create_source("web", AT).await.expect("a source");
        let new = NewDestination {
            name: "All".to_owned(),
            connector: "test/taker".to_owned(),
            settings: Default::default(),
            secrets: Default::default(),
            enabled: true,
        };
        let destination = scope.create_destination(new, AT).await.expect("a destination").id;
        let route = NewRoute {
            name: "All".to_owned(),
            source_id: None,
            destination_id: destination,
            action: None,
            condition: None,
            enabled: true,
        };
        scope.create_route(route, AT).await.expect("a route");
        let taker = Arc::new(Taker::default());
        let engine = Engine::by_hand(EngineParts {
            log: Arc::new(log),
            store: store.clone(),
            connector: Arc::<Taker>::clone(&taker),
            clock: Arc::new(ManualClock::new(AT)),
            options: EngineOptions::default(),
        });
        let event = |n: usize| -> Event {
            let event = json!({
                "message_id": format!("m{n}"), "type": "track", "user_id": format!("u{}", n % 50),
                "source_id": source.id, "timestamp": AT, "received_at": AT,
            });
            serde_json::from_str(&event.to_string()).expect("an event")
        };
        let grant = WriteGrant { tenant_id: tenant, source: source.clone(), quota: Default::default() };
        engine.accept(&grant, (0..events).map(event).collect()).await.expect("taken in");
        while engine.process(tenant, 64 << 20).await.expect("a step").events > 0 {}
        let other = SqliteConnectOptions::from_str(&url).expect("a URL").connect().await.expect("connects");
        Self { engine, store, tenant, destination, taker, other, _folder: folder }
    }

    async fn step(&self) -> Next {
        self.engine.dispatch(self.tenant, self.destination).await.expect("a step of the lane")
    }

    /// A step that has to wait for the database while `other` keeps it.
    async fn step_that_waits(&mut self) -> Next {
        let (engine, tenant, destination) = (self.engine.clone(), self.tenant, self.destination);
        let step = tokio::spawn(async move { engine.dispatch(tenant, destination).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!step.is_finished(), "it waits until its cursor is written");
        self.other.execute("ROLLBACK").await.expect("lets go");
        step.await.expect("ends").expect("a step of the lane")
    }

    fn taken(&self) -> usize {
        self.taker.0.load(Ordering::Relaxed)
    }

    async fn written(&self) -> u64 {
        self.store.lease(self.tenant).lane(self.destination).await.expect("a lane").cursor
    }
}

#[tokio::test]
async fn a_lane_goes_on_while_its_cursor_is_written_but_not_far_and_rests_once_it_is() {
    let mut world = World::with(3 * WINDOW + 500, Duration::from_secs(5)).await;
    world.other.execute("BEGIN IMMEDIATE").await.expect("keeps the writer waiting");
    for windows in 1..=2 {
        assert_eq!(world.step().await, Next::Again);
        assert_eq!((world.taken(), world.written().await), (windows * WINDOW, 0), "no write is waited for");
    }
    assert_eq!(world.step_that_waits().await, Next::Again);
    assert_eq!(world.taken(), 3 * WINDOW);
    assert!(world.written().await >= WINDOW as u64, "of three windows the first is written at least");
    world.other.execute("BEGIN IMMEDIATE").await.expect("keeps the writer waiting");
    assert_eq!(world.step().await, Next::Again);
    let rests = world.step_that_waits().await;
    assert!(matches!(rests, Next::Wait(_)), "{rests:?}");
    assert_eq!((world.taken(), world.written().await), (3 * WINDOW + 500, 3 * WINDOW as u64 + 500));
    let lane = world.store.lease(world.tenant).lane(world.destination).await.expect("a lane");
    assert_eq!(lane.delivered, 3 * WINDOW as u64 + 500, "each is counted once");
}

#[tokio::test]
async fn what_went_through_is_counted_and_not_sent_again_when_a_write_of_the_cursor_fails() {
    let mut world = World::with(2 * WINDOW + 500, Duration::from_millis(100)).await;
    world.other.execute("BEGIN IMMEDIATE").await.expect("keeps the writer waiting");
    assert_eq!(world.step().await, Next::Again);
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.other.execute("ROLLBACK").await.expect("lets go");
    let met_the_failure = world.step().await;
    assert!(matches!(met_the_failure, Next::Wait(_)), "{met_the_failure:?}");
    assert_eq!((world.taken(), world.written().await), (2 * WINDOW, 2 * WINDOW as u64), "it is written after all");
    while world.step().await == Next::Again {}
    let lane = world.store.lease(world.tenant).lane(world.destination).await.expect("a lane");
    assert_eq!((world.taken(), lane.delivered), (2 * WINDOW + 500, 2 * WINDOW as u64 + 500), "each once");
}
