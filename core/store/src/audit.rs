//! What operators did, and their tokens.

use rialto_model::page::{Page, PageRequest};
use rialto_model::{TenantId, Timestamp};
use sea_orm::{ActiveValue::Set, ColumnTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::error::Result;
use crate::key::id_parts;
use crate::operator::Operator;
use crate::page::{not_a_cursor, page_of};
use crate::tx::{Claim, HubTable, HubTx};

mod token {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "operator_tokens")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) hash: Vec<u8>,
        pub(crate) created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "operator_audit")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) at: i64,
        pub(crate) action: String,
        pub(crate) subject: Uuid,
        pub(crate) reason: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl HubTable for token::Entity {}
impl HubTable for row::Entity {}

/// One thing that an operator did to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// What: `scope` or `delete`.
    pub action: String,
    /// To which tenant, which may be gone.
    pub tenant_id: TenantId,
    /// Why, in the operator's words.
    pub reason: String,
}

/// What is noted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// A scope was taken.
    Scope,
    /// A tenant was removed.
    Delete,
}

/// Notes an action in the transaction that does it.
pub(crate) async fn note(hub: &HubTx, action: Action, tenant: TenantId, reason: &str, now: Timestamp) -> Result<()> {
    let (ms, random) = id_parts(now)?;
    let word = match action {
        Action::Scope => "scope",
        Action::Delete => "delete",
    };
    hub.insert(row::ActiveModel {
        // A UUIDv7 by the same recipe as every id; only the prefix is not needed.
        id: Set(TenantId::from_parts(ms, &random).0),
        at: Set(now.0),
        action: Set(word.to_owned()),
        subject: Set(tenant.0),
        reason: Set(reason.chars().filter(|letter| *letter != '\0').take(500).collect()),
    })
    .await
}

impl Operator {
    /// What operators did, newest first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that is none.
    pub async fn audit(&self, page: &PageRequest) -> Result<Page<AuditEntry>> {
        let hub = self.0.connections.hub(Claim::Operator, false).await?;
        let mut query = hub.select::<row::Entity>().order_by_desc(row::Column::Id).limit(u64::from(page.limit()) + 1);
        if let Some(after) = &page.after {
            let after = uuid::Uuid::try_parse(after).map_err(|_| not_a_cursor())?;
            query = query.filter(row::Column::Id.lt(after));
        }
        page_of(
            query.all(&hub.tx).await?,
            page,
            |row| row.id.to_string(),
            |row| {
                let row::Model { id: _, at, action, subject, reason } = row;
                Ok(AuditEntry { at: Timestamp(at), action, tenant_id: TenantId(subject), reason })
            },
        )
    }
}

impl HubTx {
    /// The kept hash of a token, if there is one.
    pub(crate) async fn token(&self, hash: &[u8; 32]) -> Result<Option<Vec<u8>>> {
        let found = self.select::<token::Entity>().filter(token::Column::Hash.eq(hash.to_vec())).one(&self.tx).await?;
        Ok(found.map(|row| row.hash))
    }

    /// Keeps a token's hash.
    pub(crate) async fn keep_token(&self, hash: &[u8; 32], now: Timestamp) -> Result<()> {
        self.insert(token::ActiveModel { hash: Set(hash.to_vec()), created_at: Set(now.0) }).await
    }

    /// Whether any token is kept.
    pub(crate) async fn any_token(&self) -> Result<bool> {
        Ok(self.select::<token::Entity>().count(&self.tx).await? > 0)
    }
}
