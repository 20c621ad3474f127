//! Why the log did not do what it was asked.

use std::path::PathBuf;

use rialto_model::{Position, TenantId};

/// What a caller has to know to answer its own caller; causes that only an operator can use are in `source`.
#[derive(thiserror::Error, Debug)]
pub enum LogError {
    /// More waits to be written than the log is willing to hold. Nothing was appended; trying later is right.
    #[error("the log's queue is full")]
    Full,
    /// Storage does not take writes (or, for a read, cannot be read) at the moment. The log tries to heal by
    /// itself. An append that ends in this may not be trusted either way: it was not acknowledged.
    #[error("the log is unavailable: {reason}")]
    Unavailable {
        /// What is wrong, for an operator.
        reason: String,
        /// The failure beneath, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// An entry is not what was written. It is never skipped: reads stop in front of it.
    #[error("entry {position} of {tenant} is corrupt: {reason}")]
    Corrupt {
        /// Whose stream.
        tenant: TenantId,
        /// The first position that cannot be trusted.
        position: Position,
        /// What did not match.
        reason: String,
    },
    /// A file of the log is not what was written, so the log does not open.
    #[error("{} is damaged at byte {offset}: {reason}", file.display())]
    Damaged {
        /// Which file or folder.
        file: PathBuf,
        /// Where in it, in bytes; 0 where the storage engine does not say.
        offset: u64,
        /// What did not match.
        reason: String,
    },
    /// One append carries more than the log takes at once.
    #[error("{bytes} bytes in one append; the most is {limit}")]
    TooLarge {
        /// What was given, in bytes.
        bytes: usize,
        /// What is allowed, in bytes.
        limit: usize,
    },
    /// Another process has the log open.
    #[error("{} is in use by another process; two hubs cannot share one data folder", path.display())]
    Locked {
        /// The log's folder.
        path: PathBuf,
    },
    /// The log was closed by this process.
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    /// An [`LogError::Unavailable`] with the failure that caused it.
    pub fn unavailable(reason: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { reason: reason.into(), source: Some(source.into()) }
    }
}
