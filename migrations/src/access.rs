//! Who may touch what on PostgreSQL: one role without a login, under row-level security even where the hub connects
//! as a superuser or as the tables' owner. SQLite has neither roles nor row-level security.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

/// The role that every tenant transaction runs as. Databases on one server share it.
pub const ROLE: &str = "rialto_tenant";

/// What an administrator runs once where the hub's own user may not.
pub const SETUP_SQL: &str = "CREATE ROLE rialto_tenant NOLOGIN; GRANT rialto_tenant TO <the hub's user>;";

/// Makes the role and becomes a member of it, unless that is so already. Several hubs may do this at once.
pub(crate) async fn make_role(db: &DatabaseConnection) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres || may_act(db).await? {
        return Ok(());
    }
    // Roles belong to the server, so no lock of this database keeps another's hub out: losing the race is fine.
    let mut cause = String::new();
    for statement in [format!("CREATE ROLE {ROLE} NOLOGIN"), format!("GRANT {ROLE} TO CURRENT_USER")] {
        if let Err(error) = db.execute_unprepared(&statement).await {
            cause = error.to_string();
        }
    }
    if may_act(db).await? {
        return Ok(());
    }
    Err(DbErr::Custom(format!(
        "the role {ROLE} is missing or not granted, and may not be made here ({cause}); an administrator has to run: \
         {SETUP_SQL}"
    )))
}

/// Whether the connected user can become the role.
#[allow(clippy::disallowed_methods, reason = "the server's roles are no tenant's")]
async fn may_act(db: &DatabaseConnection) -> Result<bool, DbErr> {
    let sql = format!(
        "SELECT coalesce((SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = '{ROLE}'), \
         false)"
    );
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    row.map_or(Ok(false), |row| row.try_get_by_index(0))
}

/// Holds other nodes off until this transaction ends, for as long as it takes.
pub(crate) async fn wait_for_turn<C: ConnectionTrait>(tx: &C) -> Result<(), DbErr> {
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(7302514)",
        )
        .await?;
    }
    Ok(())
}

/// Lets the role read and write rows of these tables, and nothing else.
pub(crate) async fn grant<C: ConnectionTrait>(tx: &C, tables: &[&str]) -> Result<(), DbErr> {
    if tx.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let schema = "DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO rialto_tenant', current_schema()); END $$";
    tx.execute_unprepared(schema).await?;
    let list = tables.join(", ");
    tx.execute_unprepared(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {list} TO {ROLE}")).await?;
    Ok(())
}

/// Puts a table under row-level security: `rule` says which rows are seen and may be written.
pub(crate) async fn guard<C: ConnectionTrait>(db: &C, table: &str, rule: &str) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    db.execute_unprepared(&format!(
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY; \
         CREATE POLICY own ON {table} USING ({rule}) WITH CHECK ({rule})"
    ))
    .await?;
    Ok(())
}

/// Lets the one row be read whose key the caller presents: how a tenant is found before it is known.
pub(crate) async fn show_to_bearer<C: ConnectionTrait>(db: &C, table: &str) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    db.execute_unprepared(&format!(
        "CREATE POLICY bearer ON {table} FOR SELECT \
         USING (hash = (SELECT decode(nullif(current_setting('rialto.key', true), ''), 'hex')))"
    ))
    .await?;
    Ok(())
}

/// Lets a source be read by who names its id: how its tenant is found when a webhook comes in.
pub(crate) async fn show_by_id<C: ConnectionTrait>(db: &C, table: &str) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    db.execute_unprepared(&format!(
        "CREATE POLICY named ON {table} FOR SELECT \
         USING (id = (SELECT nullif(current_setting('rialto.source', true), '')::uuid))"
    ))
    .await?;
    Ok(())
}
