//! Sources.

use rialto_model::page::{Page, PageRequest};
use rialto_model::source::Source;
use rialto_model::{SourceId, Timestamp};
use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::change::SourceChange;
use crate::error::{Result, StoreError};
use crate::key::id_parts;
use crate::page::{after_id, page_of};
use crate::route;
use crate::scope::TenantScope;
use crate::tenant::{later, name_of, unchanged};
use crate::tx::{TenantTable, TenantTx};

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

impl From<row::Model> for Source {
    fn from(row: row::Model) -> Self {
        let row::Model { tenant_id: _, id, name, enabled, created_at, updated_at } = row;
        Self { id: SourceId(id), name, enabled, created_at: Timestamp(created_at), updated_at: Timestamp(updated_at) }
    }
}

/// One source's row.
pub(crate) async fn find(tx: &TenantTx, id: SourceId) -> Result<row::Model> {
    let found = tx.select::<row::Entity>().filter(row::Column::Id.eq(id.0)).one(&tx.tx).await?;
    found.ok_or(StoreError::NotFound { what: "source" })
}

/// All of them, oldest first.
pub(crate) async fn all(tx: &TenantTx) -> Result<Vec<Source>> {
    let rows = tx.select::<row::Entity>().order_by_asc(row::Column::Id).all(&tx.tx).await?;
    Ok(rows.into_iter().map(Source::from).collect())
}

impl TenantScope {
    /// A new source, enabled.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that is none.
    pub async fn create_source(&self, name: &str, now: Timestamp) -> Result<Source> {
        let (ms, random) = id_parts(now)?;
        let id = SourceId::from_parts(ms, &random);
        let source = Source { id, name: name_of(name)?, enabled: true, created_at: now, updated_at: now };
        let tx = self.configure().await?;
        tx.insert(row::ActiveModel {
            id: Set(id.0),
            name: Set(source.name.clone()),
            enabled: Set(true),
            created_at: Set(now.0),
            updated_at: Set(now.0),
            ..Default::default()
        })
        .await?;
        self.configured(tx).await?;
        Ok(source)
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
        page_of(query.all(&tx.tx).await?, page, |row| SourceId(row.id).to_string(), |row| Ok(row.into()))
    }

    /// One source.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn source(&self, id: SourceId) -> Result<Source> {
        Ok(find(&self.read().await?, id).await?.into())
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
        let SourceChange { name, enabled } = change;
        if let Some(name) = name {
            row.name = name_of(&name)?;
        }
        row.enabled = enabled.unwrap_or(row.enabled);
        row.updated_at = later(now, row.updated_at);
        tx.update::<row::Entity>()
            .set(row::ActiveModel {
                name: Set(row.name.clone()),
                enabled: Set(row.enabled),
                updated_at: Set(row.updated_at),
                ..Default::default()
            })
            .filter(row::Column::Id.eq(id.0))
            .exec(&tx.tx)
            .await?;
        self.configured(tx).await?;
        Ok(row.into())
    }

    /// Removes a source and its write keys.
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
