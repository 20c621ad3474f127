//! Deliveries: what became of an event at a destination.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DeadLetterId, DestinationId, Position, ProfileId, Timestamp};

/// The most attempts that a parked row remembers; older ones are dropped first.
pub const MAX_ATTEMPTS_KEPT: usize = 20;

/// What a connector says of one event. The host turns it into delivered, parked or dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The destination took it.
    Delivered,
    /// The connector has nothing to send for it; that is fine.
    Skipped,
    /// The destination will never take it: to the inbox.
    Rejected,
    /// Not now: park and try again.
    Retry,
    /// The credentials are refused: park, and tell the tenant.
    Unauthorized,
}

/// What happened to one event in one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// What the connector or the host says.
    pub verdict: Verdict,
    /// A short machine-readable reason: `http_503`, `timeout`, `plugin_trap`, `egress_refused`.
    pub code: String,
    /// A sentence for people, scrubbed of secrets, at most 1,000 characters.
    pub message: String,
    /// How long the destination asked to be left alone, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// One attempt that did not deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it was made.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
}

/// A delivery that waits for another try, or behind an earlier one of the same person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Parked {
    /// Where the event stands in the stream.
    pub position: Position,
    /// The event.
    pub message_id: String,
    /// The destination.
    pub destination_id: DestinationId,
    /// The connector's action; empty for its only one.
    pub action: String,
    /// The person, whose later events wait behind this one.
    pub profile_id: ProfileId,
    /// The delivery's id: the same on every attempt.
    pub delivery_id: String,
    /// How many attempts were made; 0 for one that waits behind another.
    pub attempts: u32,
    /// When it was first parked.
    pub parked_at: Timestamp,
    /// When it is tried next; absent for one that waits behind another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// The latest attempts, oldest first.
    pub history: Vec<Attempt>,
}

/// A delivery that was given up on; it stays until someone retries or discards it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// Its id.
    pub id: DeadLetterId,
    /// Where the event stands in the stream.
    pub position: Position,
    /// The event.
    pub message_id: String,
    /// The destination.
    pub destination_id: DestinationId,
    /// The connector's action; empty for its only one.
    pub action: String,
    /// The person.
    pub profile_id: ProfileId,
    /// The delivery's id: the same on every attempt.
    pub delivery_id: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// When it was given up.
    pub died_at: Timestamp,
    /// Why: rejected, too old, or out of attempts.
    pub reason: String,
    /// The latest attempts, oldest first.
    pub history: Vec<Attempt>,
}

/// The most characters that are kept of why a delivery was passed over.
pub const MAX_PASSED_OVER: usize = 200;

/// A delivery that came to nothing and is not open any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Where the event stands in the stream.
    pub position: Position,
    /// The destination.
    pub destination_id: DestinationId,
    /// The connector's action; empty for its only one.
    pub action: String,
    /// How it came to nothing.
    pub what: Passing,
    /// The connector's code for it; of one that was discarded, that of its last attempt.
    pub code: String,
    /// The connector's words for it, or why it had been given up; at most [`MAX_PASSED_OVER`] characters.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// How a delivery came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// The connector had nothing to send for it.
    Skipped,
    /// It had been given up, and someone discarded it.
    Discarded,
}

/// How a destination's lane stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lane {
    /// The destination.
    pub destination_id: DestinationId,
    /// All events up to here were delivered, skipped, parked or given up.
    pub cursor: Position,
    /// How many events the destination took.
    pub delivered: u64,
    /// How many the connector had nothing to send for.
    pub skipped: u64,
    /// How many were given up on.
    pub dead: u64,
    /// How many wait for another try now.
    pub parked: u64,
    /// When the cursor last moved.
    pub updated_at: Timestamp,
}

impl Outcome {
    /// An outcome that asks for another try.
    pub fn retry(code: &str, message: &str) -> Self {
        let message = message.chars().take(1_000).collect();
        Self { verdict: Verdict::Retry, code: code.to_owned(), message, retry_after_ms: None }
    }

    /// The outcome of an event that was not sent, since an earlier one of its person did not get through.
    pub fn held() -> Self {
        Self::retry("held", "an earlier event of the same person did not get through")
    }
}
