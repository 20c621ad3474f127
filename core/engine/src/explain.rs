//! Explain: what happened to an event at each step, and why it reached or did not reach each destination. A read of
//! what was recorded: the log, the timeline row, the lane's cursor, the parked or dead row.

mod ahead;
mod fate;
mod words;

use std::sync::Arc;

use rialto_log::{Entry, LogError};
use rialto_model::decision::TimelineEntry;
use rialto_model::explain::{Explanation, Step, StepName};
use rialto_model::{Position, TenantId};
use rialto_store::{StoreError, TenantScope};

use crate::engine::Engine;
pub(crate) use ahead::Looks;
use ahead::{LOOK, Looked, look_ahead};

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log did not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It is not processed, and enough others are being looked for among those that wait.
    #[error("it is not among the processed events, and enough others are being looked for among those that wait")]
    Busy,
    /// It is not processed, and more waits than can be looked through.
    #[error(
        "it is not among the processed events, nor among the {looked} next to be processed of {waiting} that wait; if \
         it was accepted, it is safe in the log: ask again once fewer wait"
    )]
    FarAhead {
        /// How many were looked through.
        looked: u64,
        /// How many wait.
        waiting: u64,
    },
}

impl Engine {
    /// Tells what happened to the event with a message id; `None` if the tenant has no such event. Of several with
    /// one id (24 hours apart, or duplicates) it is the latest that was processed.
    ///
    /// # Errors
    /// [`ExplainError`].
    pub async fn explain(&self, scope: &TenantScope, message_id: &str) -> Result<Option<Explanation>, ExplainError> {
        // The cursor first: an event that is processed between the two reads is in the timeline then.
        let cursor = scope.processor_cursor().await?;
        let rows = scope.timeline_of(message_id).await?;
        let (copies, processed): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.decision.duplicate_of.is_some());
        let Some(row) = processed.into_iter().next_back() else {
            return match copies.into_iter().next_back() {
                Some(copy) => Ok(Some(self.copy(scope, copy).await?)),
                None => self.waiting(scope, cursor, message_id).await,
            };
        };
        let entry = self.entry(scope, &row).await?;
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
            said: words::story(&row.decision, &destinations),
            steps,
            destinations,
            duplicates: copies.iter().map(|copy| copy.position).collect(),
            decision: Some(row.decision),
            payload: payload(entry.as_ref()),
        }))
    }

    /// What the log holds of an event. What was withdrawn is not shown for as long as it still lies there.
    async fn entry(&self, scope: &TenantScope, row: &TimelineEntry) -> Result<Option<Entry>, ExplainError> {
        match row.decision.suppressed {
            Some(_) => Ok(None),
            None => Ok(self.0.log.get(scope.tenant_id(), row.position).await?),
        }
    }

    /// A duplicate whose original is known only by its position.
    async fn copy(&self, scope: &TenantScope, copy: TimelineEntry) -> Result<Explanation, ExplainError> {
        let entry = self.entry(scope, &copy).await?;
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

    /// Looks behind, where no client waits for the thread, and to its end even if the asker has gone: until then the
    /// tenant's next one has to wait.
    async fn look(&self, tenant: TenantId, after: Position, message_id: &str) -> Result<Looked, ExplainError> {
        let looking = self.0.looks.begin(tenant).ok_or(ExplainError::Busy)?;
        let (log, message_id) = (Arc::clone(&self.0.log), message_id.to_owned());
        let look = async move {
            let looked = look_ahead(log.as_ref(), tenant, after, &message_id, LOOK).await;
            drop(looking);
            looked
        };
        match &self.0.behind {
            Some(behind) => Ok(behind.spawn(look).await.map_err(|_| LogError::Closed)??),
            None => Ok(look.await?),
        }
    }

    /// An event that is in the log and not yet processed.
    async fn waiting(
        &self,
        scope: &TenantScope,
        processed: Position,
        message_id: &str,
    ) -> Result<Option<Explanation>, ExplainError> {
        let log = &self.0.log;
        let (entry, event) = match self.look(scope.tenant_id(), processed, message_id).await? {
            Looked::Found(found) => *found,
            Looked::Nowhere => return Ok(None),
            Looked::GaveUp { looked } => {
                let waiting = log.head(scope.tenant_id()).await?.saturating_sub(processed);
                return Err(ExplainError::FarAhead { looked, waiting });
            }
        };
        let ahead = entry.position - processed - 1;
        let waits = match self.status().unavailable {
            Some(why) => format!("processing waits ({why})"),
            None if !self.runs_by_itself() => "processing is switched off on this hub".to_owned(),
            None => format!("{ahead} events are before it"),
        };
        let said = format!("It is safe in the log and not yet processed: {waits}.");
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
}

fn payload(entry: Option<&Entry>) -> Option<serde_json::Value> {
    serde_json::from_slice(&entry?.body).ok()
}

/// A step without particulars.
fn step(name: StepName, at: Option<rialto_model::Timestamp>, said: String, detail: Vec<String>) -> Step {
    Step { step: name, at, said, detail }
}
