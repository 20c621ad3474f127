//! Parked rows: what waits for another try, and what waits behind it. The earliest row of each person always has a
//! due time; every write that could change who is earliest restores that.

use rialto_model::delivery::Parked;
use rialto_model::{DestinationId, ProfileId, Timestamp};
use sea_orm::{QueryResult, Value};
use serde::Serialize;

use crate::bulk::{self, BulkRow, Hex};
use crate::dialect::{Dialect, Kind};
use crate::error::{Result, StoreError};
use crate::page::{from_sql, to_sql};
use crate::scope::TenantScope;
use crate::tenant::from_json;
use crate::tx::TenantTx;

/// What [`from_row`] reads, in its order; of a table called `p`.
pub(crate) const COLUMNS: &str = "p.position, p.message_id, p.destination_id, p.action, p.profile_id, p.delivery_id, \
                                  p.attempts, p.parked_at, p.due_at, p.history";

/// The columns of a bulk write.
pub(crate) const MEMBERS: [(&str, Kind); 10] = [
    ("position", Kind::Int),
    ("message_id", Kind::Text),
    ("destination_id", Kind::Id),
    ("action", Kind::Text),
    ("profile_id", Kind::Id),
    ("delivery_id", Kind::Text),
    ("attempts", Kind::Int),
    ("parked_at", Kind::Int),
    ("due_at", Kind::Int),
    ("history", Kind::Text),
];

/// That no row of the same person stands before `p`.
const EARLIEST: &str = "NOT EXISTS (SELECT 1 FROM parked e WHERE e.tenant_id = $1 \
                        AND e.destination_id = p.destination_id AND e.profile_id = p.profile_id \
                        AND (e.position, e.action) < (p.position, p.action))";

/// The most persons that a lane holds back in memory.
const MAX_HELD: usize = 100_000;

/// A parked row as bulk writes take it.
#[derive(Serialize)]
pub(crate) struct Row<'p> {
    position: i64,
    message_id: &'p str,
    destination_id: Hex,
    action: &'p str,
    profile_id: Hex,
    delivery_id: &'p str,
    attempts: u32,
    parked_at: i64,
    due_at: Option<i64>,
    history: String,
}

impl<'p> BulkRow for Row<'p> {
    type Key = (i64, &'p str);
    fn key(&self) -> Self::Key {
        (self.position, self.action)
    }
    fn message_id(&self) -> Option<&str> {
        Some(self.message_id)
    }
    fn texts(&self) -> Vec<&str> {
        vec![self.message_id, self.action, self.delivery_id]
    }
}

impl<'p> Row<'p> {
    /// A row of this destination; one of another's is a fault of the caller's.
    pub(crate) fn of(parked: &'p Parked, destination: DestinationId) -> Result<Self> {
        let Parked {
            position,
            message_id,
            destination_id,
            action,
            profile_id,
            delivery_id,
            attempts,
            parked_at,
            due_at,
            history,
        } = parked;
        if *destination_id != destination {
            return Err(StoreError::invalid("parked", "a row is of another destination"));
        }
        Ok(Self {
            position: to_sql(*position)?,
            message_id,
            destination_id: Hex(destination_id.0),
            action,
            profile_id: Hex(profile_id.0),
            delivery_id,
            attempts: *attempts,
            parked_at: parked_at.0,
            due_at: due_at.map(|due| due.0),
            history: bulk::json("history", history)?,
        })
    }
}

/// A parked row of a row with [`COLUMNS`].
pub(crate) fn from_row(row: &QueryResult) -> Result<Parked> {
    let history: String = row.try_get_by_index(9)?;
    Ok(Parked {
        position: from_sql(row.try_get_by_index(0)?)?,
        message_id: row.try_get_by_index(1)?,
        destination_id: DestinationId(row.try_get_by_index(2)?),
        action: row.try_get_by_index(3)?,
        profile_id: ProfileId(row.try_get_by_index(4)?),
        delivery_id: row.try_get_by_index(5)?,
        attempts: attempts(row.try_get_by_index(6)?)?,
        parked_at: Timestamp(row.try_get_by_index(7)?),
        due_at: row.try_get_by_index::<Option<i64>>(8)?.map(Timestamp),
        history: from_json("a history of attempts", &history)?,
    })
}

/// A count of attempts as it was stored.
pub(crate) fn attempts(count: i64) -> Result<u32> {
    u32::try_from(count).map_err(|_| StoreError::corrupt("a delivery", "its attempts are no count"))
}

/// `INSERT` of a bulk parameter whose persons may have been merged since the caller looked.
pub(crate) fn insert_canonical(dialect: Dialect, table: &str, members: &[(&str, Kind)]) -> String {
    let person = dialect.member("profile_id", Kind::Id);
    let living = format!(
        "coalesce((SELECT a.survivor_id FROM aliases a WHERE a.tenant_id = $1 AND a.absorbed_id = {person}), {person})"
    );
    dialect.insert(table, members).replacen(&format!(" {person},"), &format!(" {living},"), 1)
}

/// Gives a due time to the earliest row of each of these persons where it has none: whoever stood before it is gone.
pub(crate) async fn promote(tx: &TenantTx, destination: DestinationId, persons: String, now: Timestamp) -> Result<()> {
    let persons_of = tx.dialect.list("$4", Kind::Id);
    let sql = format!(
        "UPDATE parked AS p SET due_at = $3 WHERE p.tenant_id = $1 AND p.destination_id = $2 AND p.due_at IS NULL \
         AND p.position IN (SELECT (SELECT min(e.position) FROM parked e WHERE e.tenant_id = $1 \
         AND e.destination_id = $2 AND e.profile_id = w.value) FROM {persons_of} AS w) AND {EARLIEST}"
    );
    tx.run(&sql, [destination.0.into(), now.0.into(), persons.into()]).await?;
    Ok(())
}

impl TenantScope {
    /// The earliest row of each person whose time has come, the longest due first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn due(&self, destination: DestinationId, now: Timestamp, limit: usize) -> Result<Vec<Parked>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM parked p WHERE p.tenant_id = $1 AND p.destination_id = $2 AND p.due_at <= $3 \
             AND {EARLIEST} ORDER BY p.due_at, p.position, p.action LIMIT $4"
        );
        self.parked_rows(&sql, [destination.0.into(), now.0.into(), to_sql(limit as u64)?.into()]).await
    }

    /// When the next row is due; nothing while nothing is parked.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn next_due(&self, destination: DestinationId) -> Result<Option<Timestamp>> {
        let sql = format!(
            "SELECT p.due_at FROM parked p WHERE p.tenant_id = $1 AND p.destination_id = $2 \
             AND p.due_at IS NOT NULL AND {EARLIEST} ORDER BY p.due_at LIMIT 1"
        );
        let row = self.read().await?.row(&sql, [destination.0.into()]).await?;
        row.map(|row| Ok(Timestamp(row.try_get_by_index(0)?))).transpose()
    }

    /// What waits behind a person's earliest row, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn held_behind(
        &self,
        destination: DestinationId,
        profile: ProfileId,
        limit: usize,
    ) -> Result<Vec<Parked>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM parked p WHERE p.tenant_id = $1 AND p.destination_id = $2 AND p.profile_id = $3 \
             ORDER BY p.position, p.action LIMIT $4 OFFSET 1"
        );
        self.parked_rows(&sql, [destination.0.into(), profile.0.into(), to_sql(limit as u64)?.into()]).await
    }

    /// The persons of whom something is parked, whose later events have to be parked too.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] beyond 100,000.
    pub async fn held_profiles(&self, destination: DestinationId) -> Result<std::collections::HashSet<ProfileId>> {
        let sql = "SELECT DISTINCT profile_id FROM parked WHERE tenant_id = $1 AND destination_id = $2 LIMIT $3";
        let rows = self.read().await?.rows(sql, [destination.0.into(), to_sql(MAX_HELD as u64 + 1)?.into()]).await?;
        if rows.len() > MAX_HELD {
            return Err(StoreError::TooMany { what: "persons with parked deliveries", limit: MAX_HELD });
        }
        rows.iter().map(|row| Ok(ProfileId(row.try_get_by_index(0)?))).collect()
    }

    async fn parked_rows<const N: usize>(&self, sql: &str, values: [Value; N]) -> Result<Vec<Parked>> {
        self.read().await?.rows(sql, values).await?.iter().map(from_row).collect()
    }
}
