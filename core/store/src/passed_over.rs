//! Rows of deliveries that came to nothing and have no other row: skipped by the connector, or discarded by someone.
//! Neither is ever tried again, so none of these rows is taken back.

use rialto_model::delivery::{DeadLetter, MAX_PASSED_OVER, PassedOver, Passing};
use rialto_model::{DestinationId, Timestamp};
use sea_orm::QueryResult;
use serde::Serialize;

use crate::bulk::{self, BulkRow, Hex};
use crate::dialect::{Dialect, Kind};
use crate::error::{Result, StoreError};
use crate::page::{from_sql, to_sql};
use crate::tx::TenantTx;
use crate::write::Skip;

/// What [`from_row`] reads, in its order; of a table called `p`.
pub(crate) const COLUMNS: &str = "p.position, p.destination_id, p.action, p.what, p.code, p.message, p.at";

/// The columns of a bulk write.
const MEMBERS: [(&str, Kind); 7] = [
    ("destination_id", Kind::Id),
    ("position", Kind::Int),
    ("action", Kind::Text),
    ("what", Kind::Text),
    ("code", Kind::Text),
    ("message", Kind::Text),
    ("at", Kind::Int),
];

/// Should a position be delivered anew one day, the last word holds.
const LAST_WORD: &str = "ON CONFLICT (tenant_id, destination_id, position, action) DO UPDATE \
                         SET what = excluded.what, code = excluded.code, message = excluded.message, at = excluded.at";

const SKIPPED: &str = "skipped";
const DISCARDED: &str = "discarded";

#[derive(Serialize)]
struct Row<'p> {
    destination_id: Hex,
    position: i64,
    action: &'p str,
    what: &'static str,
    code: String,
    message: String,
    at: i64,
}

impl<'p> BulkRow for Row<'p> {
    type Key = (i64, &'p str);
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

impl<'p> Row<'p> {
    fn skipped(skip: &'p Skip, destination: DestinationId, now: Timestamp) -> Result<Self> {
        let Skip { position, action, code, message } = skip;
        Ok(Self {
            destination_id: Hex(destination.0),
            position: to_sql(*position)?,
            action,
            what: SKIPPED,
            code: bounded(code),
            message: bounded(message),
            at: now.0,
        })
    }
}

/// The beginning of a stranger's text, as any database can hold it.
fn bounded(text: &str) -> String {
    text.chars().take(MAX_PASSED_OVER).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect()
}

/// The rows of what a connector skipped, ready to write; nothing if it skipped nothing.
pub(crate) fn skipped(skips: &[Skip], destination: DestinationId, now: Timestamp) -> Result<Option<String>> {
    let rows = skips.iter().map(|skip| Row::skipped(skip, destination, now)).collect::<Result<Vec<_>>>()?;
    if rows.is_empty() { Ok(None) } else { bulk::parameter("skipped", rows).map(Some) }
}

/// `INSERT` of such rows.
pub(crate) fn insert(dialect: Dialect) -> String {
    format!("{} {LAST_WORD}", dialect.insert("passed_over", &MEMBERS))
}

/// `INSERT` of such rows as far as they are still parked.
pub(crate) fn insert_parked(dialect: Dialect) -> String {
    format!(
        "{} AND EXISTS (SELECT 1 FROM parked p WHERE p.tenant_id = $1 AND p.destination_id = {} \
         AND p.position = {} AND p.action = {}) {LAST_WORD}",
        dialect.insert("passed_over", &MEMBERS),
        dialect.member("destination_id", Kind::Id),
        dialect.member("position", Kind::Int),
        dialect.member("action", Kind::Text),
    )
}

/// Writes down that a dead letter was let go.
pub(crate) async fn discarded(tx: &TenantTx, letter: &DeadLetter, now: Timestamp) -> Result<()> {
    let row = Row {
        destination_id: Hex(letter.destination_id.0),
        position: to_sql(letter.position)?,
        action: &letter.action,
        what: DISCARDED,
        code: letter.history.last().map(|attempt| bounded(&attempt.outcome.code)).unwrap_or_default(),
        message: bounded(&letter.reason),
        at: now.0,
    };
    tx.run(&insert(tx.dialect), [bulk::parameter("discarded", vec![row])?.into()]).await.map(drop)
}

/// A row with [`COLUMNS`].
pub(crate) fn from_row(row: &QueryResult) -> Result<PassedOver> {
    let what: String = row.try_get_by_index(3)?;
    Ok(PassedOver {
        position: from_sql(row.try_get_by_index(0)?)?,
        destination_id: DestinationId(row.try_get_by_index(1)?),
        action: row.try_get_by_index(2)?,
        what: match what.as_str() {
            SKIPPED => Passing::Skipped,
            DISCARDED => Passing::Discarded,
            _ => return Err(StoreError::corrupt("a delivery that was passed over", "nobody knows how")),
        },
        code: row.try_get_by_index(4)?,
        message: row.try_get_by_index(5)?,
        at: Timestamp(row.try_get_by_index(6)?),
    })
}
