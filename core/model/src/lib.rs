//! What things are. No I/O, no async, no clock: time and randomness come in as arguments.
//!
//! The types here are the wire types too: what the API shows, what the log keeps and what plugins see is one shape.

pub mod condition;
pub mod decision;
pub mod delivery;
pub mod destination;
pub mod event;
pub mod explain;
pub mod id;
pub mod identifier;
pub mod json;
pub mod key;
pub mod lane;
pub mod live;
pub mod manifest;
pub mod page;
pub mod profile;
pub mod route;
pub mod signature;
pub mod source;
pub mod suppression;
pub mod tenant;
pub mod time;

pub use id::{
    ApiKeyId, DeadLetterId, DestinationId, MergeId, ProfileId, RouteId, SourceId, SuppressionId, TenantId, WriteKeyId,
};
pub use time::Timestamp;

/// Where an event stands in its tenant's stream: 1 is the first, 0 stands before all.
pub type Position = u64;
