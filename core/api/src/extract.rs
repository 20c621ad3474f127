//! What a handler takes from a request, with problems in our own words: path, query, JSON body.

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rialto_model::json;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use crate::check::escape;
use crate::patience::TooSlow;
use crate::problem::slug::Slug;
use crate::problem::{FieldError, Problem};
use crate::state::Api;

/// The most that a management request's body may hold, in bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// The path's parameters. What does not parse names nothing, so it is not found.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for At<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, api).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(Slug::NotFound, rejection.body_text())),
        }
    }
}

/// The query's parameters; unknown ones are refused, for a misspelt filter must not show everything.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Asked<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| Problem::new(Slug::Malformed, rejection.body_text()))
    }
}

/// The JSON body, checked against the schema of `T` in the document.
pub(crate) struct Given<T> {
    /// What was given.
    pub(crate) value: T,
    /// A digest of the body, to know a repeated request by.
    pub(crate) fingerprint: [u8; 32],
}

impl<T: DeserializeOwned + ToSchema> FromRequest<Api> for Given<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let path = request.uri().path().to_owned();
        let bytes = read(request, MAX_BODY).await?;
        let value = parse(&bytes)?;
        let errors = api.checker.check(&T::name(), &value);
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        let value = serde_path_to_error::deserialize(value).map_err(|error| {
            let pointer: String = error.path().iter().map(|step| format!("/{}", escape(&step.to_string()))).collect();
            Problem::field(if pointer.is_empty() { "/".to_owned() } else { pointer }, error.inner().to_string())
        })?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(path.as_bytes()).update(&[0]).update(&bytes);
        Ok(Self { value, fingerprint: *hasher.finalize().as_bytes() })
    }
}

fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::new(Slug::Malformed, "The body is not UTF-8."))?;
    let value = serde_json::from_str(text)
        .map_err(|error| Problem::new(Slug::Malformed, format!("The body is not valid JSON: {error}.")))?;
    json::scan(text).map_err(|refused| {
        Problem::invalid(vec![FieldError { pointer: "/".to_owned(), detail: refused.to_string() }])
    })?;
    Ok(value)
}

/// A whole body of at most `limit` bytes.
///
/// # Errors
/// Too large, too slow, or broken off.
pub(crate) async fn read(request: Request, limit: usize) -> Result<Bytes, Problem> {
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(match unread(error.as_ref()) {
            Unread::TooLarge => Problem::new(Slug::TooLarge, format!("The body is larger than {limit} bytes.")),
            Unread::TooSlow => Problem::new(Slug::TooSlow, "Send the body without long pauses."),
            Unread::Broken => Problem::new(Slug::Malformed, "The body broke off."),
        }),
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Larger than the limit.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// The client went away, or spoke no HTTP.
    Broken,
}

/// What lies at the bottom of a body's error.
pub(crate) fn unread(error: &(dyn std::error::Error + 'static)) -> Unread {
    let mut at = Some(error);
    while let Some(error) = at {
        if error.is::<LengthLimitError>() {
            return Unread::TooLarge;
        }
        if error.is::<TooSlow>() {
            return Unread::TooSlow;
        }
        at = error.source();
    }
    Unread::Broken
}
