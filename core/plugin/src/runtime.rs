//! The Wasm engine, and one call in it: a fresh instance, bounded in time, memory, stack and output.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;
use rialto_model::manifest::Manifest;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, Trap, UpdateDeadline,
    component::{Component, HasSelf, Linker},
};

use crate::{
    CallLimits, PluginError,
    admission::admit,
    bindings::{
        Context, DestinationConnector, DestinationConnectorPre, Failure, Job, Reply, Step,
        webhook::{Accepted, Request, WebhookConnectorPre},
    },
    cache::Cache,
    guest::{Guest, LogFlood},
};

/// How often the clock of running calls is looked at.
const TICK: Duration = Duration::from_millis(10);
/// How much longer a call may last by the wall clock than by its own processor time, on a machine that is busy.
const WALL: u32 = 10;

/// An engine with room for some calls at a time.
pub(crate) struct Runtime {
    engine: Engine,
    linker: Linker<Guest>,
    limits: CallLimits,
    cache: Option<Cache>,
}

/// An installed connector, ready to be instantiated.
pub(crate) struct Plugin {
    pub(crate) manifest: Arc<Manifest>,
    delivers: Option<DestinationConnectorPre<Guest>>,
    receives: Option<WebhookConnectorPre<Guest>>,
}

/// What a call is asked.
pub(crate) enum Asked {
    /// To begin.
    Prepare,
    /// To go on.
    Resume { job: bool, state: Vec<u8>, replies: Vec<Reply> },
}

/// How a call went wrong.
#[derive(Debug)]
pub(crate) struct Crash {
    /// `plugin_trap`, `plugin_deadline`, `plugin_memory`, `plugin_stack`, `plugin_output`, `plugin_log`,
    /// `plugin_unable`.
    pub(crate) code: &'static str,
    /// A sentence, with the guest's own last words if it had any.
    pub(crate) message: String,
}

impl Runtime {
    pub(crate) fn new(limits: CallLimits, slots: usize, cache: Option<Cache>) -> Result<Self, PluginError> {
        let fail = |e: wasmtime::Error| PluginError::Runtime { why: format!("{e:#}") };
        let engine = Engine::new(&config(&limits, slots)).map_err(fail)?;
        let mut linker = Linker::new(&engine);
        // The imports of every world are the same.
        DestinationConnector::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest).map_err(fail)?;
        tick(&engine)?;
        Ok(Self { engine, linker, limits, cache })
    }

    /// Admits, compiles and instantiates a component once; only then is it fit to be called.
    pub(crate) fn install(&self, bytes: &[u8]) -> Result<Plugin, PluginError> {
        let (manifest, abilities) = admit(bytes, self.limits.component)?;
        let compiled = match &self.cache {
            Some(cache) => cache.compiled(&self.engine, bytes),
            None => Component::new(&self.engine, bytes),
        };
        let component = compiled.map_err(|e| PluginError::Compile { why: format!("{e:#}") })?;
        let unfit = |e: wasmtime::Error| PluginError::Instantiate { why: format!("{e:#}") };
        let pre = self.linker.instantiate_pre(&component).map_err(unfit)?;
        let delivers = abilities.delivers.then(|| DestinationConnectorPre::new(pre.clone())).transpose();
        let receives = abilities.receives.then(|| WebhookConnectorPre::new(pre.clone())).transpose();
        let (delivers, receives) = (delivers.map_err(unfit)?, receives.map_err(unfit)?);
        pre.instantiate(&mut self.store()).map_err(unfit)?;
        Ok(Plugin { manifest: Arc::new(manifest), delivers, receives })
    }

    /// Makes one call. Blocks, for as long as the limits allow.
    pub(crate) fn call(
        &self,
        plugin: &Plugin,
        context: &Context,
        job: &Job,
        asked: &Asked,
    ) -> Result<Result<Step, Failure>, Crash> {
        let Some(delivers) = &plugin.delivers else { return Err(unable("delivers nothing")) };
        let mut store = self.store();
        let called = delivers.instantiate(&mut store).and_then(|instance| {
            let destination = instance.rialto_plugin_destination();
            match asked {
                Asked::Prepare => destination.call_prepare(&mut store, context, job),
                Asked::Resume { job: wanted, state, replies } => {
                    destination.call_resume(&mut store, context, wanted.then_some(job), state, replies)
                }
            }
        });
        called.map_err(|e| self.crash(&e, store.into_data()))
    }

    /// Has a webhook read. Blocks, for as long as the limits allow.
    pub(crate) fn receive(
        &self,
        plugin: &Plugin,
        context: &Context,
        request: &Request,
    ) -> Result<Result<Accepted, Failure>, Crash> {
        let Some(receives) = &plugin.receives else { return Err(unable("receives no webhooks")) };
        let mut store = self.store();
        let called = receives
            .instantiate(&mut store)
            .and_then(|instance| instance.rialto_plugin_webhook().call_receive(&mut store, context, request));
        called.map_err(|e| self.crash(&e, store.into_data()))
    }

    fn store(&self) -> Store<Guest> {
        let mut store = Store::new(&self.engine, Guest::new(&self.limits));
        store.limiter(|guest| guest);
        store.set_hostcall_fuel(self.limits.output);
        store.set_epoch_deadline(1);
        let (cpu, wall) = (ThreadTime::now().as_duration(), Instant::now());
        let limit = self.limits.time;
        store.epoch_deadline_callback(move |_| {
            // A call runs on one thread from its beginning to its end.
            let used = ThreadTime::now().as_duration().saturating_sub(cpu);
            let over = used >= limit || wall.elapsed() >= limit * WALL;
            Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
        store
    }

    fn crash(&self, e: &wasmtime::Error, guest: Guest) -> Crash {
        let (code, what) = match e.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => ("plugin_deadline", format!("the call took longer than {:?}", self.limits.time)),
            _ if guest.starved => {
                ("plugin_memory", format!("the call wanted more than {} MiB", self.limits.memory >> 20))
            }
            Some(Trap::StackOverflow) => ("plugin_stack", "the call ran out of stack".to_owned()),
            Some(trap) => ("plugin_trap", format!("the call trapped: {trap}")),
            None if e.is::<LogFlood>() => ("plugin_log", e.to_string()),
            None if e.to_string().contains("fuel") => {
                ("plugin_output", format!("the call handed out more than {} MiB", self.limits.output >> 20))
            }
            None => ("plugin_trap", format!("the call failed: {}", e.root_cause())),
        };
        let message = match guest.last_error {
            Some(words) => format!("{what}; it said: {words}"),
            None => what,
        };
        Crash { code, message }
    }
}

/// A connector is asked for what its manifest does not offer.
fn unable(what: &str) -> Crash {
    Crash { code: "plugin_unable", message: format!("the connector {what}") }
}

fn config(limits: &CallLimits, slots: usize) -> Config {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX).saturating_add(1);
    let mut pool = PoolingAllocationConfig::new();
    // A wrapped guest is one module with a few small ones around it.
    let (modules, memories, tables) = (8, 2, 4);
    pool.total_component_instances(slots);
    pool.total_core_instances(slots.saturating_mul(modules));
    pool.total_memories(slots.saturating_mul(memories));
    pool.total_tables(slots.saturating_mul(tables));
    pool.max_core_instances_per_component(modules);
    pool.max_memories_per_component(memories);
    pool.max_tables_per_component(tables);
    pool.max_memory_size(limits.memory);
    pool.table_elements(limits.table);
    pool.linear_memory_keep_resident(4 << 20);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config.epoch_interruption(true);
    config.max_wasm_stack(limits.stack);
    config
}

/// Moves an engine's epoch on from a thread that ends with it.
fn tick(engine: &Engine) -> Result<(), PluginError> {
    let weak = engine.weak();
    let begun = std::thread::Builder::new().name("rialto-epoch".into()).spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    });
    begun.map(drop).map_err(|e| PluginError::Runtime { why: e.to_string() })
}
