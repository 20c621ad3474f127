//! Why a step was abandoned.

use rialto_log::LogError;
use rialto_store::StoreError;

use crate::faults::Crash;

/// What ended a step of the processor or of a lane before it was done. Nothing it held in memory may be used
/// again: where it stands has to be read from the store.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log did not do it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A test wanted it so.
    #[error(transparent)]
    Crashed(#[from] Crash),
}

impl EngineError {
    /// Whether it is for want of the database or the log, and so everybody's: waiting is right.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Unavailable { .. })
                | Self::Log(LogError::Unavailable { .. } | LogError::Full | LogError::Closed)
        )
    }

    /// Whether the tenant or destination is gone.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Store(StoreError::NotFound { .. }))
    }
}
