//! Bounded shares: of what all tenants use, no one gets more than so much at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use rialto_model::TenantId;
use tokio::sync::Semaphore;

/// How many tenants' shares are remembered before those that nobody uses are forgotten.
const KEPT: usize = 1_024;

/// A semaphore for each tenant, for as long as someone uses it.
pub(crate) struct Shares {
    each: usize,
    tenants: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

impl Shares {
    /// Shares of `each` permits, but at least one.
    pub(crate) fn new(each: usize) -> Self {
        Self { each: each.clamp(1, Semaphore::MAX_PERMITS), tenants: Mutex::default() }
    }

    /// A tenant's share.
    pub(crate) fn of(&self, tenant: TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock();
        if let Some(known) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return known;
        }
        if tenants.len() >= KEPT {
            tenants.retain(|_, known| known.strong_count() > 0);
        }
        let made = Arc::new(Semaphore::new(self.each));
        tenants.insert(tenant, Arc::downgrade(&made));
        made
    }
}
