//! Wiring: the parts of a hub, started in order and ended in the opposite one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rialto_api::{ApiOptions, ApiState, Connectors, ServeOptions};
use rialto_engine::{Clock, Connector, Engine, EngineOptions, EngineParts, SystemClock};
use rialto_log::{EmbeddedLog, EmbeddedOptions, EventLog, LogError};
use rialto_model::tenant::Quota;
use rialto_plugin::{EgressPolicy, PluginError, PluginHost, PluginOptions};
use rialto_store::{Store, StoreError, StoreOptions};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::master_secret::{self, MasterSecretError};
use crate::patience::have_patience;
use crate::{VERSION, retention, withdrawal};

const MIB: usize = 1 << 20;

/// Why a hub did not start.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The address to listen on cannot be had.
    #[error("cannot listen on {address}: {source}; another hub may be running, or choose one with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no master secret, or no data folder.
    #[error(transparent)]
    MasterSecret(#[from] MasterSecretError),
    /// The database cannot be used.
    #[error("the database cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The log cannot be used.
    #[error("the log in {folder} cannot be used: {source}")]
    Log {
        /// Where it lies.
        folder: PathBuf,
        /// Why not.
        source: LogError,
    },
    /// A plugin was refused, or the cache cannot be used.
    #[error("plugins cannot be used: {0}")]
    Plugins(#[from] PluginError),
    /// A trusted proxy is no address and no network.
    #[error("server.trusted_proxies: {given:?} is no address and no network, such as 10.0.0.0/8")]
    Proxy {
        /// What stands there.
        given: String,
    },
    /// A part of the start died.
    #[error("the start was broken off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// A hub that can be started.
pub struct Hub;

/// A hub that runs, until [`RunningHub::shutdown`].
pub struct RunningHub {
    /// Where it listens; the port is known even if any free one was asked for.
    pub addr: SocketAddr,
    /// The operator's token, if this start made the first one. It cannot be shown again.
    pub operator_token: Option<String>,
    /// Processes and delivers.
    pub engine: Engine,
    /// Keeps the records.
    pub store: Store,
    /// Keeps the events.
    pub log: Arc<dyn EventLog>,
    /// Runs connectors.
    pub plugins: PluginHost,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    retention: JoinHandle<()>,
    withdrawal: JoinHandle<()>,
    grace: Duration,
}

impl Hub {
    /// Starts every part and returns once requests are taken.
    ///
    /// # Errors
    /// Names the part that could not start; those before it are ended again.
    pub async fn start(config: Config) -> Result<RunningHub, HubError> {
        Self::start_behind(config, Handle::current()).await
    }

    /// Starts every part: those that take requests and make events durable on the runtime `front`, those that work
    /// on what came in on the one that this is called on, so that no backlog makes a client wait.
    ///
    /// # Errors
    /// As [`Hub::start`].
    pub async fn start_behind(config: Config, front: Handle) -> Result<RunningHub, HubError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // Before all else: a second hub on this machine is noticed before anything is touched.
        let address = config.server.listen;
        let bound = front.spawn(TcpListener::bind(address)).await?;
        let listener = bound.map_err(|source| HubError::Listen { address, source })?;
        let addr = listener.local_addr().map_err(|source| HubError::Listen { address, source })?;
        let options = api_options(&config)?;
        master_secret::make_folder(&config.data_dir)?;
        let store = open_store(&config).await?;
        let log = open_log(&config, &front).await?;
        let plugins = open_plugins(&config).await?;
        let connector: Arc<dyn Connector> = Arc::new(plugins.clone());
        let parts = EngineParts {
            log: Arc::clone(&log),
            store: store.clone(),
            connector,
            clock: Arc::clone(&clock),
            options: engine_options(&config),
        };
        let engine = if config.engine.processing { Engine::start(parts).await } else { Engine::by_hand(parts) };
        let operator_token = first_token(&store, clock.as_ref()).await?;
        let held = Arc::new(AtomicU64::new(0));
        let state = ApiState {
            engine: engine.clone(),
            store: store.clone(),
            log: Arc::clone(&log),
            connectors: connectors(&plugins),
            clock: Arc::clone(&clock),
            windows_held: Arc::clone(&held),
            options,
        };
        let (stop, stopped) = watch::channel(false);
        let server = front.spawn(rialto_api::serve(
            listener,
            rialto_api::router(state),
            serve_options(&config),
            until(stopped.clone()),
        ));
        let (kept, end) = (config.retention(), until(stopped.clone()));
        let retention =
            tokio::spawn(retention::keep(Arc::clone(&log), store.clone(), Arc::clone(&clock), kept, held, end));
        let withdrawal = tokio::spawn(withdrawal::keep(engine.clone(), store.clone(), clock, until(stopped)));
        let grace = Duration::from_secs(config.shutdown_seconds);
        tracing::info!(%addr, version = VERSION, "ready");
        Ok(RunningHub { addr, operator_token, engine, store, log, plugins, stop, server, retention, withdrawal, grace })
    }
}

impl RunningHub {
    /// Where it can be reached from this machine.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Takes no more requests, lets open ones finish, ends deliveries at a safe point, and closes log and store.
    /// Takes no longer than `shutdown_seconds`; whatever is cut off is taken up by the next start.
    pub async fn shutdown(self) {
        tracing::info!("shutting down");
        let _ = self.stop.send(true);
        let ending = async {
            let _ = self.server.await;
            let _ = self.retention.await;
            let _ = self.withdrawal.await;
            self.engine.shutdown().await;
            self.log.close().await;
            self.store.close().await;
        };
        match tokio::time::timeout(self.grace, ending).await {
            Ok(()) => tracing::info!("ended"),
            Err(_) => tracing::warn!("ended with work cut off; the next start takes it up"),
        }
    }
}

/// What the API knows of connectors: which there are, what each would refuse, egress included, and who has them read
/// webhooks.
fn connectors(plugins: &PluginHost) -> Connectors {
    let (installed, judge) = (plugins.clone(), plugins.clone());
    Connectors::new(move || installed.connectors())
        .checked_by(move |manifest, settings, secrets, kept| {
            judge.check(&manifest.id, settings, secrets, kept).unwrap_or(Ok(Vec::new())).ok()
        })
        .received_by(Arc::new(plugins.clone()))
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the hub was dropped, which is the same news.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Opens the database that the settings name.
pub(crate) async fn open_store(config: &Config) -> Result<Store, HubError> {
    let secret = master_secret::obtain(config.master_secret.reveal(), &config.data_dir)?;
    let mut options = StoreOptions::new(config.store_url(), secret);
    options.max_connections = config.store.max_connections;
    options.acquire_timeout = Duration::from_secs(config.store.acquire_timeout_seconds);
    options.statement_timeout = Duration::from_secs(config.store.statement_timeout_seconds);
    Ok(Store::open(options).await?)
}

/// Opens the log; its threads are of the runtime `front`'s kind, for clients wait for them.
async fn open_log(config: &Config, front: &Handle) -> Result<Arc<dyn EventLog>, HubError> {
    let folder = config.log_dir();
    let options = EmbeddedOptions {
        window: Duration::from_secs(config.log.window_hours.saturating_mul(60 * 60)),
        max_queued_bytes: config.log.max_queued_mib.saturating_mul(MIB),
        recent_bytes: config.log.recent_mib.saturating_mul(MIB),
        before_workers: have_patience,
        ..EmbeddedOptions::default()
    };
    // Reading back what a crash left blocks, for as long as the disk takes. Started by a thread of the front, for a
    // thread is as patient as the one that starts it, and clients wait for the log's writer.
    let opened = front.spawn({
        let folder = folder.clone();
        async move { tokio::task::spawn_blocking(move || EmbeddedLog::open(folder, options)).await }
    });
    let log = opened.await??.map_err(|source| HubError::Log { folder, source })?;
    Ok(Arc::new(log))
}

async fn open_plugins(config: &Config) -> Result<PluginHost, HubError> {
    let (development, loopback, http) = (config.development, config.egress.allow_loopback, config.egress.allow_http);
    for (setting, on) in
        [("development", development), ("egress.allow_loopback", loopback), ("egress.allow_http", http)]
    {
        if on {
            tracing::warn!(setting, "connectors may call what is closed to them otherwise; this is for development");
        }
    }
    let egress = EgressPolicy {
        allow_loopback: loopback || development,
        allow_http: http || development,
        connections: config.egress.connections,
        connections_per_tenant: config.egress.connections_per_tenant,
        lookups: config.egress.lookups,
        lookups_per_tenant: config.egress.lookups_per_tenant,
        ..EgressPolicy::default()
    };
    let options = PluginOptions {
        dirs: config.plugins.dirs.clone(),
        cache_dir: Some(config.cache_dir()),
        egress,
        ..PluginOptions::default()
    };
    // Compiling a plugin for the first time takes a core for a moment.
    Ok(tokio::task::spawn_blocking(move || PluginHost::open(options)).await??)
}

/// The first start makes the operator's token; later ones find that there is one.
async fn first_token(store: &Store, clock: &dyn Clock) -> Result<Option<String>, StoreError> {
    let operator = store.operator();
    if operator.has_token().await? { Ok(None) } else { operator.create_token(clock.now()).await.map(Some) }
}

fn engine_options(config: &Config) -> EngineOptions {
    EngineOptions {
        workers: config.engine.workers,
        cache_bytes: config.engine.cache_mib.saturating_mul(MIB),
        feed_bytes: config.engine.feed_mib.saturating_mul(MIB),
        // The other half of the time is for open requests.
        shutdown: Duration::from_secs(config.shutdown_seconds / 2),
        ..EngineOptions::default()
    }
}

fn api_options(config: &Config) -> Result<ApiOptions, HubError> {
    let parse = |given: &String| given.parse().map_err(|_| HubError::Proxy { given: given.clone() });
    Ok(ApiOptions {
        trusted_proxies: config.server.trusted_proxies.iter().map(parse).collect::<Result<_, _>>()?,
        max_body: config.server.max_body_kib.saturating_mul(1024),
        max_bodies: config.server.max_bodies_mib.saturating_mul(MIB),
        quota: Quota { events_per_second: Some(config.quota.events_per_second).filter(|rate| *rate > 0) },
        version: VERSION,
    })
}

fn serve_options(config: &Config) -> ServeOptions {
    ServeOptions {
        header_timeout: Duration::from_secs(config.server.header_timeout_seconds),
        body_idle_timeout: Duration::from_secs(config.server.body_idle_timeout_seconds),
        max_connections: config.server.max_connections,
        // The other half of the time is for deliveries under way.
        drain: Duration::from_secs(config.shutdown_seconds.div_ceil(2)),
        ..ServeOptions::default()
    }
}
