//! Dead letters as rows.

use rialto_model::delivery::DeadLetter;
use rialto_model::{DeadLetterId, DestinationId, ProfileId, Timestamp};
use sea_orm::QueryResult;
use serde::Serialize;

use crate::bulk::{self, BulkRow, Hex};
use crate::dialect::Kind;
use crate::error::{Result, StoreError};
use crate::page::{from_sql, to_sql};
use crate::parked::attempts;
use crate::tenant::from_json;
use crate::tx::TenantTx;

/// What [`from_row`] reads, in its order.
pub(crate) const COLUMNS: &str = "id, position, message_id, destination_id, action, profile_id, delivery_id, \
                                  attempts, died_at, reason, history";

/// The columns of a bulk write.
pub(crate) const MEMBERS: [(&str, Kind); 11] = [
    ("id", Kind::Id),
    ("position", Kind::Int),
    ("message_id", Kind::Text),
    ("destination_id", Kind::Id),
    ("action", Kind::Text),
    ("profile_id", Kind::Id),
    ("delivery_id", Kind::Text),
    ("attempts", Kind::Int),
    ("died_at", Kind::Int),
    ("reason", Kind::Text),
    ("history", Kind::Text),
];

/// A dead letter as bulk writes take it.
#[derive(Serialize)]
pub(crate) struct Row<'d> {
    id: Hex,
    position: i64,
    message_id: &'d str,
    destination_id: Hex,
    action: &'d str,
    profile_id: Hex,
    delivery_id: &'d str,
    attempts: u32,
    died_at: i64,
    reason: &'d str,
    history: String,
}

impl BulkRow for Row<'_> {
    type Key = uuid::Uuid;
    fn key(&self) -> uuid::Uuid {
        self.id.0
    }
    fn message_id(&self) -> Option<&str> {
        Some(self.message_id)
    }
    fn texts(&self) -> Vec<&str> {
        vec![self.message_id, self.action, self.delivery_id, self.reason]
    }
}

impl<'d> Row<'d> {
    /// A dead letter of this destination; one of another's is a fault of the caller's.
    pub(crate) fn of(dead: &'d DeadLetter, destination: DestinationId) -> Result<Self> {
        let DeadLetter {
            id,
            position,
            message_id,
            destination_id,
            action,
            profile_id,
            delivery_id,
            attempts,
            died_at,
            reason,
            history,
        } = dead;
        if *destination_id != destination {
            return Err(StoreError::invalid("dead", "a row is of another destination"));
        }
        Ok(Self {
            id: Hex(id.0),
            position: to_sql(*position)?,
            message_id,
            destination_id: Hex(destination_id.0),
            action,
            profile_id: Hex(profile_id.0),
            delivery_id,
            attempts: *attempts,
            died_at: died_at.0,
            reason,
            history: bulk::json("history", history)?,
        })
    }
}

/// A dead letter of a row with [`COLUMNS`].
pub(crate) fn from_row(row: &QueryResult) -> Result<DeadLetter> {
    let history: String = row.try_get_by_index(10)?;
    Ok(DeadLetter {
        id: DeadLetterId(row.try_get_by_index(0)?),
        position: from_sql(row.try_get_by_index(1)?)?,
        message_id: row.try_get_by_index(2)?,
        destination_id: DestinationId(row.try_get_by_index(3)?),
        action: row.try_get_by_index(4)?,
        profile_id: ProfileId(row.try_get_by_index(5)?),
        delivery_id: row.try_get_by_index(6)?,
        attempts: attempts(row.try_get_by_index(7)?)?,
        died_at: Timestamp(row.try_get_by_index(8)?),
        reason: row.try_get_by_index(9)?,
        history: from_json("a history of attempts", &history)?,
    })
}

/// One dead letter.
pub(crate) async fn find(tx: &TenantTx, id: DeadLetterId) -> Result<DeadLetter> {
    let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE tenant_id = $1 AND id = $2");
    let row = tx.row(&sql, [id.0.into()]).await?.ok_or(StoreError::NotFound { what: "dead letter" })?;
    from_row(&row)
}

/// Removes one dead letter.
pub(crate) async fn remove(tx: &TenantTx, id: DeadLetterId) -> Result<()> {
    match tx.run("DELETE FROM dead_letters WHERE tenant_id = $1 AND id = $2", [id.0.into()]).await? {
        0 => Err(StoreError::NotFound { what: "dead letter" }),
        _ => Ok(()),
    }
}
