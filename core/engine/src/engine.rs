//! The engine: takes in events, and runs the loops that process and deliver them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use bytes::Bytes;
use rialto_log::{EventLog, LogError};
use rialto_model::event::Event;
use rialto_model::lane::LaneState;
use rialto_model::live::LiveEvent;
use rialto_model::{DestinationId, Position, TenantId};
use rialto_store::{Store, StoreError, WriteGrant};
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::connector::Connector;
use crate::error::EngineError;
use crate::explain::Looks;
use crate::faults::{Faults, NoFaults};
use crate::lane::{Dispatcher, LaneCounters, LaneParts, Next, Witness};
use crate::live::{Live, LiveTail};
use crate::processor::{Processor, Stepped};
use crate::run::Loops;
use crate::status::{Counters, EngineStatus, count, read};

/// How long a client is asked to wait when too much waits to be written.
const RETRY_FULL: Duration = Duration::from_secs(1);
/// How long a client is asked to wait when the log cannot write.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(5);

/// What an engine is made of.
pub struct EngineParts {
    /// How events last.
    pub log: Arc<dyn EventLog>,
    /// How records last.
    pub store: Store,
    /// Who delivers.
    pub connector: Arc<dyn Connector>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How it runs.
    pub options: EngineOptions,
}

/// How an engine runs.
#[derive(Clone)]
pub struct EngineOptions {
    /// How many tenants are processed at the same time. They share the cores; the more there are, the more of their
    /// writes share a flush to disk.
    pub workers: usize,
    /// The most bytes of persons kept in memory, over all tenants.
    pub cache_bytes: usize,
    /// The most bytes of persons' documents that a step of several events reads: it holds them all, several times over.
    pub step_bytes: usize,
    /// The most bytes of processed events kept in memory for lanes that keep up, over all tenants.
    pub feed_bytes: usize,
    /// So many events have to wait for the next step of a tenant to be read while the last one is written: fewer gain
    /// little by it, and what comes in meanwhile would wait for a step longer.
    pub read_ahead_from: u64,
    /// How long a shutdown waits for steps that are under way.
    pub shutdown: Duration,
    /// Where a test may make it crash.
    pub faults: Arc<dyn Faults>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            workers: 16,
            cache_bytes: 256 << 20,
            step_bytes: 32 << 20,
            feed_bytes: 64 << 20,
            read_ahead_from: 3_000,
            shutdown: Duration::from_secs(10),
            faults: Arc::new(NoFaults),
        }
    }
}

/// What was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// How many events.
    pub count: usize,
    /// Where the first stands.
    pub first: Position,
    /// Where the last stands.
    pub last: Position,
}

/// Why events were not taken in. None of them was.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Too much waits to be written.
    #[error("too much waits to be written")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// The log cannot write.
    #[error("events cannot be made durable at the moment: {reason}")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// Why, for an operator.
        reason: String,
        /// The failure beneath.
        #[source]
        source: LogError,
    },
    /// They cannot be taken in as they are.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
    },
}

/// Takes in, processes and delivers the events of all tenants of this node. Cheap to clone.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) processor: Arc<Processor>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) looks: Looks,
    /// Where it works, if it was made within a runtime: what takes long does not run where clients are answered.
    pub(crate) behind: Option<Handle>,
    live: Arc<Live>,
    loops: Option<Loops>,
    shutdown: Duration,
    stopped: AtomicBool,
}

impl Engine {
    /// An engine that runs by itself. What waits from before is taken up in the background.
    pub async fn start(parts: EngineParts) -> Self {
        let workers = parts.options.workers.max(1);
        Self::new(parts, Some(workers))
    }

    /// An engine that does nothing by itself: [`Engine::process`] and [`Engine::dispatch`] make its steps, one by
    /// one, so that a run can be repeated exactly.
    pub fn by_hand(parts: EngineParts) -> Self {
        Self::new(parts, None)
    }

    fn new(parts: EngineParts, workers: Option<usize>) -> Self {
        let EngineParts { log, store, connector, clock, options } = parts;
        let live = Arc::new(Live::default());
        let witness: Arc<dyn Witness> = Arc::<Live>::clone(&live);
        let dispatcher = Dispatcher::start(LaneParts {
            log: Arc::clone(&log),
            store: store.clone(),
            connector,
            clock: Arc::clone(&clock),
            faults: Arc::clone(&options.faults),
            witness,
            counters: LaneCounters::default(),
            by_itself: workers.is_some(),
            feed_bytes: options.feed_bytes,
        });
        let processor = Arc::new(Processor {
            log: Arc::clone(&log),
            store,
            clock: Arc::clone(&clock),
            faults: options.faults,
            dispatcher: dispatcher.clone(),
            live: Arc::clone(&live),
            counters: Counters::default(),
            tenants: Processor::shelf(),
            cached: AtomicUsize::new(0),
            ahead: Arc::default(),
            cache_bytes: options.cache_bytes,
            read_ahead_from: options.read_ahead_from,
            step_bytes: options.step_bytes,
        });
        let loops = workers.map(|workers| Loops::start(Arc::clone(&processor), workers));
        let (shutdown, stopped) = (options.shutdown, AtomicBool::new(false));
        let (looks, behind) = (Looks::default(), Handle::try_current().ok());
        Self(Arc::new(Inner { log, clock, processor, dispatcher, looks, behind, live, loops, shutdown, stopped }))
    }

    /// Makes events durable in the order given, all or none. When it returns they will be processed, whatever
    /// happens to this process.
    ///
    /// # Errors
    /// [`AcceptError`]; then none of them was taken in, and the client has to be told.
    pub async fn accept(&self, grant: &WriteGrant, events: Vec<Event>) -> Result<Accepted, AcceptError> {
        let tenant = grant.tenant_id;
        let mut bodies = Vec::with_capacity(events.len());
        for event in &events {
            let body =
                serde_json::to_vec(event).map_err(|fault| AcceptError::Invalid { message: fault.to_string() })?;
            bodies.push(Bytes::from(body));
        }
        let now = self.0.clock.now();
        let positions = self.0.log.append(tenant, now, bodies).await.map_err(refusal)?;
        count(&self.0.processor.counters.accepted, events.len() as u64);
        if self.0.live.listens(tenant) {
            for (event, position) in events.iter().zip(positions.clone()) {
                self.0.live.saw(
                    tenant,
                    LiveEvent::Accepted {
                        at: now,
                        position,
                        message_id: event.message_id.clone(),
                        kind: event.kind,
                        name: event.label().to_owned(),
                        source_id: event.source_id,
                    },
                );
            }
        }
        Ok(Accepted { count: events.len(), first: *positions.start(), last: *positions.end() })
    }

    /// Listens to what a tenant's pipeline does from now on.
    pub fn live(&self, tenant: TenantId) -> LiveTail {
        self.0.live.listen(tenant)
    }

    /// Whether its loops run, or every step is made by hand.
    pub(crate) fn runs_by_itself(&self) -> bool {
        self.0.loops.is_some()
    }

    /// How many listen to a tenant.
    pub fn listeners(&self, tenant: TenantId) -> usize {
        self.0.live.listeners(tenant)
    }

    /// Parked deliveries or dead letters of a lane were changed, or its destination: it looks again at once.
    pub fn wake_lane(&self, tenant: TenantId, destination: DestinationId) {
        self.0.dispatcher.wake_lane(tenant, destination);
    }

    /// A tenant's configuration was changed, or the tenant was made or removed.
    pub fn config_changed(&self, tenant: TenantId) {
        self.0.dispatcher.config_changed(tenant);
        if let Some(loops) = &self.0.loops {
            loops.wake(tenant);
        }
    }

    /// How a lane goes; `None` if it had nothing to do since the start.
    pub fn lane_state(&self, tenant: TenantId, destination: DestinationId) -> Option<LaneState> {
        self.0.dispatcher.seen(tenant, destination).map(|(state, _)| state)
    }

    /// Up to where a lane is done, which may be ahead of what is written down; `None` if it did nothing yet.
    pub(crate) fn lane_cursor(&self, tenant: TenantId, destination: DestinationId) -> Option<Position> {
        self.0.dispatcher.seen(tenant, destination).and_then(|(_, cursor)| cursor)
    }

    /// What was counted, and how it stands.
    pub fn status(&self) -> EngineStatus {
        let (counters, lanes) = (&self.0.processor.counters, self.0.dispatcher.counters());
        let (backlog, waiting_tenants) = self.0.loops.as_ref().map_or((0, 0), Loops::backlog);
        EngineStatus {
            accepted: read(&counters.accepted),
            processed: read(&counters.processed),
            duplicates: read(&counters.duplicates),
            refused: read(&counters.refused),
            suppressed: read(&counters.suppressed),
            merges: read(&counters.merges),
            steps: read(&counters.steps),
            failed_steps: read(&counters.failed_steps),
            delivered: read(&lanes.delivered),
            skipped: read(&lanes.skipped),
            parked: read(&lanes.parked),
            dead: read(&lanes.dead),
            backlog,
            waiting_tenants,
            unavailable: self.0.loops.as_ref().and_then(Loops::unavailable),
        }
    }

    /// Makes one step of the processor over about so many bytes of events, for those who make steps by hand.
    ///
    /// # Errors
    /// What the store or the log did not do. Nothing of the step counts then.
    pub async fn process(&self, tenant: TenantId, bytes: usize) -> Result<Stepped, EngineError> {
        self.0.processor.step(tenant, bytes).await
    }

    /// Makes one step of a lane, for those who make steps by hand.
    ///
    /// # Errors
    /// [`StoreError`] when the tenant's configuration cannot be read.
    pub async fn dispatch(&self, tenant: TenantId, destination: DestinationId) -> Result<Next, StoreError> {
        self.0.dispatcher.step(tenant, destination).await
    }

    /// Ends the loops: steps that are under way may end, for a bounded time; nothing new begins. What was not done
    /// is taken up by the next start.
    pub async fn shutdown(&self) {
        if self.0.stopped.swap(true, std::sync::atomic::Ordering::AcqRel) {
            return;
        }
        if let Some(loops) = &self.0.loops {
            loops.stop(self.0.shutdown).await;
        }
        if !self.0.dispatcher.shutdown(self.0.shutdown).await {
            tracing::warn!("deliveries were cut off; the next start takes them up");
        }
    }
}

fn refusal(error: LogError) -> AcceptError {
    match error {
        LogError::Full => AcceptError::Full { retry_after: RETRY_FULL },
        LogError::TooLarge { .. } => AcceptError::Invalid { message: error.to_string() },
        other => AcceptError::Unavailable { retry_after: RETRY_UNAVAILABLE, reason: other.to_string(), source: other },
    }
}
