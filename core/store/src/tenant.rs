//! Tenants as rows, and the version that every change of a tenant's configuration raises.

use rialto_model::tenant::{Quota, Tenant};
use rialto_model::{TenantId, Timestamp};
use sea_orm::ColumnTrait;
use sea_orm::QueryFilter;
use serde::Serialize;

use crate::error::{Result, StoreError};
use crate::tx::{HubTable, HubTx, TenantTx};

pub(crate) mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tenants")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) slug: String,
        pub(crate) name: String,
        pub(crate) created_at: i64,
        pub(crate) updated_at: i64,
        pub(crate) enabled: bool,
        pub(crate) identity: String,
        pub(crate) quota: String,
        pub(crate) config_version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl HubTable for row::Entity {}

impl TryFrom<row::Model> for Tenant {
    type Error = StoreError;
    fn try_from(row: row::Model) -> Result<Self> {
        let row::Model { id, slug, name, created_at, updated_at, enabled, identity, quota, config_version: _ } = row;
        Ok(Self {
            id: TenantId(id),
            slug,
            name,
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
            enabled,
            identity: from_json("a tenant's identity rules", &identity)?,
            quota: from_json("a tenant's quota", &quota)?,
        })
    }
}

/// One tenant's row.
pub(crate) async fn find(tx: &HubTx, tenant: TenantId) -> Result<row::Model> {
    tx.select::<row::Entity>()
        .filter(row::Column::Id.eq(tenant.0))
        .one(&tx.tx)
        .await?
        .ok_or(StoreError::NotFound { what: "tenant" })
}

/// Raises the version, and so makes every other change of this tenant's configuration wait for this one.
pub(crate) async fn raise_version(tx: &TenantTx) -> Result<()> {
    match tx.run("UPDATE tenants SET config_version = config_version + 1 WHERE id = $1", []).await? {
        0 => Err(StoreError::NotFound { what: "tenant" }),
        _ => Ok(()),
    }
}

/// The moment of a change: later than the last one, so that no two changes look alike to `If-Match`.
pub(crate) fn later(now: Timestamp, last: i64) -> i64 {
    now.0.max(last.saturating_add(1))
}

/// Whether the row is still as the caller read it.
pub(crate) fn unchanged(expected: Option<Timestamp>, updated_at: i64) -> Result<()> {
    match expected {
        Some(expected) if expected.0 != updated_at => Err(StoreError::Changed),
        _ => Ok(()),
    }
}

/// JSON text of something that always has one.
pub(crate) fn to_json<T: Serialize + ?Sized>(field: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::invalid(field, error.to_string()))
}

/// What a JSON text of ours says. The error names the place, not the value.
pub(crate) fn from_json<'t, T: serde::Deserialize<'t>>(what: &'static str, text: &'t str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::corrupt(what, format!("at line {} column {}", error.line(), error.column())))
}

/// A quota as it is kept.
pub(crate) fn quota_of(quota: &Quota) -> Result<String> {
    match quota.events_per_second {
        Some(0) => Err(StoreError::invalid(
            "quota",
            "events_per_second has to be at least 1; null leaves it to the hub, and a tenant that is to send nothing \
             is disabled",
        )),
        _ => to_json("quota", quota),
    }
}

/// A name for people, trimmed.
pub(crate) fn name_of(name: &str) -> Result<String> {
    let name = name.trim();
    match name.chars().count() {
        1..=200 if !name.contains('\0') => Ok(name.to_owned()),
        _ => Err(StoreError::invalid("name", "has to have 1 to 200 characters")),
    }
}
