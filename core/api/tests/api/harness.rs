//! A hub's API of its own for each test, on either database, with every answer held against the document.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use rialto_api::{ApiOptions, ApiState, Connectors, router};
use rialto_engine::{Clock, Engine, EngineOptions, EngineParts, SystemClock};
use rialto_log::{EmbeddedLog, EmbeddedOptions, EventLog};
use rialto_model::event::Event;
use rialto_model::{TenantId, Timestamp};
use rialto_store::{Store, StoreOptions};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use tower::ServiceExt;

use crate::world::{Script, hooks, manifest};

const SECRET: [u8; 32] = [7; 32];

/// The document that every answer is held against.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(rialto_api::openapi);

/// Runs tests on SQLite alone: those of which the database sees nothing that others do not show it.
macro_rules! on_sqlite {
    ($($name:ident),* $(,)?) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::harness::Hub::sqlite().await).await;
            }
        )*}
    };
}

/// Runs tests on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        on_sqlite!($($name),*);
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = concat!(module_path!(), "::", stringify!($name));
                let Some(database) = crate::harness::Database::create(test).await else { return };
                super::$name(&crate::harness::Hub::postgres(database).await).await;
            }
        )*}
    };
}

/// An API over a real store, log and engine, with a scripted connector.
pub(crate) struct Hub {
    pub(crate) router: Router,
    pub(crate) store: Store,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) operator: String,
    _database: Option<Database>,
    _folder: tempfile::TempDir,
}

/// Puts something before the log.
type Before = Box<dyn FnOnce(Arc<dyn EventLog>) -> Arc<dyn EventLog> + Send>;

/// What a test can choose.
pub(crate) struct Choices {
    pub(crate) options: ApiOptions,
    /// Puts something before the log.
    pub(crate) log: Before,
    /// Whether the engine's loops run.
    pub(crate) processing: bool,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Default for Choices {
    fn default() -> Self {
        let clock = Arc::new(SystemClock);
        Self { options: ApiOptions::default(), log: Box::new(|log| log), processing: true, clock }
    }
}

/// An answer, as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body, if the status is the expected one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self.json()
    }

    /// The pointers of a problem's errors.
    pub(crate) fn faults(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Hub {
    pub(crate) async fn sqlite() -> Self {
        Self::with(None, Choices::default()).await
    }

    pub(crate) async fn postgres(database: Database) -> Self {
        Self::with(Some(database), Choices::default()).await
    }

    pub(crate) async fn with(database: Option<Database>, choices: Choices) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let url = match &database {
            Some(database) => database.url(),
            None => format!("sqlite://{}/rialto.db", folder.path().display()),
        };
        let store = Store::open(StoreOptions::new(url, SECRET)).await.expect("the store opens");
        let log = EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default()).expect("the log opens");
        let log = (choices.log)(Arc::new(log));
        let clock = choices.clock;
        let parts = EngineParts {
            log: Arc::clone(&log),
            store: store.clone(),
            connector: Arc::new(Script),
            clock: Arc::clone(&clock),
            options: EngineOptions::default(),
        };
        let engine = if choices.processing { Engine::start(parts).await } else { Engine::by_hand(parts) };
        let operator = store.operator().create_token(clock.now()).await.expect("a token");
        let state = ApiState {
            engine,
            store: store.clone(),
            log: Arc::clone(&log),
            connectors: Connectors::new(|| vec![Arc::new(manifest()), Arc::new(hooks())]).received_by(Arc::new(Script)),
            clock,
            windows_held: Arc::default(),
            options: choices.options,
        };
        Self { router: router(state), store, log, operator, _database: database, _folder: folder }
    }

    /// Sends a request as it is, without a look at the answer.
    pub(crate) async fn raw(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router answers");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the answer's body ends").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Sends a request, and holds the answer against the document.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().as_str().to_lowercase(), request.uri().path().to_owned());
        let answer = self.raw(request).await;
        hold_against_document(&method, &path, &answer);
        answer
    }

    /// A management request.
    pub(crate) async fn call(&self, method: &str, path: &str, key: &str, body: Option<&Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).expect("a request")).await
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Answer {
        self.call("GET", path, key, None).await
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.call("POST", path, key, Some(body)).await
    }

    /// An ingest request.
    pub(crate) async fn ingest(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method("POST").uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).expect("a request")).await
    }

    /// All that lies in a tenant's stream.
    pub(crate) async fn events(&self, tenant: TenantId) -> Vec<Event> {
        let entries = self.log.read(tenant, 0, 10_000, 64 << 20).await.expect("the log reads");
        entries.iter().map(|entry| serde_json::from_slice(&entry.body).expect("an event")).collect()
    }

    /// Asks until the answer is as wished.
    pub(crate) async fn until(&self, path: &str, key: &str, wished: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..400 {
            let answer = self.get(path, key).await;
            if answer.status == StatusCode::OK && wished(&answer.json()) {
                return answer.json();
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{path} never became as wished: {}", self.get(path, key).await.text());
    }
}

/// The operation that a request meant: its path in the document, with the parameters as they are named there.
pub(crate) fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let fits = |template: &str| {
        let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
        template.len() == path.len() && template.iter().zip(&path).all(|(t, p)| t == p || t.starts_with('{'))
    };
    let exact = paths.get(path);
    exact.or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, item)| item))?.get(method)
}

/// An answer that the document does not describe is a fault, of the one or of the other.
#[track_caller]
fn hold_against_document(method: &str, path: &str, answer: &Answer) {
    let Some(operation) = operation(method, path) else { return };
    let status = answer.status.as_str();
    let responses = &operation["responses"];
    let range = format!("{}XX", &status[..1]);
    let described = responses.get(status).or_else(|| responses.get(&range));
    let Some(described) = described else { panic!("{method} {path} answered {status}, which is not in the document") };
    let kind = answer.header("content-type").split(';').next().unwrap_or_default().to_owned();
    let Some(content) = described.get("content") else {
        assert!(answer.body.is_empty(), "{method} {path} {status} has a body and should not: {}", answer.text());
        return;
    };
    let Some(media) = content.get(&kind) else {
        panic!("{method} {path} {status} is {kind:?}, the document says {content}");
    };
    if kind.ends_with("json") {
        let validator = validator(media);
        let faults: Vec<String> = validator.iter_errors(&answer.json()).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{method} {path} {status} is not as documented: {faults:?}\n{}", answer.text());
    }
}

/// The validator of a described body, made once.
fn validator(media: &'static Value) -> Arc<jsonschema::Validator> {
    static MADE: LazyLock<Mutex<HashMap<usize, Arc<jsonschema::Validator>>>> = LazyLock::new(Mutex::default);
    // The document stays where it is, so an address in it is a name.
    let place = std::ptr::from_ref(media).addr();
    let mut made = MADE.lock().expect("no test panics here");
    let validator = made.entry(place).or_insert_with(|| {
        let schema = json!({"allOf": [media["schema"]], "components": DOCUMENT["components"]});
        Arc::new(jsonschema::validator_for(&schema).expect("the document's schemas are valid"))
    });
    Arc::clone(validator)
}

/// A PostgreSQL database of a test's own, dropped afterwards.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// `None`, with a note, where there is no server.
    #[allow(clippy::print_stdout, reason = "the test command's summary lists what was skipped")]
    pub(crate) async fn create(test: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var("RIALTO_TEST_POSTGRES") else {
            assert!(
                std::env::var("CI").is_err(),
                "{test}: RIALTO_TEST_POSTGRES is not set, and in CI nothing is skipped"
            );
            println!("skipped: {test}: RIALTO_TEST_POSTGRES is not set");
            return None;
        };
        let name = format!("rialto_api_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        administer(&server, &format!("CREATE DATABASE {name}")).await;
        Some(Self { server, name })
    }

    fn url(&self) -> String {
        let (base, _) = self.server.rsplit_once('/').expect("a URL with a database");
        format!("{base}/{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, statement) = (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(administer(&server, &statement));
        });
        let _ = cleaning.join();
    }
}

async fn administer(server: &str, statement: &str) {
    let mut connection = sqlx::PgConnection::connect(server).await.expect("the server answers");
    connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.expect("the server obeys");
}

/// A moment long gone.
pub(crate) fn long_ago() -> Timestamp {
    Timestamp::from_millis(1_000)
}
