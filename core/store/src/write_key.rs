//! Write keys: what a client sends events with.

use rialto_model::key::WriteKey;
use rialto_model::page::{Page, PageRequest};
use rialto_model::{SourceId, TenantId, Timestamp, WriteKeyId};
use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::connect::Connections;
use crate::error::{Result, StoreError};
use crate::grant::WriteGrant;
use crate::key::{id_parts, same};
use crate::page::{after_id, page_of};
use crate::scope::TenantScope;
use crate::source;
use crate::tx::TenantTable;

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "write_keys")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) source_id: Uuid,
        pub(crate) hash: Vec<u8>,
        pub(crate) hint: String,
        pub(crate) created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl TenantTable for row::Entity {
    const TENANT: row::Column = row::Column::TenantId;
}

impl From<row::Model> for WriteKey {
    fn from(row: row::Model) -> Self {
        let row::Model { tenant_id: _, id, source_id, hash: _, hint, created_at } = row;
        Self { id: WriteKeyId(id), source_id: SourceId(source_id), hint, created_at: Timestamp(created_at) }
    }
}

/// What the key of this hash gives: nothing if it is unknown or its tenant is disabled.
pub(crate) async fn find(connections: &Connections, hash: &[u8; 32]) -> Result<Option<WriteGrant>> {
    let sql = "SELECT tenant_id, source_id, hash FROM write_keys WHERE hash = $1";
    let Some(row) = connections.by_key(sql, hash).await? else { return Ok(None) };
    if !same(&row.try_get_by_index::<Vec<u8>>(2)?, hash) {
        return Ok(None);
    }
    let tenant_id = TenantId(row.try_get_by_index(0)?);
    let granted = source::granted(connections, tenant_id, SourceId(row.try_get_by_index(1)?)).await?;
    Ok(granted.map(|(grant, _)| grant))
}

impl TenantScope {
    /// A new key of a source, and the key itself, shown this once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a source that is not there.
    pub async fn create_write_key(&self, source: SourceId, now: Timestamp) -> Result<(WriteKey, String)> {
        let key = self.store.hasher.make("wk")?;
        let (ms, random) = id_parts(now)?;
        let id = WriteKeyId::from_parts(ms, &random);
        let tx = self.configure().await?;
        source::find(&tx, source).await?;
        tx.insert(row::ActiveModel {
            id: Set(id.0),
            source_id: Set(source.0),
            hash: Set(key.hash.to_vec()),
            hint: Set(key.hint.clone()),
            created_at: Set(now.0),
            ..Default::default()
        })
        .await?;
        self.configured(tx).await?;
        Ok((WriteKey { id, source_id: source, hint: key.hint, created_at: now }, key.shown))
    }

    /// A source's keys, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a source that is not there, [`StoreError::Invalid`] for a cursor that is none.
    pub async fn write_keys(&self, source: SourceId, page: &PageRequest) -> Result<Page<WriteKey>> {
        let tx = self.read().await?;
        source::find(&tx, source).await?;
        let query = tx.select::<row::Entity>().filter(row::Column::SourceId.eq(source.0));
        let mut query = query.order_by_asc(row::Column::Id).limit(u64::from(page.limit()) + 1);
        if let Some(WriteKeyId(after)) = after_id(page)? {
            query = query.filter(row::Column::Id.gt(after));
        }
        page_of(query.all(&tx.tx).await?, page, |row| WriteKeyId(row.id).to_string(), |row| Ok(row.into()))
    }

    /// Ends a key: at once on this node, within five seconds on others.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_write_key(&self, source: SourceId, id: WriteKeyId) -> Result<()> {
        let tx = self.configure().await?;
        let gone = tx
            .delete::<row::Entity>()
            .filter(row::Column::Id.eq(id.0))
            .filter(row::Column::SourceId.eq(source.0))
            .exec(&tx.tx)
            .await?;
        if gone.rows_affected == 0 {
            return Err(StoreError::NotFound { what: "write key" });
        }
        self.configured(tx).await
    }
}
