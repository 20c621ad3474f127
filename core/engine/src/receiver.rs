//! What the hub asks of a connector that reads webhooks. The plugin host fulfils it; the API's tests fulfil it with a
//! script.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rialto_model::{SourceId, TenantId, Timestamp};
use serde_json::Value;

/// Code that can read a kind of webhook.
#[async_trait]
pub trait Receiver: Send + Sync + 'static {
    /// Makes records of a webhook: items of the tracking API, `{"type": "track", …}`, not yet looked into. The same
    /// webhook gives the same records.
    ///
    /// # Errors
    /// A [`NotRead`]; nothing of the webhook counts then.
    async fn receive(&self, webhook: Webhook) -> Result<Received, NotRead>;
}

/// What a sender posted, without what proves who it is.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Whose source it is.
    pub tenant_id: TenantId,
    /// The source it came to.
    pub source_id: SourceId,
    /// The code to run.
    pub connector: Arc<str>,
    /// The source's settings.
    pub settings: Arc<BTreeMap<String, Value>>,
    /// Names in lower case; none that carries a credential or a signature.
    pub headers: Vec<(String, String)>,
    /// The query, decoded, without the write key.
    pub query: Vec<(String, String)>,
    /// The body, inflated.
    pub body: Bytes,
    /// Whether it is proved by the manifest's scheme; else it came with a write key.
    pub verified: bool,
    /// The same for a repeat.
    pub seed: u64,
    /// When it came.
    pub now: Timestamp,
}

/// What a connector made of a webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// JSON texts, in order; none if there is nothing in it.
    pub records: Vec<String>,
    /// What the sender wants to hear, if it is not the usual answer.
    pub answer: Option<Answer>,
}

/// An answer to a sender, such as the echo of a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// A status from 200 to 299.
    pub status: u16,
    /// One of [`ANSWER_TYPES`], with parameters perhaps; empty for an answer without a body.
    pub content_type: String,
    /// At most [`MAX_ANSWER`] bytes.
    pub body: Bytes,
}

/// The content types of an [`Answer`]: none that a browser would run.
pub const ANSWER_TYPES: [&str; 3] = ["application/json", "text/plain", "application/xml"];
/// The most bytes of an [`Answer`].
pub const MAX_ANSWER: usize = 64 * 1024;

/// Why a webhook was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// The connector does not take it, however often it is sent.
    #[error("{code}: {message}")]
    Refused {
        /// A short machine-readable reason.
        code: String,
        /// A sentence for people, at most 1,000 characters.
        message: String,
        /// The setting that is at fault, if one is.
        setting: Option<String>,
    },
    /// It may be taken later: the connector failed, is busy, or is not there.
    #[error("{code}: {message}")]
    Later {
        /// A short machine-readable reason: `plugin_trap`, `plugin_deadline`, `no_connector`.
        code: String,
        /// A sentence for an operator.
        message: String,
    },
}
