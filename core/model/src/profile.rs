//! The golden profile: who a person is, by which identifiers, with where each trait came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::identifier::{Identifier, KNOWN_KINDS};
use crate::{MergeId, ProfileId, SourceId, Timestamp};

/// The most traits a profile keeps; more are left in the payload, and the decision says so.
pub const MAX_TRAITS: usize = 1_000;

/// The most bytes of JSON that a profile's traits make, with where each came from; more are left in the payload, and
/// the decision says so.
pub const MAX_TRAIT_BYTES: usize = 256 << 10;

/// One person, as far as the tenant knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    /// Stable for ever: the older profile survives a merge, the other's id answers as an alias.
    pub id: ProfileId,
    /// When the first event of this person came in.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the person was last seen, by event time.
    pub last_seen_at: Timestamp,
    /// What they are known by.
    pub identifiers: Vec<HeldIdentifier>,
    /// What is known of them.
    pub traits: BTreeMap<String, TraitValue>,
    /// Traits that were deleted, so that a late event does not bring an older value back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deleted_traits: BTreeMap<String, Provenance>,
    /// How many profiles were merged into it.
    pub merges: u32,
    /// How many events it took part in.
    pub events: u64,
}

/// An identifier that a profile holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldIdentifier {
    /// Its kind.
    pub kind: String,
    /// Its normalised value.
    pub value: String,
    /// When it was first seen on this person.
    pub first_seen_at: Timestamp,
}

impl HeldIdentifier {
    /// The pair alone.
    pub fn identifier(&self) -> Identifier {
        Identifier { kind: self.kind.clone(), value: self.value.clone() }
    }
}

/// A trait's value with where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraitValue {
    /// The value, any JSON but null.
    pub value: Value,
    /// Where it came from.
    #[serde(flatten)]
    pub provenance: Provenance,
}

/// Where a trait came from: the last writer by event time wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provenance {
    /// The source that sent the event.
    pub source_id: SourceId,
    /// The event's message id.
    pub message_id: String,
    /// The event's time.
    pub at: Timestamp,
}

/// Which of the two planes a profile lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// Has an identifier that says who the person is.
    Known,
    /// Cookie and device ids only.
    Pseudonymous,
}

impl Profile {
    /// A profile of nobody yet.
    pub fn new(id: ProfileId, now: Timestamp) -> Self {
        Self {
            id,
            created_at: now,
            updated_at: now,
            last_seen_at: now,
            identifiers: Vec::new(),
            traits: BTreeMap::new(),
            deleted_traits: BTreeMap::new(),
            merges: 0,
            events: 0,
        }
    }

    /// Known, or pseudonymous.
    pub fn plane(&self) -> Plane {
        let known = self.identifiers.iter().any(|held| KNOWN_KINDS.contains(&held.kind.as_str()));
        if known { Plane::Known } else { Plane::Pseudonymous }
    }
}

/// One merge, as the journal keeps it: what each side had, so that it can be undone exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Merge {
    /// The merge's own id.
    pub id: MergeId,
    /// When it was made, by the hub's clock.
    pub at: Timestamp,
    /// The event that showed the two to be one.
    pub message_id: String,
    /// The identifiers on that event by which they were found.
    pub by: Vec<Identifier>,
    /// The older profile, which lives on.
    pub survivor_id: ProfileId,
    /// The other, whose id is an alias from now on.
    pub absorbed_id: ProfileId,
    /// The survivor before the merge.
    pub survivor_before: Profile,
    /// The absorbed profile before the merge.
    pub absorbed_before: Profile,
}
