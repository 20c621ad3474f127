//! The whole: what is installed, and the engine's connector over it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use rialto_engine::{Connector, Failure, FailureKind, Job, NotRead, Received, Receiver, Webhook};
use rialto_model::{
    delivery::Outcome,
    destination::Secrets,
    manifest::{self, FieldError, Limits, Manifest, SettingType},
};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    CallLimits, PluginError, PluginOptions,
    cache::Cache,
    compute::Compute,
    delivery::{self, Delivery},
    egress::{Egress, Resolve, SystemResolver, Target},
    prepared::Ready,
    reception::Reception,
    runtime::{Asked, Plugin, Runtime},
};

/// How long a check waits while a connector is asked about other settings, which takes a fraction of it.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most checks that wait so at a time: each keeps a thread.
const WAITING: usize = 16;
/// The longest message of a connector about a setting, in characters.
const MESSAGE: usize = 1_000;

/// The installed connectors and what they run in. A cheap copy.
#[derive(Clone)]
pub struct PluginHost(Arc<Inner>);

struct Inner {
    runtime: Arc<Runtime>,
    compute: Compute,
    egress: Egress,
    limits: CallLimits,
    installed: RwLock<BTreeMap<String, Arc<Plugin>>>,
    refused: Vec<Refused>,
    ready: Ready,
    /// Held while a connector is asked about settings.
    asking: Mutex<()>,
    /// Seats for those who wait for that.
    seats: Semaphore,
}

/// A check could not be made, as too many are made at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("connectors are asked about other settings at the moment")]
pub struct Busy;

/// A file that was not taken as a connector.
#[derive(Debug)]
pub struct Refused {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub error: PluginError,
}

impl PluginHost {
    /// Starts the runtime and installs what lies in the folders. Blocks while a plugin is compiled for the first
    /// time. A file that cannot be taken stops nothing: it is told by [`PluginHost::refused`] and in the log.
    ///
    /// # Errors
    /// When the runtime, TLS or the folder for compiled plugins cannot be set up, or a folder cannot be read.
    pub fn open(options: PluginOptions) -> Result<Self, PluginError> {
        Self::open_with(options, Arc::new(SystemResolver))
    }

    /// As [`PluginHost::open`], with another way from names to addresses.
    ///
    /// # Errors
    /// As [`PluginHost::open`].
    pub fn open_with(options: PluginOptions, resolver: Arc<dyn Resolve>) -> Result<Self, PluginError> {
        let PluginOptions { dirs, cache_dir, egress, limits, slots } = options;
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
        let slots = slots.unwrap_or(cores * 2);
        let cache = cache_dir.as_deref().map(Cache::open).transpose()?;
        let runtime = Arc::new(Runtime::new(limits.clone(), slots, cache)?);
        let mut installed = BTreeMap::new();
        let mut refused = Vec::new();
        for path in components(&dirs)? {
            if let Err(error) = take(&runtime, &path, &mut installed) {
                tracing::error!(path = %path.display(), %error, "a connector was refused");
                refused.push(Refused { path, error });
            }
        }
        Ok(Self(Arc::new(Inner {
            runtime,
            compute: Compute::new(slots),
            egress: Egress::new(egress, resolver)?,
            limits,
            installed: RwLock::new(installed),
            refused,
            ready: Ready::default(),
            asking: Mutex::default(),
            seats: Semaphore::new(WAITING),
        })))
    }

    /// Installs a component, in the place of another one with its id. Blocks while it is compiled.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn install(&self, component: &[u8]) -> Result<Arc<Manifest>, PluginError> {
        let plugin = Arc::new(self.0.runtime.install(component)?);
        let manifest = Arc::clone(&plugin.manifest);
        self.0.installed.write().insert(manifest.id.clone(), plugin);
        Ok(manifest)
    }

    /// What is installed, by id.
    pub fn connectors(&self) -> Vec<Arc<Manifest>> {
        self.0.installed.read().values().map(|plugin| Arc::clone(&plugin.manifest)).collect()
    }

    /// The manifest of an installed connector.
    pub fn manifest(&self, id: &str) -> Option<Arc<Manifest>> {
        self.plugin(id).map(|plugin| Arc::clone(&plugin.manifest))
    }

    /// The files that were not taken at the start.
    pub fn refused(&self) -> &[Refused] {
        &self.0.refused
    }

    /// Everything that is wrong with a destination's settings and secrets, including URLs that no request would be
    /// let out to, and what the connector's own code says of them. Blocks for as long as that takes; `filled`
    /// names the slots that hold a secret already. `None` if no such connector is installed; [`Busy`] if its code could
    /// not be asked.
    pub fn check(
        &self,
        connector: &str,
        settings: &BTreeMap<String, Value>,
        secrets: &Secrets,
        filled: &BTreeSet<String>,
    ) -> Option<Result<Vec<FieldError>, Busy>> {
        let manifest = self.manifest(connector)?;
        let mut errors = manifest::check(&manifest, settings, secrets, filled);
        for field in manifest.settings.iter().filter(|field| field.kind == SettingType::Url) {
            let name = format!("settings.{}", field.name);
            let Some(url) = settings.get(&field.name).and_then(Value::as_str) else { continue };
            let known = errors.iter().any(|error| error.field == name);
            let goes_out = manifest.hosts.iter().any(|host| host.contains(&format!("{{{name}}}")));
            if goes_out
                && !known
                && let Err(e) = Target::plausible(url, self.0.egress.policy())
            {
                errors.push(FieldError::new(name, e.to_string()));
            }
        }
        if errors.is_empty() {
            match self.asked(connector, settings) {
                Ok(said) => errors.extend(said),
                Err(busy) => return Some(Err(busy)),
            }
        }
        Some(Ok(errors))
    }

    /// What the connector itself says against settings that its manifest lets pass: it is given a job without events.
    /// Whatever else it does says nothing. There is one call's room for that, which is waited for, but not for long.
    fn asked(&self, connector: &str, settings: &BTreeMap<String, Value>) -> Result<Option<FieldError>, Busy> {
        let Some(plugin) = self.plugin(connector) else { return Ok(None) };
        let Some((context, job)) = delivery::about(&plugin.manifest, settings) else { return Ok(None) };
        let _seat = self.0.seats.try_acquire().map_err(|_| Busy)?;
        let said = apart(|| {
            let _room = self.0.asking.try_lock_for(PATIENCE).ok_or(Busy)?;
            Ok(self.0.runtime.call(&plugin, &context, &job, &Asked::Prepare))
        })?;
        let Ok(Err(said)) = said else { return Ok(None) };
        let message: String = said.message.chars().filter(|c| !c.is_control()).take(MESSAGE).collect();
        let field = said.field.filter(|field| plugin.manifest.settings.iter().any(|known| known.name == *field));
        Ok(field.map(|field| FieldError::new(format!("settings.{field}"), message)))
    }

    /// Runs a job without the network, as if its destination took everything, and tells how many calls it took. It
    /// blocks, on this thread and outside of the calls' bounded room: it is there to measure what a connector costs.
    ///
    /// # Errors
    /// As [`Connector::deliver`].
    pub fn rehearse(&self, job: Job) -> Result<usize, Failure> {
        self.delivery(job)?.rehearse()
    }

    fn delivery(&self, job: Job) -> Result<Delivery<'_>, Failure> {
        let Some(plugin) = self.plugin(&job.destination.connector) else {
            let message = format!("the connector {} is not installed", job.destination.connector);
            return Err(Failure { kind: FailureKind::Fatal, code: "no_connector".into(), message });
        };
        if plugin.manifest.actions.is_empty() {
            let message = format!("the connector {} receives webhooks and delivers nothing", job.destination.connector);
            return Err(Failure { kind: FailureKind::Fatal, code: "unknown_action".into(), message });
        }
        let inner = &self.0;
        let prepared = inner.ready.get(&plugin, &job.destination, &job.secrets)?;
        let (runtime, compute, egress, limits) = (&inner.runtime, &inner.compute, &inner.egress, &inner.limits);
        Ok(Delivery { runtime, compute, egress, limits, prepared, job })
    }

    fn plugin(&self, id: &str) -> Option<Arc<Plugin>> {
        self.0.installed.read().get(id).cloned()
    }
}

#[async_trait]
impl Connector for PluginHost {
    fn limits(&self, connector: &str) -> Option<Limits> {
        self.plugin(connector).map(|plugin| plugin.manifest.limits)
    }

    async fn deliver(&self, job: Job) -> Result<Vec<Outcome>, Failure> {
        self.delivery(job)?.run().await
    }
}

#[async_trait]
impl Receiver for PluginHost {
    async fn receive(&self, webhook: Webhook) -> Result<Received, NotRead> {
        let Some(plugin) = self.plugin(&webhook.connector) else {
            let message = format!("the connector {} is not installed", webhook.connector);
            return Err(NotRead::Later { code: "no_connector".into(), message });
        };
        Reception { runtime: &self.0.runtime, compute: &self.0.compute, plugin, webhook }.run().await
    }
}

/// Runs what blocks for a moment without holding up what else the thread has to do.
fn apart<T>(blocks: impl FnOnce() -> T) -> T {
    let flavor = tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(blocks),
        _ => blocks(),
    }
}

/// The `*.wasm` files of some folders, by name.
fn components(folders: &[PathBuf]) -> Result<Vec<PathBuf>, PluginError> {
    let mut paths = Vec::new();
    for folder in folders {
        let fail = |source| PluginError::Read { path: folder.clone(), source };
        for entry in fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    Ok(paths)
}

fn take(runtime: &Runtime, path: &Path, installed: &mut BTreeMap<String, Arc<Plugin>>) -> Result<(), PluginError> {
    let bytes = fs::read(path).map_err(|source| PluginError::Read { path: path.to_owned(), source })?;
    let plugin = runtime.install(&bytes)?;
    let id = plugin.manifest.id.clone();
    if installed.contains_key(&id) {
        return Err(PluginError::Twice { id });
    }
    tracing::info!(connector = %id, version = %plugin.manifest.version, "a connector is installed");
    installed.insert(id, Arc::new(plugin));
    Ok(())
}
