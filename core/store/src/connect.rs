//! How connections are opened: durable, bounded, and never waiting for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::Connection;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};

use crate::dialect::Dialect;
use crate::error::{Result, StoreError};
use crate::group::Queue;
use crate::options::StoreOptions;

/// The connections of a store. On PostgreSQL both are the same pool.
#[derive(Clone)]
pub(crate) struct Connections {
    /// SQLite: exactly one, so that writers queue here, fairly, rather than in the database's busy handler.
    pub(crate) write: DatabaseConnection,
    pub(crate) read: DatabaseConnection,
    pub(crate) dialect: Dialect,
    /// SQLite: writes that will share a transaction.
    pub(crate) queue: Arc<Queue>,
}

/// Connects as the URL's scheme says.
pub(crate) async fn connect(options: &StoreOptions) -> Result<Connections> {
    if let Some(path) = options.url.strip_prefix("sqlite://") {
        return sqlite(options, Path::new(path)).await;
    }
    if ["postgres://", "postgresql://"].iter().any(|scheme| options.url.starts_with(scheme)) {
        let pool = Database::connect(postgres(options)).await?;
        return Ok(Connections { write: pool.clone(), read: pool, dialect: Dialect::Postgres, queue: Arc::default() });
    }
    Err(StoreError::Setup("the database URL has to start with sqlite://, postgres:// or postgresql://".to_owned()))
}

async fn sqlite(options: &StoreOptions, path: &Path) -> Result<Connections> {
    if !path.is_absolute() {
        return Err(StoreError::Setup("the database URL has to be sqlite:///absolute/path/to/file.db".to_owned()));
    }
    if let Some(folder) = path.parent() {
        make_folder(folder.to_owned()).await?;
    }
    let write = Database::connect(sqlite_pool(options, 1, false)).await?;
    let readers = options.max_connections.saturating_sub(1).max(1);
    let read = Database::connect(sqlite_pool(options, readers, true)).await?;
    Ok(Connections { write, read, dialect: Dialect::Sqlite, queue: Arc::default() })
}

/// The folder and its own entry on disk: a database whose folder a power cut takes away is no database.
async fn make_folder(folder: PathBuf) -> Result<()> {
    let made = tokio::task::spawn_blocking(move || {
        if folder.is_dir() {
            return Ok(());
        }
        std::fs::create_dir_all(&folder)?;
        folder.parent().map_or(Ok(()), |above| std::fs::File::open(above)?.sync_all())
    });
    match made.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(StoreError::Setup(format!("the database's folder cannot be made: {error}"))),
        Err(_) => Err(StoreError::unavailable("the store is shutting down")),
    }
}

fn sqlite_pool(options: &StoreOptions, connections: u32, read_only: bool) -> ConnectOptions {
    let busy = options.statement_timeout.min(options.acquire_timeout);
    let mut pool = pool_of(options, connections);
    pool.map_sqlx_sqlite_opts(move |o: SqliteConnectOptions| {
        o.create_if_missing(!read_only)
            .journal_mode(SqliteJournalMode::Wal)
            // NORMAL loses a quarter of the acknowledged rows in a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(busy)
            .page_size(8192)
            // The one writer holds what is hot; readers come and go.
            .pragma("cache_size", if read_only { "-16384" } else { "-65536" })
            // 64 MB of log, so that a page that many commits write goes into the database once.
            .pragma("wal_autocheckpoint", "8192")
            .pragma("journal_size_limit", "67108864")
            // What a statement may have to undo stays in memory; else every one of many rows writes a file.
            .pragma("temp_store", "MEMORY")
            .pragma("query_only", if read_only { "ON" } else { "OFF" })
            .statement_cache_capacity(256)
    });
    pool.map_sqlx_sqlite_before_acquire(|connection, _| Box::pin(async move { Ok(is_clean(connection).await) }));
    pool
}

/// Whether a connection comes back without a transaction. A full disk can end one behind sqlx's back, which then
/// counts it as open for ever and would turn every later transaction into a savepoint of it.
async fn is_clean(connection: &mut SqliteConnection) -> bool {
    if !connection.is_in_transaction() {
        return true;
    }
    // A rollback may still be on its way; a ping waits for it.
    connection.ping().await.is_ok() && !connection.is_in_transaction()
}

fn postgres(options: &StoreOptions) -> ConnectOptions {
    let timeout = options.statement_timeout.as_millis().to_string();
    let mut pool = pool_of(options, options.max_connections.max(1));
    pool.map_sqlx_postgres_opts(move |o| {
        o.application_name("rialto").options([
            ("synchronous_commit", "on"),
            ("statement_timeout", timeout.as_str()),
            ("lock_timeout", timeout.as_str()),
            ("idle_in_transaction_session_timeout", timeout.as_str()),
        ])
    });
    pool
}

fn pool_of(options: &StoreOptions, connections: u32) -> ConnectOptions {
    let mut pool = ConnectOptions::new(options.url.clone());
    pool.max_connections(connections)
        .min_connections(0)
        .acquire_timeout(options.acquire_timeout)
        .connect_timeout(options.acquire_timeout)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        // A ping before every use costs a round trip; one after a rest finds what a restart of the server cut.
        .test_before_acquire(false)
        .test_before_acquire_if_idle_for(Duration::from_secs(5));
    pool
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "looks at the database around the store")]
mod tests;
