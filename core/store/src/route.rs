//! Routes.

use rialto_model::page::{Page, PageRequest};
use rialto_model::route::Route;
use rialto_model::{DestinationId, RouteId, SourceId, Timestamp};
use sea_orm::sea_query::SimpleExpr;
use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::change::{NewRoute, RouteChange, RouteFilter};
use crate::error::{Result, StoreError};
use crate::key::id_parts;
use crate::page::{after_id, page_of};
use crate::scope::TenantScope;
use crate::tenant::{from_json, later, name_of, to_json, unchanged};
use crate::tx::{TenantTable, TenantTx};
use crate::{destination, source};

pub(crate) mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "routes")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) name: String,
        pub(crate) source_id: Option<Uuid>,
        pub(crate) destination_id: Uuid,
        pub(crate) action: Option<String>,
        pub(crate) condition: Option<String>,
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

impl TryFrom<row::Model> for Route {
    type Error = StoreError;
    fn try_from(row: row::Model) -> Result<Self> {
        let row::Model {
            tenant_id: _,
            id,
            name,
            source_id,
            destination_id,
            action,
            condition,
            enabled,
            created_at,
            updated_at,
        } = row;
        Ok(Self {
            id: RouteId(id),
            name,
            source_id: source_id.map(SourceId),
            destination_id: DestinationId(destination_id),
            action,
            condition: condition.map(|text| from_json("a route's condition", &text)).transpose()?,
            enabled,
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
        })
    }
}

async fn find(tx: &TenantTx, id: RouteId) -> Result<row::Model> {
    let found = tx.select::<row::Entity>().filter(row::Column::Id.eq(id.0)).one(&tx.tx).await?;
    found.ok_or(StoreError::NotFound { what: "route" })
}

/// A route that would be left hanging.
pub(crate) async fn one_that_uses(tx: &TenantTx, what: SimpleExpr) -> Result<Option<RouteId>> {
    Ok(tx.select::<row::Entity>().filter(what).one(&tx.tx).await?.map(|row| RouteId(row.id)))
}

/// All of them, oldest first.
pub(crate) async fn all(tx: &TenantTx) -> Result<Vec<Route>> {
    let rows = tx.select::<row::Entity>().order_by_asc(row::Column::Id).all(&tx.tx).await?;
    rows.into_iter().map(Route::try_from).collect()
}

/// Both ends have to be the tenant's own.
async fn check_ends(tx: &TenantTx, row: &row::Model) -> Result<()> {
    if let Some(id) = row.source_id {
        source::find(tx, SourceId(id)).await.map_err(|error| not_there("source_id", error))?;
    }
    destination::exists(tx, DestinationId(row.destination_id)).await.map_err(|error| not_there("destination_id", error))
}

fn not_there(field: &'static str, error: StoreError) -> StoreError {
    match error {
        StoreError::NotFound { what } => StoreError::invalid(field, format!("there is no such {what}")),
        other => other,
    }
}

impl TenantScope {
    /// A new route.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that is none or an end that is not there.
    pub async fn create_route(&self, new: NewRoute, now: Timestamp) -> Result<Route> {
        let (ms, random) = id_parts(now)?;
        let NewRoute { name, source_id, destination_id, action, condition, enabled } = new;
        let row = row::Model {
            tenant_id: self.tenant.0,
            id: RouteId::from_parts(ms, &random).0,
            name: name_of(&name)?,
            source_id: source_id.map(|id| id.0),
            destination_id: destination_id.0,
            action,
            condition: condition.map(|condition| to_json("condition", &condition)).transpose()?,
            enabled,
            created_at: now.0,
            updated_at: now.0,
        };
        let tx = self.configure().await?;
        check_ends(&tx, &row).await?;
        tx.insert(row::ActiveModel::from(row.clone())).await?;
        self.configured(tx).await?;
        row.try_into()
    }

    /// The routes, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn routes(&self, filter: &RouteFilter, page: &PageRequest) -> Result<Page<Route>> {
        let tx = self.read().await?;
        let mut query = tx.select::<row::Entity>().order_by_asc(row::Column::Id).limit(u64::from(page.limit()) + 1);
        if let Some(RouteId(after)) = after_id(page)? {
            query = query.filter(row::Column::Id.gt(after));
        }
        let RouteFilter { source_id, destination_id } = filter;
        if let Some(SourceId(id)) = source_id {
            query = query.filter(row::Column::SourceId.eq(*id));
        }
        if let Some(DestinationId(id)) = destination_id {
            query = query.filter(row::Column::DestinationId.eq(*id));
        }
        page_of(query.all(&tx.tx).await?, page, |row| RouteId(row.id).to_string(), Route::try_from)
    }

    /// One route.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn route(&self, id: RouteId) -> Result<Route> {
        find(&self.read().await?, id).await?.try_into()
    }

    /// Changes a route.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Changed`] if it is not as it was at `expected`;
    /// [`StoreError::Invalid`] for an end that is not there.
    pub async fn update_route(
        &self,
        id: RouteId,
        change: RouteChange,
        expected: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Route> {
        let tx = self.configure().await?;
        let mut row = find(&tx, id).await?;
        unchanged(expected, row.updated_at)?;
        let RouteChange { name, source_id, destination_id, action, condition, enabled } = change;
        if let Some(name) = name {
            row.name = name_of(&name)?;
        }
        if let Some(source_id) = source_id {
            row.source_id = source_id.map(|id| id.0);
        }
        row.destination_id = destination_id.map_or(row.destination_id, |id| id.0);
        if let Some(action) = action {
            row.action = action;
        }
        if let Some(condition) = condition {
            row.condition = condition.map(|condition| to_json("condition", &condition)).transpose()?;
        }
        row.enabled = enabled.unwrap_or(row.enabled);
        row.updated_at = later(now, row.updated_at);
        check_ends(&tx, &row).await?;
        let set = row::ActiveModel {
            name: Set(row.name.clone()),
            source_id: Set(row.source_id),
            destination_id: Set(row.destination_id),
            action: Set(row.action.clone()),
            condition: Set(row.condition.clone()),
            enabled: Set(row.enabled),
            updated_at: Set(row.updated_at),
            ..Default::default()
        };
        tx.update::<row::Entity>().set(set).filter(row::Column::Id.eq(id.0)).exec(&tx.tx).await?;
        self.configured(tx).await?;
        row.try_into()
    }

    /// Removes a route.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Changed`].
    pub async fn delete_route(&self, id: RouteId, expected: Option<Timestamp>) -> Result<()> {
        let tx = self.configure().await?;
        unchanged(expected, find(&tx, id).await?.updated_at)?;
        tx.delete::<row::Entity>().filter(row::Column::Id.eq(id.0)).exec(&tx.tx).await?;
        self.configured(tx).await
    }
}
