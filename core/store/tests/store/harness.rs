//! A store of its own for each test, on either database.

use std::sync::atomic::{AtomicU32, Ordering};

use rialto_model::{DestinationId, ProfileId, SourceId, Timestamp};
use rialto_store::{NewDestination, Operator, Store, StoreOptions, TenantScope};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, QueryResult, Statement};

pub(crate) const SECRET: [u8; 32] = [42; 32];

/// A database that only one test knows.
pub(crate) struct TestDb {
    pub(crate) store: Store,
    pub(crate) options: StoreOptions,
    _folder: Option<tempfile::TempDir>,
}

/// Runs a test on both databases: `on_both!(first_test, second_test)`.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {$(
            #[tokio::test]
            async fn $name() {
                super::$name(crate::harness::TestDb::sqlite().await).await;
            }
        )*}
        mod postgres {$(
            #[tokio::test]
            async fn $name() {
                crate::harness::on_postgres(concat!(module_path!(), "::", stringify!($name)), super::$name).await;
            }
        )*}
    };
}

/// The server that tests may make databases on; `None` with a note where there is none.
#[allow(clippy::print_stdout, reason = "the test command's summary lists what was skipped")]
pub(crate) fn server(test: &str) -> Option<String> {
    match std::env::var("RIALTO_TEST_POSTGRES") {
        Ok(url) => Some(url),
        Err(_) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("{test}: RIALTO_TEST_POSTGRES is not set, and in CI nothing is skipped")
        }
        Err(_) => {
            println!("skipped: {test}: RIALTO_TEST_POSTGRES is not set");
            None
        }
    }
}

/// Runs a test in a database of its own and removes that afterwards, however the test ends.
pub(crate) async fn on_postgres<F, T>(test: &str, body: F)
where
    F: FnOnce(TestDb) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Some(server) = server(test) else { return };
    let name = format!("rialto_store_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let admin = Database::connect(&server).await.expect("the server answers");
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("databases can be made");
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    let options = StoreOptions::new(format!("{base}/{name}"), SECRET);
    let store = Store::open(options.clone()).await.expect("opens");
    let db = TestDb { store: store.clone(), options, _folder: None };
    let outcome = tokio::spawn(body(db)).await;
    store.close().await;
    admin.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.expect("can be removed");
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl TestDb {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let options = StoreOptions::new(format!("sqlite://{}/data/rialto.db", folder.path().display()), SECRET);
        let store = Store::open(options.clone()).await.expect("opens");
        Self { store, options, _folder: Some(folder) }
    }

    pub(crate) fn operator(&self) -> Operator {
        self.store.operator()
    }

    /// A new tenant.
    pub(crate) async fn tenant(&self, slug: &str) -> TenantScope {
        let tenant = self.operator().create_tenant(slug, slug, at(1)).await.expect("made");
        self.store.lease(tenant.id)
    }

    /// A connection around the store, with the rights of the user who owns the tables.
    pub(crate) async fn raw(&self) -> DatabaseConnection {
        Database::connect(&self.options.url).await.expect("connects")
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.options.url.starts_with("postgres")
    }
}

/// Rows of a statement.
pub(crate) async fn rows(db: &DatabaseConnection, sql: &str) -> Vec<QueryResult> {
    let backend = db.get_database_backend();
    db.query_all_raw(Statement::from_string(backend, sql)).await.expect("is a query")
}

/// The one number of a statement.
pub(crate) async fn number(db: &DatabaseConnection, sql: &str) -> i64 {
    rows(db, sql).await[0].try_get_by_index(0).expect("a number")
}

/// Every table of the schema with its columns.
pub(crate) async fn schema(db: &DatabaseConnection) -> Vec<(String, Vec<String>)> {
    let sql = match db.get_database_backend() {
        DbBackend::Sqlite => {
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' \
             AND m.name NOT LIKE 'sqlite_%' ORDER BY 1"
        }
        _ => {
            "SELECT table_name::text, column_name::text FROM information_schema.columns \
             WHERE table_schema = 'public' ORDER BY 1"
        }
    };
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows(db, sql).await {
        let (table, column): (String, String) =
            (row.try_get_by_index(0).expect("text"), row.try_get_by_index(1).expect("text"));
        match tables.last_mut() {
            Some((last, columns)) if *last == table => columns.push(column),
            _ => tables.push((table, vec![column])),
        }
    }
    tables
}

/// A moment.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + second * 1000)
}

pub(crate) fn profile_id(n: u128) -> ProfileId {
    ProfileId(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n))
}

pub(crate) fn source_id() -> SourceId {
    SourceId(uuid::Uuid::from_u128(77))
}

/// A destination of a connector that needs nothing.
pub(crate) async fn destination(scope: &TenantScope, name: &str) -> DestinationId {
    let new = NewDestination {
        name: name.to_owned(),
        connector: "rialto/webhook".to_owned(),
        settings: Default::default(),
        secrets: Default::default(),
        enabled: true,
    };
    scope.create_destination(new, at(1)).await.expect("made").id
}
