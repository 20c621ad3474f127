//! The journal of merges, and what a merge moves.

use std::collections::HashMap;

use rialto_model::identifier::Identifier;
use rialto_model::page::{Page, PageRequest};
use rialto_model::profile::{Merge, Profile};
use rialto_model::{MergeId, ProfileId, Timestamp};
use sea_orm::QueryResult;
use serde::{Deserialize, Serialize};

use crate::bulk::{self, BulkRow, Hex};
use crate::dialect::Kind;
use crate::error::{Result, StoreError};
use crate::page::{after_id, page_of};
use crate::profile::all_ids;
use crate::scope::TenantScope;
use crate::tenant::from_json;
use crate::tx::TenantTx;

const COLUMNS: &str = "id, at, message_id, survivor_id, absorbed_id, body";

/// The columns of a bulk write.
pub(crate) const MEMBERS: [(&str, Kind); 6] = [
    ("id", Kind::Id),
    ("at", Kind::Int),
    ("message_id", Kind::Text),
    ("survivor_id", Kind::Id),
    ("absorbed_id", Kind::Id),
    ("body", Kind::Text),
];

const ABSORBED: [(&str, Kind); 2] = [("absorbed_id", Kind::Id), ("survivor_id", Kind::Id)];

#[derive(Serialize)]
struct BodyOf<'m> {
    by: &'m [Identifier],
    survivor_before: &'m Profile,
    absorbed_before: &'m Profile,
}

#[derive(Deserialize)]
struct Body {
    by: Vec<Identifier>,
    survivor_before: Profile,
    absorbed_before: Profile,
}

/// A merge as bulk writes take it.
#[derive(Serialize)]
pub(crate) struct Row<'m> {
    id: Hex,
    at: i64,
    message_id: &'m str,
    survivor_id: Hex,
    absorbed_id: Hex,
    body: String,
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
        vec![self.message_id]
    }
}

impl<'m> Row<'m> {
    pub(crate) fn of(merge: &'m Merge) -> Result<Self> {
        let Merge { id, at, message_id, by, survivor_id, absorbed_id, survivor_before, absorbed_before } = merge;
        Ok(Self {
            id: Hex(id.0),
            at: at.0,
            message_id,
            survivor_id: Hex(survivor_id.0),
            absorbed_id: Hex(absorbed_id.0),
            body: bulk::json("merges", &BodyOf { by, survivor_before, absorbed_before })?,
        })
    }
}

fn from_row(row: &QueryResult) -> Result<Merge> {
    let body: String = row.try_get_by_index(5)?;
    let Body { by, survivor_before, absorbed_before } = from_json("a merge", &body)?;
    Ok(Merge {
        id: MergeId(row.try_get_by_index(0)?),
        at: Timestamp(row.try_get_by_index(1)?),
        message_id: row.try_get_by_index(2)?,
        by,
        survivor_id: ProfileId(row.try_get_by_index(3)?),
        absorbed_id: ProfileId(row.try_get_by_index(4)?),
        survivor_before,
        absorbed_before,
    })
}

/// A profile that is no more, and the one that lives on at the end of the step.
#[derive(Serialize)]
struct Absorbed {
    absorbed_id: Hex,
    survivor_id: Hex,
}

impl BulkRow for Absorbed {
    type Key = uuid::Uuid;
    fn key(&self) -> uuid::Uuid {
        self.absorbed_id.0
    }
    fn message_id(&self) -> Option<&str> {
        None
    }
    fn texts(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// Who lives on, where one step merged several times over.
fn ends(absorbed: &[(ProfileId, ProfileId)]) -> Result<Vec<Absorbed>> {
    let direct: HashMap<ProfileId, ProfileId> = absorbed.iter().copied().collect();
    absorbed
        .iter()
        .map(|(gone, survivor)| {
            let mut end = *survivor;
            let mut hops = 0;
            while let Some(next) = direct.get(&end) {
                end = *next;
                hops += 1;
                if hops > absorbed.len() {
                    return Err(StoreError::invalid("absorbed", "profiles were merged in a circle"));
                }
            }
            Ok(Absorbed { absorbed_id: Hex(gone.0), survivor_id: Hex(end.0) })
        })
        .collect()
}

/// Makes absorbed profiles aliases and moves what waits in lanes to who lives on. Their identifiers have moved.
pub(crate) async fn absorb(tx: &TenantTx, absorbed: &[(ProfileId, ProfileId)]) -> Result<()> {
    let dialect = tx.dialect;
    let gone = bulk::ids(absorbed.iter().map(|(gone, _)| gone.0))?;
    let pairs = bulk::parameter("absorbed", ends(absorbed)?)?;
    // No lane may park a row of these persons while they move.
    let lanes = "SELECT destination_id FROM lanes WHERE tenant_id = $1 ORDER BY destination_id";
    tx.rows(&format!("{lanes}{}", dialect.for_update()), []).await?;
    for (table, column) in [("aliases", "survivor_id"), ("parked", "profile_id"), ("dead_letters", "profile_id")] {
        let sql = format!(
            "UPDATE {table} SET {column} = {} FROM {} WHERE {table}.tenant_id = $1 AND {table}.{column} = {}",
            dialect.member("survivor_id", Kind::Id),
            dialect.rows("$2", &ABSORBED),
            dialect.member("absorbed_id", Kind::Id),
        );
        tx.run(&sql, [pairs.as_str().into()]).await?;
    }
    let sql = dialect.insert("aliases", &ABSORBED);
    tx.run(&sql, [pairs.into()]).await?;
    for (table, column) in [("profiles", "id"), ("sightings", "profile_id")] {
        let ids = dialect.list("$2", Kind::Id);
        tx.run(&format!("DELETE FROM {table} WHERE tenant_id = $1 AND {column} IN {ids}"), [gone.as_str().into()])
            .await?;
    }
    Ok(())
}

impl TenantScope {
    /// The merges that made a profile what it is, newest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn merges(&self, profile: ProfileId, page: &PageRequest) -> Result<Page<Merge>> {
        let tx = self.read().await?;
        let ids = all_ids(&tx, profile).await?;
        let before = after_id::<MergeId>(page)?.map_or(uuid::Uuid::max(), |id| id.0);
        let sql = format!(
            "SELECT {COLUMNS} FROM merges WHERE tenant_id = $1 AND survivor_id IN {} AND id < $3 \
             ORDER BY id DESC LIMIT $4",
            tx.dialect.list("$2", Kind::Id)
        );
        let ids = bulk::ids(ids.into_iter().map(|id| id.0))?;
        let rows = tx.rows(&sql, [ids.into(), before.into(), (i64::from(page.limit()) + 1).into()]).await?;
        let merges = rows.iter().map(from_row).collect::<Result<Vec<_>>>()?;
        page_of(merges, page, |merge| merge.id.to_string(), Ok)
    }
}
