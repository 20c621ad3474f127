//! Delivery: each destination of a tenant is a lane with its own cursor over the timeline. A lane that fails holds up
//! itself only, one person's events stay in order, and nothing that was not delivered is forgotten.
//!
//! `window` says what comes next, `send` hands it to the connector, `judge` what the outcomes mean, `health` whether
//! to go on, `step` puts them together and writes, `dispatcher` runs many lanes side by side.

mod config;
mod dispatcher;
mod feed;
mod health;
mod judge;
pub mod schedule;
mod send;
mod slot;
mod step;
mod timers;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rialto_log::EventLog;
use rialto_model::TenantId;
use rialto_model::live::LiveEvent;
use rialto_store::Store;

pub use dispatcher::{Dispatcher, Merging};
pub use feed::Ready;
pub use step::Next;

use crate::clock::Clock;
use crate::connector::Connector;
use crate::faults::Faults;

/// So many parked deliveries make a lane stop taking in new events until some are settled.
pub const MAX_PARKED: u64 = 10_000;

/// Who watches what lanes do.
pub trait Witness: Send + Sync + 'static {
    /// Whether anybody watches this tenant: saying nothing to nobody is cheaper.
    fn listens(&self, tenant: TenantId) -> bool;
    /// Something happened.
    fn saw(&self, tenant: TenantId, event: LiveEvent);
}

/// What lanes are made of.
pub struct LaneParts {
    /// Where payloads lie.
    pub log: Arc<dyn EventLog>,
    /// Where cursors, parked deliveries and dead letters lie.
    pub store: Store,
    /// Who delivers.
    pub connector: Arc<dyn Connector>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where a test may make a lane crash.
    pub faults: Arc<dyn Faults>,
    /// Who watches.
    pub witness: Arc<dyn Witness>,
    /// What was done since the start.
    pub counters: LaneCounters,
    /// Whether lanes run by themselves; a simulator steps them by hand.
    pub by_itself: bool,
    /// The most bytes of events that are kept in memory for lanes that keep up, over all tenants.
    pub feed_bytes: usize,
}

/// Counts over all lanes since the start.
#[derive(Debug, Default)]
pub struct LaneCounters {
    /// Events that a destination took.
    pub delivered: AtomicU64,
    /// Events that a connector had nothing to send for.
    pub skipped: AtomicU64,
    /// Times that an event was parked.
    pub parked: AtomicU64,
    /// Events that were given up.
    pub dead: AtomicU64,
}

impl LaneCounters {
    fn count(&self, judged: &judge::Judged) {
        self.delivered.fetch_add(judged.delivered.len() as u64, Ordering::Relaxed);
        self.skipped.fetch_add(judged.skipped.len() as u64, Ordering::Relaxed);
        self.parked.fetch_add(judged.parked.len() as u64, Ordering::Relaxed);
        self.dead.fetch_add(judged.dead.len() as u64, Ordering::Relaxed);
    }
}
