//! Why a whole job could not be done. What becomes of single events is an outcome, not an error.

use std::fmt;

use crate::bindings::rialto::plugin::types::{Failure, TransportError};

/// What an action gives back.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a whole job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: String,
    message: String,
    retryable: bool,
    field: Option<String>,
}

impl Error {
    /// A later attempt may do better. `code` is short and machine-readable, `message` a sentence for people.
    pub fn retry(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: true, field: None }
    }

    /// No attempt will do better until someone changes something.
    pub fn fatal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false, field: None }
    }

    /// A setting is at fault.
    pub fn setting(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: "settings".into(), message: message.into(), retryable: false, field: Some(field.into()) }
    }

    /// The short machine-readable reason.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether a later attempt may do better.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: setting {field}: {}", self.code, self.message),
            None => write!(f, "{}: {}", self.code, self.message),
        }
    }
}

impl std::error::Error for Error {}

/// A request that was held back makes the whole job fail as `not_sent`: `held` is the hub's word for single events.
impl From<TransportError> for Error {
    fn from(e: TransportError) -> Self {
        let code = if e.code == "held" { "not_sent".to_owned() } else { e.code };
        Self::retry(code, e.message)
    }
}

/// A reply that is not what the connector expects: the destination may do better later.
impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Self::retry("bad_reply", e.to_string())
    }
}

impl From<Error> for Failure {
    fn from(Error { code, message, retryable, field }: Error) -> Self {
        Self { code, message, retryable, field, ext: Vec::new() }
    }
}
