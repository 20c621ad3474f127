//! Sources that webhooks name, with what those are proved by.

use rialto_model::SourceId;

use crate::connect::Connections;
use crate::error::Result;
use crate::grant::{IdKey, WebhookSource};
use crate::key::KeyHasher;
use crate::seal::{Master, Owner};
use crate::{secret, source};

/// The source of this id: nothing if there is none or its tenant is disabled.
pub(crate) async fn find(
    connections: &Connections,
    master: &Master,
    hasher: &KeyHasher,
    id: SourceId,
) -> Result<Option<WebhookSource>> {
    let Some(tenant) = connections.tenant_of(id).await? else { return Ok(None) };
    let Some((grant, tx)) = source::granted(connections, tenant, id).await? else { return Ok(None) };
    let secrets = match grant.source.secrets.is_empty() {
        true => Default::default(),
        false => secret::open_of(&tx, master, Owner::Source(id)).await?,
    };
    let ids = IdKey(hasher.derive("rialto store v1: ids of webhooks", tenant));
    Ok(Some(WebhookSource { grant: grant.into(), secrets, ids }))
}
