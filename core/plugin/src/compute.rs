//! Room for calls: a bounded number runs at a time, each on a thread of its own, and no tenant takes more than half.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use rialto_model::TenantId;
use tokio::sync::Semaphore;

/// Slots for calls that block.
pub(crate) struct Compute {
    all: Arc<Semaphore>,
    each: usize,
    tenants: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

impl Compute {
    pub(crate) fn new(slots: usize) -> Self {
        let each = (slots / 2).max(1);
        Self { all: Arc::new(Semaphore::new(slots.max(1))), each, tenants: Mutex::default() }
    }

    /// Runs a call when there is room. If the caller goes away, the call still runs to its end and only then makes
    /// room. `None` if the call panicked or the process is going down.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        tenant: TenantId,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        // First in the tenant's own queue, so that a busy tenant never stands in line for all the slots.
        let own = self.of(tenant).acquire_owned().await.ok()?;
        let shared = Arc::clone(&self.all).acquire_owned().await.ok()?;
        let called = tokio::task::spawn_blocking(move || {
            let result = call();
            drop((own, shared));
            result
        });
        called.await.inspect_err(|e| tracing::error!(error = %e, "a plugin call did not end")).ok()
    }

    fn of(&self, tenant: TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock();
        if let Some(known) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return known;
        }
        if tenants.len() >= 1_024 {
            tenants.retain(|_, known| known.strong_count() > 0);
        }
        let made = Arc::new(Semaphore::new(self.each));
        tenants.insert(tenant, Arc::downgrade(&made));
        made
    }
}
