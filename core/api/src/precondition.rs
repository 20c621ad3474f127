//! Changing only what was read (`If-Match`) and making only once (`Idempotency-Key`).

use std::fmt::Write as _;
use std::future::Future;

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use rialto_model::Timestamp;
use rialto_store::{Remembered, TenantScope};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::answer::Created;
use crate::problem::slug::Slug;
use crate::problem::{Problem, Result};
use crate::state::Api;

/// The version that `If-Match` asks for; none if the caller does not mind.
pub(crate) struct IfMatch(pub(crate) Option<Timestamp>);

impl FromRequestParts<Api> for IfMatch {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let tag = value.to_str().unwrap_or_default().trim();
        if tag == "*" {
            return Ok(Self(None));
        }
        let version = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|text| text.parse().ok());
        match version {
            Some(version) => Ok(Self(Some(Timestamp(version)))),
            None => {
                Err(Problem::new(Slug::Changed, "If-Match holds no ETag of ours; give back the one you were given."))
            }
        }
    }
}

/// The longest idempotency key, in characters.
const MAX_KEY: usize = 255;

/// What `Idempotency-Key` says.
pub(crate) struct Once(Option<String>);

impl FromRequestParts<Api> for Once {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        match value.to_str() {
            Ok(key) if (1..=MAX_KEY).contains(&key.len()) => Ok(Self(Some(key.to_owned()))),
            _ => Err(Problem::new(Slug::Malformed, format!("Idempotency-Key takes 1 to {MAX_KEY} ASCII characters."))),
        }
    }
}

/// Whether an answer may be kept to be given again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Yes.
    Whole,
    /// It holds a secret: only that it was given is kept.
    LocationOnly,
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    location: String,
    body: Option<T>,
}

impl Once {
    /// Does `work` once for a key, and answers a repeat with the first answer. The work goes on when the client
    /// goes away, so that a key never stays half done.
    pub(crate) async fn make<T, W>(
        self,
        scope: &TenantScope,
        fingerprint: [u8; 32],
        now: Timestamp,
        keep: Keep,
        work: W,
    ) -> Result<Created<T>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        W: Future<Output = Result<Created<T>>> + Send + 'static,
    {
        let Some(key) = self.0 else { return work.await };
        match scope.remember(&key, &hex(fingerprint), now).await? {
            Remembered::Fresh => {
                let scope = scope.clone();
                let task = tokio::spawn(async move { work_and_keep(&scope, &key, keep, work).await });
                task.await.unwrap_or_else(|error| Err(Problem::internal(&error)))
            }
            Remembered::Replay(answer) => replay(&answer),
            Remembered::Mismatch => Err(Problem::new(
                Slug::KeyReused,
                "This Idempotency-Key came before with another body or path. Take a new key for a new request.",
            )),
            Remembered::Underway => {
                Err(Problem::new(Slug::InProgress, "Wait for the first request's answer, or try again shortly.")
                    .retry_after(std::time::Duration::from_secs(1)))
            }
        }
    }
}

async fn work_and_keep<T: Serialize>(
    scope: &TenantScope,
    key: &str,
    keep: Keep,
    work: impl Future<Output = Result<Created<T>>>,
) -> Result<Created<T>> {
    let made = match work.await {
        Ok(made) => made,
        Err(problem) => {
            scope.forget(key).await?;
            return Err(problem);
        }
    };
    let body = (keep == Keep::Whole).then_some(&made.body);
    let kept = serde_json::to_string(&Kept { location: made.location.clone(), body });
    scope.remember_answer(key, &kept.map_err(|error| Problem::internal(&error))?).await?;
    Ok(made)
}

fn replay<T: DeserializeOwned>(answer: &str) -> Result<Created<T>> {
    let kept: Kept<T> = serde_json::from_str(answer).map_err(|error| Problem::internal(&error))?;
    match kept.body {
        Some(body) => Ok(Created { body, location: kept.location }),
        None => Err(Problem::new(
            Slug::ShownOnce,
            format!("It is {}. If its secret was lost on the way, delete it and make another.", kept.location),
        )),
    }
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
