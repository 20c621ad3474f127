//! A store of the simulator's own, on either database.

use rialto_store::{Store, StoreOptions};
use sqlx::{Connection as _, Executor as _, PgConnection};

/// A store and what goes with it in the end.
pub(crate) struct Database {
    pub(crate) store: Store,
    #[allow(dead_code, reason = "not every test looks around the store")]
    pub(crate) url: String,
    _folder: Option<tempfile::TempDir>,
    drop: Option<(String, String)>,
}

pub(crate) async fn sqlite() -> Database {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("rialto.db").display());
    let store = Store::open(StoreOptions::new(url.as_str(), [7; 32])).await.expect("SQLite opens");
    Database { store, url, _folder: Some(folder), drop: None }
}

/// A new database on the server that `RIALTO_TEST_POSTGRES` names; none when there is no server.
pub(crate) async fn postgres(test: &str) -> Option<Database> {
    let Ok(server) = std::env::var("RIALTO_TEST_POSTGRES") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "{test}: RIALTO_TEST_POSTGRES is not set, and in CI nothing is skipped"
        );
        println!("skipped: {test}: RIALTO_TEST_POSTGRES is not set");
        return None;
    };
    let name = format!("rialto_sim_{:016x}", rand::random::<u64>());
    administer(&server, &format!("CREATE DATABASE {name}")).await;
    let (start, _) = server.rsplit_once('/').expect("a URL with a database");
    let url = format!("{start}/{name}");
    let store = Store::open(StoreOptions::new(url.as_str(), [7; 32])).await.expect("PostgreSQL opens");
    Some(Database { store, url, _folder: None, drop: Some((server, name)) })
}

impl Database {
    pub(crate) async fn drop(self) {
        self.store.close().await;
        if let Some((server, name)) = self.drop {
            administer(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}

async fn administer(server: &str, statement: &str) {
    let mut connection = PgConnection::connect(server).await.expect("the server answers");
    connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.expect("the server obeys");
    connection.close().await.expect("the connection closes");
}
