//! The decision: what the processor decided on an event, written in one transaction with the state it was made on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::EventType;
use crate::identifier::{Identifier, Unusable};
use crate::suppression::Suppressed;
use crate::{DestinationId, MergeId, Position, ProfileId, RouteId, SourceId, Timestamp};

/// One row a processed event: the narrow record beside the state; the payload stays in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEntry {
    /// Where it stands in the tenant's stream.
    pub position: Position,
    /// The event's id.
    pub message_id: String,
    /// What kind of call it was.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Its name, or its type where it has none.
    pub name: String,
    /// The source it came from.
    pub source_id: SourceId,
    /// The person it was resolved to; absent for duplicates, refused and suppressed events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<ProfileId>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// When it was taken in.
    pub received_at: Timestamp,
    /// What was decided.
    pub decision: Decision,
}

/// What was decided on an event, and on what grounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// The earlier position with the same message id, if this is a duplicate; then nothing else was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<Position>,
    /// Why the event could not be processed at all, if so; then nothing else was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// That its person is suppressed, if so; then nothing else was done, and the payload leaves the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppressed>,
    /// How the person was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Traits that were older than what the profile has, and so were left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale_traits: Vec<String>,
    /// Traits that the profile has no room for; they stay in the payload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped_traits: Vec<String>,
    /// Every route of the tenant from this source, taken or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteDecision>,
}

/// How an event found its person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Resolution {
    /// Created, matched or merged.
    pub how: How,
    /// Identifiers on the event that found or now name the profile.
    pub by: Vec<Identifier>,
    /// Identifiers that were set aside, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
    /// The merges that this event made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merges: Vec<MergeId>,
}

/// How a profile came to be the event's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// No identifier was known: a new profile.
    Created,
    /// One profile was known by them.
    Matched,
    /// Several were, and became one.
    Merged,
    /// No identifier on it names one person: it belongs to no profile, and is routed all the same.
    Nobody,
}

/// An identifier on the event that was not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetAside {
    /// Which.
    #[serde(flatten)]
    pub identifier: Identifier,
    /// Why.
    pub why: SetAsideReason,
}

/// Why an identifier was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetAsideReason {
    /// Its value names no one person.
    Blocked,
    /// Its value is too long to identify.
    TooLong,
    /// Using it would have broken a limit, and it had the lowest priority.
    Demoted,
    /// The profile has all the identifiers or merges it may have.
    Capped,
}

impl From<Unusable> for SetAsideReason {
    fn from(why: Unusable) -> Self {
        match why {
            Unusable::Blocked => Self::Blocked,
            Unusable::TooLong => Self::TooLong,
        }
    }
}

/// What was decided on one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteDecision {
    /// The route.
    pub route_id: RouteId,
    /// Where it ends.
    pub destination_id: DestinationId,
    /// The connector's action, where the route names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Taken, or why not.
    pub verdict: RouteVerdict,
}

/// Whether a route was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteVerdict {
    /// The event goes to the destination.
    Taken,
    /// The route's condition does not hold; the text is the first test that failed.
    ConditionFalse(String),
    /// The client's `integrations` object leaves this destination out.
    IntegrationsExcluded,
    /// The route was closed at the time.
    RouteDisabled,
    /// Another route had already taken the event to the same destination and action.
    AlreadyTaken,
}
