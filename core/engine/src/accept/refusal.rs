//! Why a request was refused, as the client is told it.

use serde::Serialize;

/// A 400: which item, which field, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// A word for programs, such as `invalid_json` or `no_usable_id`.
    pub code: &'static str,
    /// A sentence for people. Never repeats what the client sent.
    pub message: String,
    /// Which item of the batch, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Which member, as the client spells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), index: None, field: None }
    }

    /// A fault of one member: "`field` message".
    pub(super) fn of_field(code: &'static str, field: &str, message: &str) -> Self {
        Self { code, message: format!("'{field}' {message}"), index: None, field: Some(field.to_owned()) }
    }

    pub(super) fn at(mut self, index: Option<usize>) -> Self {
        if let Some(index) = index {
            self.message = format!("batch item {index}: {}", self.message);
            self.index = Some(index);
        }
        self
    }
}
