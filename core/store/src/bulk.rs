//! Many rows at once, checked for what no database takes, so that the row at fault is known.
//!
//! Mostly as one parameter, a JSON array. The three tables that every step writes are bound value by value on SQLite,
//! where taking JSON apart costs more than the row; on PostgreSQL, binding costs more than JSON.

use sea_orm::Value;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::{Result, StoreError};

/// An id as bulk rows hold it: 32 hex digits.
pub(crate) struct Hex(pub(crate) Uuid);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0.as_simple())
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Uuid::try_parse(<&'de str>::deserialize(d)?).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A row of a bulk write.
pub(crate) trait BulkRow: Serialize {
    /// What the row is found by; no two rows of a batch share it.
    type Key: Ord;
    fn key(&self) -> Self::Key;
    /// The event that brought it, where it is known.
    fn message_id(&self) -> Option<&str>;
    /// Its texts that are stored as they are.
    fn texts(&self) -> Vec<&str>;
}

/// A row that can be bound value by value.
pub(crate) trait BoundRow: BulkRow {
    /// Its values, in the order of its table's members.
    fn values(self) -> Vec<Value>;
}

/// Rows in the form that a database takes fastest.
pub(crate) enum Batch {
    /// One parameter.
    Json(String),
    /// The values of each row.
    Bound(Vec<Vec<Value>>),
}

/// The rows, ready to write.
pub(crate) fn batch<R: BoundRow>(dialect: Dialect, what: &'static str, rows: Vec<R>) -> Result<Batch> {
    let rows = checked(what, rows)?;
    match dialect {
        Dialect::Sqlite => Ok(Batch::Bound(rows.into_iter().map(R::values).collect())),
        Dialect::Postgres => json(what, &rows).map(Batch::Json),
    }
}

/// The rows as one parameter.
pub(crate) fn parameter<R: BulkRow>(what: &'static str, rows: Vec<R>) -> Result<String> {
    json(what, &checked(what, rows)?)
}

/// The rows sorted by key: the same order in every transaction, so that none waits for another in a circle, and
/// neighbours in the tree are written together.
fn checked<R: BulkRow>(what: &'static str, mut rows: Vec<R>) -> Result<Vec<R>> {
    rows.sort_by_key(R::key);
    if rows.windows(2).any(|pair| pair[0].key() == pair[1].key()) {
        return Err(StoreError::invalid(what, "two rows have one key"));
    }
    match rows.iter().find(|row| row.texts().iter().any(|text| text.contains('\0'))) {
        Some(row) => Err(StoreError::Poison {
            message_id: row.message_id().map(str::to_owned),
            reason: format!("{what}: a text holds U+0000"),
        }),
        None => Ok(rows),
    }
}

/// Anything as a JSON parameter.
pub(crate) fn json<T: Serialize + ?Sized>(what: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Poison { message_id: None, reason: format!("{what}: {error}") })
}

/// Ids as a JSON parameter, sorted.
pub(crate) fn ids(ids: impl IntoIterator<Item = Uuid>) -> Result<String> {
    let mut ids: Vec<Uuid> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    json("ids", &ids.into_iter().map(Hex).collect::<Vec<_>>())
}
