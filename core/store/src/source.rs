//! Sources.

use std::collections::BTreeSet;

use rialto_model::page::{Page, PageRequest};
use rialto_model::source::Source;
use rialto_model::tenant::Tenant;
use rialto_model::{SourceId, TenantId, Timestamp};
use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::change::{NewSource, SourceChange};
use crate::connect::Connections;
use crate::error::{Result, StoreError};
use crate::grant::WriteGrant;
use crate::key::id_parts;
use crate::page::{after_id, page_of};
use crate::scope::TenantScope;
use crate::seal::Owner;
use crate::tenant::{from_json, later, name_of, to_json, unchanged};
use crate::tx::{Claim, TenantTable, TenantTx};
use crate::{route, secret, tenant};

pub(crate) mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sources")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) name: String,
        pub(crate) connector: Option<String>,
        pub(crate) settings: String,
        pub(crate) enabled: bool,
        pub(crate) created_at: i64,
        pub(crate) updated_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl TenantTable for row::Entity {
    const TENANT: row::Column = row::Column::TenantId;
}

pub(crate) fn show(row: row::Model, secrets: BTreeSet<String>) -> Result<Source> {
    let row::Model { tenant_id: _, id, name, connector, settings, enabled, created_at, updated_at } = row;
    Ok(Source {
        id: SourceId(id),
        name,
        connector,
        settings: from_json("a source's settings", &settings)?,
        secrets,
        enabled,
        created_at: Timestamp(created_at),
        updated_at: Timestamp(updated_at),
    })
}

/// One source's row.
pub(crate) async fn find(tx: &TenantTx, id: SourceId) -> Result<row::Model> {
    let found = tx.select::<row::Entity>().filter(row::Column::Id.eq(id.0)).one(&tx.tx).await?;
    found.ok_or(StoreError::NotFound { what: "source" })
}

/// One source.
pub(crate) async fn one(tx: &TenantTx, id: SourceId) -> Result<Source> {
    show(find(tx, id).await?, secret::names_of(tx, Owner::Source(id)).await?)
}

/// What is granted to who may send to a source, in the transaction that read it: nothing if there is no such source, or
/// its tenant is disabled.
pub(crate) async fn granted(
    connections: &Connections,
    tenant_id: TenantId,
    id: SourceId,
) -> Result<Option<(WriteGrant, TenantTx)>> {
    let hub = connections.hub(Claim::Tenant(tenant_id), false).await?;
    let quota = match tenant::find(&hub, tenant_id).await {
        Ok(tenant) if tenant.enabled => Tenant::try_from(tenant)?.quota,
        Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let tx = hub.on(tenant_id, connections.dialect);
    match one(&tx, id).await {
        Ok(source) => Ok(Some((WriteGrant { tenant_id, source, quota }, tx))),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All of them, oldest first.
pub(crate) async fn all(tx: &TenantTx) -> Result<Vec<Source>> {
    let mut names = secret::names(tx, None).await?;
    let rows = tx.select::<row::Entity>().order_by_asc(row::Column::Id).all(&tx.tx).await?;
    let named = |row: row::Model| {
        let secrets = names.remove(&Owner::Source(SourceId(row.id))).unwrap_or_default();
        show(row, secrets)
    };
    rows.into_iter().map(named).collect()
}

impl TenantScope {
    /// A new source, enabled.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that is none.
    pub async fn create_source(&self, new: impl Into<NewSource>, now: Timestamp) -> Result<Source> {
        let (ms, random) = id_parts(now)?;
        let id = SourceId::from_parts(ms, &random);
        let NewSource { name, connector, settings, secrets } = new.into();
        let row = row::Model {
            tenant_id: self.tenant.0,
            id: id.0,
            name: name_of(&name)?,
            connector,
            settings: to_json("settings", &settings)?,
            enabled: true,
            created_at: now.0,
            updated_at: now.0,
        };
        let tx = self.configure().await?;
        tx.insert(row::ActiveModel::from(row.clone())).await?;
        let names = secret::fill(&tx, &self.store.master, Owner::Source(id), secrets).await?;
        self.configured(tx).await?;
        show(row, names)
    }

    /// The sources, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn sources(&self, page: &PageRequest) -> Result<Page<Source>> {
        let tx = self.read().await?;
        let mut query = tx.select::<row::Entity>().order_by_asc(row::Column::Id).limit(u64::from(page.limit()) + 1);
        if let Some(SourceId(after)) = after_id(page)? {
            query = query.filter(row::Column::Id.gt(after));
        }
        let rows = query.all(&tx.tx).await?;
        let mut names = secret::names(&tx, None).await?;
        page_of(
            rows,
            page,
            |row| SourceId(row.id).to_string(),
            |row| {
                let secrets = names.remove(&Owner::Source(SourceId(row.id))).unwrap_or_default();
                show(row, secrets)
            },
        )
    }

    /// One source.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn source(&self, id: SourceId) -> Result<Source> {
        one(&self.read().await?, id).await
    }

    /// Changes a source.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Changed`] if it is not as it was at `expected`.
    pub async fn update_source(
        &self,
        id: SourceId,
        change: SourceChange,
        expected: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Source> {
        let tx = self.configure().await?;
        let mut row = find(&tx, id).await?;
        unchanged(expected, row.updated_at)?;
        let SourceChange { name, connector, settings, secrets, enabled } = change;
        if let Some(name) = name {
            row.name = name_of(&name)?;
        }
        if let Some(connector) = connector.filter(|connector| *connector != row.connector) {
            // What was said to one connector means nothing to another, and is not its to know.
            secret::clear(&tx, Owner::Source(id)).await?;
            (row.connector, row.settings) = (connector, "{}".to_owned());
        }
        if let Some(settings) = settings {
            row.settings = to_json("settings", &settings)?;
        }
        row.enabled = enabled.unwrap_or(row.enabled);
        row.updated_at = later(now, row.updated_at);
        tx.update::<row::Entity>()
            .set(row::ActiveModel {
                name: Set(row.name.clone()),
                connector: Set(row.connector.clone()),
                settings: Set(row.settings.clone()),
                enabled: Set(row.enabled),
                updated_at: Set(row.updated_at),
                ..Default::default()
            })
            .filter(row::Column::Id.eq(id.0))
            .exec(&tx.tx)
            .await?;
        secret::change(&tx, &self.store.master, Owner::Source(id), &secrets).await?;
        let names = secret::names_of(&tx, Owner::Source(id)).await?;
        self.configured(tx).await?;
        show(row, names)
    }

    /// Removes a source, its write keys and its secrets.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] while a route starts from it; [`StoreError::NotFound`]; [`StoreError::Changed`].
    pub async fn delete_source(&self, id: SourceId, expected: Option<Timestamp>) -> Result<()> {
        let tx = self.configure().await?;
        unchanged(expected, find(&tx, id).await?.updated_at)?;
        if let Some(route) = route::one_that_uses(&tx, route::row::Column::SourceId.eq(id.0)).await? {
            return Err(StoreError::conflict("source_id", format!("the route {route} starts from it")));
        }
        tx.delete::<row::Entity>().filter(row::Column::Id.eq(id.0)).exec(&tx.tx).await?;
        self.configured(tx).await
    }
}
