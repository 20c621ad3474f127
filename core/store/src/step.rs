//! A step of the processor: profiles, identifiers, merges, timeline, outbox and cursor in one transaction, never a
//! statement an event.

use std::collections::HashSet;

use rialto_model::identifier::Identifier;
use rialto_model::profile::{HeldIdentifier, Merge};
use rialto_model::{ProfileId, Timestamp};
use sea_orm::Value;
use serde::Serialize;

use crate::bulk::{self, Batch, BoundRow, BulkRow, Hex};
use crate::dialect::{Dialect, Kind};
use crate::error::{Result, StoreError};
use crate::fault::in_batch;
use crate::page::to_sql;
use crate::scope::TenantScope;
use crate::tx::TenantTx;
use crate::write::{OutboxEvent, Sighting, StepWrite};
use crate::{merge, profile, suppression, timeline};

const CLAIM: [(&str, Kind); 4] =
    [("kind", Kind::Text), ("value", Kind::Text), ("profile_id", Kind::Id), ("first_seen_at", Kind::Int)];

const OUTBOX: [(&str, Kind); 4] =
    [("message_id", Kind::Text), ("position", Kind::Int), ("ordinal", Kind::Int), ("body", Kind::Text)];

#[derive(Serialize)]
struct ClaimRow<'c> {
    kind: &'c str,
    value: &'c str,
    profile_id: Hex,
    first_seen_at: i64,
}

impl<'c> BulkRow for ClaimRow<'c> {
    type Key = (&'c str, &'c str);
    fn key(&self) -> Self::Key {
        (self.kind, self.value)
    }
    fn message_id(&self) -> Option<&str> {
        None
    }
    fn texts(&self) -> Vec<&str> {
        vec![self.kind, self.value]
    }
}

impl BoundRow for ClaimRow<'_> {
    fn values(self) -> Vec<Value> {
        let Self { kind, value, profile_id, first_seen_at } = self;
        vec![kind.into(), value.into(), profile_id.0.into(), first_seen_at.into()]
    }
}

#[derive(Serialize)]
struct OutboxRow<'o> {
    message_id: &'o str,
    position: i64,
    ordinal: usize,
    body: &'o str,
}

impl<'o> BulkRow for OutboxRow<'o> {
    type Key = &'o str;
    fn key(&self) -> Self::Key {
        self.message_id
    }
    fn message_id(&self) -> Option<&str> {
        Some(self.message_id)
    }
    fn texts(&self) -> Vec<&str> {
        vec![self.message_id, self.body]
    }
}

/// A step as parameters: all that can be wrong with a row is found before a transaction begins.
struct Parameters {
    from: i64,
    to: i64,
    now: i64,
    absorbed: Vec<(ProfileId, ProfileId)>,
    profiles: Option<Batch>,
    seen: Option<Batch>,
    claims: Option<Batch>,
    merges: Option<String>,
    timeline: Option<Batch>,
    outbox: Option<String>,
    withdrawn: Option<String>,
}

impl TenantScope {
    /// Writes a step whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the cursor is not at `from`; [`StoreError::Poison`] when the database cannot
    /// hold a row; [`StoreError::Unavailable`], after which the step may be tried again and is then `Fenced` if the
    /// commit had arrived; [`StoreError::Invalid`] for two rows of one key, for an identifier whose
    /// profile is not written with it, and for one that an absorbed profile keeps.
    pub async fn commit_step(&self, step: &StepWrite) -> Result<()> {
        check(step)?;
        let parameters = Parameters::of(step, self.store.connections.dialect)?;
        let rows = 2 * step.profiles.len() + step.seen.len() + step.claims.len() + step.timeline.len();
        self.write_together(rows, |tx| Box::pin(write(tx, parameters))).await.map_err(in_batch)
    }
}

/// That no identifier is left pointing at nobody: whoever claims one is written with it, and whoever is absorbed
/// has handed on all it had.
fn check(step: &StepWrite) -> Result<()> {
    let absorbed: HashSet<ProfileId> = step.absorbed.iter().map(|(gone, _)| *gone).collect();
    let written: HashSet<ProfileId> = step.profiles.iter().map(|profile| profile.id).collect();
    let mut claimed = HashSet::with_capacity(step.claims.len());
    for (identifier, profile, _) in &step.claims {
        if !written.contains(profile) || absorbed.contains(profile) {
            return Err(StoreError::invalid("claims", format!("{profile} claims but is not written")));
        }
        claimed.insert((identifier.kind.as_str(), identifier.value.as_str()));
    }
    for merge in &step.merges {
        let handed_on = |held: &HeldIdentifier| claimed.contains(&(held.kind.as_str(), held.value.as_str()));
        if !merge.absorbed_before.identifiers.iter().all(handed_on) {
            let gone = merge.absorbed_id;
            return Err(StoreError::invalid("claims", format!("{gone} was absorbed but keeps an identifier")));
        }
    }
    Ok(())
}

impl Parameters {
    fn of(step: &StepWrite, dialect: Dialect) -> Result<Self> {
        let StepWrite { from, to, profiles, seen, claims, absorbed, merges, timeline, outbox, withdrawn, now } = step;
        let position = to_sql(*to)?;
        let seen: Vec<Sighting> = profiles.iter().map(Sighting::of).chain(seen.iter().copied()).collect();
        Ok(Self {
            from: to_sql(*from)?,
            to: position,
            now: now.0,
            absorbed: absorbed.clone(),
            profiles: rows(dialect, "profiles", profiles, profile::Row::of)?,
            seen: rows(dialect, "seen", &seen, profile::SeenRow::of)?,
            claims: rows(dialect, "claims", claims, |claim| Ok(claim_row(claim)))?,
            merges: merge_rows(merges)?,
            timeline: rows(dialect, "timeline", timeline, timeline::Row::of)?,
            outbox: outbox_rows(outbox, position)?,
            withdrawn: if withdrawn.is_empty() { None } else { Some(bulk::json("withdrawn", withdrawn)?) },
        })
    }
}

/// A table's rows, if there is anything to write.
fn rows<'t, T, R: BoundRow + 't>(
    dialect: Dialect,
    what: &'static str,
    values: &'t [T],
    row: impl Fn(&'t T) -> Result<R>,
) -> Result<Option<Batch>> {
    if values.is_empty() {
        return Ok(None);
    }
    bulk::batch(dialect, what, values.iter().map(row).collect::<Result<_>>()?).map(Some)
}

fn merge_rows(merges: &[Merge]) -> Result<Option<String>> {
    if merges.is_empty() {
        return Ok(None);
    }
    bulk::parameter("merges", merges.iter().map(merge::Row::of).collect::<Result<_>>()?).map(Some)
}

fn claim_row((identifier, profile, since): &(Identifier, ProfileId, Timestamp)) -> ClaimRow<'_> {
    let Identifier { kind, value } = identifier;
    ClaimRow { kind, value, profile_id: Hex(profile.0), first_seen_at: since.0 }
}

fn outbox_rows(outbox: &[OutboxEvent], position: i64) -> Result<Option<String>> {
    if outbox.is_empty() {
        return Ok(None);
    }
    let rows = outbox.iter().enumerate().map(|(ordinal, OutboxEvent { message_id, body })| OutboxRow {
        message_id,
        position,
        ordinal,
        body,
    });
    bulk::parameter("outbox", rows.collect()).map(Some)
}

async fn write(tx: &TenantTx, parameters: Parameters) -> Result<()> {
    let Parameters { from, to, now, absorbed, profiles, seen, claims, merges, timeline, outbox, withdrawn } =
        parameters;
    let sql = "UPDATE cursors SET position = $3, updated_at = $4 WHERE tenant_id = $1 AND position = $2";
    if tx.run(sql, [from.into(), to.into(), now.into()]).await? != 1 {
        return Err(StoreError::Fenced);
    }
    let dialect = tx.dialect;
    if let Some(profiles) = profiles {
        let over = "ON CONFLICT (tenant_id, id) DO UPDATE SET created_at = excluded.created_at, \
                    merges = excluded.merges, body = excluded.body";
        tx.insert_all("profiles", &profile::MEMBERS, profiles, over).await?;
    }
    if let Some(seen) = seen {
        let over = "ON CONFLICT (tenant_id, profile_id) DO UPDATE SET updated_at = excluded.updated_at, \
                    last_seen_at = excluded.last_seen_at, events = excluded.events";
        tx.insert_all("sightings", &profile::SEEN, seen, over).await?;
    }
    if let Some(claims) = claims {
        let over = "ON CONFLICT (tenant_id, kind, value) DO UPDATE SET profile_id = excluded.profile_id, \
                    first_seen_at = excluded.first_seen_at";
        tx.insert_all("identifiers", &CLAIM, claims, over).await?;
    }
    if !absorbed.is_empty() {
        merge::absorb(tx, &absorbed).await?;
    }
    if let Some(merges) = merges {
        tx.run(&dialect.insert("merges", &merge::MEMBERS), [merges.into()]).await?;
    }
    if let Some(timeline) = timeline {
        tx.insert_all("timeline", &timeline::MEMBERS, timeline, "").await?;
    }
    if let Some(outbox) = outbox {
        let sql = format!("{} ON CONFLICT (tenant_id, message_id) DO NOTHING", dialect.insert("outbox", &OUTBOX));
        tx.run(&sql, [outbox.into()]).await?;
    }
    if let Some(withdrawn) = withdrawn {
        suppression::withdraw(tx, withdrawn).await?;
    }
    Ok(())
}

impl TenantScope {
    /// What steps had to say and is not in the stream yet, in the order it was said.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEvent>> {
        let sql = "SELECT message_id, body FROM outbox WHERE tenant_id = $1 ORDER BY position, ordinal LIMIT $2";
        let rows = self.read().await?.rows(sql, [to_sql(limit as u64)?.into()]).await?;
        rows.iter()
            .map(|row| Ok(OutboxEvent { message_id: row.try_get_by_index(0)?, body: row.try_get_by_index(1)? }))
            .collect()
    }

    /// These are in the stream now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn outbox_done(&self, message_ids: &[String]) -> Result<()> {
        let tx = self.write().await?;
        let sql =
            format!("DELETE FROM outbox WHERE tenant_id = $1 AND message_id IN {}", tx.dialect.list("$2", Kind::Text));
        tx.run(&sql, [bulk::json("message_ids", message_ids)?.into()]).await?;
        tx.commit().await
    }
}
