//! Destinations, each with its lane.

use std::collections::BTreeSet;

use rialto_model::destination::Destination;
use rialto_model::page::{Page, PageRequest};
use rialto_model::{DestinationId, Timestamp};
use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::change::{DestinationChange, NewDestination};
use crate::error::{Result, StoreError};
use crate::key::id_parts;
use crate::page::{after_id, page_of};
use crate::scope::TenantScope;
use crate::seal::Owner;
use crate::tenant::{from_json, later, name_of, to_json, unchanged};
use crate::tx::{TenantTable, TenantTx};
use crate::{route, secret};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "destinations")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) name: String,
        pub(crate) connector: String,
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

fn show(row: row::Model, secrets: BTreeSet<String>) -> Result<Destination> {
    let row::Model { tenant_id: _, id, name, connector, settings, enabled, created_at, updated_at } = row;
    Ok(Destination {
        id: DestinationId(id),
        name,
        connector,
        settings: from_json("a destination's settings", &settings)?,
        secrets,
        enabled,
        created_at: Timestamp(created_at),
        updated_at: Timestamp(updated_at),
    })
}

async fn find(tx: &TenantTx, id: DestinationId) -> Result<row::Model> {
    let found = tx.select::<row::Entity>().filter(row::Column::Id.eq(id.0)).one(&tx.tx).await?;
    found.ok_or(StoreError::NotFound { what: "destination" })
}

/// Whether there is such a destination.
pub(crate) async fn exists(tx: &TenantTx, id: DestinationId) -> Result<()> {
    find(tx, id).await.map(drop)
}

/// All of them, oldest first.
pub(crate) async fn all(tx: &TenantTx) -> Result<Vec<Destination>> {
    let mut names = secret::names(tx, None).await?;
    let rows = tx.select::<row::Entity>().order_by_asc(row::Column::Id).all(&tx.tx).await?;
    rows.into_iter()
        .map(|row| {
            let secrets = names.remove(&Owner::Destination(DestinationId(row.id))).unwrap_or_default();
            show(row, secrets)
        })
        .collect()
}

impl TenantScope {
    /// A new destination. Its lane starts where the processor stands now: it gets what comes from here on.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for a name that is taken, [`StoreError::Invalid`] for one that is none.
    pub async fn create_destination(&self, new: NewDestination, now: Timestamp) -> Result<Destination> {
        let (ms, random) = id_parts(now)?;
        let id = DestinationId::from_parts(ms, &random);
        let NewDestination { name, connector, settings, secrets, enabled } = new;
        let row = row::Model {
            tenant_id: self.tenant.0,
            id: id.0,
            name: name_of(&name)?,
            connector,
            settings: to_json("settings", &settings)?,
            enabled,
            created_at: now.0,
            updated_at: now.0,
        };
        let tx = self.configure().await?;
        tx.insert(row::ActiveModel::from(row.clone())).await?;
        let sql = "INSERT INTO lanes (tenant_id, destination_id, cursor, delivered, skipped, dead, updated_at) \
                   SELECT $1, $2, position, 0, 0, 0, $3 FROM cursors WHERE tenant_id = $1";
        tx.run(sql, [id.0.into(), now.0.into()]).await?;
        let names = secret::fill(&tx, &self.store.master, Owner::Destination(id), secrets).await?;
        self.configured(tx).await?;
        show(row, names)
    }

    /// The destinations, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn destinations(&self, page: &PageRequest) -> Result<Page<Destination>> {
        let tx = self.read().await?;
        let mut query = tx.select::<row::Entity>().order_by_asc(row::Column::Id).limit(u64::from(page.limit()) + 1);
        if let Some(DestinationId(after)) = after_id(page)? {
            query = query.filter(row::Column::Id.gt(after));
        }
        let rows = query.all(&tx.tx).await?;
        let mut names = secret::names(&tx, None).await?;
        page_of(
            rows,
            page,
            |row| DestinationId(row.id).to_string(),
            |row| {
                let secrets = names.remove(&Owner::Destination(DestinationId(row.id))).unwrap_or_default();
                show(row, secrets)
            },
        )
    }

    /// One destination.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn destination(&self, id: DestinationId) -> Result<Destination> {
        let tx = self.read().await?;
        let row = find(&tx, id).await?;
        show(row, secret::names_of(&tx, Owner::Destination(id)).await?)
    }

    /// Changes a destination.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Changed`] if it is not as it was at `expected`;
    /// [`StoreError::Conflict`] for a name that is taken.
    pub async fn update_destination(
        &self,
        id: DestinationId,
        change: DestinationChange,
        expected: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Destination> {
        let tx = self.configure().await?;
        let mut row = find(&tx, id).await?;
        unchanged(expected, row.updated_at)?;
        let DestinationChange { name, settings, secrets, enabled } = change;
        if let Some(name) = name {
            row.name = name_of(&name)?;
        }
        if let Some(settings) = settings {
            row.settings = to_json("settings", &settings)?;
        }
        row.enabled = enabled.unwrap_or(row.enabled);
        row.updated_at = later(now, row.updated_at);
        tx.update::<row::Entity>()
            .set(row::ActiveModel {
                name: Set(row.name.clone()),
                settings: Set(row.settings.clone()),
                enabled: Set(row.enabled),
                updated_at: Set(row.updated_at),
                ..Default::default()
            })
            .filter(row::Column::Id.eq(id.0))
            .exec(&tx.tx)
            .await?;
        secret::change(&tx, &self.store.master, Owner::Destination(id), &secrets).await?;
        let names = secret::names_of(&tx, Owner::Destination(id)).await?;
        self.configured(tx).await?;
        show(row, names)
    }

    /// Removes a destination with its lane, its secrets, its parked rows and its dead letters.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] while a route ends at it; [`StoreError::NotFound`]; [`StoreError::Changed`].
    pub async fn delete_destination(&self, id: DestinationId, expected: Option<Timestamp>) -> Result<()> {
        let tx = self.configure().await?;
        unchanged(expected, find(&tx, id).await?.updated_at)?;
        if let Some(route) = route::one_that_uses(&tx, route::row::Column::DestinationId.eq(id.0)).await? {
            return Err(StoreError::conflict("destination_id", format!("the route {route} ends at it")));
        }
        tx.delete::<row::Entity>().filter(row::Column::Id.eq(id.0)).exec(&tx.tx).await?;
        self.configured(tx).await
    }
}
