//! A destination: where events go, through which connector, with which settings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{DestinationId, Timestamp};

/// A place that events are delivered to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Destination {
    /// Its id.
    pub id: DestinationId,
    /// Its name; the client's `integrations` object may name it.
    pub name: String,
    /// The connector's id: `rialto/webhook`.
    pub connector: String,
    /// The connector's settings, checked against its manifest. Never holds a secret.
    #[schema(value_type = Object)]
    pub settings: BTreeMap<String, Value>,
    /// The auth slots and secret settings that are filled, by name; their values are never shown.
    #[serde(default)]
    pub secrets: BTreeSet<String>,
    /// Whether events are delivered; a disabled destination's lane stands still and loses nothing.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Secret values by slot or setting name. Has no Debug that shows them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(pub BTreeMap<String, String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
