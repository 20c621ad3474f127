//! What the engine reads and writes at once: a step of the processor, a window of a lane, an answer to retries.

use std::collections::HashMap;

use rialto_model::decision::TimelineEntry;
use rialto_model::delivery::{DeadLetter, Lane, Parked, PassedOver};
use rialto_model::identifier::Identifier;
use rialto_model::profile::{Merge, Profile};
use rialto_model::suppression::Suppressed;
use rialto_model::{DestinationId, Position, ProfileId, Timestamp};

/// Where a tenant stands: what a loop looks at before it does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// All events up to here are processed.
    pub processor: Position,
    /// The configuration's version; reload it when it grew.
    pub config_version: u64,
}

/// What a step wants to know before it decides.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Message ids that may have been seen before.
    pub message_ids: Vec<String>,
    /// Only events taken in since then count as seen.
    pub dedupe_since: Timestamp,
    /// Whose are these identifiers?
    pub identifiers: Vec<Identifier>,
    /// Profiles that are wanted whatever identifies them.
    pub profile_ids: Vec<ProfileId>,
    /// Are these suppressed, or any that the loaded profiles hold? `None` does not ask.
    pub suppressible: Option<Vec<Identifier>>,
    /// How many bytes the documents of all these profiles may have; without it, however many they have.
    pub most_bytes: Option<usize>,
}

/// The answer to [`Wanted`]; what is not there is not in the maps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// Where a message id was seen, duplicates left aside.
    pub seen: HashMap<String, Position>,
    /// Who holds an identifier.
    pub owners: HashMap<Identifier, ProfileId>,
    /// The owners and the wanted profiles, of absorbed ones their survivors.
    pub profiles: HashMap<ProfileId, Profile>,
    /// Which identifiers are suppressed, of those that were asked for.
    pub suppressed: HashMap<Identifier, Suppressed>,
    /// Of the wanted ids those that were absorbed, each with the one that lives on.
    pub aliases: HashMap<ProfileId, ProfileId>,
}

/// All that one step of the processor changes; it is written whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct StepWrite {
    /// Where the cursor has to be.
    pub from: Position,
    /// Where it is to be.
    pub to: Position,
    /// Profiles whose document changed, whole, each once; none that was absorbed.
    pub profiles: Vec<Profile>,
    /// Profiles that were only seen: their documents are as the store has them. None of those above.
    pub seen: Vec<Sighting>,
    /// Identifiers that are new or moved: whose they are now and since when they are known. Each once.
    pub claims: Vec<(Identifier, ProfileId, Timestamp)>,
    /// Profiles that are no more, each with the one it became.
    pub absorbed: Vec<(ProfileId, ProfileId)>,
    /// The journal of those merges.
    pub merges: Vec<Merge>,
    /// One row an event.
    pub timeline: Vec<TimelineEntry>,
    /// What the step has to say in the tenant's own stream.
    pub outbox: Vec<OutboxEvent>,
    /// Where payloads stand that have to leave the log; they are owed from here on.
    pub withdrawn: Vec<Position>,
    /// The moment of the step.
    pub now: Timestamp,
}

/// When and how often a person was seen, as of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Who.
    pub profile_id: ProfileId,
    /// When the profile last changed.
    pub updated_at: Timestamp,
    /// When the person was last seen, by event time.
    pub last_seen_at: Timestamp,
    /// How many events they took part in.
    pub events: u64,
}

impl Sighting {
    /// What a profile says of it.
    pub fn of(profile: &Profile) -> Self {
        let Profile { id, updated_at, last_seen_at, events, .. } = profile;
        Self { profile_id: *id, updated_at: *updated_at, last_seen_at: *last_seen_at, events: *events }
    }
}

/// Something that a step has to say; it waits here until it is in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Its id, derived from its cause, so that saying it twice is dropped like any duplicate.
    pub message_id: String,
    /// The event as JSON, as it goes into the log.
    pub body: String,
}

/// All that one window of a lane changes; it is written whole or not at all.
#[derive(Debug, Clone)]
pub struct LaneWrite {
    /// Whose lane.
    pub destination_id: DestinationId,
    /// Where the cursor has to be.
    pub from: Position,
    /// Where it is to be.
    pub to: Position,
    /// How many events the destination took.
    pub delivered: u64,
    /// What the connector had nothing to send for.
    pub skipped: Vec<Skip>,
    /// What is to be tried again, and what waits behind such.
    pub parked: Vec<Parked>,
    /// What is given up.
    pub dead: Vec<DeadLetter>,
    /// The moment of the write.
    pub now: Timestamp,
}

/// A delivery that the connector had nothing to send for, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Where the event stands.
    pub position: Position,
    /// The connector's action; empty for its only one.
    pub action: String,
    /// The connector's code.
    pub code: String,
    /// The connector's words; only the beginning of long ones is kept.
    pub message: String,
}

/// What there is of one event at its destinations, as of one moment. What a lane is past and is in none of the lists
/// was delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The destinations' lanes, as far as they are there.
    pub lanes: Vec<Lane>,
    /// What waits.
    pub parked: Vec<Parked>,
    /// What was given up.
    pub dead: Vec<DeadLetter>,
    /// What came to nothing otherwise.
    pub passed_over: Vec<PassedOver>,
}

/// What became of parked rows; it is written whole or not at all.
#[derive(Debug, Clone)]
pub struct Settle {
    /// Whose lane.
    pub destination_id: DestinationId,
    /// Rows the destination took: position and action.
    pub delivered: Vec<(Position, String)>,
    /// Rows the connector had nothing to send for.
    pub skipped: Vec<Skip>,
    /// Rows that stay, with their attempts, history and due time.
    pub again: Vec<Parked>,
    /// Rows that are given up.
    pub dead: Vec<DeadLetter>,
    /// The moment of the write.
    pub now: Timestamp,
}

/// What is known of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// Never seen; it is the caller's now, to complete or to forget.
    Fresh,
    /// Done before: this was the answer.
    Replay(String),
    /// Seen with another payload.
    Mismatch,
    /// Another request with it is under way.
    Underway,
}
