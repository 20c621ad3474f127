//! One tenant: what stands at the root of everything a caller may do with its records.

use std::sync::Arc;

use rialto_model::TenantId;
use rialto_model::tenant::Tenant;

use crate::error::Result;
use crate::group::Running;
use crate::store::Inner;
use crate::tenant::{find, raise_version};
use crate::tx::{Claim, TenantTx};

/// The right to act on one tenant. Only the store makes one. Cheap to clone.
#[derive(Clone)]
pub struct TenantScope {
    pub(crate) store: Arc<Inner>,
    pub(crate) tenant: TenantId,
}

impl TenantScope {
    /// Whose scope it is.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant
    }

    /// The tenant itself.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] once it is removed.
    pub async fn tenant(&self) -> Result<Tenant> {
        find(&self.store.connections.hub(Claim::Tenant(self.tenant), false).await?, self.tenant).await?.try_into()
    }

    pub(crate) async fn read(&self) -> Result<TenantTx> {
        self.store.connections.read(self.tenant).await
    }

    pub(crate) async fn write(&self) -> Result<TenantTx> {
        self.store.connections.write(self.tenant).await
    }

    /// A write of the engine's: with others' in one transaction where that saves flushes. `rows` is about how many
    /// rows it writes.
    pub(crate) async fn write_together<S>(&self, rows: usize, statements: S) -> Result<()>
    where
        S: for<'t> FnOnce(&'t TenantTx) -> Running<'t> + Send + 'static,
    {
        self.store.connections.write_together(self.tenant, rows, Box::new(statements)).await
    }

    /// A transaction that changes the configuration: one at a time in a tenant, and the engine will see it.
    pub(crate) async fn configure(&self) -> Result<TenantTx> {
        let tx = self.write().await?;
        raise_version(&tx).await?;
        Ok(tx)
    }

    /// Ends such a transaction; from here on no write key and no webhook is judged by what was before.
    pub(crate) async fn configured(&self, tx: TenantTx) -> Result<()> {
        tx.commit().await?;
        self.store.grants.forget(self.tenant);
        self.store.webhooks.forget(self.tenant);
        Ok(())
    }
}

impl std::fmt::Debug for TenantScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TenantScope").field(&self.tenant).finish()
    }
}
