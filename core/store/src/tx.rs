//! The doors: every statement on a tenant's table goes through a [`TenantTx`], which puts the tenant in.
//!
//! On PostgreSQL a transaction also gives up the hub's own rights for those of one role and says whose rows it is
//! about, so that a statement whose filter was forgotten finds nothing (row-level security).

use rialto_model::{SourceId, TenantId};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, DeleteMany, EntityTrait, Insert, QueryFilter,
    QueryResult, Select, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, UpdateMany, Value,
};

use crate::bulk::Batch;
use crate::connect::Connections;
use crate::dialect::{Dialect, Kind};
use crate::error::Result;

/// A table whose rows belong to tenants.
pub(crate) trait TenantTable: EntityTrait {
    /// The column that says whose.
    const TENANT: Self::Column;
}

/// A table of the hub as a whole.
pub(crate) trait HubTable: EntityTrait {}

/// Whose rows a transaction is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Claim<'k> {
    /// One tenant's.
    Tenant(TenantId),
    /// The hub's own and the list of tenants.
    Operator,
    /// One tenant's and the list of tenants.
    OperatorOn(TenantId),
    /// The one row that this key's hash opens.
    Bearer(&'k [u8; 32]),
    /// Whose the source of this id is.
    Source(SourceId),
}

/// A transaction on the hub's own tables.
pub(crate) struct HubTx {
    pub(crate) tx: DatabaseTransaction,
}

/// A transaction on one tenant's rows.
pub(crate) struct TenantTx {
    pub(crate) tx: DatabaseTransaction,
    pub(crate) dialect: Dialect,
    pub(crate) tenant: TenantId,
}

impl Connections {
    /// A transaction on one tenant that only reads; it sees one moment.
    pub(crate) async fn read(&self, tenant: TenantId) -> Result<TenantTx> {
        let tx = begin(&self.read, self.dialect, Claim::Tenant(tenant), false).await?;
        Ok(TenantTx { tx, dialect: self.dialect, tenant })
    }

    /// A transaction on one tenant that writes.
    pub(crate) async fn write(&self, tenant: TenantId) -> Result<TenantTx> {
        let tx = begin(&self.write, self.dialect, Claim::Tenant(tenant), true).await?;
        Ok(TenantTx { tx, dialect: self.dialect, tenant })
    }

    /// A transaction that writes for several tenants, each through a [`TenantTx`] of its own inside. SQLite only:
    /// PostgreSQL would have to be told the tenant anew for each.
    pub(crate) async fn write_for_many(&self) -> Result<DatabaseTransaction> {
        debug_assert!(self.dialect == Dialect::Sqlite, "row-level security wants one tenant a transaction");
        begin(&self.write, self.dialect, Claim::Operator, true).await
    }

    /// The one row that a key opens, by a statement whose `$1` is the key's hash.
    #[allow(clippy::disallowed_methods, reason = "a door: the key stands for the tenant that is not known yet")]
    pub(crate) async fn by_key(&self, sql: &str, hash: &[u8; 32]) -> Result<Option<QueryResult>> {
        let tx = begin(&self.read, self.dialect, Claim::Bearer(hash), false).await?;
        let statement = Statement::from_sql_and_values(self.dialect.backend(), sql, [hash.to_vec().into()]);
        Ok(tx.query_one_raw(statement).await?)
    }

    /// Whose a source is, if it is one tenant's.
    #[allow(clippy::disallowed_methods, reason = "a door: who sends to a source names it, and no tenant")]
    pub(crate) async fn tenant_of(&self, source: SourceId) -> Result<Option<TenantId>> {
        let tx = begin(&self.read, self.dialect, Claim::Source(source), false).await?;
        let sql = "SELECT tenant_id FROM sources WHERE id = $1";
        let rows =
            tx.query_all_raw(Statement::from_sql_and_values(self.dialect.backend(), sql, [source.0.into()])).await?;
        // Ids are random; two of one would be a copy, and then nobody's.
        let [row] = rows.as_slice() else { return Ok(None) };
        Ok(Some(TenantId(row.try_get_by_index(0)?)))
    }

    /// A transaction on the hub's own tables.
    pub(crate) async fn hub(&self, claim: Claim<'_>, writes: bool) -> Result<HubTx> {
        let pool = if writes { &self.write } else { &self.read };
        Ok(HubTx { tx: begin(pool, self.dialect, claim, writes).await? })
    }
}

#[allow(clippy::disallowed_methods, reason = "says who the tenant is")]
async fn begin(
    pool: &sea_orm::DatabaseConnection,
    dialect: Dialect,
    claim: Claim<'_>,
    writes: bool,
) -> Result<DatabaseTransaction> {
    let mode = if writes { SqliteTransactionMode::Immediate } else { SqliteTransactionMode::Deferred };
    let isolation = (dialect == Dialect::Postgres && !writes).then_some(sea_orm::IsolationLevel::RepeatableRead);
    let options = match dialect {
        Dialect::Sqlite => TransactionOptions { sqlite_transaction_mode: Some(mode), ..Default::default() },
        Dialect::Postgres => TransactionOptions { isolation_level: isolation, ..Default::default() },
    };
    let tx = pool.begin_with_options(options).await?;
    if dialect == Dialect::Postgres {
        tx.query_one_raw(claim_statement(claim)).await?;
    }
    Ok(tx)
}

/// Gives up the hub's rights until the transaction ends and says whose rows it is about.
fn claim_statement(claim: Claim<'_>) -> Statement {
    let none = String::new;
    let (tenant, operator, key, source) = match claim {
        Claim::Tenant(tenant) => (tenant.0.to_string(), "", none(), none()),
        Claim::Operator => (none(), "on", none(), none()),
        Claim::OperatorOn(tenant) => (tenant.0.to_string(), "on", none(), none()),
        Claim::Bearer(hash) => (none(), "", hash.iter().map(|byte| format!("{byte:02x}")).collect(), none()),
        Claim::Source(source) => (none(), "", none(), source.0.to_string()),
    };
    Statement::from_sql_and_values(
        sea_orm::DbBackend::Postgres,
        "SELECT set_config('role', $1, true), set_config('rialto.tenant', $2, true), \
         set_config('rialto.operator', $3, true), set_config('rialto.key', $4, true), \
         set_config('rialto.source', $5, true)",
        [rialto_migrations::ROLE.into(), tenant.into(), operator.into(), key.into(), source.into()],
    )
}

/// `INSERT` of so many rows of bound values, the tenant first in each. Nobody goes on in a transaction in which it
/// failed, so it need not be able to undo its rows alone: else SQLite first copies every page that it writes to.
fn insert_values(table: &str, members: &[(&str, Kind)], rows: usize) -> String {
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let row = format!("(?{})", ", ?".repeat(members.len()));
    format!(
        "INSERT OR FAIL INTO {table} (tenant_id, {}) VALUES {}",
        names.join(", "),
        vec![row.as_str(); rows].join(", ")
    )
}

#[allow(clippy::disallowed_methods, reason = "this is the door that the lint sends everyone to")]
impl TenantTx {
    /// The tenant's rows of a table.
    pub(crate) fn select<E: TenantTable>(&self) -> Select<E> {
        E::find().filter(E::TENANT.eq(self.tenant.0))
    }

    /// A change of the tenant's rows of a table.
    pub(crate) fn update<E: TenantTable>(&self) -> UpdateMany<E> {
        E::update_many().filter(E::TENANT.eq(self.tenant.0))
    }

    /// A removal of the tenant's rows of a table.
    pub(crate) fn delete<E: TenantTable>(&self) -> DeleteMany<E> {
        E::delete_many().filter(E::TENANT.eq(self.tenant.0))
    }

    /// A new row, the tenant's whatever it says.
    pub(crate) async fn insert<A>(&self, mut row: A) -> Result<()>
    where
        A: ActiveModelTrait + Send,
        A::Entity: TenantTable,
    {
        row.set(<A::Entity as TenantTable>::TENANT, self.tenant.0.into());
        Insert::one(row).exec_without_returning(&self.tx).await?;
        Ok(())
    }

    /// New rows, the tenant's whatever they say; `conflict` says what becomes of those that are there.
    #[allow(clippy::disallowed_methods, reason = "a door: every row gets the tenant")]
    pub(crate) async fn insert_all(
        &self,
        table: &str,
        members: &[(&str, Kind)],
        rows: Batch,
        conflict: &str,
    ) -> Result<()> {
        let rows = match rows {
            Batch::Json(json) => {
                self.run(&format!("{} {conflict}", self.dialect.insert(table, members)), [json.into()]).await?;
                return Ok(());
            }
            Batch::Bound(rows) => rows,
        };
        let mut rows = rows.into_iter();
        // A few sizes only, so that their statements stay prepared.
        while let Some(size) = [256, 64, 16, 4, 1].into_iter().find(|size| *size <= rows.len()) {
            let sql = format!("{} {conflict}", insert_values(table, members, size));
            let tenant = || std::iter::once(Value::from(self.tenant.0));
            let values = rows.by_ref().take(size).flat_map(|row| tenant().chain(row));
            self.tx.execute_raw(Statement::from_sql_and_values(self.dialect.backend(), sql, values)).await?;
        }
        Ok(())
    }

    /// Runs a statement of ours, whose `$1` is the tenant, and says how many rows it touched.
    pub(crate) async fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64> {
        Ok(self.tx.execute_raw(self.statement(sql, values)).await?.rows_affected())
    }

    /// The rows of a statement of ours, whose `$1` is the tenant.
    pub(crate) async fn rows(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<Vec<QueryResult>> {
        Ok(self.tx.query_all_raw(self.statement(sql, values)).await?)
    }

    /// The first row of a statement of ours, whose `$1` is the tenant.
    pub(crate) async fn row(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<Option<QueryResult>> {
        Ok(self.tx.query_one_raw(self.statement(sql, values)).await?)
    }

    fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        debug_assert!(sql.contains("$1"), "a statement without its tenant: {sql}");
        let values = std::iter::once(Value::from(self.tenant.0)).chain(values);
        Statement::from_sql_and_values(self.dialect.backend(), sql, values)
    }

    /// Makes it last.
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the door that the lint sends everyone to")]
impl HubTx {
    /// The rows of a table of the hub's.
    pub(crate) fn select<E: HubTable>(&self) -> Select<E> {
        E::find()
    }

    /// A change of rows of the hub's; the caller says which.
    pub(crate) fn update<E: HubTable>(&self) -> UpdateMany<E> {
        E::update_many()
    }

    /// A removal of rows of the hub's; the caller says which.
    pub(crate) fn delete<E: HubTable>(&self) -> DeleteMany<E> {
        E::delete_many()
    }

    /// A new row.
    pub(crate) async fn insert<A>(&self, row: A) -> Result<()>
    where
        A: ActiveModelTrait + Send,
        A::Entity: HubTable,
    {
        Insert::one(row).exec_without_returning(&self.tx).await?;
        Ok(())
    }

    /// The same transaction, on one tenant's rows.
    pub(crate) fn on(self, tenant: TenantId, dialect: Dialect) -> TenantTx {
        TenantTx { tx: self.tx, dialect, tenant }
    }

    /// Makes it last.
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
}
