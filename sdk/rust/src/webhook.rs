//! Webhooks: what came in, and what is made of it.

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    Cx, Error, Result,
    bindings::{
        rialto::plugin::types::{Context, Failure},
        webhook::exports::rialto::plugin::webhook::{self, Answer, Request},
    },
    settings::Settings,
};

/// A connector that reads webhooks; `#[webhook]` implements it.
pub trait Receiver: Settings + 'static {
    /// The manifest, a JSON text.
    const MANIFEST: &'static [u8];

    /// Makes records of a webhook, or says why not.
    fn receive(cx: &Cx<Self>, webhook: Incoming) -> Result<Accepted>;
}

/// A webhook that the hub let in: signed, or with a write key of its source.
#[derive(Debug, Clone)]
pub struct Incoming(Request);

impl Incoming {
    /// The first header of a name, in any case. Those that carry a credential or a signature stay with the hub.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first query parameter of a name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.0.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as it came, but inflated.
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    /// The body as text; what is no UTF-8 in it is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `invalid_json`, for which the sender gets a 400.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.0.body)
            .map_err(|e| Error::fatal("invalid_json", format!("the body is not the JSON that is expected: {e}")))
    }

    /// Whether it was signed. With a write key alone it may come from anyone who has seen that key.
    pub fn is_verified(&self) -> bool {
        self.0.verified
    }
}

/// What is made of a webhook: records, in order, and perhaps an answer. By default nothing, which is accepted too.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is accepted until it is handed back"]
pub struct Accepted {
    records: Vec<String>,
    answer: Option<Answer>,
}

impl Accepted {
    /// Nothing: the webhook is of no interest, and the sender is told that it came.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Adds a record of the tracking API: `{"type": "track", "userId": …}`. One without a `messageId` gets one that is
    /// the same when the webhook is sent again.
    pub fn record(mut self, record: &impl Serialize) -> Self {
        // Only a map with keys that are no text cannot be written; the hub refuses what then stands there.
        self.records.push(serde_json::to_string(record).unwrap_or_default());
        self
    }

    /// Answers with this body in place of `{"success": true}`: `application/json`, `text/plain` or `application/xml`.
    pub fn answer(mut self, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.answer = Some(Answer { status, content_type: content_type.into(), body: body.into(), ext: Vec::new() });
        self
    }
}

impl<T: Serialize> FromIterator<T> for Accepted {
    fn from_iter<I: IntoIterator<Item = T>>(records: I) -> Self {
        records.into_iter().fold(Self::default(), |all, record| all.record(&record))
    }
}

impl From<Accepted> for webhook::Accepted {
    fn from(Accepted { records, answer }: Accepted) -> Self {
        Self { records, answer }
    }
}

/// The call.
pub fn receive<R: Receiver>(context: &Context, request: Request) -> Result<webhook::Accepted, Failure> {
    let read = || {
        let settings: Map<String, Value> =
            serde_json::from_str(&context.settings).map_err(|e| Error::fatal("settings", e.to_string()))?;
        R::receive(&Cx::new(R::read(&settings)?, context, Vec::new()), Incoming(request))
    };
    read().map(Into::into).map_err(Failure::from)
}
