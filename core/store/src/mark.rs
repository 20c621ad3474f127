//! That the master secret is the one that this database was begun with: with another one no key in it would fit and no
//! secret open, and nothing but that would tell.

use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter};

use crate::connect::Connections;
use crate::error::{Result, StoreError};
use crate::key::{KeyHasher, same};
use crate::tx::{Claim, HubTable, HubTx};

/// What is hashed, and the name it is kept under.
const NAME: &str = "master secret";

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "hub_marks")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) name: String,
        pub(crate) mark: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl HubTable for row::Entity {}

/// Compares with what the first start left, or leaves it.
///
/// # Errors
/// [`StoreError::Setup`] when the secret is another one; [`StoreError::Unavailable`].
pub(crate) async fn check(connections: &Connections, hasher: &KeyHasher) -> Result<()> {
    let mark = hasher.hash(NAME);
    if let Some(kept) = kept(&connections.hub(Claim::Operator, false).await?).await? {
        return compare(&kept, &mark);
    }
    let hub = connections.hub(Claim::Operator, true).await?;
    let left = match hub.insert(row::ActiveModel { name: Set(NAME.to_owned()), mark: Set(mark.to_vec()) }).await {
        Ok(()) => hub.commit().await,
        Err(error) => Err(error),
    };
    match left {
        // Another hub began it in the same moment.
        Err(StoreError::Conflict { .. }) => {
            let kept = kept(&connections.hub(Claim::Operator, false).await?).await?;
            kept.map_or(Ok(()), |kept| compare(&kept, &mark))
        }
        left => left,
    }
}

async fn kept(hub: &HubTx) -> Result<Option<Vec<u8>>> {
    let found = hub.select::<row::Entity>().filter(row::Column::Name.eq(NAME)).one(&hub.tx).await?;
    Ok(found.map(|row| row.mark))
}

fn compare(kept: &[u8], mark: &[u8; 32]) -> Result<()> {
    if same(kept, mark) {
        return Ok(());
    }
    let why = "the master secret is not the one that this database was begun with: restore master.key in the data \
               folder from your backup, or set RIALTO__MASTER_SECRET to what it was. Under another one every key and \
               secret in the database is useless";
    Err(StoreError::Setup(why.to_owned()))
}
