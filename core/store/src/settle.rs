//! What became of parked rows: taken, tried again later, or given up.

use rialto_model::{DestinationId, Position, Timestamp};
use sea_orm::Value;
use serde::Serialize;

use crate::bulk::{self, BulkRow};
use crate::dialect::Kind;
use crate::error::Result;
use crate::fault::in_batch;
use crate::lane::{hold, promote_living};
use crate::page::to_sql;
use crate::parked::{self, insert_canonical};
use crate::scope::TenantScope;
use crate::tx::TenantTx;
use crate::write::Settle;
use crate::{dead, passed_over};

/// Which row of a lane is meant.
const KEY: [(&str, Kind); 2] = [("position", Kind::Int), ("action", Kind::Text)];
const AGAIN: [(&str, Kind); 5] = [
    ("position", Kind::Int),
    ("action", Kind::Text),
    ("attempts", Kind::Int),
    ("due_at", Kind::Int),
    ("history", Kind::Text),
];

#[derive(Serialize)]
struct KeyRow<'k> {
    position: i64,
    action: &'k str,
}

impl<'k> BulkRow for KeyRow<'k> {
    type Key = (i64, &'k str);
    fn key(&self) -> Self::Key {
        (self.position, self.action)
    }
    fn message_id(&self) -> Option<&str> {
        None
    }
    fn texts(&self) -> Vec<&str> {
        vec![self.action]
    }
}

impl TenantScope {
    /// Writes what became of parked rows, whole or not at all. Rows that are gone by now are passed over and not
    /// counted, so that saying it twice changes nothing. Whoever stood behind a row that goes is due at once.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] when the destination is gone; [`crate::StoreError::Invalid`] when two things
    /// are said of one row; [`crate::StoreError::Poison`]; [`crate::StoreError::Unavailable`].
    pub async fn settle(&self, settle: &Settle) -> Result<()> {
        let rows = Rows::of(settle)?;
        let count = settle.delivered.len() + settle.skipped.len() + settle.again.len() + settle.dead.len();
        self.write_together(count, |tx| Box::pin(write(tx, rows))).await
    }
}

/// What became of rows as parameters: all that can be wrong with a row is found before a transaction begins.
struct Rows {
    destination: DestinationId,
    /// All rows that are spoken of, each once.
    all: String,
    delivered: Option<String>,
    skipped: Option<String>,
    passed_over: Option<String>,
    dead: Option<String>,
    updates: Option<String>,
    letters: Option<String>,
    now: Timestamp,
}

impl Rows {
    fn of(settle: &Settle) -> Result<Self> {
        let Settle { destination_id, delivered, skipped, again, dead, now } = settle;
        let dead_keys = || dead.iter().map(|row| key(row.position, &row.action));
        let again_keys = again.iter().map(|row| key(row.position, &row.action));
        let skipped_keys = || skipped.iter().map(|skip| key(skip.position, &skip.action));
        let taken = delivered.iter().map(row).chain(skipped_keys());
        let updates = again.iter().map(|row| parked::Row::of(row, *destination_id)).collect();
        let letters = dead.iter().map(|row| dead::Row::of(row, *destination_id)).collect();
        Ok(Self {
            destination: *destination_id,
            all: parameter(taken.chain(dead_keys()).chain(again_keys).collect())?.unwrap_or_else(|| "[]".to_owned()),
            delivered: parameter(delivered.iter().map(row).collect())?,
            skipped: parameter(skipped_keys().collect())?,
            passed_over: passed_over::skipped(skipped, *destination_id, *now)?,
            dead: parameter(dead_keys().collect())?,
            updates: parameter(updates)?,
            letters: parameter(letters)?,
            now: *now,
        })
    }
}

fn row((position, action): &(Position, String)) -> Result<KeyRow<'_>> {
    key(*position, action)
}

fn key(position: Position, action: &str) -> Result<KeyRow<'_>> {
    Ok(KeyRow { position: to_sql(position)?, action })
}

fn parameter<R: BulkRow>(rows: Result<Vec<R>>) -> Result<Option<String>> {
    let rows = rows?;
    if rows.is_empty() { Ok(None) } else { bulk::parameter("settle", rows).map(Some) }
}

async fn write(tx: &TenantTx, rows: Rows) -> Result<()> {
    let Rows { destination, all, delivered, skipped, passed_over, dead, updates, letters, now } = rows;
    hold(tx, destination).await?;
    let persons = persons_of(tx, destination, all).await?;
    if let Some(updates) = updates {
        update(tx, destination, updates).await.map_err(in_batch)?;
    }
    if let Some(letters) = letters {
        bury(tx, letters).await.map_err(in_batch)?;
    }
    if let Some(skips) = passed_over {
        tx.run(&passed_over::insert_parked(tx.dialect), [skips.into()]).await.map_err(in_batch)?;
    }
    let mut counts = vec![Value::from(destination.0)];
    for keys in [delivered, skipped, dead] {
        let gone = match keys {
            Some(keys) => remove(tx, destination, keys).await?,
            None => 0,
        };
        counts.push(to_sql(gone)?.into());
    }
    promote_living(tx, destination, persons, now).await?;
    counts.push(now.0.into());
    let sql = "UPDATE lanes SET delivered = delivered + $3, skipped = skipped + $4, dead = dead + $5, \
               updated_at = $6 WHERE tenant_id = $1 AND destination_id = $2";
    tx.run(sql, counts).await?;
    Ok(())
}

/// That a parked row is one of those in parameter `$3`.
fn is_one_of(tx: &TenantTx) -> String {
    format!(
        "tenant_id = $1 AND destination_id = $2 AND (position, action) IN (SELECT {}, {} FROM {})",
        tx.dialect.member("position", Kind::Int),
        tx.dialect.member("action", Kind::Text),
        tx.dialect.rows("$3", &KEY)
    )
}

async fn persons_of(tx: &TenantTx, destination: DestinationId, keys: String) -> Result<Vec<uuid::Uuid>> {
    let sql = format!("SELECT DISTINCT profile_id FROM parked WHERE {}", is_one_of(tx));
    let rows = tx.rows(&sql, [destination.0.into(), keys.into()]).await?;
    rows.iter().map(|row| Ok(row.try_get_by_index(0)?)).collect()
}

async fn remove(tx: &TenantTx, destination: DestinationId, keys: String) -> Result<u64> {
    tx.run(&format!("DELETE FROM parked WHERE {}", is_one_of(tx)), [destination.0.into(), keys.into()]).await
}

/// New attempts, due times and histories; the person stays who they are by now.
async fn update(tx: &TenantTx, destination: DestinationId, again: String) -> Result<()> {
    let dialect = tx.dialect;
    let sql = format!(
        "UPDATE parked SET attempts = {}, due_at = {}, history = {} FROM {} \
         WHERE parked.tenant_id = $1 AND parked.destination_id = $3 AND parked.position = {} AND parked.action = {}",
        dialect.member("attempts", Kind::Int),
        dialect.member("due_at", Kind::Int),
        dialect.member("history", Kind::Text),
        dialect.rows("$2", &AGAIN),
        dialect.member("position", Kind::Int),
        dialect.member("action", Kind::Text),
    );
    tx.run(&sql, [again.into(), destination.0.into()]).await?;
    Ok(())
}

/// Dead letters of rows that are still parked.
async fn bury(tx: &TenantTx, letters: String) -> Result<()> {
    let dialect = tx.dialect;
    let sql = format!(
        "{} AND EXISTS (SELECT 1 FROM parked p WHERE p.tenant_id = $1 AND p.destination_id = {} \
         AND p.position = {} AND p.action = {})",
        insert_canonical(dialect, "dead_letters", &dead::MEMBERS),
        dialect.member("destination_id", Kind::Id),
        dialect.member("position", Kind::Int),
        dialect.member("action", Kind::Text),
    );
    tx.run(&sql, [letters.into()]).await?;
    Ok(())
}
