//! What a lane needs to know of its destination.

use std::collections::HashMap;
use std::sync::Arc;

use rialto_model::DestinationId;
use rialto_model::destination::{Destination, Secrets};
use rialto_store::TenantConfig;

/// One destination as it is set up now.
#[derive(Debug, Clone)]
pub(super) struct LaneConfig {
    pub(super) destination: Arc<Destination>,
    pub(super) secrets: Arc<Secrets>,
    /// The destination's and its tenant's switch.
    pub(super) enabled: bool,
}

/// All destinations of a tenant.
pub(super) type LaneConfigs = HashMap<DestinationId, LaneConfig>;

/// A tenant's destinations as they were read last.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The newest version that was seen, even if it has to be read again.
    version: u64,
    configs: Option<Arc<LaneConfigs>>,
}

impl Known {
    pub(super) fn get(&self) -> Option<&Arc<LaneConfigs>> {
        self.configs.as_ref()
    }

    /// They have to be read again.
    pub(super) fn forget(&mut self) {
        self.configs = None;
    }

    /// Takes in what was read; `None` if something newer was seen before.
    pub(super) fn learn(&mut self, config: &TenantConfig) -> Option<Arc<LaneConfigs>> {
        if config.version < self.version {
            return None;
        }
        self.version = config.version;
        let configs = Arc::new(lanes_of(config));
        self.configs = Some(Arc::clone(&configs));
        Some(configs)
    }
}

/// Picks out what the lanes of a tenant need.
fn lanes_of(config: &TenantConfig) -> LaneConfigs {
    let lane = |(destination, secrets): &(Destination, Secrets)| {
        let enabled = destination.enabled && config.tenant.enabled;
        let (destination, secrets) = (Arc::new(destination.clone()), Arc::new(secrets.clone()));
        (destination.id, LaneConfig { destination, secrets, enabled })
    };
    config.destinations.iter().map(lane).collect()
}
