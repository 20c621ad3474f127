//! The schema, forward only. Imports no entity, so that an old migration means the same for ever.

mod access;
mod dialect;
mod m0001_spine;
mod planner;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DatabaseConnection, SqliteTransactionMode, TransactionOptions, TransactionTrait};

pub use access::{ROLE, SETUP_SQL};

/// Tables that hold rows of tenants, a child before its parent: what is deleted with a tenant, in this order.
/// Each has `tenant_id` first in its primary key.
pub const TENANT_TABLES: [&str; 22] = m0001_spine::TENANT_TABLES;

/// Tables of the hub as a whole, which only an operator reads.
pub const HUB_TABLES: [&str; 4] = m0001_spine::HUB_TABLES;

/// The migrations, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_spine::Migration)]
    }
}

/// Brings a database to the newest schema: all of it or nothing, one node at a time.
///
/// On PostgreSQL it also makes sure of the role that every tenant transaction runs as.
///
/// # Errors
/// What the database says; [`DbErr::Custom`] with the SQL that an administrator has to run where the role is
/// missing and may not be made.
pub async fn apply(db: &DatabaseConnection) -> Result<(), DbErr> {
    let options =
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    access::make_role(db).await?;
    let tx = db.begin_with_options(options).await?;
    access::wait_for_turn(&tx).await?;
    Migrator::up(&tx, None).await?;
    access::grant(&tx, &TENANT_TABLES).await?;
    access::grant(&tx, &HUB_TABLES).await?;
    planner::inform(&tx).await?;
    tx.commit().await
}
