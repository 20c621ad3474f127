//! The live tail: what a tenant's pipeline does, as it does it. Lossy, and it says when it lost something.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::EventType;
use crate::{DestinationId, Position, ProfileId, SourceId, Timestamp};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum LiveEvent {
    /// An event is durable in the log.
    Accepted {
        /// When.
        at: Timestamp,
        /// Where it stands.
        position: Position,
        /// Its id.
        message_id: String,
        /// What kind of call it was.
        #[serde(rename = "type")]
        kind: EventType,
        /// Its name, or its type where it has none.
        name: String,
        /// The source it came from.
        source_id: SourceId,
    },
    /// It was decided whose it is and where it goes.
    Decided {
        /// When.
        at: Timestamp,
        /// Where it stands.
        position: Position,
        /// Its id.
        message_id: String,
        /// The person, if it names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile_id: Option<ProfileId>,
        /// Whether it was dropped as a duplicate.
        duplicate: bool,
        /// The destinations it goes to.
        destinations: Vec<DestinationId>,
    },
    /// The destination took it.
    Delivered(LiveDelivery),
    /// The connector had nothing to send for it.
    Skipped(LiveDelivery),
    /// It waits for another try.
    Parked(LiveDelivery),
    /// It was given up.
    Dead(LiveDelivery),
    /// The listener was too slow: so many were left out here.
    Missed {
        /// How many.
        count: u64,
    },
}

/// What became of an event at a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveDelivery {
    /// When.
    pub at: Timestamp,
    /// Where the event stands.
    pub position: Position,
    /// Its id.
    pub message_id: String,
    /// The destination.
    pub destination_id: DestinationId,
    /// The outcome's code; empty where all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The outcome in a sentence; empty where all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}
