//! What comes in: a request's body becomes events, or is refused with the reason. Pure, and all or nothing.
//!
//! The contract is the Segment HTTP Tracking API: see docs/guide/ingest.md.

mod envelope;
mod item;
mod refusal;
mod time;

pub use envelope::{Envelope, Form, Stamp};
pub use refusal::Refusal;

/// The most bytes of one event as the client wrote it, what its batch shares included.
pub const MAX_EVENT: usize = 32 * 1024;
/// The most bytes of one batch, inflated.
pub const MAX_BATCH: usize = 500 * 1024;
/// The most bytes of one batch once each event has what the batch shares. The log appends 16 MiB at a time; the rest is
/// for what is stamped on the events.
pub const MAX_UNFOLDED: usize = 15 * 1024 * 1024;
/// The most events of one batch.
pub const MAX_BATCH_EVENTS: usize = 2_500;

#[cfg(test)]
mod tests;
