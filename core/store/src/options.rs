//! What the store is opened with.

use std::fmt;
use std::time::Duration;

/// Where the database is and how it may be used.
#[derive(Clone)]
pub struct StoreOptions {
    /// `sqlite:///absolute/path/rialto.db` or `postgres://user@host/database`.
    pub url: String,
    /// The most connections. SQLite has one for writing and the rest for reading.
    pub max_connections: u32,
    /// What data keys are wrapped with and keys are hashed with. Losing it loses every secret and key.
    pub master_secret: [u8; 32],
    /// How long to wait for a free connection.
    pub acquire_timeout: Duration,
    /// How long one statement may take on PostgreSQL, and how long a lock is waited for on either database.
    pub statement_timeout: Duration,
}

impl StoreOptions {
    /// The defaults: 8 connections, 5 s for a connection, 30 s for a statement.
    pub fn new(url: impl Into<String>, master_secret: [u8; 32]) -> Self {
        Self {
            url: url.into(),
            max_connections: 8,
            master_secret,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the secret nor the URL, which may hold a password.
        f.debug_struct("StoreOptions")
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .finish_non_exhaustive()
    }
}
