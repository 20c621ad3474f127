//! A source: where events come from.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{SourceId, Timestamp};

/// A place that sends events: a site, an app, a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// Its name.
    pub name: String,
    /// Whether events are taken; the write keys of a disabled source answer 404.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
