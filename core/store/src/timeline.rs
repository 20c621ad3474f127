//! The timeline: one narrow row an event, with what was decided on it.

use rialto_model::decision::TimelineEntry;
use rialto_model::event::EventType;
use rialto_model::page::{Page, PageRequest};
use rialto_model::{Position, ProfileId, SourceId, Timestamp};
use sea_orm::{QueryResult, Value};
use serde::Serialize;

use crate::bulk::{self, BoundRow, BulkRow, Hex};
use crate::dialect::Kind;
use crate::error::{Result, StoreError};
use crate::page::{after_position, from_sql, page_of, to_sql};
use crate::profile::all_ids;
use crate::scope::TenantScope;
use crate::tenant::from_json;

const COLUMNS: &str = "position, message_id, kind, name, source_id, profile_id, timestamp, received_at, decision";

/// The columns of a bulk write.
pub(crate) const MEMBERS: [(&str, Kind); 11] = [
    ("position", Kind::Int),
    ("message_id", Kind::Text),
    ("message_hash", Kind::Int),
    ("kind", Kind::Text),
    ("name", Kind::Text),
    ("source_id", Kind::Id),
    ("profile_id", Kind::Id),
    ("timestamp", Kind::Int),
    ("received_at", Kind::Int),
    ("duplicate", Kind::Bool),
    ("decision", Kind::Text),
];

/// An entry as bulk writes take it.
#[derive(Serialize)]
pub(crate) struct Row<'e> {
    position: i64,
    message_id: &'e str,
    message_hash: i64,
    kind: &'static str,
    name: &'e str,
    source_id: Hex,
    profile_id: Option<Hex>,
    timestamp: i64,
    received_at: i64,
    duplicate: bool,
    decision: String,
}

impl BulkRow for Row<'_> {
    type Key = i64;
    fn key(&self) -> i64 {
        self.position
    }
    fn message_id(&self) -> Option<&str> {
        Some(self.message_id)
    }
    fn texts(&self) -> Vec<&str> {
        vec![self.message_id, self.name]
    }
}

impl BoundRow for Row<'_> {
    fn values(self) -> Vec<Value> {
        let Self {
            position,
            message_id,
            message_hash,
            kind,
            name,
            source_id,
            profile_id,
            timestamp,
            received_at,
            duplicate,
            decision,
        } = self;
        vec![
            position.into(),
            message_id.into(),
            message_hash.into(),
            kind.into(),
            name.into(),
            source_id.0.into(),
            profile_id.map(|id| id.0).into(),
            timestamp.into(),
            received_at.into(),
            duplicate.into(),
            decision.into(),
        ]
    }
}

impl<'e> Row<'e> {
    pub(crate) fn of(entry: &'e TimelineEntry) -> Result<Self> {
        let TimelineEntry { position, message_id, kind, name, source_id, profile_id, timestamp, received_at, decision } =
            entry;
        Ok(Self {
            position: to_sql(*position)?,
            message_id,
            message_hash: message_hash(message_id),
            kind: kind.as_str(),
            name,
            source_id: Hex(source_id.0),
            profile_id: profile_id.map(|id| Hex(id.0)),
            timestamp: timestamp.0,
            received_at: received_at.0,
            duplicate: decision.duplicate_of.is_some(),
            decision: bulk::json("decision", decision)?,
        })
    }
}

/// What an entry is found by when its message id is known; the id itself decides.
pub(crate) fn message_hash(message_id: &str) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(message_id.as_bytes()).as_bytes()[..8]);
    i64::from_be_bytes(first)
}

fn from_row(row: &QueryResult) -> Result<TimelineEntry> {
    let kind: String = row.try_get_by_index(2)?;
    let decision: String = row.try_get_by_index(8)?;
    Ok(TimelineEntry {
        position: from_sql(row.try_get_by_index(0)?)?,
        message_id: row.try_get_by_index(1)?,
        kind: EventType::from_word(&kind).ok_or_else(|| StoreError::corrupt("the timeline", "an unknown type"))?,
        name: row.try_get_by_index(3)?,
        source_id: SourceId(row.try_get_by_index(4)?),
        profile_id: row.try_get_by_index::<Option<uuid::Uuid>>(5)?.map(ProfileId),
        timestamp: Timestamp(row.try_get_by_index(6)?),
        received_at: Timestamp(row.try_get_by_index(7)?),
        decision: from_json("a decision", &decision)?,
    })
}

impl TenantScope {
    /// The entries after a position, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn timeline_after(&self, after: Position, limit: usize) -> Result<Vec<TimelineEntry>> {
        let sql =
            format!("SELECT {COLUMNS} FROM timeline WHERE tenant_id = $1 AND position > $2 ORDER BY position LIMIT $3");
        self.entries(&sql, [to_sql(after)?.into(), to_sql(limit as u64)?.into()]).await
    }

    /// The entries of a message id: the one that was processed and its duplicates, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn timeline_of(&self, message_id: &str) -> Result<Vec<TimelineEntry>> {
        if message_id.contains('\0') {
            return Ok(Vec::new());
        }
        // A client that repeats one id for ever must not fill our memory.
        let sql = format!(
            "SELECT {COLUMNS} FROM timeline WHERE tenant_id = $1 AND message_hash = $2 AND message_id = $3 \
             ORDER BY position LIMIT 200"
        );
        self.entries(&sql, [message_hash(message_id).into(), message_id.into()]).await
    }

    /// The entries, newest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn timeline(&self, page: &PageRequest) -> Result<Page<TimelineEntry>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM timeline WHERE tenant_id = $1 AND position < $2 ORDER BY position DESC LIMIT $3"
        );
        let before = after_position(page, i64::MAX)?;
        let entries = self.entries(&sql, [before.into(), (i64::from(page.limit()) + 1).into()]).await?;
        page_of(entries, page, |entry| entry.position.to_string(), Ok)
    }

    /// A person's entries, newest first, with those of every profile that was merged into theirs.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn profile_events(&self, profile: ProfileId, page: &PageRequest) -> Result<Page<TimelineEntry>> {
        let before = after_position(page, i64::MAX)?;
        let limit = i64::from(page.limit()) + 1;
        let tx = self.read().await?;
        let ids = all_ids(&tx, profile).await?;
        // The newest few of each id, then the newest of those: no id's whole history is sorted.
        let parts: Vec<String> = (0..ids.len())
            .map(|n| {
                format!(
                    "SELECT * FROM (SELECT {COLUMNS} FROM timeline WHERE tenant_id = $1 AND profile_id = ${} \
                     AND position < $2 ORDER BY position DESC LIMIT $3) AS part{n}",
                    n + 4
                )
            })
            .collect();
        let sql = format!("{} ORDER BY position DESC LIMIT $3", parts.join(" UNION ALL "));
        let values = [Value::from(before), limit.into()].into_iter().chain(ids.into_iter().map(|id| id.0.into()));
        let rows = tx.rows(&sql, values).await?;
        let entries = rows.iter().map(from_row).collect::<Result<Vec<_>>>()?;
        page_of(entries, page, |entry| entry.position.to_string(), Ok)
    }

    async fn entries<const N: usize>(&self, sql: &str, values: [Value; N]) -> Result<Vec<TimelineEntry>> {
        self.read().await?.rows(sql, values).await?.iter().map(from_row).collect()
    }
}
