//! The first schema: tenants and their configuration, profiles, timeline, lanes, parked rows and dead letters.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

use crate::access::{guard, show_by_id, show_to_bearer};
use crate::dialect::spell;

pub(crate) const TENANT_TABLES: [&str; 22] = [
    "idempotency_keys",
    "suppressions",
    "withdrawn",
    "outbox",
    "dead_letters",
    "parked",
    "passed_over",
    "timeline",
    "identifiers",
    "aliases",
    "merges",
    "sightings",
    "profiles",
    "lanes",
    "routes",
    "secrets",
    "destinations",
    "write_keys",
    "sources",
    "api_keys",
    "cursors",
    "data_keys",
];

pub(crate) const HUB_TABLES: [&str; 4] = ["tenants", "operator_tokens", "operator_audit", "hub_marks"];

const SQL: &str = include_str!("m0001_spine.sql");

/// Evaluated once a statement, not once a row, for it stands in a sub-select.
const OWN: &str = "tenant_id = (SELECT nullif(current_setting('rialto.tenant', true), '')::uuid)";
const OPERATOR: &str = "(SELECT current_setting('rialto.operator', true)) = 'on'";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[allow(elided_lifetimes_in_paths, reason = "async_trait takes a written lifetime for an early-bound one")]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in SQL.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
            db.execute_unprepared(&spell(statement, db.get_database_backend())).await?;
        }
        for table in TENANT_TABLES {
            guard(db, table, OWN).await?;
        }
        guard(db, "tenants", &format!("{} OR {OPERATOR}", OWN.replace("tenant_id", "id"))).await?;
        guard(db, "operator_tokens", OPERATOR).await?;
        guard(db, "operator_audit", OPERATOR).await?;
        guard(db, "hub_marks", OPERATOR).await?;
        for table in ["write_keys", "api_keys", "operator_tokens"] {
            show_to_bearer(db, table).await?;
        }
        show_by_id(db, "sources").await?;
        Ok(())
    }
}
