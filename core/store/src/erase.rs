//! The end of a tenant: every row of it in every table.

use rialto_migrations::TENANT_TABLES;
use rialto_model::{TenantId, Timestamp};
use sea_orm::{ColumnTrait, QueryFilter};

use crate::audit::{self, Action};
use crate::error::Result;
use crate::operator::Operator;
use crate::tenant::{find, row};
use crate::tx::{Claim, HubTx};

/// Tables that grow with events, and what their rows are found by: they are emptied bit by bit, so that no other
/// tenant waits for a lock or for SQLite's one writer.
const LARGE: [(&str, &str); 12] = [
    ("suppressions", "id"),
    ("withdrawn", "position"),
    ("outbox", "message_id"),
    ("dead_letters", "id"),
    ("parked", "destination_id, position, action"),
    ("passed_over", "destination_id, position, action"),
    ("timeline", "position"),
    ("identifiers", "kind, value"),
    ("aliases", "absorbed_id"),
    ("merges", "id"),
    ("sightings", "profile_id"),
    ("profiles", "id"),
];

/// How many rows go at once.
const BIT: i64 = 2_000;

impl Operator {
    /// Removes a tenant and every row of it. It stops at once: its keys are refused, and steps and windows that are
    /// under way are fenced off. If this is cut short, calling it again goes on where it was.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`]; [`crate::StoreError::Unavailable`].
    pub async fn delete_tenant(&self, id: TenantId, now: Timestamp) -> Result<()> {
        let connections = &self.0.connections;
        let hub = connections.hub(Claim::OperatorOn(id), true).await?;
        find(&hub, id).await?;
        audit::note(&hub, Action::Delete, id, "the tenant was removed", now).await?;
        let tx = hub.on(id, connections.dialect);
        let sql = "UPDATE tenants SET enabled = false, config_version = config_version + 1 WHERE id = $1";
        tx.run(sql, []).await?;
        // Without these no step and no window can commit any more.
        for table in ["cursors", "lanes"] {
            tx.run(&format!("DELETE FROM {table} WHERE tenant_id = $1"), []).await?;
        }
        tx.commit().await?;
        self.0.grants.forget(id);
        self.0.webhooks.forget(id);

        for (table, key) in LARGE {
            let sql = format!(
                "DELETE FROM {table} WHERE tenant_id = $1 AND ({key}) IN \
                 (SELECT {key} FROM {table} WHERE tenant_id = $1 LIMIT $2)"
            );
            loop {
                let tx = connections.write(id).await?;
                let gone = tx.run(&sql, [BIT.into()]).await?;
                tx.commit().await?;
                if gone < BIT.unsigned_abs() {
                    break;
                }
            }
        }

        let tx = connections.hub(Claim::OperatorOn(id), true).await?.on(id, connections.dialect);
        for table in TENANT_TABLES {
            tx.run(&format!("DELETE FROM {table} WHERE tenant_id = $1"), []).await?;
        }
        let hub = HubTx { tx: tx.tx };
        hub.delete::<row::Entity>().filter(row::Column::Id.eq(id.0)).exec(&hub.tx).await?;
        hub.commit().await
    }
}
