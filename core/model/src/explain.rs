//! The explanation of an event: what happened to it at each step, and why it reached or did not reach each
//! destination. Told from what was recorded when it was decided.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::decision::Decision;
use crate::delivery::Attempt;
use crate::{DestinationId, Position, ProfileId, RouteId, Timestamp};

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The event.
    pub message_id: String,
    /// Where it stands in the stream.
    pub position: Position,
    /// The person it was resolved to, by the id that answers now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<ProfileId>,
    /// The whole story in a sentence.
    pub said: String,
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// What became of it at each destination that a route from its source leads to.
    pub destinations: Vec<Fate>,
    /// Where copies of it with the same message id stand, which were dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<Position>,
    /// The decision as it was recorded; absent while the event is not yet processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The event as it lies in the log; absent once it was trimmed or erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Value>,
}

/// One step of the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Which.
    pub step: StepName,
    /// When, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What happened, in a sentence.
    pub said: String,
    /// Particulars, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<String>,
}

/// The steps of the pipeline, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// It was made durable.
    Accepted,
    /// It was compared with the message ids of the last 24 hours.
    Deduplicated,
    /// It was found whose it is.
    Identified,
    /// Its traits were put on the profile.
    Folded,
    /// It was decided which routes it takes.
    Planned,
}

/// What became of an event on one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fate {
    /// The route.
    pub route_id: RouteId,
    /// The destination.
    pub destination_id: DestinationId,
    /// The destination's name now; absent if it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The connector's action, where the route names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What became of it.
    pub status: FateStatus,
    /// Why, in a sentence.
    pub said: String,
    /// The attempts that did not deliver, oldest first, where it is parked or given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// When it is tried next, where it is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

/// What became of an event at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FateStatus {
    /// The destination took it.
    Delivered,
    /// The connector had nothing to send for it.
    Skipped,
    /// It was given up, and someone discarded it.
    Discarded,
    /// The lane has not come to it yet.
    Waiting,
    /// The lane has not come to it, for it stands still.
    LaneStopped,
    /// An attempt failed; it is tried again.
    Parked,
    /// It waits behind an earlier event of the same person that is tried again.
    HeldBehind,
    /// It was given up and waits in the inbox.
    Dead,
    /// The route was not taken.
    NotTaken,
    /// The destination was deleted.
    Gone,
}
