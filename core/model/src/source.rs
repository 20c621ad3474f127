//! A source: where events come from.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{SourceId, Timestamp};

/// A place that sends events: a site, an app, a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// Its name.
    pub name: String,
    /// The connector that reads its webhooks, if it receives any: `rialto/json-webhook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub connector: Option<String>,
    /// The connector's settings, checked against its manifest. Never holds a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object, required = false)]
    pub settings: BTreeMap<String, Value>,
    /// The slots by which its webhooks are proved that are filled, by name; their values are never shown.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(required = false)]
    pub secrets: BTreeSet<String>,
    /// Whether events are taken; the write keys of a disabled source answer 404.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
