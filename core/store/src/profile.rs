//! Profiles as rows: the document in one table, and what every event changes in another.

use std::collections::HashMap;

use rialto_model::identifier::normalise;
use rialto_model::page::{Page, PageRequest};
use rialto_model::profile::Profile;
use rialto_model::{ProfileId, Timestamp};
use sea_orm::{QueryResult, Value};
use serde::Serialize;

use crate::bulk::{self, BoundRow, BulkRow, Hex};
use crate::dialect::Kind;
use crate::document;
use crate::error::{Result, StoreError};
use crate::page::{after_id, from_sql, page_of, to_sql};
use crate::scope::TenantScope;
use crate::tx::TenantTx;
use crate::write::Sighting;

/// A SELECT of what [`from_row`] reads, up to its conditions. SQLite takes the tables of a CROSS JOIN in their order.
const SELECT: &str = "SELECT p.id, p.created_at, s.updated_at, s.last_seen_at, p.merges, s.events, p.body \
                      FROM profiles p CROSS JOIN sightings s \
                      WHERE p.tenant_id = $1 AND s.tenant_id = p.tenant_id AND s.profile_id = p.id";

/// The columns of a bulk write.
pub(crate) const MEMBERS: [(&str, Kind); 4] =
    [("id", Kind::Id), ("created_at", Kind::Int), ("merges", Kind::Int), ("body", Kind::Text)];

/// The columns of a bulk write of sightings.
pub(crate) const SEEN: [(&str, Kind); 4] =
    [("profile_id", Kind::Id), ("updated_at", Kind::Int), ("last_seen_at", Kind::Int), ("events", Kind::Int)];

/// A profile as bulk writes take it.
#[derive(Serialize)]
pub(crate) struct Row {
    id: Hex,
    created_at: i64,
    merges: u32,
    body: String,
}

impl BulkRow for Row {
    type Key = uuid::Uuid;
    fn key(&self) -> uuid::Uuid {
        self.id.0
    }
    fn message_id(&self) -> Option<&str> {
        None
    }
    fn texts(&self) -> Vec<&str> {
        Vec::new()
    }
}

impl BoundRow for Row {
    fn values(self) -> Vec<Value> {
        let Self { id, created_at, merges, body } = self;
        vec![id.0.into(), created_at.into(), i64::from(merges).into(), body.into()]
    }
}

impl Row {
    pub(crate) fn of(profile: &Profile) -> Result<Self> {
        let Profile { id, created_at, identifiers, traits, deleted_traits, merges, .. } = profile;
        let body = document::write(identifiers, traits, deleted_traits)?;
        Ok(Self { id: Hex(id.0), created_at: created_at.0, merges: *merges, body })
    }
}

/// A sighting as bulk writes take it.
#[derive(Serialize)]
pub(crate) struct SeenRow {
    profile_id: Hex,
    updated_at: i64,
    last_seen_at: i64,
    events: i64,
}

impl BulkRow for SeenRow {
    type Key = uuid::Uuid;
    fn key(&self) -> uuid::Uuid {
        self.profile_id.0
    }
    fn message_id(&self) -> Option<&str> {
        None
    }
    fn texts(&self) -> Vec<&str> {
        Vec::new()
    }
}

impl BoundRow for SeenRow {
    fn values(self) -> Vec<Value> {
        let Self { profile_id, updated_at, last_seen_at, events } = self;
        vec![profile_id.0.into(), updated_at.into(), last_seen_at.into(), events.into()]
    }
}

impl SeenRow {
    pub(crate) fn of(sighting: &Sighting) -> Result<Self> {
        let Sighting { profile_id, updated_at, last_seen_at, events } = sighting;
        let (updated_at, last_seen_at) = (updated_at.0, last_seen_at.0);
        Ok(Self { profile_id: Hex(profile_id.0), updated_at, last_seen_at, events: to_sql(*events)? })
    }
}

/// A profile of a row of [`SELECT`].
fn from_row(row: &QueryResult) -> Result<Profile> {
    let body: String = row.try_get_by_index(6)?;
    let (identifiers, traits, deleted_traits) = document::read(&body)?;
    Ok(Profile {
        id: ProfileId(row.try_get_by_index(0)?),
        created_at: Timestamp(row.try_get_by_index(1)?),
        updated_at: Timestamp(row.try_get_by_index(2)?),
        last_seen_at: Timestamp(row.try_get_by_index(3)?),
        identifiers,
        traits,
        deleted_traits,
        merges: u32::try_from(row.try_get_by_index::<i64>(4)?)
            .map_err(|_| StoreError::corrupt("a profile", "its merges are no count"))?,
        events: from_sql(row.try_get_by_index(5)?)?,
    })
}

/// These profiles, those that there are; absorbed ones are not.
pub(crate) async fn by_ids(tx: &TenantTx, ids: String) -> Result<Vec<Profile>> {
    let sql = format!("{SELECT} AND p.id IN {}", tx.dialect.list("$2", Kind::Id));
    tx.rows(&sql, [ids.into()]).await?.iter().map(from_row).collect()
}

/// Of these ids those that were absorbed, each with the one that lives on.
pub(crate) async fn survivors(tx: &TenantTx, ids: String) -> Result<HashMap<ProfileId, ProfileId>> {
    let sql = format!(
        "SELECT absorbed_id, survivor_id FROM aliases WHERE tenant_id = $1 AND absorbed_id IN {}",
        tx.dialect.list("$2", Kind::Id)
    );
    let rows = tx.rows(&sql, [ids.into()]).await?;
    rows.iter().map(|row| Ok((ProfileId(row.try_get_by_index(0)?), ProfileId(row.try_get_by_index(1)?)))).collect()
}

/// The id that a person lives on under.
pub(crate) async fn survivor(tx: &TenantTx, id: ProfileId) -> Result<ProfileId> {
    let sql = "SELECT survivor_id FROM aliases WHERE tenant_id = $1 AND absorbed_id = $2";
    let found = tx.row(sql, [id.0.into()]).await?;
    found.map_or(Ok(id), |row| Ok(ProfileId(row.try_get_by_index(0)?)))
}

/// Every id that a person was ever known under, the living one first.
pub(crate) async fn all_ids(tx: &TenantTx, id: ProfileId) -> Result<Vec<ProfileId>> {
    let living = survivor(tx, id).await?;
    let sql = "SELECT absorbed_id FROM aliases WHERE tenant_id = $1 AND survivor_id = $2 ORDER BY absorbed_id";
    let mut ids = vec![living];
    for row in tx.rows(sql, [living.0.into()]).await? {
        ids.push(ProfileId(row.try_get_by_index(0)?));
    }
    Ok(ids)
}

impl TenantScope {
    /// A profile by its id or by one that was merged into it; the profile then shows the surviving id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn profile(&self, id: ProfileId) -> Result<Option<Profile>> {
        let tx = self.read().await?;
        let living = survivor(&tx, id).await?;
        Ok(by_ids(&tx, bulk::ids([living.0])?).await?.pop())
    }

    /// The profile that holds an identifier; the value is normalised as its kind wants.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn profile_by_identifier(&self, kind: &str, value: &str) -> Result<Option<Profile>> {
        if kind.contains('\0') || value.contains('\0') {
            return Ok(None);
        }
        let tx = self.read().await?;
        let sql = "SELECT profile_id FROM identifiers WHERE tenant_id = $1 AND kind = $2 AND value = $3";
        let Some(row) = tx.row(sql, [kind.into(), normalise(kind, value).into()]).await? else { return Ok(None) };
        Ok(by_ids(&tx, bulk::ids([row.try_get_by_index(0)?])?).await?.pop())
    }

    /// The profiles, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn profiles(&self, page: &PageRequest) -> Result<Page<Profile>> {
        let after = after_id::<ProfileId>(page)?.map_or(uuid::Uuid::nil(), |id| id.0);
        let sql = format!("{SELECT} AND p.id > $2 ORDER BY p.id LIMIT $3");
        let tx = self.read().await?;
        let rows = tx.rows(&sql, [after.into(), (i64::from(page.limit()) + 1).into()]).await?;
        let profiles = rows.iter().map(from_row).collect::<Result<Vec<_>>>()?;
        page_of(profiles, page, |profile| profile.id.to_string(), Ok)
    }

    /// The ids that were merged into this profile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn aliases_of(&self, id: ProfileId) -> Result<Vec<ProfileId>> {
        Ok(all_ids(&self.read().await?, id).await?.split_off(1))
    }

    /// Of these ids those that were absorbed, each with the one that lives on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn canonical(&self, ids: &[ProfileId]) -> Result<HashMap<ProfileId, ProfileId>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        survivors(&self.read().await?, bulk::ids(ids.iter().map(|id| id.0))?).await
    }
}
