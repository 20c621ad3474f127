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

/// Picks out what the lanes of a tenant need.
pub(super) fn lanes_of(config: &TenantConfig) -> LaneConfigs {
    let lane = |(destination, secrets): &(Destination, Secrets)| {
        let enabled = destination.enabled && config.tenant.enabled;
        let (destination, secrets) = (Arc::new(destination.clone()), Arc::new(secrets.clone()));
        (destination.id, LaneConfig { destination, secrets, enabled })
    };
    config.destinations.iter().map(lane).collect()
}
