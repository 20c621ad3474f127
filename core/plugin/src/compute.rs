//! Room for calls: a bounded number runs at a time, each on a thread of its own, and no tenant takes more than half.

use std::sync::Arc;

use rialto_model::TenantId;
use tokio::sync::Semaphore;

use crate::shares::Shares;

/// Slots for calls that block.
pub(crate) struct Compute {
    all: Arc<Semaphore>,
    shares: Shares,
}

impl Compute {
    pub(crate) fn new(slots: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(slots.max(1))), shares: Shares::new(slots / 2) }
    }

    /// Runs a call when there is room. If the caller goes away, the call still runs to its end and only then makes
    /// room. `None` if the call panicked or the process is going down.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        tenant: TenantId,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        // First in the tenant's own queue, so that a busy tenant never stands in line for all the slots.
        let own = self.shares.of(tenant).acquire_owned().await.ok()?;
        let shared = Arc::clone(&self.all).acquire_owned().await.ok()?;
        let called = tokio::task::spawn_blocking(move || {
            let result = call();
            drop((own, shared));
            result
        });
        called.await.inspect_err(|e| tracing::error!(error = %e, "a plugin call did not end")).ok()
    }
}
