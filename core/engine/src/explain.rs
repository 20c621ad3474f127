//! Explain: what happened to an event at each step, and why it reached or did not reach each destination. A read of
//! what was recorded: the log, the timeline row, the lane's cursor, the parked or dead row.

mod fate;
mod words;

use rialto_log::{Entry, LogError};
use rialto_model::Position;
use rialto_model::decision::TimelineEntry;
use rialto_model::event::Event;
use rialto_model::explain::{Explanation, Step, StepName};
use rialto_store::{StoreError, TenantScope};

use crate::engine::Engine;

/// How many events that wait to be processed are looked through for the one that is asked for.
const LOOK_AHEAD: usize = 20_000;
/// How many of them at a time.
const LOOK_AT: usize = 1_000;
const LOOK_BYTES: usize = 4 << 20;

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log did not answer.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Engine {
    /// Tells what happened to the event with a message id; `None` if the tenant has no such event. Of several with
    /// one id (24 hours apart, or duplicates) it is the latest that was processed.
    ///
    /// # Errors
    /// [`ExplainError`].
    pub async fn explain(&self, scope: &TenantScope, message_id: &str) -> Result<Option<Explanation>, ExplainError> {
        let rows = scope.timeline_of(message_id).await?;
        let (copies, processed): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.decision.duplicate_of.is_some());
        let Some(row) = processed.into_iter().next_back() else {
            return match copies.into_iter().next_back() {
                Some(copy) => Ok(Some(self.copy(scope, copy).await?)),
                None => self.waiting(scope, message_id).await,
            };
        };
        let entry = self.0.log.get(scope.tenant_id(), row.position).await?;
        let mut steps = vec![words::accepted(row.received_at, row.position, entry.as_ref())];
        steps.extend(words::decided(&row, &copies));
        let destinations = self.fates(scope, &row).await?;
        let profile_id = match row.profile_id {
            Some(id) => Some(scope.canonical(&[id]).await?.get(&id).copied().unwrap_or(id)),
            None => None,
        };
        Ok(Some(Explanation {
            message_id: row.message_id,
            position: row.position,
            profile_id,
            said: words::story(row.decision.refused.as_deref(), &destinations),
            steps,
            destinations,
            duplicates: copies.iter().map(|copy| copy.position).collect(),
            decision: Some(row.decision),
            payload: payload(entry.as_ref()),
        }))
    }

    /// A duplicate whose original is known only by its position.
    async fn copy(&self, scope: &TenantScope, copy: TimelineEntry) -> Result<Explanation, ExplainError> {
        let entry = self.0.log.get(scope.tenant_id(), copy.position).await?;
        let mut steps = vec![words::accepted(copy.received_at, copy.position, entry.as_ref())];
        steps.extend(words::decided(&copy, &[]));
        Ok(Explanation {
            message_id: copy.message_id,
            position: copy.position,
            profile_id: None,
            said: "It was dropped: an event with the same message id had come before.".to_owned(),
            steps,
            destinations: Vec::new(),
            duplicates: Vec::new(),
            decision: Some(copy.decision),
            payload: payload(entry.as_ref()),
        })
    }

    /// An event that is in the log and not yet processed.
    async fn waiting(&self, scope: &TenantScope, message_id: &str) -> Result<Option<Explanation>, ExplainError> {
        let processed = scope.processor_cursor().await?;
        let Some((entry, event)) = self.find_ahead(scope, processed, message_id).await? else { return Ok(None) };
        let ahead = entry.position - processed - 1;
        let said = match self.status().unavailable {
            Some(why) => format!("It is safe in the log and not yet processed: processing waits ({why})."),
            None => format!("It is safe in the log and not yet processed; {ahead} events are before it."),
        };
        Ok(Some(Explanation {
            message_id: event.message_id,
            position: entry.position,
            profile_id: None,
            said,
            steps: vec![words::accepted(event.received_at, entry.position, Some(&entry))],
            destinations: Vec::new(),
            duplicates: Vec::new(),
            decision: None,
            payload: payload(Some(&entry)),
        }))
    }

    async fn find_ahead(
        &self,
        scope: &TenantScope,
        mut after: Position,
        message_id: &str,
    ) -> Result<Option<(Entry, Event)>, ExplainError> {
        // An event begins with its message id, so most can be told apart without being read.
        let start = format!("{{\"message_id\":{}", serde_json::Value::from(message_id));
        for _ in 0..LOOK_AHEAD / LOOK_AT {
            let entries = self.0.log.read(scope.tenant_id(), after, LOOK_AT, LOOK_BYTES).await?;
            let Some(last) = entries.last() else { return Ok(None) };
            after = last.position;
            for entry in entries {
                if entry.body.starts_with(start.as_bytes())
                    && let Ok(event) = serde_json::from_slice::<Event>(&entry.body)
                    && event.message_id == message_id
                {
                    return Ok(Some((entry, event)));
                }
            }
        }
        Ok(None)
    }
}

fn payload(entry: Option<&Entry>) -> Option<serde_json::Value> {
    serde_json::from_slice(&entry?.body).ok()
}

/// A step without particulars.
fn step(name: StepName, at: Option<rialto_model::Timestamp>, said: String, detail: Vec<String>) -> Step {
    Step { step: name, at, said, detail }
}
