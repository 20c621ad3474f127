//! Lanes beside each other: what configures them, and what happens when one breaks.

use async_trait::async_trait;
use rialto_log::{EmbeddedLog, EmbeddedOptions};
use rialto_model::Timestamp;
use rialto_model::manifest::Limits;
use rialto_store::{NewDestination, Store, StoreOptions};

use super::*;
use crate::clock::SystemClock;
use crate::connector::{Connector, Failure, Job};
use crate::faults::NoFaults;
use crate::lane::LaneCounters;
use crate::live::Live;

/// Is not installed, and breaks the first step that asks for it.
#[derive(Default)]
struct Broken(AtomicUsize);

#[async_trait]
impl Connector for Broken {
    fn limits(&self, _: &str) -> Option<Limits> {
        if self.0.fetch_add(1, Ordering::AcqRel) == 0 {
            // Without the hook, which would print it.
            std::panic::resume_unwind(Box::new("broken"));
        }
        None
    }

    async fn deliver(&self, _: Job) -> Result<Vec<rialto_model::delivery::Outcome>, Failure> {
        Ok(Vec::new())
    }
}

struct World {
    scope: TenantScope,
    tenant: TenantId,
    dispatcher: Dispatcher,
    _folder: tempfile::TempDir,
}

async fn world() -> World {
    world_that_runs(true).await
}

async fn world_that_runs(by_itself: bool) -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("rialto.db").display());
    let store = Store::open(StoreOptions::new(url, [7; 32])).await.expect("SQLite opens");
    let log = EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default()).expect("the log opens");
    let tenant = store.operator().create_tenant("acme", "Acme", Timestamp(0)).await.expect("a tenant").id;
    let scope = store.lease(tenant);
    let dispatcher = Dispatcher::start(LaneParts {
        log: Arc::new(log),
        store,
        connector: Arc::new(Broken::default()),
        clock: Arc::new(SystemClock),
        faults: Arc::new(NoFaults),
        witness: Arc::new(Live::default()),
        counters: LaneCounters::default(),
        by_itself,
        feed_bytes: 1 << 20,
    });
    World { scope, tenant, dispatcher, _folder: folder }
}

impl World {
    async fn destination(&self, name: &str) -> DestinationId {
        let new = NewDestination {
            name: name.to_owned(),
            connector: "test/broken".to_owned(),
            settings: Default::default(),
            secrets: Default::default(),
            enabled: true,
        };
        self.scope.create_destination(new, Timestamp(0)).await.expect("a destination").id
    }

    async fn configure(&self) {
        self.dispatcher.configure(self.tenant, &self.scope.config().await.expect("read"));
    }

    /// The step of one event at `position` is told, and whether the feed has it.
    fn feeds(&self, position: Position) -> bool {
        self.dispatcher.fed(self.tenant, event(position), position, &[]);
        self.dispatcher.finds(self.tenant, position - 1) == Some(1)
    }
}

#[tokio::test]
async fn an_older_configuration_does_not_replace_a_newer_one() {
    let world = world().await;
    let old = world.scope.config().await.expect("read");
    let id = world.destination("One").await;
    let new = world.scope.config().await.expect("read");
    assert!(old.version < new.version);
    world.dispatcher.configure(world.tenant, &new);
    world.dispatcher.configure(world.tenant, &old);
    assert!(world.dispatcher.seen(world.tenant, id).is_some(), "the lane of the newer one stays");
    // Not even while it is to be read again.
    let lanes = world.dispatcher.tenant(world.tenant);
    lanes.configs.lock().forget();
    world.dispatcher.configure(world.tenant, &old);
    assert!(lanes.configs.lock().get().is_none());
    assert!(world.dispatcher.configs(world.tenant).await.expect("read again").contains_key(&id));
}

#[tokio::test]
async fn a_lane_in_a_step_keeps_its_seat_until_it_rests() {
    let world = world().await;
    let id = world.destination("One").await;
    world.dispatcher.configure(world.tenant, &world.scope.config().await.expect("read"));
    let lanes = world.dispatcher.tenant(world.tenant);
    let slot = lanes.lanes.lock().get(&id).cloned().expect("has a lane");
    assert!(slot.wake(), "it runs");
    world.scope.delete_destination(id, None).await.expect("deleted");
    world.dispatcher.configure(world.tenant, &world.scope.config().await.expect("read"));
    assert!(lanes.lanes.lock().contains_key(&id));
    assert!(!slot.rest());
    world.dispatcher.tidy(world.tenant);
    assert!(!lanes.lanes.lock().contains_key(&id));
}

impl Dispatcher {
    /// The events after a position that the tenant's lanes would find in the feed, if it reaches back so far.
    pub(crate) fn finds(&self, tenant: TenantId, after: Position) -> Option<usize> {
        let stretch = self.tenant(tenant).feed.read(after, 1_000, 1 << 20, &Default::default());
        stretch.map(|stretch| stretch.events.len())
    }
}

fn event(position: Position) -> Vec<Ready> {
    let entry = rialto_model::decision::TimelineEntry {
        position,
        message_id: format!("m{position}"),
        kind: rialto_model::event::EventType::Track,
        name: String::new(),
        source_id: rialto_model::SourceId::from_parts(1, &[1; 10]),
        profile_id: None,
        timestamp: Timestamp(0),
        received_at: Timestamp(0),
        decision: Default::default(),
    };
    vec![Ready { entry: Arc::new(entry), body: bytes::Bytes::from_static(b"{}") }]
}

#[tokio::test]
async fn nothing_is_kept_for_lanes_of_which_none_moves() {
    let world = world().await;
    world.configure().await;
    assert!(!world.feeds(1), "there is no lane");
    assert_eq!(world.dispatcher.finds(world.tenant, 1), Some(0), "but it is known that nothing else is");
    let id = world.destination("One").await;
    world.configure().await;
    assert!(world.feeds(2), "a lane that has yet to begin");
    let change = rialto_store::DestinationChange { enabled: Some(false), ..Default::default() };
    world.scope.update_destination(id, change, None, Timestamp(0)).await.expect("changed");
    world.configure().await;
    world.dispatcher.wake_lane(world.tenant, id);
    let forgotten = async {
        while world.dispatcher.finds(world.tenant, 1).is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), forgotten).await.expect("with the last that moves all is forgotten");
    assert!(!world.feeds(3), "it is disabled");
}

#[tokio::test]
async fn merges_of_which_nobody_knows_whether_they_were_written_empty_the_feed_before_a_lane_reads_on() {
    let world = world_that_runs(false).await;
    world.destination("One").await;
    world.configure().await;
    assert!(world.feeds(1));
    let merges = Arc::clone(&world.dispatcher.tenant(world.tenant).feed.merges);
    let merging = world.dispatcher.merging(world.tenant).await;
    assert!(merges.try_read().is_err());
    merging.told();
    assert_eq!(world.dispatcher.finds(world.tenant, 0), Some(1));
    let merging = world.dispatcher.merging(world.tenant).await;
    let (dispatcher, tenant) = (world.dispatcher.clone(), world.tenant);
    let lane = async move {
        let _quiet = merges.read().await;
        dispatcher.finds(tenant, 0)
    };
    let lane = tokio::spawn(lane);
    tokio::task::yield_now().await;
    drop(merging);
    assert_eq!(lane.await.expect("ends"), None);
}

#[tokio::test]
async fn a_step_that_panics_is_made_again_after_a_while() {
    let world = world().await;
    let id = world.destination("One").await;
    world.dispatcher.configure(world.tenant, &world.scope.config().await.expect("read"));
    world.dispatcher.wake_lane(world.tenant, id);
    let recovered = async {
        loop {
            match world.dispatcher.seen(world.tenant, id) {
                Some((LaneState::NoConnector, _)) => return,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), recovered).await.expect("the lane looks again");
    assert!(world.dispatcher.shutdown(Duration::from_secs(5)).await);
}
