//! Secrets of destinations and sources as rows: sealed, one a name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rialto_model::destination::Secrets;
use rialto_model::{DestinationId, SourceId};
use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter, Select};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::seal::{DataKey, Master, Owner};
use crate::tx::{TenantTable, TenantTx};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "secrets")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) owner_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) name: String,
        pub(crate) destination_id: Option<Uuid>,
        pub(crate) source_id: Option<Uuid>,
        pub(crate) data_key: i64,
        pub(crate) sealed: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl TenantTable for row::Entity {
    const TENANT: row::Column = row::Column::TenantId;
}

impl row::Model {
    fn owner(&self) -> Result<Owner> {
        match (self.destination_id, self.source_id) {
            (Some(id), None) => Ok(Owner::Destination(DestinationId(id))),
            (None, Some(id)) => Ok(Owner::Source(SourceId(id))),
            _ => Err(StoreError::corrupt("a secret", "it is of nobody, or of two")),
        }
    }
}

/// The longest secret, in bytes: a private key in PEM fits.
const MAX_SECRET: usize = 16 * 1024;

/// The names of the secrets that are filled, of one owner or of all.
pub(crate) async fn names(tx: &TenantTx, owner: Option<Owner>) -> Result<HashMap<Owner, BTreeSet<String>>> {
    let mut query = tx.select::<row::Entity>();
    if let Some(owner) = owner {
        query = query.filter(row::Column::OwnerId.eq(owner.id()));
    }
    let mut names: HashMap<Owner, BTreeSet<String>> = HashMap::new();
    for row in query.all(&tx.tx).await? {
        names.entry(row.owner()?).or_default().insert(row.name);
    }
    Ok(names)
}

/// The names of one owner's secrets that are filled.
pub(crate) async fn names_of(tx: &TenantTx, owner: Owner) -> Result<BTreeSet<String>> {
    Ok(names(tx, Some(owner)).await?.remove(&owner).unwrap_or_default())
}

/// Every secret of the tenant's destinations in the clear.
pub(crate) async fn open_all(tx: &TenantTx, master: &Master) -> Result<HashMap<Owner, Secrets>> {
    open(tx, master, tx.select::<row::Entity>().filter(row::Column::DestinationId.is_not_null())).await
}

/// One owner's secrets in the clear.
pub(crate) async fn open_of(tx: &TenantTx, master: &Master, owner: Owner) -> Result<Secrets> {
    let query = tx.select::<row::Entity>().filter(row::Column::OwnerId.eq(owner.id()));
    Ok(open(tx, master, query).await?.remove(&owner).unwrap_or_default())
}

async fn open(tx: &TenantTx, master: &Master, query: Select<row::Entity>) -> Result<HashMap<Owner, Secrets>> {
    let rows = query.all(&tx.tx).await?;
    let mut opened: HashMap<Owner, Secrets> = HashMap::new();
    if rows.is_empty() {
        return Ok(opened);
    }
    let keys = data_keys(tx, master).await?;
    for row in rows {
        let key = keys.get(&row.data_key).ok_or_else(|| StoreError::corrupt("a secret", "its data key is gone"))?;
        let owner = row.owner()?;
        let secret = key.open(owner, &row.name, &row.sealed)?;
        opened.entry(owner).or_default().0.insert(row.name, secret);
    }
    Ok(opened)
}

/// Takes away all that an owner has.
pub(crate) async fn clear(tx: &TenantTx, owner: Owner) -> Result<()> {
    tx.delete::<row::Entity>().filter(row::Column::OwnerId.eq(owner.id())).exec(&tx.tx).await?;
    Ok(())
}

/// Sets and removes secrets of a destination or a source.
pub(crate) async fn change(
    tx: &TenantTx,
    master: &Master,
    owner: Owner,
    change: &BTreeMap<String, Option<String>>,
) -> Result<()> {
    if change.is_empty() {
        return Ok(());
    }
    let keys = data_keys(tx, master).await?;
    let (newest, key) = keys.iter().next_back().ok_or_else(|| StoreError::corrupt("a tenant", "it has no data key"))?;
    let (destination_id, source_id): (Option<Uuid>, Option<Uuid>) = match owner {
        Owner::Destination(id) => (Some(id.0), None),
        Owner::Source(id) => (None, Some(id.0)),
    };
    for (name, secret) in change {
        tx.delete::<row::Entity>()
            .filter(row::Column::OwnerId.eq(owner.id()))
            .filter(row::Column::Name.eq(name.as_str()))
            .exec(&tx.tx)
            .await?;
        let Some(secret) = secret else { continue };
        if secret.len() > MAX_SECRET || name.contains('\0') {
            return Err(StoreError::invalid("secrets", format!("may have at most {MAX_SECRET} bytes")));
        }
        tx.insert(row::ActiveModel {
            owner_id: Set(owner.id()),
            name: Set(name.clone()),
            destination_id: Set(destination_id),
            source_id: Set(source_id),
            data_key: Set(*newest),
            sealed: Set(key.seal(owner, name, secret)?),
            ..Default::default()
        })
        .await?;
    }
    Ok(())
}

/// As [`change`], of an owner that is new.
pub(crate) async fn fill(tx: &TenantTx, master: &Master, owner: Owner, secrets: Secrets) -> Result<BTreeSet<String>> {
    let names = secrets.0.keys().cloned().collect();
    let set = secrets.0.into_iter().map(|(name, secret)| (name, Some(secret))).collect();
    change(tx, master, owner, &set).await?;
    Ok(names)
}

/// The tenant's data keys by number; the newest seals.
async fn data_keys(tx: &TenantTx, master: &Master) -> Result<BTreeMap<i64, DataKey>> {
    let rows = tx.rows("SELECT id, wrapped FROM data_keys WHERE tenant_id = $1", []).await?;
    rows.iter()
        .map(|row| {
            let wrapped: Vec<u8> = row.try_get_by_index(1)?;
            Ok((row.try_get_by_index(0)?, master.open(tx.tenant, &wrapped)?))
        })
        .collect()
}
