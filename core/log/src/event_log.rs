//! The contract: what the hub asks of a log.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rialto_model::{Position, TenantId, Timestamp};

use crate::{LogError, Tail};

/// One event as it lies in its tenant's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands: the first entry of a stream is 1.
    pub position: Position,
    /// The `now` of the append that brought it.
    pub appended_at: Timestamp,
    /// What was appended, byte for byte.
    pub body: Bytes,
}

/// What keeps a trim from going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose entry is not done with.
    pub tenant: TenantId,
    /// When the window that holds it ended.
    pub ended: Timestamp,
    /// How many windows are old enough to go and stay.
    pub windows: usize,
}

/// What a trim took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How many time windows went.
    pub windows: usize,
    /// Their size on disk, in bytes.
    pub bytes: u64,
    /// What keeps more from going that is old enough.
    pub held: Option<Held>,
}

/// Whether the log takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// True if an append now would be tried.
    pub writable: bool,
    /// Why not, for an operator.
    pub reason: Option<String>,
}

/// Streams of events, one a tenant: ordered, durable, readable after a cursor.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends all bodies or none, in order, at contiguous positions, and returns when they are durable (on disk,
    /// not merely written). `now` stamps the entries and picks their time window. No bodies give an empty range.
    ///
    /// # Errors
    /// [`LogError::Full`] when too much waits, [`LogError::TooLarge`], [`LogError::Unavailable`] when storage does
    /// not take it, [`LogError::Closed`].
    async fn append(
        &self,
        tenant: TenantId,
        now: Timestamp,
        bodies: Vec<Bytes>,
    ) -> Result<RangeInclusive<Position>, LogError>;

    /// The entries after `after`, in order: at most `limit`, and about `max_bytes` of bodies, but at least one if
    /// there is one and `limit` is not 0. A cursor before the oldest entry goes on at the oldest. Erased entries
    /// are left out.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] when the *first* entry to return cannot be trusted; entries before it are returned
    /// first. [`LogError::Unavailable`], [`LogError::Closed`].
    async fn read(
        &self,
        tenant: TenantId,
        after: Position,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError>;

    /// The entries at these positions, in the order asked; those trimmed, erased or never written are left out.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::Unavailable`], [`LogError::Closed`].
    async fn get_many(&self, tenant: TenantId, positions: &[Position]) -> Result<Vec<Entry>, LogError>;

    /// The entry at one position.
    ///
    /// # Errors
    /// As [`EventLog::get_many`].
    async fn get(&self, tenant: TenantId, position: Position) -> Result<Option<Entry>, LogError> {
        Ok(self.get_many(tenant, &[position]).await?.pop())
    }

    /// The last durable position; 0 for a stream that never was. Trimming and erasing do not lower it.
    ///
    /// # Errors
    /// [`LogError::Unavailable`], [`LogError::Closed`].
    async fn head(&self, tenant: TenantId) -> Result<Position, LogError>;

    /// The first retained position; `head + 1` when nothing is retained. A cursor below `oldest - 1` has missed
    /// entries to trimming.
    ///
    /// # Errors
    /// [`LogError::Unavailable`], [`LogError::Closed`].
    async fn oldest(&self, tenant: TenantId) -> Result<Position, LogError>;

    /// A new consumer of wake-ups; see [`Tail`].
    fn tail(&self) -> Tail;

    /// Every stream that was ever written to and not dropped, with its head.
    ///
    /// # Errors
    /// [`LogError::Unavailable`], [`LogError::Closed`].
    async fn tenants(&self) -> Result<Vec<(TenantId, Position)>, LogError>;

    /// Drops the time windows that ended `kept` or longer ago, whole and oldest first, up to the first that holds an
    /// entry after the position to which its stream is `done` with. A stream that is not named there is done with.
    /// "Ago" counts from `now`, or from the end of the newest window where the clock says it is later.
    ///
    /// # Errors
    /// [`LogError::Unavailable`], [`LogError::Closed`].
    async fn trim(
        &self,
        now: Timestamp,
        kept: Duration,
        done: &HashMap<TenantId, Position>,
    ) -> Result<Trimmed, LogError>;

    /// Removes single entries for good and returns how many there were. Their positions stay taken. When it
    /// returns, the removal is durable and no file of the log holds their bytes any more.
    ///
    /// # Errors
    /// [`LogError::Unavailable`]: some may be gone already, and erasing again is right. [`LogError::Corrupt`],
    /// [`LogError::Closed`].
    async fn erase(&self, tenant: TenantId, positions: &[Position]) -> Result<usize, LogError>;

    /// Removes single entries of several tenants, as [`EventLog::erase`] does for one. A log to which removing costs the
    /// same for few and many does it in one go.
    ///
    /// # Errors
    /// As [`EventLog::erase`].
    async fn erase_of_many(&self, wanted: &[(TenantId, Vec<Position>)]) -> Result<usize, LogError> {
        let mut count = 0;
        for (tenant, positions) in wanted {
            count += self.erase(*tenant, positions).await?;
        }
        Ok(count)
    }

    /// Removes all entries of a tenant, as [`EventLog::erase`] does, and the stream from [`EventLog::tenants`].
    /// Should the id be used again, its positions go on where they were.
    ///
    /// # Errors
    /// As [`EventLog::erase`].
    async fn drop_tenant(&self, tenant: TenantId) -> Result<(), LogError>;

    /// Whether appends are taken, and why not.
    async fn health(&self) -> Health;

    /// Takes no more appends, finishes those that wait, and lets go of the storage.
    async fn close(&self);
}
