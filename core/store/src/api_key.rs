//! API keys: what a caller uses one tenant's management API with.

use rialto_model::key::{ApiKey, Role};
use rialto_model::page::{Page, PageRequest};
use rialto_model::{ApiKeyId, TenantId, Timestamp};
use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::connect::Connections;
use crate::error::{Result, StoreError};
use crate::key::{id_parts, same};
use crate::page::{after_id, page_of};
use crate::scope::TenantScope;
use crate::tenant::name_of;
use crate::tx::TenantTable;

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "api_keys")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) name: String,
        pub(crate) role: String,
        pub(crate) hash: Vec<u8>,
        pub(crate) hint: String,
        pub(crate) created_at: i64,
        pub(crate) expires_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl TenantTable for row::Entity {
    const TENANT: row::Column = row::Column::TenantId;
}

impl TryFrom<row::Model> for ApiKey {
    type Error = StoreError;
    fn try_from(row: row::Model) -> Result<Self> {
        let row::Model { tenant_id: _, id, name, role, hash: _, hint, created_at, expires_at } = row;
        Ok(Self {
            id: ApiKeyId(id),
            name,
            role: role_of(&role)?,
            hint,
            created_at: Timestamp(created_at),
            expires_at: expires_at.map(Timestamp),
        })
    }
}

fn role_of(word: &str) -> Result<Role> {
    [Role::Viewer, Role::Editor, Role::Admin]
        .into_iter()
        .find(|role| role.as_str() == word)
        .ok_or_else(|| StoreError::corrupt("an API key", "its role is unknown"))
}

/// Whose key has this hash, and what it may do.
pub(crate) async fn find(connections: &Connections, hash: &[u8; 32]) -> Result<Option<(TenantId, ApiKey)>> {
    let sql = "SELECT hash, tenant_id, id, name, role, hint, created_at, expires_at FROM api_keys WHERE hash = $1";
    let Some(row) = connections.by_key(sql, hash).await? else { return Ok(None) };
    if !same(&row.try_get_by_index::<Vec<u8>>(0)?, hash) {
        return Ok(None);
    }
    let key = ApiKey {
        id: ApiKeyId(row.try_get_by_index(2)?),
        name: row.try_get_by_index(3)?,
        role: role_of(&row.try_get_by_index::<String>(4)?)?,
        hint: row.try_get_by_index(5)?,
        created_at: Timestamp(row.try_get_by_index(6)?),
        expires_at: row.try_get_by_index::<Option<i64>>(7)?.map(Timestamp),
    };
    Ok(Some((TenantId(row.try_get_by_index(1)?), key)))
}

impl TenantScope {
    /// A new key, and the key itself, shown this once.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that is none or an end that is past.
    pub async fn create_api_key(
        &self,
        name: &str,
        role: Role,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(ApiKey, String)> {
        if expires_at.is_some_and(|end| end <= now) {
            return Err(StoreError::invalid("expires_at", "has to be in the future"));
        }
        let made = self.store.hasher.make("rk")?;
        let (ms, random) = id_parts(now)?;
        let id = ApiKeyId::from_parts(ms, &random);
        let key = ApiKey { id, name: name_of(name)?, role, hint: made.hint, created_at: now, expires_at };
        let tx = self.configure().await?;
        tx.insert(row::ActiveModel {
            id: Set(id.0),
            name: Set(key.name.clone()),
            role: Set(role.as_str().to_owned()),
            hash: Set(made.hash.to_vec()),
            hint: Set(key.hint.clone()),
            created_at: Set(now.0),
            expires_at: Set(expires_at.map(|end| end.0)),
            ..Default::default()
        })
        .await?;
        self.configured(tx).await?;
        Ok((key, made.shown))
    }

    /// The keys, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn api_keys(&self, page: &PageRequest) -> Result<Page<ApiKey>> {
        let tx = self.read().await?;
        let mut query = tx.select::<row::Entity>().order_by_asc(row::Column::Id).limit(u64::from(page.limit()) + 1);
        if let Some(ApiKeyId(after)) = after_id(page)? {
            query = query.filter(row::Column::Id.gt(after));
        }
        page_of(query.all(&tx.tx).await?, page, |row| ApiKeyId(row.id).to_string(), ApiKey::try_from)
    }

    /// Ends a key at once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_api_key(&self, id: ApiKeyId) -> Result<()> {
        let tx = self.configure().await?;
        let gone = tx.delete::<row::Entity>().filter(row::Column::Id.eq(id.0)).exec(&tx.tx).await?;
        if gone.rows_affected == 0 {
            return Err(StoreError::NotFound { what: "API key" });
        }
        self.configured(tx).await
    }
}
