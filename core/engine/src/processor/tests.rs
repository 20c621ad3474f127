//! Steps as a tenant's own engine makes them by hand: how large they are, and what is known after one that failed.

use async_trait::async_trait;
use rialto_log::{EmbeddedLog, EmbeddedOptions};
use rialto_model::event::Event;
use rialto_model::manifest::Limits;
use rialto_model::source::Source;
use rialto_model::{Timestamp, delivery};
use rialto_store::{NewDestination, StoreOptions, WriteGrant};
use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::connector::{Connector, Failure, Job};
use crate::engine::{Engine, EngineOptions, EngineParts};
use crate::faults::Crash;

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// All that waits, in bytes.
const WHOLE: usize = 64 << 20;

#[test]
fn only_who_was_just_processed_and_has_little_waits_for_company() {
    assert_eq!(company(1, COMPANY * 3), Duration::ZERO, "an event now and then goes at once");
    assert_eq!(company(ENOUGH, Duration::ZERO), Duration::ZERO, "enough have come");
    assert_eq!(company(ENOUGH - 1, COMPANY / 4), COMPANY * 3 / 4);
}

/// Delivers nothing.
struct Nothing;

#[async_trait]
impl Connector for Nothing {
    fn limits(&self, _: &str) -> Option<Limits> {
        None
    }

    async fn deliver(&self, _: Job) -> Result<Vec<delivery::Outcome>, Failure> {
        Ok(Vec::new())
    }
}

/// Crashes once, where it is told to.
#[derive(Default)]
struct Once(Mutex<Option<Point>>);

impl Faults for Once {
    fn reach(&self, point: Point) -> Result<(), Crash> {
        let mut at = self.0.lock();
        if *at == Some(point) {
            *at = None;
            return Err(Crash);
        }
        Ok(())
    }
}

struct World {
    log: Arc<EmbeddedLog>,
    store: Store,
    tenant: TenantId,
    source: Source,
    faults: Arc<Once>,
    engine: Engine,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("rialto.db").display());
        let store = Store::open(StoreOptions::new(url, [7; 32])).await.expect("SQLite opens");
        let log = EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default()).expect("the log opens");
        let (log, faults) = (Arc::new(log), Arc::<Once>::default());
        let tenant = store.operator().create_tenant("acme", "Acme", AT).await.expect("a tenant").id;
        let source = store.lease(tenant).create_source("web", AT).await.expect("a source");
        let new = NewDestination {
            name: "One".to_owned(),
            connector: "test/nothing".to_owned(),
            settings: Default::default(),
            secrets: Default::default(),
            enabled: true,
        };
        store.lease(tenant).create_destination(new, AT).await.expect("a destination");
        let engine = begin(&log, &store, &faults, EngineOptions::default());
        Self { log, store, tenant, source, faults, engine, _folder: folder }
    }

    /// Another engine, which remembers nothing.
    fn restart(&mut self, step_bytes: usize) {
        let options = EngineOptions { step_bytes, ..EngineOptions::default() };
        self.engine = begin(&self.log, &self.store, &self.faults, options);
    }

    async fn accept(&self, message_id: String, kind: &str, more: Value) {
        let mut event = json!({
            "message_id": message_id, "type": kind, "source_id": self.source.id, "timestamp": AT, "received_at": AT,
        });
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let event: Event = serde_json::from_str(&event.to_string()).expect("an event");
        let grant = WriteGrant { tenant_id: self.tenant, source: self.source.clone(), quota: Default::default() };
        self.engine.accept(&grant, vec![event]).await.expect("taken in");
    }

    async fn process(&self) -> Stepped {
        self.engine.process(self.tenant, WHOLE).await.expect("a step")
    }
}

fn begin(log: &Arc<EmbeddedLog>, store: &Store, faults: &Arc<Once>, options: EngineOptions) -> Engine {
    Engine::by_hand(EngineParts {
        log: Arc::<EmbeddedLog>::clone(log),
        store: store.clone(),
        connector: Arc::new(Nothing),
        clock: Arc::new(ManualClock::new(AT)),
        options: EngineOptions { faults: Arc::<Once>::clone(faults), read_ahead_from: 1, ..options },
    })
}

#[tokio::test]
async fn a_step_has_only_as_many_events_as_its_persons_leave_room_for() {
    let mut world = World::new().await;
    for n in 0..16 {
        let traits = json!({"user_id": format!("u{n}"), "traits": {"large": "x".repeat(8_000)}});
        world.accept(format!("i{n}"), "identify", traits).await;
    }
    assert_eq!(world.process().await.events, 16, "of persons that are new there is nothing to read");
    for (step_bytes, most) in [(40_000, 4), (1, 1)] {
        world.restart(step_bytes);
        for n in 0..16 {
            world.accept(format!("t{step_bytes}-{n}"), "track", json!({"user_id": format!("u{n}")})).await;
        }
        let mut done = 0;
        while done < 16 {
            let events = world.process().await.events;
            assert!((1..=most).contains(&events), "{events} events with {step_bytes} bytes of persons");
            done += events;
        }
    }
    let last = world.store.lease(world.tenant).profile_by_identifier("user_id", "u15").await.expect("read");
    assert_eq!(last.map(|profile| profile.events), Some(3));
}

#[tokio::test]
async fn a_step_that_its_merges_cut_short_costs_what_it_did() {
    let world = World::new().await;
    let large = "x".repeat(30_000);
    let pairs = 45;
    for n in 0..pairs {
        for kind in ["anonymous_id", "user_id"] {
            let traits: Value = (0..8).map(|t| (format!("{kind}{t}"), json!(large))).collect();
            world.accept(format!("{kind}{n}"), "identify", json!({kind: format!("{kind}{n}"), "traits": traits})).await;
        }
    }
    while world.process().await.events > 0 {}
    for n in 0..pairs {
        let both = json!({"anonymous_id": format!("anonymous_id{n}"), "user_id": format!("user_id{n}")});
        world.accept(format!("m{n}"), "track", both).await;
    }
    let first = world.process().await;
    assert!((30..pairs).contains(&first.events), "{first:?}");
    let second = world.process().await;
    let each = |step: Stepped| step.cost / step.events;
    assert!(each(first).abs_diff(each(second)) <= 10, "{first:?}, {second:?}");
    assert!((1..=first.events).contains(&second.events), "no more than went through: {second:?}");
}

#[tokio::test]
async fn after_merges_of_which_nobody_knows_the_feed_is_empty_at_once() {
    let world = World::new().await;
    world.accept("m1".to_owned(), "track", json!({"anonymous_id": "a"})).await;
    world.accept("m2".to_owned(), "track", json!({"user_id": "u"})).await;
    world.process().await;
    let dispatcher = &world.engine.0.dispatcher;
    assert_eq!(dispatcher.finds(world.tenant, 0), Some(2));
    world.accept("m3".to_owned(), "track", json!({"anonymous_id": "a", "user_id": "u"})).await;
    *world.faults.0.lock() = Some(Point::AfterCommitStep);
    assert!(world.engine.process(world.tenant, WHOLE).await.is_err());
    assert_eq!(dispatcher.finds(world.tenant, 0), None, "it would name a person who is no more");
}
