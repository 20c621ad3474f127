//! A tenant's configuration, made ready to run: conditions compiled, destinations named.

use std::collections::HashMap;

use rialto_model::DestinationId;
use rialto_model::condition::{Compiled, Invalid};
use rialto_model::route::Route;
use rialto_model::tenant::Tenant;
use rialto_store::TenantConfig;

/// All that is decided by, as of one version.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) version: u64,
    pub(crate) tenant: Tenant,
    pub(crate) routes: Vec<ReadyRoute>,
    /// Whether anyone is suppressed, and so has to be asked for.
    pub(crate) suppresses: bool,
}

/// A route that is ready to be judged.
#[derive(Debug)]
pub(crate) struct ReadyRoute {
    pub(crate) route: Route,
    /// The destination's name, by which `integrations` knows it.
    pub(crate) destination: String,
    pub(crate) condition: Result<Option<Compiled>, Invalid>,
}

impl Config {
    pub(crate) fn new(given: TenantConfig) -> Self {
        let TenantConfig { version, tenant, sources: _, destinations, routes, suppresses } = given;
        let names: HashMap<DestinationId, String> = destinations.into_iter().map(|(d, _)| (d.id, d.name)).collect();
        let routes = routes
            .into_iter()
            .map(|route| ReadyRoute {
                condition: route.condition.as_ref().map(rialto_model::condition::Condition::compile).transpose(),
                destination: names.get(&route.destination_id).cloned().unwrap_or_default(),
                route,
            })
            .collect();
        Self { version, tenant, routes, suppresses }
    }
}
