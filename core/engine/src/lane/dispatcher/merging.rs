//! The stretch from before a step with merges is committed until the lanes were told of it.

use rialto_model::TenantId;
use tokio::sync::OwnedRwLockWriteGuard;

use super::Dispatcher;

/// As long as it lasts no lane reads from the database whom it holds back. If it ends without the lanes having been
/// told, by an error or a panic, nobody knows whether the merges were written: what the feed has may then name persons
/// who are no more, and is forgotten before any lane reads on.
#[must_use]
pub struct Merging {
    dispatcher: Dispatcher,
    tenant: TenantId,
    told: bool,
    /// Let go of last.
    _guard: OwnedRwLockWriteGuard<()>,
}

impl Merging {
    pub(super) fn new(dispatcher: Dispatcher, tenant: TenantId, guard: OwnedRwLockWriteGuard<()>) -> Self {
        Self { dispatcher, tenant, told: false, _guard: guard }
    }

    /// The step is committed and [`Dispatcher::fed`] knows of it.
    pub fn told(mut self) {
        self.told = true;
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        if !self.told {
            self.dispatcher.unsure(self.tenant);
        }
    }
}
