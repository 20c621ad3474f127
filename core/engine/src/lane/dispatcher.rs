//! Many lanes side by side: who is woken when, and how much may run at once. A lane that hangs gives its place to
//! others; nothing here costs a timer or a task for a lane that has nothing to do.

mod merging;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use rialto_model::lane::LaneState;
use rialto_model::{DestinationId, Position, ProfileId, TenantId};
use rialto_store::{StoreError, TenantConfig, TenantScope};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

use super::LaneParts;
use super::config::{Known, LaneConfigs};
use super::feed::{Budget, Feed, Ready};
use super::slot::Slot;
use super::step::{Lane, Next};
use super::timers::Timers;
pub use merging::Merging;

/// Lanes that may be in a step at the same time, as long as their steps are short.
const SHORT: usize = 128;
/// Lanes that may be in a step that takes longer than [`PATIENCE`]: waiting for a slow destination.
const LONG: usize = 1_024;
/// After this a step counts as long, and another lane gets its place.
const PATIENCE: Duration = Duration::from_millis(500);
/// The wait before the configuration is read again when the store cannot give it.
const CONFIG_WAIT: Duration = Duration::from_millis(500);
/// How often a configuration is read that keeps changing meanwhile, before that wait.
const CONFIG_READS: usize = 3;

/// Runs the lanes of all tenants that this node owns.
#[derive(Clone)]
pub struct Dispatcher(Arc<Shared>);

struct Shared {
    parts: Arc<LaneParts>,
    /// Where lanes run, whoever wakes them: a request of the API must not do their work on its own threads.
    home: Handle,
    tenants: Mutex<HashMap<TenantId, Arc<TenantLanes>>>,
    budget: Arc<Budget>,
    timers: Timers,
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
    stopping: AtomicBool,
    running: AtomicUsize,
    rested: Notify,
}

struct TenantLanes {
    scope: TenantScope,
    feed: Arc<Feed>,
    lanes: Mutex<HashMap<DestinationId, Arc<Slot>>>,
    configs: Mutex<Known>,
}

impl Dispatcher {
    /// A dispatcher without lanes; they come with their tenants.
    ///
    /// # Panics
    /// Outside of a runtime: its lanes run on the one it was made on.
    pub fn start(parts: LaneParts) -> Self {
        let dispatcher = Self(Arc::new(Shared {
            home: Handle::current(),
            budget: Budget::new(parts.feed_bytes),
            parts: Arc::new(parts),
            tenants: Mutex::default(),
            timers: Timers::default(),
            short: Arc::new(Semaphore::new(SHORT)),
            long: Arc::new(Semaphore::new(LONG)),
            stopping: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            rested: Notify::new(),
        }));
        if dispatcher.0.parts.by_itself {
            // Weak, so that a dispatcher that nobody holds any more ends its timer.
            let weak = Arc::downgrade(&dispatcher.0);
            tokio::spawn(async move {
                while let Some(shared) = weak.upgrade() {
                    let nap = tokio::time::timeout(Duration::from_secs(5), shared.timers.next(&*shared.parts.clock));
                    let due = nap.await.unwrap_or_default();
                    let dispatcher = Self(shared);
                    due.into_iter().for_each(|(tenant, destination)| dispatcher.wake(tenant, destination));
                    if dispatcher.0.stopping.load(Ordering::Acquire) {
                        return;
                    }
                }
            });
        }
        dispatcher
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &super::LaneCounters {
        &self.0.parts.counters
    }

    /// A step of the processor is committed up to `head`: its events go to the lanes of the tenant, if one moves, and
    /// who holds back an absorbed person holds back the survivor.
    pub fn fed(&self, tenant: TenantId, step: Vec<Ready>, head: Position, absorbed: &[(ProfileId, ProfileId)]) {
        let lanes = self.tenant(tenant);
        match lanes.lanes.lock().values().any(|slot| slot.moves()) {
            true => lanes.feed.push(step, head, absorbed),
            false => lanes.feed.pass(head),
        }
        for slot in lanes.lanes.lock().values() {
            slot.merged(absorbed);
        }
        self.wake_tenant(tenant);
    }

    /// Nobody can say which of the last steps the lanes were told of: a step ended without its end being known, or
    /// another owner was at work. The lanes read for themselves from here on.
    pub fn unsure(&self, tenant: TenantId) {
        self.tenant(tenant).feed.reset();
        self.wake_tenant(tenant);
    }

    /// To be held from before a step with merges is committed until [`Dispatcher::fed`] was told of it.
    pub async fn merging(&self, tenant: TenantId) -> Merging {
        let guard = Arc::clone(&self.tenant(tenant).feed.merges).write_owned().await;
        Merging::new(self.clone(), tenant, guard)
    }

    /// The tenant's configuration as it was read; lanes come and go with its destinations. One that was overtaken by
    /// a newer one on its way is passed over.
    pub fn configure(&self, tenant: TenantId, config: &TenantConfig) {
        let lanes = self.tenant(tenant);
        let mut known = lanes.configs.lock();
        if let Some(configs) = known.learn(config) {
            self.seat(tenant, &lanes, &configs);
        }
    }

    /// The configuration changed: it is read again before the next step, and lanes that stood still try again.
    pub fn config_changed(&self, tenant: TenantId) {
        let lanes = self.tenant(tenant);
        lanes.configs.lock().forget();
        lanes.lanes.lock().values().for_each(|slot| slot.refresh());
        self.wake_tenant(tenant);
    }

    /// Parked deliveries of a lane were changed from outside, or someone wants it to try now.
    pub fn wake_lane(&self, tenant: TenantId, destination: DestinationId) {
        if let Some(slot) = self.tenant(tenant).lanes.lock().get(&destination) {
            slot.refresh();
        }
        self.wake(tenant, destination);
    }

    /// Wakes all lanes of a tenant, reading its configuration if that is not known.
    pub fn wake_tenant(&self, tenant: TenantId) {
        if !self.0.parts.by_itself {
            return;
        }
        let lanes = self.tenant(tenant);
        if lanes.configs.lock().get().is_none() {
            let dispatcher = self.clone();
            let home = self.0.home.clone();
            home.spawn(async move { dispatcher.wake_when_configured(tenant).await });
            return;
        }
        let slots: Vec<Arc<Slot>> = lanes.lanes.lock().values().cloned().collect();
        slots.into_iter().for_each(|slot| self.run(slot));
    }

    /// Forgets a tenant that is no more.
    pub fn drop_tenant(&self, tenant: TenantId) {
        self.0.tenants.lock().remove(&tenant);
    }

    /// How a lane goes and how far it is; `None` if it has not run since the start.
    pub fn seen(&self, tenant: TenantId, destination: DestinationId) -> Option<(LaneState, Option<Position>)> {
        let lanes = self.0.tenants.lock().get(&tenant).cloned()?;
        let slot = lanes.lanes.lock().get(&destination).cloned()?;
        Some(slot.seen())
    }

    /// Makes one step of one lane, for those that step by hand.
    ///
    /// # Errors
    /// [`StoreError`] when the tenant's configuration cannot be read.
    pub async fn step(&self, tenant: TenantId, destination: DestinationId) -> Result<Next, StoreError> {
        let configs = self.configs(tenant).await?;
        let slot = self.tenant(tenant).lanes.lock().get(&destination).cloned();
        match (slot, configs.get(&destination)) {
            (Some(slot), Some(config)) => Ok(slot.step(config).await),
            _ => Ok(Next::Wait(None)),
        }
    }

    /// Lets running steps end, for at most `patience`; true if all did.
    pub async fn shutdown(&self, patience: Duration) -> bool {
        self.0.stopping.store(true, Ordering::Release);
        let all = async {
            loop {
                let rested = self.0.rested.notified();
                if self.0.running.load(Ordering::Acquire) == 0 {
                    return;
                }
                rested.await;
            }
        };
        tokio::time::timeout(patience, all).await.is_ok()
    }

    fn tenant(&self, tenant: TenantId) -> Arc<TenantLanes> {
        let mut tenants = self.0.tenants.lock();
        let lanes = tenants.entry(tenant).or_insert_with(|| {
            Arc::new(TenantLanes {
                scope: self.0.parts.store.lease(tenant),
                feed: Arc::new(Feed::new(Arc::clone(&self.0.budget))),
                lanes: Mutex::default(),
                configs: Mutex::default(),
            })
        });
        Arc::clone(lanes)
    }

    /// Gives every destination a lane, and takes it from those that are gone. One that is in a step keeps it until
    /// it rests, so that no second one can begin beside it.
    fn seat(&self, tenant: TenantId, tenant_lanes: &TenantLanes, configs: &LaneConfigs) {
        let mut lanes = tenant_lanes.lanes.lock();
        lanes.retain(|destination, slot| configs.contains_key(destination) || slot.is_busy());
        for destination in configs.keys() {
            lanes.entry(*destination).or_insert_with(|| {
                let (parts, feed) = (Arc::clone(&self.0.parts), Arc::clone(&tenant_lanes.feed));
                let lane = Lane::new(parts, tenant_lanes.scope.clone(), feed, *destination);
                Arc::new(Slot::new(tenant, *destination, lane))
            });
        }
    }

    async fn configs(&self, tenant: TenantId) -> Result<Arc<LaneConfigs>, StoreError> {
        let lanes = self.tenant(tenant);
        for _ in 0..CONFIG_READS {
            if let Some(configs) = lanes.configs.lock().get() {
                return Ok(Arc::clone(configs));
            }
            let config = lanes.scope.config().await?;
            self.configure(tenant, &config);
        }
        let known = lanes.configs.lock().get().cloned();
        known.ok_or_else(|| StoreError::unavailable("the configuration that is read is older than one seen before"))
    }

    async fn wake_when_configured(&self, tenant: TenantId) {
        while !self.0.stopping.load(Ordering::Acquire) {
            match self.configs(tenant).await {
                Ok(_) => return self.wake_tenant(tenant),
                Err(StoreError::NotFound { .. }) => return self.drop_tenant(tenant),
                Err(error) => {
                    tracing::warn!(%tenant, %error, "the tenant's configuration cannot be read; trying again");
                    tokio::time::sleep(CONFIG_WAIT).await;
                }
            }
        }
    }

    fn wake(&self, tenant: TenantId, destination: DestinationId) {
        let slot = self.0.tenants.lock().get(&tenant).and_then(|lanes| lanes.lanes.lock().get(&destination).cloned());
        match slot {
            Some(slot) => self.run(slot),
            None => self.wake_tenant(tenant),
        }
    }

    fn run(&self, slot: Arc<Slot>) {
        if !self.0.parts.by_itself || self.0.stopping.load(Ordering::Acquire) || !slot.wake() {
            return;
        }
        self.0.running.fetch_add(1, Ordering::AcqRel);
        let dispatcher = self.clone();
        self.0.home.spawn(async move {
            let guard = Running(Arc::clone(&dispatcher.0));
            dispatcher.run_lane(&slot).await;
            drop(guard);
        });
    }

    /// Steps a lane until it has nothing to do.
    async fn run_lane(&self, slot: &Slot) {
        while !self.0.stopping.load(Ordering::Acquire) {
            let next = match self.configs(slot.tenant).await {
                Ok(configs) => match configs.get(&slot.destination) {
                    Some(config) => self.step_or_rest(slot, config).await,
                    None => Next::Wait(None),
                },
                Err(_) => {
                    slot.flush().await;
                    Next::Wait(Some(self.0.parts.clock.now().after(CONFIG_WAIT)))
                }
            };
            let Next::Wait(until) = next else { continue };
            if let Some(until) = until.filter(|until| slot.set_alarm(*until, self.0.parts.clock.now())) {
                self.0.timers.set(until, slot.tenant, slot.destination);
            }
            if !slot.rest() {
                return self.tidy(slot.tenant);
            }
        }
        slot.flush().await;
    }

    /// Lets lanes go whose destinations are gone, and the feed of what all that move have behind them: of everything,
    /// if none does.
    fn tidy(&self, tenant: TenantId) {
        let Some(lanes) = self.0.tenants.lock().get(&tenant).cloned() else { return };
        if let Some(configs) = lanes.configs.lock().get() {
            lanes.lanes.lock().retain(|destination, slot| configs.contains_key(destination) || slot.is_busy());
        }
        let slots: Vec<Arc<Slot>> = lanes.lanes.lock().values().cloned().collect();
        let moving: Vec<_> = slots.iter().filter(|slot| slot.moves()).collect();
        let slowest = moving.iter().filter_map(|slot| slot.seen().1).min();
        if let Some(behind) = slowest.or(moving.is_empty().then_some(Position::MAX)) {
            lanes.feed.forget(behind);
        }
    }

    /// Makes a step. One that panics ends alone: the lane begins anew after a while.
    async fn step_or_rest(&self, slot: &Slot, config: &super::config::LaneConfig) -> Next {
        let step = AssertUnwindSafe(self.step_in_turn(slot, config)).catch_unwind();
        step.await.unwrap_or_else(|_| {
            let until = slot.panicked(self.0.parts.clock.now());
            tracing::error!(tenant = %slot.tenant, destination = %slot.destination, %until, "a step of a lane panicked");
            Next::Wait(Some(until))
        })
    }

    /// Makes a step once there is a place for it; a step that takes long moves over to where such steps wait.
    async fn step_in_turn(&self, slot: &Slot, config: &super::config::LaneConfig) -> Next {
        let Ok(place) = Arc::clone(&self.0.short).acquire_owned().await else { return Next::Wait(None) };
        let mut step = std::pin::pin!(slot.step(config));
        if let Ok(next) = tokio::time::timeout(PATIENCE, &mut step).await {
            return next;
        }
        let _place = match Arc::clone(&self.0.long).try_acquire_owned() {
            Ok(long) => {
                drop(place);
                long
            }
            Err(_) => place,
        };
        step.await
    }
}

/// Counts a running lane out, however it ends.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
        self.0.rested.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
