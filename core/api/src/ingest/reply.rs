//! What an ingest client is told: Segment's `{"success": true}`, or `{"code", "message"}` with what it needs.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use rialto_engine::AcceptError;
use rialto_engine::accept::Refusal;
use rialto_store::StoreError;
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Documented, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::extract::Unread;
use crate::ingest::inflate::InflateError;
use crate::problem::{Causes, seconds};

/// How long clients are asked to wait when the database that knows the keys is away.
const KEYS_RETRY: Duration = Duration::from_secs(2);

/// The events are durable in the log.
#[derive(Debug)]
pub(crate) struct Accepted;

/// The body of a 200.
#[derive(Serialize, ToSchema)]
pub(crate) struct Success {
    /// Always true.
    success: bool,
}

/// Why nothing of a request was kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refused {
    #[serde(skip)]
    status: StatusCode,
    /// A word for programs.
    #[schema(example = "no_usable_id")]
    pub(crate) code: &'static str,
    /// A sentence for people.
    #[schema(example = "batch item 3: needs a userId or an anonymousId")]
    message: String,
    /// Which item of the batch, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    /// Which member, as the client spells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), index: None, field: None, retry_after: None }
    }

    pub(crate) fn unauthenticated(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unknown_write_key", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", format!("the body has more than {limit} bytes"))
    }

    pub(crate) fn unread(why: Unread, limit: usize) -> Self {
        match why {
            Unread::TooLarge => Self::too_large(limit),
            Unread::TooSlow => Self::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not come in time"),
            Unread::Broken => Self::new(StatusCode::BAD_REQUEST, "body_broken", "the body broke off"),
        }
    }

    /// Too many bodies are under way.
    pub(crate) fn no_room(wait: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "more is being sent than the hub holds at a time")
            .later(wait)
    }

    /// The tenant has sent what its quota allows.
    pub(crate) fn over_quota(rate: u32, wait: Duration) -> Self {
        let message = format!(
            "the tenant is over its quota of {rate} events a second, over ten seconds; send this again in {} s",
            seconds(wait)
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "over_quota", message).later(wait)
    }

    /// A fault of one field, if of one.
    pub(crate) fn of_field(mut self, field: Option<String>) -> Self {
        self.field = field;
        self
    }

    /// Worth sending again after this long.
    pub(crate) fn later(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, message, index, field } = refusal;
        Self { index, field, ..Self::new(StatusCode::BAD_REQUEST, code, message) }
    }
}

impl From<InflateError> for Refused {
    fn from(error: InflateError) -> Self {
        let code = match error {
            InflateError::NotGzip => "invalid_gzip",
            InflateError::TooLarge { .. } => "batch_too_large",
            InflateError::Bomb => "compression_bomb",
        };
        Self::new(StatusCode::BAD_REQUEST, code, error.to_string())
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        // Whatever is wrong with the database, the client's request is not: it is to come again.
        tracing::warn!(error = %Causes(&error), "write keys cannot be looked up");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "write keys cannot be looked up at the moment")
            .later(KEYS_RETRY)
    }
}

impl From<AcceptError> for Refused {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Full { retry_after } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "over_capacity", "more waits to be written than the hub holds")
                    .later(retry_after)
            }
            AcceptError::Unavailable { retry_after, .. } => {
                tracing::warn!(error = %Causes(&error), "events cannot be written");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "events cannot be written at the moment")
                    .later(retry_after)
            }
            AcceptError::Invalid { message } => Self::new(StatusCode::BAD_REQUEST, "invalid_event", message),
        }
    }
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        json(StatusCode::OK, Bytes::from_static(b"{\"success\":true}"))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = json(self.status, serde_json::to_vec(&self).unwrap_or_default());
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"write key\""));
        }
        if let Some(wait) = self.retry_after {
            let wait = HeaderValue::from(seconds(wait));
            // A wait, as `Retry-After` is: no SDK that we run reads it from ingest, others disagree on whether it is a
            // moment or a wait, and a moment taken for a wait would silence a client for ever.
            headers.insert("x-ratelimit-reset", wait.clone());
            headers.insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// A response of known JSON, with as few header look-ups as can be: this is the hot path.
pub(crate) fn json(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl IntoResponses for Accepted {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        BTreeMap::from([("200".to_owned(), told("The events are durable in the log.", "Success"))])
    }
}

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        [
            ("400", "Nothing was kept: the body is not as it must be. Sending it again is of no use."),
            ("401", "The write key is missing or unknown, or a webhook is not signed as it has to be."),
            ("404", "The source is disabled, or a webhook names none."),
            ("408", "The body did not come in time."),
            ("413", "The body is over the transport limit."),
            ("415", "The body has a Content-Encoding other than gzip."),
            (
                "429",
                "The tenant is over its quota (`over_quota`), or more waits to be written than the hub holds \
                 (`over_capacity`); `Retry-After` and `X-RateLimit-Reset` say in how many seconds to come again.",
            ),
            ("503", "Events cannot be written now; `Retry-After` says when to come again."),
        ]
        .into_iter()
        .map(|(status, text)| (status.to_owned(), told(text, "Refused")))
        .collect()
    }
}

fn told(text: &str, schema: &str) -> RefOr<Documented> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    ResponseBuilder::new().description(text).content("application/json", content).build().into()
}
