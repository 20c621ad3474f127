//! Why the store did not do what it was asked.

/// What the store answers.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What a caller has to know to answer its own caller; the database's words are in `source`, for the log only.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing in this tenant (whether or not there is in another).
    #[error("there is no such {what}")]
    NotFound {
        /// What was looked for: `source`, `route`, …
        what: &'static str,
    },
    /// It clashes with something that is there, or something that is there still needs it.
    #[error("{field}: {message}")]
    Conflict {
        /// The field at fault.
        field: &'static str,
        /// What it clashes with.
        message: String,
    },
    /// The row changed since the caller read it (`If-Match` does not hold).
    #[error("it was changed in the meantime")]
    Changed,
    /// The cursor is not where the caller believes: another owner moved it, or an earlier commit whose answer was
    /// lost. Nothing was written; everything held in memory has to be read again.
    #[error("the cursor was moved by another")]
    Fenced,
    /// The database cannot do it now: gone, full, busy or too slow. Nothing was written, unless a commit's answer
    /// was lost on the way. Trying later is right.
    #[error("the database is unavailable: {reason}")]
    Unavailable {
        /// What is wrong, for an operator.
        reason: String,
        /// The failure beneath, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The caller asked for something that cannot be.
    #[error("{field}: {message}")]
    Invalid {
        /// The argument at fault.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A row of a batch cannot be stored by this database, ever; the rest could be. Nothing was written.
    #[error("a row cannot be stored: {reason}")]
    Poison {
        /// The event that brought the row, where that is known; otherwise halve the batch to find it.
        message_id: Option<String>,
        /// Why it cannot be stored. Never holds the row's values.
        reason: String,
    },
    /// There is more than the caller may hold in memory.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many would have been fine.
        limit: usize,
    },
    /// What is stored cannot be read back: written by a newer version, damaged, or sealed under another secret.
    #[error("{what} cannot be read back: {reason}")]
    Corrupt {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The database is not set up as the store needs it; the message says what an administrator has to do.
    #[error("{0}")]
    Setup(String),
    /// The database refuses a statement of ours. That is a fault in the store.
    #[error("the database refuses a statement")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// An [`StoreError::Unavailable`] without a failure beneath.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), source: None }
    }

    pub(crate) fn conflict(field: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict { field, message: message.into() }
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }

    pub(crate) fn corrupt(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, reason: reason.to_string() }
    }
}
