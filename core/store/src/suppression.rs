//! Suppressions as rows, and the payloads that have to leave the log for them.
//!
//! A row holds no value: it is found by a mark, what a key of the tenant's own makes of kind and value. Whoever has the
//! table alone can neither read whom it names nor try out whether it names someone.

use std::collections::HashMap;

use rialto_model::identifier::Identifier;
use rialto_model::page::{Page, PageRequest};
use rialto_model::suppression::{MAX_REASON, Suppressed, Suppression};
use rialto_model::{Position, SuppressionId, TenantId, Timestamp};
use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::bulk;
use crate::dialect::Kind;
use crate::error::{Result, StoreError};
use crate::key::{KeyHasher, id_parts};
use crate::page::{after_id, from_sql, page_of, to_sql};
use crate::scope::TenantScope;
use crate::tx::{TenantTable, TenantTx};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "suppressions")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) mark: Uuid,
        pub(crate) kind: String,
        pub(crate) reason: Option<String>,
        pub(crate) created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl TenantTable for row::Entity {
    const TENANT: row::Column = row::Column::TenantId;
}

impl From<row::Model> for Suppression {
    fn from(row: row::Model) -> Self {
        let row::Model { tenant_id: _, id, mark: _, kind, reason, created_at } = row;
        Self { id: SuppressionId(id), kind, reason, created_at: Timestamp(created_at) }
    }
}

/// Makes marks of a tenant's identifiers. 128 bits of a keyed hash: nobody without the key can look for two alike.
struct Marker([u8; 32]);

impl Marker {
    fn of(hasher: &KeyHasher, tenant: TenantId) -> Self {
        Self(hasher.derive("rialto store v1: suppressed identifiers of a tenant", tenant))
    }

    fn mark(&self, Identifier { kind, value }: &Identifier) -> Uuid {
        let mut hash = blake3::Hasher::new_keyed(&self.0);
        // The length parts the two, so that no two pairs spell the same.
        hash.update(&(kind.len() as u64).to_le_bytes()).update(kind.as_bytes()).update(value.as_bytes());
        let mut mark = [0; 16];
        hash.finalize_xof().fill(&mut mark);
        Uuid::from_bytes(mark)
    }
}

/// Which of these are suppressed.
pub(crate) async fn among(
    tx: &TenantTx,
    hasher: &KeyHasher,
    identifiers: impl Iterator<Item = Identifier>,
) -> Result<HashMap<Identifier, Suppressed>> {
    let marker = Marker::of(hasher, tx.tenant);
    let mut marked: HashMap<Uuid, Identifier> = HashMap::new();
    for identifier in identifiers {
        marked.insert(marker.mark(&identifier), identifier);
    }
    if marked.is_empty() {
        return Ok(HashMap::new());
    }
    let marks = tx.dialect.list("$2", Kind::Id);
    let sql = format!("SELECT mark, id, created_at FROM suppressions WHERE tenant_id = $1 AND mark IN {marks}");
    let mut found = HashMap::new();
    for row in tx.rows(&sql, [bulk::ids(marked.keys().copied())?.into()]).await? {
        let (mark, id, since): (Uuid, Uuid, i64) =
            (row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        if let Some(identifier) = marked.remove(&mark) {
            found.insert(identifier, Suppressed { since: Timestamp(since), suppression_id: SuppressionId(id) });
        }
    }
    Ok(found)
}

/// Whether the tenant suppresses anyone.
pub(crate) async fn any(tx: &TenantTx) -> Result<bool> {
    Ok(tx.row("SELECT 1 FROM suppressions WHERE tenant_id = $1 LIMIT 1", []).await?.is_some())
}

/// Notes which payloads have to leave the log, in the step that decided so.
pub(crate) async fn withdraw(tx: &TenantTx, positions: String) -> Result<()> {
    let list = tx.dialect.list("$2", Kind::Int);
    let sql = format!(
        "INSERT INTO withdrawn (tenant_id, position) SELECT $1, w.value FROM {list} AS w WHERE true \
         ON CONFLICT (tenant_id, position) DO NOTHING"
    );
    tx.run(&sql, [positions.into()]).await?;
    Ok(())
}

impl TenantScope {
    fn mark(&self, identifier: &Identifier) -> Uuid {
        Marker::of(&self.store.hasher, self.tenant).mark(identifier)
    }

    /// Suppresses the person of a normalised identifier from now on. One that is suppressed already stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a reason that is too long.
    pub async fn suppress(&self, identifier: &Identifier, reason: Option<&str>, now: Timestamp) -> Result<Suppression> {
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| reason.chars().count() > MAX_REASON || reason.contains('\0')) {
            return Err(StoreError::invalid("reason", format!("has to have at most {MAX_REASON} characters")));
        }
        let mark = self.mark(identifier);
        // One at a time in a tenant, so that of two at once the second finds the first's.
        let tx = self.configure().await?;
        if let Some(there) = by_mark(&tx, mark).await? {
            return Ok(there);
        }
        let (ms, random) = id_parts(now)?;
        let id = SuppressionId::from_parts(ms, &random);
        let (kind, reason) = (identifier.kind.clone(), reason.map(str::to_owned));
        tx.insert(row::ActiveModel {
            id: Set(id.0),
            mark: Set(mark),
            kind: Set(kind.clone()),
            reason: Set(reason.clone()),
            created_at: Set(now.0),
            ..Default::default()
        })
        .await?;
        self.configured(tx).await?;
        Ok(Suppression { id, kind, reason, created_at: now })
    }

    /// The suppressions, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn suppressions(&self, page: &PageRequest) -> Result<Page<Suppression>> {
        let tx = self.read().await?;
        let mut query = tx.select::<row::Entity>().order_by_asc(row::Column::Id).limit(u64::from(page.limit()) + 1);
        if let Some(SuppressionId(after)) = after_id(page)? {
            query = query.filter(row::Column::Id.gt(after));
        }
        page_of(query.all(&tx.tx).await?, page, |row| SuppressionId(row.id).to_string(), |row| Ok(row.into()))
    }

    /// One suppression.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn suppression(&self, id: SuppressionId) -> Result<Suppression> {
        let tx = self.read().await?;
        let found = tx.select::<row::Entity>().filter(row::Column::Id.eq(id.0)).one(&tx.tx).await?;
        Ok(found.ok_or(StoreError::NotFound { what: "suppression" })?.into())
    }

    /// The suppression of a normalised identifier, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn suppression_of(&self, identifier: &Identifier) -> Result<Option<Suppression>> {
        by_mark(&self.read().await?, self.mark(identifier)).await
    }

    /// Lifts a suppression: what comes from now on is taken again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn lift_suppression(&self, id: SuppressionId) -> Result<()> {
        let tx = self.configure().await?;
        let gone = tx.delete::<row::Entity>().filter(row::Column::Id.eq(id.0)).exec(&tx.tx).await?;
        if gone.rows_affected == 0 {
            return Err(StoreError::NotFound { what: "suppression" });
        }
        self.configured(tx).await
    }

    /// Where payloads stand that have to leave the log, at most `limit` of them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn withdrawn(&self, limit: usize) -> Result<Vec<Position>> {
        let sql = "SELECT position FROM withdrawn WHERE tenant_id = $1 ORDER BY position LIMIT $2";
        let rows = self.read().await?.rows(sql, [to_sql(limit as u64)?.into()]).await?;
        rows.iter().map(|row| from_sql(row.try_get_by_index(0)?)).collect()
    }

    /// These have left it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn withdrawal_done(&self, positions: &[Position]) -> Result<()> {
        let tx = self.write().await?;
        let list = tx.dialect.list("$2", Kind::Int);
        let sql = format!("DELETE FROM withdrawn WHERE tenant_id = $1 AND position IN {list}");
        tx.run(&sql, [bulk::json("positions", positions)?.into()]).await?;
        tx.commit().await
    }
}

async fn by_mark(tx: &TenantTx, mark: Uuid) -> Result<Option<Suppression>> {
    let found = tx.select::<row::Entity>().filter(row::Column::Mark.eq(mark)).one(&tx.tx).await?;
    Ok(found.map(Suppression::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_one_tenant_one_kind_and_one_value() {
        let hasher = KeyHasher::new(&[1; 32]);
        let tenant = |n| TenantId(Uuid::from_u128(n));
        let mark = |hasher: &KeyHasher, n, kind: &str, value: &str| {
            Marker::of(hasher, tenant(n)).mark(&Identifier { kind: kind.to_owned(), value: value.to_owned() })
        };
        let ours = mark(&hasher, 1, "email", "jane@example.com");
        assert_eq!(ours, mark(&hasher, 1, "email", "jane@example.com"));
        let others = [
            mark(&hasher, 2, "email", "jane@example.com"),
            mark(&hasher, 1, "user_id", "jane@example.com"),
            mark(&hasher, 1, "email", "jane@example.org"),
            mark(&hasher, 1, "emailj", "ane@example.com"),
            mark(&KeyHasher::new(&[2; 32]), 1, "email", "jane@example.com"),
        ];
        assert!(!others.contains(&ours));
    }
}
