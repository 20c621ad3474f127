//! What callers hand in to make or change a tenant's configuration. A field that is `None` stays as it is.

use std::collections::BTreeMap;

use rialto_model::condition::Condition;
use rialto_model::destination::{Destination, Secrets};
use rialto_model::identifier::IdentityRules;
use rialto_model::route::Route;
use rialto_model::source::Source;
use rialto_model::tenant::{Quota, Tenant};
use rialto_model::{DestinationId, Position, ProfileId, SourceId};
use serde_json::Value;

/// A change of a tenant.
#[derive(Debug, Clone, Default)]
pub struct TenantChange {
    /// Its new name.
    pub name: Option<String>,
    /// Whether it is served from now on.
    pub enabled: Option<bool>,
    /// What identifies a person from now on.
    pub identity: Option<IdentityRules>,
    /// What it may take of the hub from now on, all of it.
    pub quota: Option<Quota>,
}

/// A source to be. One by its name alone receives no webhooks.
#[derive(Debug, Clone, Default)]
pub struct NewSource {
    /// Its name.
    pub name: String,
    /// The id of the connector that reads its webhooks.
    pub connector: Option<String>,
    /// The connector's settings.
    pub settings: BTreeMap<String, Value>,
    /// Secret values, sealed before they are stored.
    pub secrets: Secrets,
}

impl From<&str> for NewSource {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// A change of a source.
#[derive(Clone, Default)]
pub struct SourceChange {
    /// Its new name.
    pub name: Option<String>,
    /// Its new connector, or none. Another one begins without settings and secrets.
    pub connector: Option<Option<String>>,
    /// Its new settings, all of them.
    pub settings: Option<BTreeMap<String, Value>>,
    /// Secrets to set (a value) or to remove (`None`); those not named stay.
    pub secrets: BTreeMap<String, Option<String>>,
    /// Whether events are taken from now on.
    pub enabled: Option<bool>,
}

impl std::fmt::Debug for SourceChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceChange")
            .field("name", &self.name)
            .field("connector", &self.connector)
            .field("secrets", &self.secrets.keys())
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// A destination to be.
#[derive(Debug, Clone)]
pub struct NewDestination {
    /// Its name, unique in the tenant.
    pub name: String,
    /// The connector's id.
    pub connector: String,
    /// The connector's settings.
    pub settings: BTreeMap<String, Value>,
    /// Secret values, sealed before they are stored.
    pub secrets: Secrets,
    /// Whether events are delivered.
    pub enabled: bool,
}

/// A change of a destination.
#[derive(Clone, Default)]
pub struct DestinationChange {
    /// Its new name.
    pub name: Option<String>,
    /// Its new settings, all of them.
    pub settings: Option<BTreeMap<String, Value>>,
    /// Secrets to set (a value) or to remove (`None`); those not named stay.
    pub secrets: BTreeMap<String, Option<String>>,
    /// Whether events are delivered from now on.
    pub enabled: Option<bool>,
}

impl std::fmt::Debug for DestinationChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DestinationChange")
            .field("name", &self.name)
            .field("secrets", &self.secrets.keys())
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// A route to be.
#[derive(Debug, Clone)]
pub struct NewRoute {
    /// Its name.
    pub name: String,
    /// The source it starts from; all if `None`.
    pub source_id: Option<SourceId>,
    /// The destination it ends at.
    pub destination_id: DestinationId,
    /// The connector's action; its only one if `None`.
    pub action: Option<String>,
    /// Which events take it; all if `None`.
    pub condition: Option<Condition>,
    /// Whether it is open.
    pub enabled: bool,
}

/// A change of a route. The inner `None` takes the value away.
#[derive(Debug, Clone, Default)]
pub struct RouteChange {
    /// Its new name.
    pub name: Option<String>,
    /// The source it starts from now.
    pub source_id: Option<Option<SourceId>>,
    /// The destination it ends at now.
    pub destination_id: Option<DestinationId>,
    /// The action it takes now.
    pub action: Option<Option<String>>,
    /// Which events take it now.
    pub condition: Option<Option<Condition>>,
    /// Whether it is open from now on.
    pub enabled: Option<bool>,
}

/// Which routes are wanted.
#[derive(Debug, Clone, Default)]
pub struct RouteFilter {
    /// Only those from this source (those from all sources are not among them).
    pub source_id: Option<SourceId>,
    /// Only those to this destination.
    pub destination_id: Option<DestinationId>,
}

/// Which parked rows or dead letters are wanted.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Only those of this destination.
    pub destination_id: Option<DestinationId>,
    /// Only those of this person.
    pub profile_id: Option<ProfileId>,
    /// Only those of this event.
    pub message_id: Option<String>,
    /// Only those of this position.
    pub position: Option<Position>,
}

/// All of a tenant's configuration at one moment.
#[derive(Debug, Clone)]
pub struct TenantConfig {
    /// Grows with every change.
    pub version: u64,
    /// The tenant.
    pub tenant: Tenant,
    /// Its sources.
    pub sources: Vec<Source>,
    /// Its destinations, with their secrets in the clear.
    pub destinations: Vec<(Destination, Secrets)>,
    /// Its routes, oldest first.
    pub routes: Vec<Route>,
    /// Whether it suppresses anyone.
    pub suppresses: bool,
}
