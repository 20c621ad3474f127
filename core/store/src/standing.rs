//! What there is of one event at its destinations: read as of one moment, so that a delivery that moves from one table
//! to another meanwhile is seen in one of them.

use rialto_model::{DestinationId, Position};

use crate::dialect::Kind;
use crate::error::Result;
use crate::page::to_sql;
use crate::scope::TenantScope;
use crate::write::Standing;
use crate::{bulk, dead, lane, parked, passed_over};

impl TenantScope {
    /// What there is of an event at these destinations.
    ///
    /// # Errors
    /// [`crate::StoreError::Unavailable`], [`crate::StoreError::Corrupt`].
    pub async fn standing(
        &self,
        position: Position,
        message_id: &str,
        destinations: &[DestinationId],
    ) -> Result<Standing> {
        let tx = self.read().await?;
        let (at, ids) = (to_sql(position)?, bulk::ids(destinations.iter().map(|id| id.0))?);
        let ids_in = |place: &str| tx.dialect.list(place, Kind::Id);
        let sql = format!(
            "SELECT {} FROM lanes l WHERE l.tenant_id = $1 AND l.destination_id IN {}",
            lane::COLUMNS,
            ids_in("$2")
        );
        let lanes = tx.rows(&sql, [ids.as_str().into()]).await?;
        let here = format!("p.tenant_id = $1 AND p.destination_id IN {} AND p.position = $3", ids_in("$2"));
        let sql = format!("SELECT {} FROM parked p WHERE {here}", parked::COLUMNS);
        let parked = tx.rows(&sql, [ids.as_str().into(), at.into()]).await?;
        let sql = format!("SELECT {} FROM passed_over p WHERE {here}", passed_over::COLUMNS);
        let passed_over = tx.rows(&sql, [ids.as_str().into(), at.into()]).await?;
        // Dead letters are found by their events, not by place.
        let sql = format!("SELECT {} FROM dead_letters p WHERE {here} AND p.message_id = $4", dead::COLUMNS);
        let dead = tx.rows(&sql, [ids.into(), at.into(), message_id.replace('\0', "\u{fffd}").into()]).await?;
        tx.commit().await?;
        Ok(Standing {
            lanes: lanes.iter().map(lane::from_row).collect::<Result<_>>()?,
            parked: parked.iter().map(parked::from_row).collect::<Result<_>>()?,
            dead: dead.iter().map(dead::from_row).collect::<Result<_>>()?,
            passed_over: passed_over.iter().map(passed_over::from_row).collect::<Result<_>>()?,
        })
    }
}
