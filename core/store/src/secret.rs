//! Destinations' secrets as rows: sealed, one a name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rialto_model::DestinationId;
use rialto_model::destination::Secrets;
use sea_orm::{ActiveValue::Set, ColumnTrait, QueryFilter};

use crate::error::{Result, StoreError};
use crate::seal::{DataKey, Master};
use crate::tx::{TenantTable, TenantTx};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "secrets")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) destination_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) name: String,
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

/// The longest secret, in bytes: a private key in PEM fits.
const MAX_SECRET: usize = 16 * 1024;

/// The names of the secrets that are filled, by destination.
pub(crate) async fn names(
    tx: &TenantTx,
    destination: Option<DestinationId>,
) -> Result<HashMap<DestinationId, BTreeSet<String>>> {
    let mut query = tx.select::<row::Entity>();
    if let Some(DestinationId(id)) = destination {
        query = query.filter(row::Column::DestinationId.eq(id));
    }
    let mut names: HashMap<DestinationId, BTreeSet<String>> = HashMap::new();
    for row in query.all(&tx.tx).await? {
        names.entry(DestinationId(row.destination_id)).or_default().insert(row.name);
    }
    Ok(names)
}

/// Every secret of the tenant in the clear, by destination.
pub(crate) async fn open_all(tx: &TenantTx, master: &Master) -> Result<HashMap<DestinationId, Secrets>> {
    let rows = tx.select::<row::Entity>().all(&tx.tx).await?;
    let mut opened: HashMap<DestinationId, Secrets> = HashMap::new();
    if rows.is_empty() {
        return Ok(opened);
    }
    let keys = data_keys(tx, master).await?;
    for row in rows {
        let key = keys.get(&row.data_key).ok_or_else(|| StoreError::corrupt("a secret", "its data key is gone"))?;
        let destination = DestinationId(row.destination_id);
        let secret = key.open(destination, &row.name, &row.sealed)?;
        opened.entry(destination).or_default().0.insert(row.name, secret);
    }
    Ok(opened)
}

/// Sets and removes secrets of a destination.
pub(crate) async fn change(
    tx: &TenantTx,
    master: &Master,
    destination: DestinationId,
    change: &BTreeMap<String, Option<String>>,
) -> Result<()> {
    if change.is_empty() {
        return Ok(());
    }
    let keys = data_keys(tx, master).await?;
    let (newest, key) = keys.iter().next_back().ok_or_else(|| StoreError::corrupt("a tenant", "it has no data key"))?;
    for (name, secret) in change {
        tx.delete::<row::Entity>()
            .filter(row::Column::DestinationId.eq(destination.0))
            .filter(row::Column::Name.eq(name.as_str()))
            .exec(&tx.tx)
            .await?;
        let Some(secret) = secret else { continue };
        if secret.len() > MAX_SECRET || name.contains('\0') {
            return Err(StoreError::invalid("secrets", format!("may have at most {MAX_SECRET} bytes")));
        }
        tx.insert(row::ActiveModel {
            destination_id: Set(destination.0),
            name: Set(name.clone()),
            data_key: Set(*newest),
            sealed: Set(key.seal(destination, name, secret)?),
            ..Default::default()
        })
        .await?;
    }
    Ok(())
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
