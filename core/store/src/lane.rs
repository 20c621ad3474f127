//! Lanes: where each destination stands, moved by whole windows.

use rialto_model::delivery::Lane;
use rialto_model::{DestinationId, Timestamp};
use sea_orm::{QueryResult, Value};

use crate::bulk;
use crate::error::{Result, StoreError};
use crate::fault::in_batch;
use crate::page::{from_sql, to_sql};
use crate::parked::{self, insert_canonical, promote};
use crate::scope::TenantScope;
use crate::tx::TenantTx;
use crate::write::LaneWrite;
use crate::{dead, passed_over, profile};

/// What [`from_row`] reads, in its order; of a table called `l`.
pub(crate) const COLUMNS: &str = "l.destination_id, l.cursor, l.delivered, l.skipped, l.dead, l.updated_at, \
                       (SELECT count(*) FROM parked p WHERE p.tenant_id = $1 AND p.destination_id = l.destination_id)";

/// A lane of a row with [`COLUMNS`].
pub(crate) fn from_row(row: &QueryResult) -> Result<Lane> {
    Ok(Lane {
        destination_id: DestinationId(row.try_get_by_index(0)?),
        cursor: from_sql(row.try_get_by_index(1)?)?,
        delivered: from_sql(row.try_get_by_index(2)?)?,
        skipped: from_sql(row.try_get_by_index(3)?)?,
        dead: from_sql(row.try_get_by_index(4)?)?,
        updated_at: Timestamp(row.try_get_by_index(5)?),
        parked: from_sql(row.try_get_by_index(6)?)?,
    })
}

/// The rows of a window's events that did not simply go through, ready to write.
pub(crate) struct Rows {
    skipped: Option<String>,
    parked: Option<String>,
    dead: Option<String>,
}

impl TenantScope {
    /// All lanes, oldest destination first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn lanes(&self) -> Result<Vec<Lane>> {
        let sql = format!("SELECT {COLUMNS} FROM lanes l WHERE l.tenant_id = $1 ORDER BY l.destination_id");
        self.read().await?.rows(&sql, []).await?.iter().map(from_row).collect()
    }

    /// One lane.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn lane(&self, destination: DestinationId) -> Result<Lane> {
        let sql = format!("SELECT {COLUMNS} FROM lanes l WHERE l.tenant_id = $1 AND l.destination_id = $2");
        let row = self.read().await?.row(&sql, [destination.0.into()]).await?;
        from_row(&row.ok_or(StoreError::NotFound { what: "lane" })?)
    }

    /// Writes a window whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the cursor is not at `from` or the destination is gone; [`StoreError::Poison`]
    /// when the database cannot hold a row; [`StoreError::Unavailable`], after which the window may be tried again
    /// and is then `Fenced` if the commit had arrived.
    pub async fn commit_lane(&self, window: &LaneWrite) -> Result<()> {
        let LaneWrite { destination_id: destination, from, to, delivered, skipped, parked, dead, now } = window;
        let (rows, now, destination) = (Rows::of(window)?, *now, *destination);
        let values = [
            destination.0.into(),
            to_sql(*from)?.into(),
            to_sql(*to)?.into(),
            to_sql(*delivered)?.into(),
            to_sql(skipped.len() as u64)?.into(),
            to_sql(dead.len() as u64)?.into(),
            now.0.into(),
        ];
        let persons = parked.iter().map(|row| row.profile_id.0).collect();
        let count = 1 + skipped.len() + parked.len() + dead.len();
        self.write_together(count, move |tx| Box::pin(write(tx, destination, values, rows, persons, now))).await
    }
}

async fn write(
    tx: &TenantTx,
    destination: DestinationId,
    moved: [Value; 7],
    rows: Rows,
    persons: Vec<uuid::Uuid>,
    now: Timestamp,
) -> Result<()> {
    let sql = "UPDATE lanes SET cursor = $4, delivered = delivered + $5, skipped = skipped + $6, \
               dead = dead + $7, updated_at = $8 WHERE tenant_id = $1 AND destination_id = $2 AND cursor = $3";
    if tx.run(sql, moved).await? != 1 {
        return Err(StoreError::Fenced);
    }
    rows.write(tx).await.map_err(in_batch)?;
    if !persons.is_empty() {
        promote_living(tx, destination, persons, now).await?;
    }
    Ok(())
}

impl Rows {
    fn of(window: &LaneWrite) -> Result<Self> {
        let LaneWrite { destination_id, skipped, parked, dead, now, .. } = window;
        let parked = parked.iter().map(|row| parked::Row::of(row, *destination_id)).collect::<Result<Vec<_>>>()?;
        let dead = dead.iter().map(|row| dead::Row::of(row, *destination_id)).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            skipped: passed_over::skipped(skipped, *destination_id, *now)?,
            parked: if parked.is_empty() { None } else { Some(bulk::parameter("parked", parked)?) },
            dead: if dead.is_empty() { None } else { Some(bulk::parameter("dead", dead)?) },
        })
    }

    async fn write(self, tx: &TenantTx) -> Result<()> {
        if let Some(skipped) = self.skipped {
            tx.run(&passed_over::insert(tx.dialect), [skipped.into()]).await?;
        }
        if let Some(parked) = self.parked {
            tx.run(&insert_canonical(tx.dialect, "parked", &parked::MEMBERS), [parked.into()]).await?;
        }
        if let Some(dead) = self.dead {
            tx.run(&insert_canonical(tx.dialect, "dead_letters", &dead::MEMBERS), [dead.into()]).await?;
        }
        Ok(())
    }
}

/// [`promote`] for persons who may have been merged since the caller looked.
pub(crate) async fn promote_living(
    tx: &TenantTx,
    destination: DestinationId,
    persons: Vec<uuid::Uuid>,
    now: Timestamp,
) -> Result<()> {
    let merged = profile::survivors(tx, bulk::ids(persons.iter().copied())?).await?;
    let living = persons.into_iter().chain(merged.into_values().map(|id| id.0));
    promote(tx, destination, bulk::ids(living)?, now).await
}

/// Keeps every other writer of this lane off until the transaction ends.
pub(crate) async fn hold(tx: &TenantTx, destination: DestinationId) -> Result<()> {
    let sql = "SELECT 1 FROM lanes WHERE tenant_id = $1 AND destination_id = $2";
    let sql = format!("{sql}{}", tx.dialect.for_update());
    tx.row(&sql, [destination.0.into()]).await?.map(drop).ok_or(StoreError::NotFound { what: "lane" })
}
