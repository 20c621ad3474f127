//! What is worked out once for a destination and not at every delivery: where it may be reached, what must not leak,
//! and how much of it may run at a time.

use std::{collections::BTreeMap, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;
use rialto_engine::{Failure, FailureKind};
use rialto_model::{
    DestinationId,
    destination::{Destination, Secrets},
    manifest::{Manifest, check},
};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{egress::Allowed, runtime::Plugin, scrub::Scrubber};

/// How many destinations are kept ready.
const KEPT: usize = 4_096;

/// A destination with its connector.
pub(crate) struct Prepared {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) destination: Arc<Destination>,
    pub(crate) secrets: Arc<Secrets>,
    /// The settings as JSON, with the manifest's defaults in.
    pub(crate) settings: String,
    pub(crate) allowed: Allowed,
    pub(crate) scrubber: Scrubber,
    /// Requests to it at a time, over all of its jobs.
    pub(crate) room: Arc<Semaphore>,
}

impl Prepared {
    fn new(
        plugin: &Arc<Plugin>,
        destination: &Arc<Destination>,
        secrets: &Arc<Secrets>,
        before: Option<&Self>,
    ) -> Result<Self, Failure> {
        let manifest = &plugin.manifest;
        // A connector that was replaced may ask for more than the destination was made with.
        let faults = check(manifest, &destination.settings, secrets, &std::collections::BTreeSet::new());
        if let Some(fault) = faults.first() {
            let message = format!("{} {}", fault.field, fault.message);
            return Err(Failure { kind: FailureKind::Fatal, code: "settings".into(), message });
        }
        let settings = with_defaults(manifest, &destination.settings);
        let same_limit = before.filter(|old| old.plugin.manifest.limits == manifest.limits);
        let room = same_limit.map_or_else(
            || Arc::new(Semaphore::new(manifest.limits.concurrency as usize)),
            |old| Arc::clone(&old.room),
        );
        Ok(Self {
            allowed: Allowed::of(manifest, &settings),
            settings: Value::from_iter(settings).to_string(),
            scrubber: Scrubber::new(secrets),
            plugin: Arc::clone(plugin),
            destination: Arc::clone(destination),
            secrets: Arc::clone(secrets),
            room,
        })
    }

    fn is_of(&self, plugin: &Arc<Plugin>, destination: &Arc<Destination>, secrets: &Arc<Secrets>) -> bool {
        Arc::ptr_eq(&self.plugin, plugin)
            && Arc::ptr_eq(&self.destination, destination)
            && Arc::ptr_eq(&self.secrets, secrets)
    }
}

/// A destination's settings with the manifest's defaults in.
pub(crate) fn with_defaults(manifest: &Manifest, given: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut settings = given.clone();
    settings.retain(|_, value| !value.is_null());
    for field in &manifest.settings {
        if let (Some(default), false) = (&field.default, settings.contains_key(&field.name)) {
            settings.insert(field.name.clone(), default.clone());
        }
    }
    settings
}

/// The destinations that were used last.
pub(crate) struct Ready(Mutex<LruCache<DestinationId, Arc<Prepared>>>);

impl Default for Ready {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(std::num::NonZeroUsize::MIN.saturating_add(KEPT - 1))))
    }
}

impl Ready {
    /// The prepared form of just this destination with just these secrets.
    pub(crate) fn get(
        &self,
        plugin: &Arc<Plugin>,
        destination: &Arc<Destination>,
        secrets: &Arc<Secrets>,
    ) -> Result<Arc<Prepared>, Failure> {
        let before = self.0.lock().get(&destination.id).cloned();
        if let Some(known) = before.as_ref().filter(|known| known.is_of(plugin, destination, secrets)) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(Prepared::new(plugin, destination, secrets, before.as_deref())?);
        self.0.lock().put(destination.id, Arc::clone(&made));
        Ok(made)
    }
}
