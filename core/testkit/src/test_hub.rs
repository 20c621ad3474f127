//! A whole hub within a test's own process, on either database, with two tenants and a stranger to speak to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rialto_engine::Engine;
use rialto_hub::{Config, Hub, RunningHub};
use rialto_log::EventLog;
use rialto_plugin::PluginHost;
use rialto_store::Store;
use tempfile::TempDir;

use crate::child::{plugin_cache, plugins};
use crate::client::Client;
use crate::persona::{Operator, Persona};
use crate::postgres::Database;

/// Which database a hub stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// SQLite, in the hub's data folder.
    Sqlite,
    /// A PostgreSQL database of the test's own.
    Postgres,
}

/// A hub, until it is dropped.
pub struct TestHub {
    /// Who runs it.
    pub operator: Operator,
    running: Option<RunningHub>,
    settings: BTreeMap<&'static str, String>,
    // Dropped after the hub: the folder and the database under it.
    _data: TempDir,
    _database: Option<Database>,
}

impl TestHub {
    /// Starts a hub with the connectors that `cargo xtask plugins` has built, and gives it with two tenants, `acme`
    /// and `globex`, and someone without any key. `None`, with the reason printed, when the database cannot be had.
    ///
    /// # Panics
    /// When the hub does not start, and in CI when the database cannot be had.
    pub async fn start(backend: Backend, test: &str) -> Option<(Self, Persona, Persona, Client)> {
        let hub = Self::empty(backend, test).await?;
        let (acme, globex) = (hub.operator.tenant("acme").await, hub.operator.tenant("globex").await);
        let stranger = Client::new(hub.running().addr);
        Some((hub, acme, globex, stranger))
    }

    /// Starts a hub without any tenant.
    ///
    /// # Panics
    /// As [`TestHub::start`].
    pub async fn empty(backend: Backend, test: &str) -> Option<Self> {
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(Database::create(test).await?),
        };
        let data = tempfile::tempdir().expect("a folder can be made");
        let mut settings = BTreeMap::from([
            ("data_dir", data.path().display().to_string()),
            ("server.listen", "127.0.0.1:0".to_owned()),
        ]);
        if let Some(database) = &database {
            settings.insert("store.url", database.url());
        }
        let running = start(&settings).await;
        let token = running.operator_token.clone().expect("the first start makes the operator's token");
        let operator = Operator::new(running.addr, &token);
        Some(Self { operator, running: Some(running), settings, _data: data, _database: database })
    }

    /// Ends the hub in order and starts it again over the same data, at the same address, so that everyone who
    /// spoke to it goes on.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn restart(&mut self) {
        let address = self.running().addr;
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
        self.settings.insert("server.listen", address.to_string());
        self.running = Some(start(&self.settings).await);
    }

    /// Ends the hub in order.
    pub async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }

    /// Its engine.
    pub fn engine(&self) -> &Engine {
        &self.running().engine
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.running().store
    }

    /// Its log.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.running().log
    }

    /// Its plugin host.
    pub fn plugins(&self) -> &PluginHost {
        &self.running().plugins
    }

    fn running(&self) -> &RunningHub {
        self.running.as_ref().expect("a hub runs from its start to its end")
    }
}

async fn start(settings: &BTreeMap<&'static str, String>) -> RunningHub {
    let text = settings.iter().map(|(name, value)| (*name, value.as_str().into()));
    let shared = [
        ("development", true.into()),
        ("plugins.dirs", vec![plugins().display().to_string()].into()),
        ("plugins.cache_dir", plugin_cache().display().to_string().into()),
    ];
    let config = Config::only(&text.chain(shared).collect()).expect("a test's settings are sound");
    Hub::start(config).await.unwrap_or_else(|error| panic!("the hub does not start: {error}"))
}

/// Runs a test on both databases: `on_both! { async fn name(hub, acme, globex, stranger) { … } }` becomes the tests
/// `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_both {
    ($($(#[$note:meta])* async fn $name:ident($hub:pat, $acme:pat, $globex:pat, $stranger:pat) $body:block)*) => {$(
        $(#[$note])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test(backend: $crate::test_hub::Backend, name: &str) {
                let Some(started) = $crate::test_hub::TestHub::start(backend, name).await else { return };
                let ($hub, $acme, $globex, $stranger) = started;
                $body
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                test($crate::test_hub::Backend::Sqlite, concat!(stringify!($name), "::sqlite")).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                test($crate::test_hub::Backend::Postgres, concat!(stringify!($name), "::postgres")).await;
            }
        }
    )*};
}
