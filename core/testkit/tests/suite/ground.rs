//! What a test of the suite stands on: a hub over a database of either kind, and the turn to be alone on the machine.

use std::time::Duration;

use rialto_testkit::child::{ChildHub, Setup};
use rialto_testkit::persona::{Operator, Persona};
use rialto_testkit::postgres::Database;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// Tests that measure time, or load the machine, take turns: on two cores they would fail each other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The turn to be alone.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

/// Where the hub keeps its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A running hub with two tenants; all of it is gone afterwards.
pub(crate) struct Ground {
    pub(crate) hub: ChildHub,
    pub(crate) acme: Persona,
    pub(crate) globex: Persona,
    // After the hub, which is killed first.
    pub(crate) _database: Option<Database>,
    pub(crate) _folder: TempDir,
}

impl Ground {
    /// A hub on a database of this kind; none when there is no server for it, which is then said.
    pub(crate) async fn on(backend: Backend, test: &str) -> Option<Self> {
        Self::with(backend, test, |setup| setup).await
    }

    /// The same, with other settings.
    pub(crate) async fn with(backend: Backend, test: &str, adapt: impl FnOnce(Setup) -> Setup) -> Option<Self> {
        let folder = TempDir::new().expect("a scratch folder can be made");
        let mut setup = Setup::new(&folder.path().join("data"));
        let mut database = None;
        if backend == Backend::Postgres {
            let own = Database::create(test).await?;
            setup = setup.with("RIALTO__STORE__URL", own.url());
            database = Some(own);
        }
        let hub = ChildHub::start(adapt(setup)).await;
        let operator = Operator::new(hub.address, &hub.operator_token());
        let acme = operator.tenant("acme").await;
        let globex = operator.tenant("globex").await;
        Some(Self { hub, acme, globex, _database: database, _folder: folder })
    }

    /// A hub on SQLite.
    pub(crate) async fn sqlite(test: &str) -> Self {
        Self::on(Backend::Sqlite, test).await.expect("SQLite is always there")
    }
}

/// The same test on both databases.
macro_rules! on_both {
    ($name:ident, $body:ident) => {
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$body($crate::ground::Backend::Sqlite, concat!(stringify!($name), "::sqlite")).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$body($crate::ground::Backend::Postgres, concat!(stringify!($name), "::postgres")).await;
            }
        }
    };
}
pub(crate) use on_both;

/// Tries again until it holds.
///
/// # Panics
/// When it does not within the time.
#[track_caller]
pub(crate) fn eventually(
    what: &str,
    within: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) -> impl Future<Output = Duration> {
    let caller = std::panic::Location::caller();
    async move {
        let start = std::time::Instant::now();
        while !holds().await {
            assert!(start.elapsed() < within, "{what}: not within {within:?}, at {caller}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        start.elapsed()
    }
}
