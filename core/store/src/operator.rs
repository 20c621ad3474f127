//! What an operator may do: tenants, tokens, and an audited way into one tenant.

use std::sync::Arc;

use rialto_model::identifier::IdentityRules;
use rialto_model::page::{Page, PageRequest};
use rialto_model::tenant::{Quota, Tenant, is_slug};
use rialto_model::{TenantId, Timestamp};
use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::audit::{self, Action};
use crate::change::TenantChange;
use crate::error::{Result, StoreError};
use crate::key::id_parts;
use crate::page::{after_id, page_of};
use crate::scope::TenantScope;
use crate::store::Inner;
use crate::tenant::{find, later, name_of, quota_of, row, to_json, unchanged};
use crate::tx::Claim;

/// The right to act on the hub as a whole.
#[derive(Clone)]
pub struct Operator(pub(crate) Arc<Inner>);

impl Operator {
    /// A new tenant, with its stream at 0 and a data key of its own.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a slug or name that is none, [`StoreError::Conflict`] for a slug that is taken.
    pub async fn create_tenant(&self, slug: &str, name: &str, now: Timestamp) -> Result<Tenant> {
        self.create_tenant_within(Quota::default(), slug, name, now).await
    }

    /// A new tenant with a quota of its own.
    ///
    /// # Errors
    /// As [`Operator::create_tenant`]; [`StoreError::Invalid`] for a quota of nothing.
    pub async fn create_tenant_within(&self, quota: Quota, slug: &str, name: &str, now: Timestamp) -> Result<Tenant> {
        let (ms, random) = id_parts(now)?;
        self.make_tenant(TenantId::from_parts(ms, &random), slug, name, quota, now).await
    }

    /// A new tenant under an id that the caller brings: for one that moves here from another hub, and for a
    /// simulation that has to be repeatable.
    ///
    /// # Errors
    /// As [`Operator::create_tenant`]; [`StoreError::Conflict`] for an id that is taken.
    pub async fn create_tenant_as(&self, id: TenantId, slug: &str, name: &str, now: Timestamp) -> Result<Tenant> {
        self.make_tenant(id, slug, name, Quota::default(), now).await
    }

    async fn make_tenant(&self, id: TenantId, slug: &str, name: &str, quota: Quota, now: Timestamp) -> Result<Tenant> {
        if !is_slug(slug) {
            let rule = "has to be 1 to 63 lower-case letters, digits and dashes, starting with a letter";
            return Err(StoreError::invalid("slug", rule));
        }
        let tenant = Tenant {
            id,
            slug: slug.to_owned(),
            name: name_of(name)?,
            created_at: now,
            updated_at: now,
            enabled: true,
            identity: IdentityRules::default(),
            quota,
        };
        let hub = self.0.connections.hub(Claim::OperatorOn(id), true).await?;
        hub.insert(row::ActiveModel {
            id: Set(id.0),
            slug: Set(tenant.slug.clone()),
            name: Set(tenant.name.clone()),
            created_at: Set(now.0),
            updated_at: Set(now.0),
            enabled: Set(true),
            identity: Set(to_json("identity", &tenant.identity)?),
            quota: Set(quota_of(&quota)?),
            config_version: Set(1),
        })
        .await?;
        let tx = hub.on(id, self.0.connections.dialect);
        tx.run("INSERT INTO cursors (tenant_id, position, updated_at) VALUES ($1, 0, $2)", [now.0.into()]).await?;
        let wrapped = self.0.master.make(id)?;
        let sql = "INSERT INTO data_keys (tenant_id, id, wrapped, created_at) VALUES ($1, 1, $2, $3)";
        tx.run(sql, [wrapped.into(), now.0.into()]).await?;
        tx.commit().await?;
        Ok(tenant)
    }

    /// All tenants, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn tenants(&self, page: &PageRequest) -> Result<Page<Tenant>> {
        let hub = self.0.connections.hub(Claim::Operator, false).await?;
        let mut query = hub.select::<row::Entity>().order_by_asc(row::Column::Id).limit(u64::from(page.limit()) + 1);
        if let Some(TenantId(after)) = after_id(page)? {
            query = query.filter(row::Column::Id.gt(after));
        }
        page_of(query.all(&hub.tx).await?, page, |row| TenantId(row.id).to_string(), Tenant::try_from)
    }

    /// One tenant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn tenant(&self, id: TenantId) -> Result<Tenant> {
        find(&self.0.connections.hub(Claim::Operator, false).await?, id).await?.try_into()
    }

    /// The tenant of a slug.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn tenant_by_slug(&self, slug: &str) -> Result<Tenant> {
        let hub = self.0.connections.hub(Claim::Operator, false).await?;
        let found = hub.select::<row::Entity>().filter(row::Column::Slug.eq(slug)).one(&hub.tx).await?;
        found.ok_or(StoreError::NotFound { what: "tenant" })?.try_into()
    }

    /// Changes a tenant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Changed`] if it is not as it was at `expected`.
    pub async fn update_tenant(
        &self,
        id: TenantId,
        change: TenantChange,
        expected: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Tenant> {
        let hub = self.0.connections.hub(Claim::OperatorOn(id), true).await?;
        let tx = hub.on(id, self.0.connections.dialect);
        crate::tenant::raise_version(&tx).await?;
        let hub = crate::tx::HubTx { tx: tx.tx };
        let mut row = find(&hub, id).await?;
        unchanged(expected, row.updated_at)?;
        let TenantChange { name, enabled, identity, quota } = change;
        if let Some(name) = name {
            row.name = name_of(&name)?;
        }
        row.enabled = enabled.unwrap_or(row.enabled);
        if let Some(identity) = identity {
            row.identity = to_json("identity", &identity)?;
        }
        if let Some(quota) = quota {
            row.quota = quota_of(&quota)?;
        }
        row.updated_at = later(now, row.updated_at);
        hub.update::<row::Entity>()
            .set(row::ActiveModel {
                name: Set(row.name.clone()),
                enabled: Set(row.enabled),
                identity: Set(row.identity.clone()),
                quota: Set(row.quota.clone()),
                updated_at: Set(row.updated_at),
                ..Default::default()
            })
            .filter(row::Column::Id.eq(id.0))
            .exec(&hub.tx)
            .await?;
        hub.commit().await?;
        self.0.grants.forget(id);
        self.0.webhooks.forget(id);
        row.try_into()
    }

    /// A new operator token, shown this once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn create_token(&self, now: Timestamp) -> Result<String> {
        let key = self.0.hasher.make("ro")?;
        let hub = self.0.connections.hub(Claim::Operator, true).await?;
        hub.keep_token(&key.hash, now).await?;
        hub.commit().await?;
        Ok(key.shown)
    }

    /// Whether there is any operator token yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has_token(&self) -> Result<bool> {
        self.0.connections.hub(Claim::Operator, false).await?.any_token().await
    }

    /// The right to act on one tenant, with a note in the audit that it was taken and why.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn scope(&self, tenant: TenantId, reason: &str, now: Timestamp) -> Result<TenantScope> {
        let hub = self.0.connections.hub(Claim::Operator, true).await?;
        find(&hub, tenant).await?;
        audit::note(&hub, Action::Scope, tenant, reason, now).await?;
        hub.commit().await?;
        Ok(TenantScope { store: self.0.clone(), tenant })
    }

    /// Every tenant's id, for the start of the loops.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn all_tenants(&self) -> Result<Vec<TenantId>> {
        let hub = self.0.connections.hub(Claim::Operator, false).await?;
        let query = hub.select::<row::Entity>().select_only().column(row::Column::Id).order_by_asc(row::Column::Id);
        Ok(query.into_tuple::<uuid::Uuid>().all(&hub.tx).await?.into_iter().map(TenantId).collect())
    }
}
