//! What people do about deliveries that did not go well: look, try again, let go.

use rialto_model::delivery::{DeadLetter, Parked};
use rialto_model::page::{Page, PageRequest};
use rialto_model::{DeadLetterId, DestinationId, Position, Timestamp};
use sea_orm::Value;

use crate::bulk;
use crate::change::DeliveryFilter;
use crate::error::{Result, StoreError};
use crate::lane::{hold, promote_living};
use crate::page::{after_id, not_a_cursor, page_of, to_sql};
use crate::parked::{self, insert_canonical};
use crate::scope::TenantScope;
use crate::tx::TenantTx;
use crate::{dead, passed_over};

/// Conditions of a listing with their values; `$1` is the tenant.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn of(filter: &DeliveryFilter) -> Result<Self> {
        let DeliveryFilter { destination_id, profile_id, message_id, position } = filter;
        let mut conditions = Self { sql: "p.tenant_id = $1".to_owned(), values: Vec::new() };
        if let Some(id) = destination_id {
            conditions.add("p.destination_id = ", id.0);
        }
        if let Some(id) = profile_id {
            conditions.add("p.profile_id = ", id.0);
        }
        if let Some(id) = message_id {
            conditions.add("p.message_id = ", id.replace('\0', "\u{fffd}"));
        }
        if let Some(position) = position {
            conditions.add("p.position = ", to_sql(*position)?);
        }
        Ok(conditions)
    }

    fn add(&mut self, test: &str, value: impl Into<Value>) {
        let parameter = self.parameter(value);
        self.sql.push_str(&format!(" AND {test}{parameter}"));
    }

    fn parameter(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len() + 1)
    }
}

impl TenantScope {
    /// Parked rows, by destination and position.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn parked(&self, filter: &DeliveryFilter, page: &PageRequest) -> Result<Page<Parked>> {
        let mut conditions = Conditions::of(filter)?;
        if let Some(after) = &page.after {
            let (destination, position, action) = parked_cursor(after)?;
            let [a, b, c] = [
                conditions.parameter(destination.0),
                conditions.parameter(to_sql(position)?),
                conditions.parameter(action),
            ];
            conditions.sql.push_str(&format!(" AND (p.destination_id, p.position, p.action) > ({a}, {b}, {c})"));
        }
        let limit = conditions.parameter(i64::from(page.limit()) + 1);
        let Conditions { sql, values } = conditions;
        let order = "p.destination_id, p.position, p.action";
        let sql = format!("SELECT {} FROM parked p WHERE {sql} ORDER BY {order} LIMIT {limit}", parked::COLUMNS);
        let rows = self.read().await?.rows(&sql, values).await?;
        let rows = rows.iter().map(parked::from_row).collect::<Result<Vec<_>>>()?;
        page_of(rows, page, |row| format!("{}:{}:{}", row.destination_id, row.position, row.action), Ok)
    }

    /// Makes a parked row due now; its attempts and history stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] for a row that waits behind another of the same person.
    pub async fn retry_parked(
        &self,
        destination: DestinationId,
        position: Position,
        action: &str,
        now: Timestamp,
    ) -> Result<Parked> {
        let tx = self.write().await?;
        hold(&tx, destination).await?;
        let mut row = one_parked(&tx, destination, position, action).await?;
        let sql = "SELECT min(position) FROM parked WHERE tenant_id = $1 AND destination_id = $2 AND profile_id = $3";
        let earliest = tx.row(sql, [destination.0.into(), row.profile_id.0.into()]).await?;
        let earliest: i64 = earliest.ok_or(StoreError::NotFound { what: "parked delivery" })?.try_get_by_index(0)?;
        if earliest != to_sql(position)? {
            let message = format!("waits behind position {earliest} of the same person; retry that one");
            return Err(StoreError::conflict("position", message));
        }
        let sql = "UPDATE parked SET due_at = $5 WHERE tenant_id = $1 AND destination_id = $2 AND position = $3 \
                   AND action = $4";
        tx.run(sql, [destination.0.into(), earliest.into(), action.into(), now.0.into()]).await?;
        tx.commit().await?;
        row.due_at = Some(now);
        Ok(row)
    }

    /// Dead letters, newest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn dead_letters(&self, filter: &DeliveryFilter, page: &PageRequest) -> Result<Page<DeadLetter>> {
        let mut conditions = Conditions::of(filter)?;
        if let Some(DeadLetterId(after)) = after_id(page)? {
            conditions.add("p.id < ", after);
        }
        let limit = conditions.parameter(i64::from(page.limit()) + 1);
        let Conditions { sql, values } = conditions;
        let columns = dead::COLUMNS;
        let sql = format!("SELECT {columns} FROM dead_letters p WHERE {sql} ORDER BY p.id DESC LIMIT {limit}");
        let rows = self.read().await?.rows(&sql, values).await?;
        let rows = rows.iter().map(dead::from_row).collect::<Result<Vec<_>>>()?;
        page_of(rows, page, |row| row.id.to_string(), Ok)
    }

    /// One dead letter.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn dead_letter(&self, id: DeadLetterId) -> Result<DeadLetter> {
        dead::find(&self.read().await?, id).await
    }

    /// Parks a dead letter again, to be tried at once, or after what waits of the same person from before it. Its
    /// attempts count from zero; its history stays. The lane's count of the dead goes down by one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] if the same delivery is parked already.
    pub async fn redrive(&self, id: DeadLetterId, now: Timestamp) -> Result<Parked> {
        let tx = self.write().await?;
        let DeadLetter {
            id: _,
            position,
            message_id,
            destination_id,
            action,
            profile_id,
            delivery_id,
            attempts: _,
            died_at: _,
            reason: _,
            history,
        } = dead::find(&tx, id).await?;
        hold(&tx, destination_id).await?;
        // Again behind the lock: another redrive may have been faster.
        dead::remove(&tx, id).await?;
        let parked = Parked {
            position,
            message_id,
            destination_id,
            action,
            profile_id,
            delivery_id,
            attempts: 0,
            parked_at: now,
            due_at: None,
            history,
        };
        let rows = bulk::parameter("parked", vec![parked::Row::of(&parked, destination_id)?])?;
        tx.run(&insert_canonical(tx.dialect, "parked", &parked::MEMBERS), [rows.into()]).await?;
        promote_living(&tx, destination_id, vec![profile_id.0], now).await?;
        let sql = "UPDATE lanes SET dead = dead - 1 WHERE tenant_id = $1 AND destination_id = $2 AND dead > 0";
        tx.run(sql, [destination_id.0.into()]).await?;
        let parked = one_parked(&tx, destination_id, position, &parked.action).await?;
        tx.commit().await?;
        Ok(parked)
    }

    /// Lets a dead letter go for good; that it was, and why it had been given up, stays written down.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn discard(&self, id: DeadLetterId, now: Timestamp) -> Result<()> {
        let tx = self.write().await?;
        let letter = dead::find(&tx, id).await?;
        dead::remove(&tx, id).await?;
        passed_over::discarded(&tx, &letter, now).await?;
        tx.commit().await
    }
}

/// `dst_…:position:action`
fn parked_cursor(text: &str) -> Result<(DestinationId, Position, String)> {
    let mut parts = text.splitn(3, ':');
    let (Some(destination), Some(position), Some(action)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(not_a_cursor());
    };
    let destination = destination.parse().map_err(|_| not_a_cursor())?;
    let position = position.parse().map_err(|_| not_a_cursor())?;
    if action.contains('\0') {
        return Err(not_a_cursor());
    }
    Ok((destination, position, action.to_owned()))
}

async fn one_parked(tx: &TenantTx, destination: DestinationId, position: Position, action: &str) -> Result<Parked> {
    let sql = format!(
        "SELECT {} FROM parked p WHERE p.tenant_id = $1 AND p.destination_id = $2 AND p.position = $3 \
         AND p.action = $4",
        parked::COLUMNS
    );
    let action = action.replace('\0', "\u{fffd}");
    let row = tx.row(&sql, [destination.0.into(), to_sql(position)?.into(), action.into()]).await?;
    parked::from_row(&row.ok_or(StoreError::NotFound { what: "parked delivery" })?)
}
