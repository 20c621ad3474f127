//! What every handler can reach.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rialto_engine::{Clock, Engine, Receiver};
use rialto_log::EventLog;
use rialto_model::Timestamp;
use rialto_model::destination::Secrets;
use rialto_model::manifest::{self, FieldError, Manifest};
use rialto_model::tenant::Quota;
use rialto_store::Store;
use serde_json::Value;

use crate::check::Checker;
use crate::client_ip::IpRange;
use crate::ingest::bodies::Bodies;
use crate::ingest::quota::Quotas;
use crate::manage::live::Listeners;
use crate::metrics::Metrics;

/// What the API stands on.
#[derive(Clone)]
pub struct ApiState {
    /// Takes events in, and tells what became of them.
    pub engine: Engine,
    /// Keeps the records.
    pub store: Store,
    /// Keeps the events.
    pub log: Arc<dyn EventLog>,
    /// Knows the installed connectors.
    pub connectors: Connectors,
    /// Knows the time.
    pub clock: Arc<dyn Clock>,
    /// How many windows of the log are old enough to go and hold events that wait to be processed.
    pub windows_held: Arc<AtomicU64>,
    /// What an operator can choose.
    pub options: ApiOptions,
}

/// What an operator can choose about the API.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpRange>,
    /// The most bytes that an ingest request's body may have on the wire; more is a 413.
    pub max_body: usize,
    /// The most bytes of ingest requests' bodies that are held at a time, over all connections. Half of it is for
    /// requests whose head shows a known write key, of which one tenant gets a quarter; of the other half one address
    /// gets an eighth. Who finds no room within a second gets a 503.
    pub max_bodies: usize,
    /// What a tenant may send that has no quota of its own.
    pub quota: Quota,
    /// The hub's version, as `/healthz` tells it.
    pub version: &'static str,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            max_body: 1 << 20,
            max_bodies: 256 << 20,
            quota: Quota::default(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// The connectors that are installed at the moment of asking.
#[derive(Clone)]
pub struct Connectors {
    installed: Arc<dyn Fn() -> Vec<Arc<Manifest>> + Send + Sync>,
    check: Arc<CheckFn>,
    receiver: Option<Arc<dyn Receiver>>,
}

/// Checks settings and secrets against a manifest; the names of secrets that are kept come last. `None` if the check
/// could not be made at the moment.
type CheckFn =
    dyn Fn(&Manifest, &BTreeMap<String, Value>, &Secrets, &BTreeSet<String>) -> Option<Vec<FieldError>> + Send + Sync;

impl Connectors {
    /// The connectors that `installed` tells of, asked anew each time. Settings are checked by the manifest alone.
    pub fn new(installed: impl Fn() -> Vec<Arc<Manifest>> + Send + Sync + 'static) -> Self {
        Self {
            installed: Arc::new(installed),
            check: Arc::new(|m, settings, secrets, kept| Some(manifest::check(m, settings, secrets, kept))),
            receiver: None,
        }
    }

    /// The same, with a check that knows more than the manifest, such as what egress refuses; it gives `None` if it
    /// could not be made at the moment.
    #[must_use]
    pub fn checked_by(
        self,
        check: impl Fn(&Manifest, &BTreeMap<String, Value>, &Secrets, &BTreeSet<String>) -> Option<Vec<FieldError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { check: Arc::new(check), ..self }
    }

    /// The same, with someone who has them read webhooks; without one no source receives any.
    #[must_use]
    pub fn received_by(self, receiver: Arc<dyn Receiver>) -> Self {
        Self { receiver: Some(receiver), ..self }
    }

    pub(crate) fn receiver(&self) -> Option<&dyn Receiver> {
        self.receiver.as_deref()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Manifest>> {
        let mut all = (self.installed)();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Manifest>> {
        (self.installed)().into_iter().find(|manifest| manifest.id == id)
    }

    pub(crate) fn check(
        &self,
        manifest: &Manifest,
        settings: &BTreeMap<String, Value>,
        secrets: &Secrets,
        kept: &BTreeSet<String>,
    ) -> Option<Vec<FieldError>> {
        (self.check)(manifest, settings, secrets, kept)
    }
}

/// The state as handlers hold it: one pointer.
#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) connectors: Connectors,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) windows_held: Arc<AtomicU64>,
    pub(crate) options: ApiOptions,
    pub(crate) checker: Checker,
    pub(crate) metrics: Metrics,
    pub(crate) listeners: Listeners,
    pub(crate) bodies: Bodies,
    pub(crate) quotas: Quotas,
}

impl Api {
    pub(crate) fn new(state: ApiState, checker: Checker) -> Self {
        let ApiState { engine, store, log, connectors, clock, windows_held, options } = state;
        let bodies = Bodies::new(options.max_bodies, options.max_body);
        let (metrics, listeners) = (Metrics::default(), Listeners::default());
        let quotas = Quotas::new(options.quota);
        Self(Arc::new(Shared {
            engine,
            store,
            log,
            connectors,
            clock,
            windows_held,
            options,
            checker,
            metrics,
            listeners,
            bodies,
            quotas,
        }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Deref for Api {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}
