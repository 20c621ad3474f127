//! What the engine asks of a connector. The plugin host fulfils it; the engine's tests fulfil it with a script.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rialto_model::delivery::Outcome;
use rialto_model::destination::{Destination, Secrets};
use rialto_model::manifest::Limits;
use rialto_model::{ProfileId, TenantId, Timestamp};

/// The code of an [`Outcome`] (verdict `retry`) for an event that was not sent, because an earlier event of the
/// same person in the same job did not get through. It counts as no attempt.
pub const HELD: &str = "held";

/// Code that can deliver events to a kind of destination.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// How much the connector `connector` (a manifest id, such as `rialto/webhook`) takes at a time; `None` if no
    /// such connector is installed.
    fn limits(&self, connector: &str) -> Option<Limits>;

    /// Delivers a job: exactly one outcome per event, in the job's order. Events with the same `order_key` must
    /// reach the destination in the job's order, and once one of them has not got through, those behind it must
    /// not be sent: their outcome is verdict `retry` with the code [`HELD`].
    ///
    /// # Errors
    /// A [`Failure`] when the job failed as a whole and says nothing of single events. Some of them may have
    /// reached the destination all the same; their delivery ids stay the same on the next attempt.
    async fn deliver(&self, job: Job) -> Result<Vec<Outcome>, Failure>;
}

/// Events for one action of one destination, never more than the connector's [`Limits`] allow.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whose events they are.
    pub tenant_id: TenantId,
    /// Where they go; its `connector` names the code to run.
    pub destination: Arc<Destination>,
    /// The destination's credentials.
    pub secrets: Arc<Secrets>,
    /// The connector's action; empty for its only one.
    pub action: String,
    /// The events, in the order of the stream; at least one.
    pub events: Vec<JobEvent>,
    /// 1 for the first attempt; the highest of the events' where they differ.
    pub attempt: u32,
    /// The moment of the attempt.
    pub now: Timestamp,
}

/// One event of a job.
#[derive(Debug, Clone)]
pub struct JobEvent {
    /// The delivery's id: the same on every attempt, so a destination can tell a repeat.
    pub delivery_id: String,
    /// The person, within whom order is kept.
    pub order_key: ProfileId,
    /// The event as JSON: [`rialto_model::event::Event`] and `profile_id` where there is a profile.
    pub body: Bytes,
}

/// A job failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// What to do about it.
    pub kind: FailureKind,
    /// A short machine-readable reason: `plugin_trap`, `plugin_deadline`, `setting_missing`.
    pub code: String,
    /// A sentence for people, scrubbed of secrets, at most 1,000 characters.
    pub message: String,
}

/// What a failed job means for the events in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The code failed (trap, deadline, memory, nonsense answered): one of the events may be the poison, so the
    /// engine tries them in halves until it has found it.
    Plugin,
    /// Nothing is wrong with the events; try again later.
    Retryable,
    /// The destination is set up wrongly: no event can pass until someone changes it.
    Fatal,
}
