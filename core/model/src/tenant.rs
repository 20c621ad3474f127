//! A tenant: one client organisation, alone in its data.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::identifier::IdentityRules;
use crate::{TenantId, Timestamp};

/// A client organisation of the operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// A short name, unique in the hub: `acme`.
    pub slug: String,
    /// Its name as people write it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Whether it is served; a disabled tenant's keys are refused and its lanes stand still.
    pub enabled: bool,
    /// What identifies a person here.
    #[serde(default)]
    pub identity: IdentityRules,
    /// What it may take of the hub.
    #[serde(default)]
    pub quota: Quota,
}

/// How much a tenant may take of the hub. What is absent or null is as the hub has it for all tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// The most events that are taken a second, over ten seconds; what goes beyond is answered 429.
    #[schema(minimum = 1)]
    pub events_per_second: Option<u32>,
}

/// Whether a text is a slug: 1 to 63 lower-case letters, digits and dashes, starting with a letter.
pub fn is_slug(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
