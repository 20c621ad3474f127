//! A tenant's configuration as the engine takes it: whole, at one moment, with a version to compare.

use rialto_model::Position;

use crate::change::TenantConfig;
use crate::error::{Result, StoreError};
use crate::page::from_sql;
use crate::scope::TenantScope;
use crate::seal::Owner;
use crate::tx::Claim;
use crate::write::Heads;
use crate::{destination, route, secret, source, suppression, tenant};

impl TenantScope {
    /// All of the configuration at one moment, secrets in the clear.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] once the tenant is removed; [`StoreError::Corrupt`] for a secret that does not open.
    pub async fn config(&self) -> Result<TenantConfig> {
        let connections = &self.store.connections;
        let hub = connections.hub(Claim::Tenant(self.tenant), false).await?;
        let row = tenant::find(&hub, self.tenant).await?;
        let version = from_sql(row.config_version)?;
        let tx = hub.on(self.tenant, connections.dialect);
        let mut secrets = secret::open_all(&tx, &self.store.master).await?;
        let destinations = destination::all(&tx)
            .await?
            .into_iter()
            .map(|destination| {
                let secrets = secrets.remove(&Owner::Destination(destination.id)).unwrap_or_default();
                (destination, secrets)
            })
            .collect();
        Ok(TenantConfig {
            version,
            tenant: row.try_into()?,
            sources: source::all(&tx).await?,
            destinations,
            routes: route::all(&tx).await?,
            suppresses: suppression::any(&tx).await?,
        })
    }

    /// Where the processor and the configuration stand, in one look.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] once the tenant is removed.
    pub async fn heads(&self) -> Result<Heads> {
        let sql = "SELECT c.position, t.config_version FROM cursors c JOIN tenants t ON t.id = c.tenant_id \
                   WHERE c.tenant_id = $1";
        let tx = self.read().await?;
        let row = tx.row(sql, []).await?.ok_or(StoreError::NotFound { what: "tenant" })?;
        Ok(Heads {
            processor: from_sql(row.try_get_by_index(0)?)?,
            config_version: from_sql(row.try_get_by_index(1)?)?,
        })
    }

    /// The configuration's version.
    ///
    /// # Errors
    /// As [`TenantScope::heads`].
    pub async fn config_version(&self) -> Result<u64> {
        Ok(self.heads().await?.config_version)
    }

    /// Up to where the tenant's events are processed.
    ///
    /// # Errors
    /// As [`TenantScope::heads`].
    pub async fn processor_cursor(&self) -> Result<Position> {
        Ok(self.heads().await?.processor)
    }
}
