//! A PostgreSQL database of a test's own, on the server that `RIALTO_TEST_POSTGRES` names; it is dropped afterwards.

use std::env;

use sqlx::{Connection as _, Executor as _, PgConnection};
use url::Url;

use crate::skip::skip;

/// The variable that names a server on which tests may make databases and roles.
pub const POSTGRES: &str = "RIALTO_TEST_POSTGRES";

/// An empty database, until it is dropped.
#[derive(Debug)]
pub struct Database {
    server: Url,
    name: String,
}

impl Database {
    /// Makes one; none when there is no server, which is then said in the name of the test.
    ///
    /// # Panics
    /// When the server cannot be reached or refuses, and in CI when there is none.
    pub async fn create(test: &str) -> Option<Self> {
        let Ok(server) = env::var(POSTGRES) else {
            skip(test, &format!("{POSTGRES} is not set"));
            return None;
        };
        let server: Url = server.parse().unwrap_or_else(|error| panic!("{POSTGRES}: {error}"));
        let name = format!("rialto_test_{:016x}", rand::random::<u64>());
        administer(&server, &format!("CREATE DATABASE {name}")).await;
        Some(Self { server, name })
    }

    /// Where a hub finds it.
    pub fn url(&self) -> String {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.into()
    }

    /// The same, through another address that forwards to the server.
    ///
    /// # Panics
    /// When the server's address takes no host and port.
    pub fn url_through(&self, address: std::net::SocketAddr) -> String {
        let mut url: Url = self.url().parse().expect("made from an address");
        url.set_ip_host(address.ip()).expect("a server's address has a host");
        url.set_port(Some(address.port())).expect("a server's address has a port");
        url.into()
    }

    /// Where the server itself listens, as `host:port`.
    ///
    /// # Panics
    /// When the address names no host.
    pub fn server(&self) -> String {
        let host = self.server.host_str().expect("a server's address has a host");
        format!("{host}:{}", self.server.port().unwrap_or(5432))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // Dropped inside and outside of runtimes, after panics too: a thread of its own works in all of them.
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(administer(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
            }
        });
        if cleaning.join().is_err() {
            tracing::warn!(database = self.name, "a test's database was left behind");
        }
    }
}

async fn administer(server: &Url, statement: &str) {
    let mut connection = PgConnection::connect(server.as_str())
        .await
        .unwrap_or_else(|error| panic!("{POSTGRES} names a server that does not answer: {error}"));
    connection
        .execute(sqlx::AssertSqlSafe(statement.to_owned()))
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}
