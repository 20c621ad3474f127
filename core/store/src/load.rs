//! What a step wants to know, in a handful of queries however many events it has.

use std::collections::{HashMap, HashSet};

use rialto_model::identifier::Identifier;
use rialto_model::profile::HeldIdentifier;
use rialto_model::{Position, ProfileId};
use serde::Serialize;

use crate::bulk;
use crate::dialect::Kind;
use crate::error::{Result, StoreError};
use crate::page::from_sql;
use crate::profile::{by_ids, survivors};
use crate::scope::TenantScope;
use crate::suppression;
use crate::timeline::message_hash;
use crate::tx::TenantTx;
use crate::write::{Loaded, Wanted};

#[derive(Serialize)]
struct Pair<'i> {
    kind: &'i str,
    value: &'i str,
}

/// Hardly a document has more bytes: so few of them need not be measured.
const LARGEST: usize = 1 << 20;

const PAIR: [(&str, Kind); 2] = [("kind", Kind::Text), ("value", Kind::Text)];

impl TenantScope {
    /// What there is of what is wanted, as of one moment.
    ///
    /// # Errors
    /// [`StoreError::Poison`] where an identifier or message id cannot be asked for, [`StoreError::TooMany`] where the
    /// profiles are larger than wanted, [`StoreError::Unavailable`].
    pub async fn load(&self, wanted: &Wanted) -> Result<Loaded> {
        let tx = self.read().await?;
        let seen = seen(&tx, wanted).await?;
        let owners = owners(&tx, &wanted.identifiers).await?;
        let aliases = match wanted.profile_ids.as_slice() {
            [] => HashMap::new(),
            ids => survivors(&tx, bulk::ids(ids.iter().map(|id| id.0))?).await?,
        };
        let living = |id: &ProfileId| *aliases.get(id).unwrap_or(id);
        let ids: HashSet<ProfileId> = owners.values().copied().chain(wanted.profile_ids.iter().map(living)).collect();
        let mut profiles = HashMap::with_capacity(ids.len());
        if !ids.is_empty() {
            let count = ids.len();
            let ids = bulk::ids(ids.into_iter().map(|id| id.0))?;
            if let Some(most) = wanted.most_bytes.filter(|most| count.saturating_mul(LARGEST) > *most) {
                bounded(&tx, ids.clone(), most).await?;
            }
            for profile in by_ids(&tx, ids).await? {
                profiles.insert(profile.id, profile);
            }
        }
        let suppressed = match &wanted.suppressible {
            None => HashMap::new(),
            Some(asked) => {
                let held = profiles.values().flat_map(|profile| &profile.identifiers).map(HeldIdentifier::identifier);
                suppression::among(&tx, &self.store.hasher, asked.iter().cloned().chain(held)).await?
            }
        };
        tx.commit().await?;
        Ok(Loaded { seen, owners, profiles, suppressed, aliases })
    }
}

/// That the documents of these profiles are not too large to be held at once. Neither database reads a document to
/// say how long it is.
async fn bounded(tx: &TenantTx, ids: String, most: usize) -> Result<()> {
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(octet_length(body)), 0) AS bigint) FROM profiles WHERE tenant_id = $1 AND id IN {}",
        tx.dialect.list("$2", Kind::Id)
    );
    let bytes = match tx.row(&sql, [ids.into()]).await? {
        Some(row) => from_sql(row.try_get_by_index(0)?)?,
        None => 0,
    };
    match bytes > most as u64 {
        true => Err(StoreError::TooMany { what: "bytes of profiles", limit: most }),
        false => Ok(()),
    }
}

async fn seen(tx: &TenantTx, wanted: &Wanted) -> Result<HashMap<String, Position>> {
    if wanted.message_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT message_id, position FROM timeline \
         WHERE tenant_id = $1 AND message_hash IN {} AND received_at >= $3 AND NOT duplicate",
        tx.dialect.list("$2", Kind::Int)
    );
    let asked: HashSet<&str> = wanted.message_ids.iter().map(String::as_str).collect();
    let mut hashes: Vec<i64> = asked.iter().map(|id| message_hash(id)).collect();
    hashes.sort_unstable();
    let mut seen = HashMap::new();
    for row in tx.rows(&sql, [bulk::json("message_ids", &hashes)?.into(), wanted.dedupe_since.0.into()]).await? {
        let message_id: String = row.try_get_by_index(0)?;
        if asked.contains(message_id.as_str()) {
            let position = from_sql(row.try_get_by_index(1)?)?;
            let first = seen.entry(message_id).or_insert(position);
            *first = position.min(*first);
        }
    }
    Ok(seen)
}

async fn owners(tx: &TenantTx, identifiers: &[Identifier]) -> Result<HashMap<Identifier, ProfileId>> {
    if identifiers.is_empty() {
        return Ok(HashMap::new());
    }
    let dialect = tx.dialect;
    let sql = format!(
        "SELECT i.kind, i.value, i.profile_id FROM {} CROSS JOIN identifiers i \
         WHERE i.tenant_id = $1 AND i.kind = {} AND i.value = {}",
        dialect.rows("$2", &PAIR),
        dialect.member("kind", Kind::Text),
        dialect.member("value", Kind::Text),
    );
    let mut pairs: Vec<Pair<'_>> = identifiers.iter().map(|Identifier { kind, value }| Pair { kind, value }).collect();
    pairs.sort_unstable_by_key(|pair| (pair.kind, pair.value));
    let rows = tx.rows(&sql, [bulk::json("identifiers", &pairs)?.into()]).await?;
    rows.iter()
        .map(|row| {
            let identifier = Identifier { kind: row.try_get_by_index(0)?, value: row.try_get_by_index(1)? };
            Ok((identifier, ProfileId(row.try_get_by_index(2)?)))
        })
        .collect()
}
