//! Problems as RFC 9457 tells them: the one place where an error becomes an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use rialto_engine::ExplainError;
use rialto_store::StoreError;
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Documented, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

pub(crate) mod slug;

use slug::Slug;

/// What a caller is told to wait when a dependency is away and no better is known.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(2);

/// When it is worth asking again for an event that more waits before than can be looked through.
const FAR_RETRY: Duration = Duration::from_secs(10);

/// One field that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where: a JSON pointer into the body, or the name of a query parameter or header.
    #[schema(example = "/settings/url")]
    pub(crate) pointer: String,
    /// What is wrong, and what would be right.
    #[schema(example = "must be an http or https URL")]
    pub(crate) detail: String,
}

/// A problem on its way to the caller.
#[derive(Debug)]
pub(crate) struct Problem {
    slug: Slug,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
}

/// The result of a handler.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// A problem as RFC 9457 tells it (`application/problem+json`).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
struct Told<'a> {
    /// The kind of problem: the path of a page on this hub that explains it.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid")]
    kind: String,
    /// The kind in a sentence.
    title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is the matter this time.
    detail: &'a str,
    /// Every field at fault, where fields are.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<FieldError>, required = false)]
    errors: &'a [FieldError],
}

impl Problem {
    pub(crate) fn new(slug: Slug, detail: impl Into<String>) -> Self {
        Self { slug, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Slug::NotFound, format!("There is no such {what}."))
    }

    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{} {}", one.pointer, one.detail),
            many => format!("{} fields are not as they must be; 'errors' lists each.", many.len()),
        };
        Self { errors, ..Self::new(Slug::Invalid, detail) }
    }

    pub(crate) fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    /// A fault of ours: the cause goes to the log, not to the caller.
    pub(crate) fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %Causes(cause), "a request failed on our side");
        Self::new(Slug::Internal, "The cause is in the hub's log.")
    }

    /// Something beneath does not answer: the cause goes to the log.
    pub(crate) fn unavailable(what: &str, cause: &dyn std::error::Error) -> Self {
        tracing::warn!(error = %Causes(cause), "{what} is unavailable");
        Self {
            retry_after: Some(UNAVAILABLE_RETRY),
            ..Self::new(Slug::Unavailable, format!("The {what} does not answer. Try again shortly."))
        }
    }

    /// Whether it is that the caller is not let in.
    pub(crate) fn is_about_the_caller(&self) -> bool {
        matches!(self.slug, Slug::Unauthenticated | Slug::Forbidden)
    }

    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

/// An error with what lies beneath it, on one line.
pub(crate) struct Causes<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Whole seconds, rounded up, at least one: `Retry-After` knows no fractions and 0 invites a storm.
pub(crate) fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { what } => Self::not_found(what),
            StoreError::Conflict { field, message } => {
                let errors = vec![FieldError { pointer: format!("/{field}"), detail: message.clone() }];
                Self { errors, ..Self::new(Slug::Conflict, message) }
            }
            StoreError::Changed => Self::new(
                Slug::Changed,
                "The ETag in If-Match is not the current one. Read it again, look at what changed, and repeat.",
            ),
            StoreError::Invalid { field, message } => Self::field(format!("/{field}"), message),
            StoreError::Poison { .. } => {
                Self::new(Slug::Invalid, "The database cannot store one of the values: it holds a NUL character.")
            }
            error @ StoreError::TooMany { .. } => Self::new(Slug::TooMany, format!("There are {error}.")),
            error @ (StoreError::Unavailable { .. } | StoreError::Fenced) => Self::unavailable("database", &error),
            error @ (StoreError::Corrupt { .. } | StoreError::Setup(_) | StoreError::Refused(_)) => {
                Self::internal(&error)
            }
        }
    }
}

impl From<rialto_log::LogError> for Problem {
    fn from(error: rialto_log::LogError) -> Self {
        use rialto_log::LogError;
        match error {
            LogError::Full | LogError::Unavailable { .. } | LogError::Closed => Self::unavailable("event log", &error),
            LogError::TooLarge { .. } => Self::new(Slug::TooLarge, error.to_string()),
            LogError::Corrupt { .. } | LogError::Damaged { .. } | LogError::Locked { .. } => Self::internal(&error),
        }
    }
}

impl From<ExplainError> for Problem {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Store(error) => error.into(),
            ExplainError::Log(error) => error.into(),
            busy @ ExplainError::Busy => {
                Self::new(Slug::Unavailable, format!("The event was not found: {busy}. Try again shortly."))
                    .retry_after(UNAVAILABLE_RETRY)
            }
            far @ ExplainError::FarAhead { .. } => {
                Self::new(Slug::Unavailable, format!("The event was not found: {far}.")).retry_after(FAR_RETRY)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.slug.status();
        let told = Told {
            kind: format!("/problems/{}", self.slug.as_str()),
            title: self.slug.title(),
            status: status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&told).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.slug == Slug::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"rialto\""));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
        response
    }
}

impl IntoResponses for Problem {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        let told = |text: &str| -> RefOr<Documented> {
            let schema = Ref::from_schema_name("Problem");
            let content = ContentBuilder::new().schema(Some(schema)).build();
            ResponseBuilder::new().description(text).content("application/problem+json", content).build().into()
        };
        BTreeMap::from([
            ("401".to_owned(), told(Slug::Unauthenticated.title())),
            ("403".to_owned(), told(Slug::Forbidden.title())),
            ("4XX".to_owned(), told("The request cannot be fulfilled; `type` names the page that says why.")),
            ("5XX".to_owned(), told("The hub cannot answer now; `Retry-After` says when to try again.")),
        ])
    }
}

/// The schemas that problems bring to the document.
pub(crate) fn schemas() -> Vec<(String, RefOr<utoipa::openapi::Schema>)> {
    use utoipa::PartialSchema;
    vec![("Problem".to_owned(), Told::schema()), ("FieldError".to_owned(), FieldError::schema())]
}
