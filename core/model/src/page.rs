//! Pages of a listing: keyset cursors, so that a list that grows while it is read shows nothing twice.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most items of a page.
pub const MAX_LIMIT: u32 = 200;

/// Which page is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageRequest {
    /// How many items at the most: 1 to 200, 50 if absent.
    #[serde(default)]
    pub limit: Option<u32>,
    /// The `next` of the page before; absent for the first.
    #[serde(default)]
    pub after: Option<String>,
}

impl PageRequest {
    /// The limit in force.
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(50).clamp(1, MAX_LIMIT)
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to ask for next; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
