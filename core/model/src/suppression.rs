//! Suppressions: of whom nothing is kept and nothing goes out. The list says of which kind an identifier is and never
//! which it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{SuppressionId, Timestamp};

/// The longest reason, in characters.
pub const MAX_REASON: usize = 500;

/// One identifier whose person's events go nowhere. Its value is not kept: only a keyed hash, by which it is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Suppression {
    /// Its id.
    pub id: SuppressionId,
    /// The identifier's kind: `user_id`, `email`, … or a custom kind.
    pub kind: String,
    /// Why, in the words of who asked for it; it should name nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it holds.
    pub created_at: Timestamp,
}

/// What is said of an event that went nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Suppressed {
    /// Since when its person is suppressed.
    pub since: Timestamp,
    /// By which suppression; it may have been lifted since.
    pub suppression_id: SuppressionId,
}
