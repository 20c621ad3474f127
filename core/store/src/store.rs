//! The store: opened once, shared by all, and the only maker of scopes.

use std::sync::Arc;

use rialto_model::key::ApiKey;
use rialto_model::{SourceId, TenantId, Timestamp};
use sea_orm::{ConnectionTrait, Statement};

use crate::connect::{Connections, connect};
use crate::error::{Result, StoreError};
use crate::grant::{ASKING, GrantCache, Granted, WebhookSource, WriteGrant};
use crate::key::{KeyHasher, same};
use crate::operator::Operator;
use crate::options::StoreOptions;
use crate::scope::TenantScope;
use crate::seal::Master;
use crate::tx::Claim;
use crate::{api_key, mark, webhook, write_key};

/// The records of all tenants, handed out one tenant at a time. Cheap to clone.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) connections: Connections,
    pub(crate) hasher: KeyHasher,
    pub(crate) master: Master,
    pub(crate) grants: GrantCache<WriteGrant>,
    pub(crate) webhooks: GrantCache<WebhookSource>,
}

impl Store {
    /// Connects, brings the schema up to date, and on PostgreSQL makes sure of the role that tenants' rows are
    /// touched as.
    ///
    /// # Errors
    /// [`StoreError::Setup`] says what an administrator has to do, also when the master secret is not the one that
    /// the database was begun with; [`StoreError::Unavailable`] when the database
    /// does not answer.
    pub async fn open(options: StoreOptions) -> Result<Self> {
        let connections = connect(&options).await?;
        rialto_migrations::apply(&connections.write).await.map_err(|error| match error {
            sea_orm::DbErr::Custom(message) | sea_orm::DbErr::Migration(message) => StoreError::Setup(message),
            other => other.into(),
        })?;
        let hasher = KeyHasher::new(&options.master_secret);
        mark::check(&connections, &hasher).await?;
        Ok(Self(Arc::new(Inner {
            connections,
            hasher,
            master: Master::new(&options.master_secret),
            grants: GrantCache::default(),
            webhooks: GrantCache::default(),
        })))
    }

    /// Whether the database takes writes now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] says why not.
    #[allow(clippy::disallowed_methods, reason = "touches no table")]
    pub async fn ping(&self) -> Result<()> {
        let Connections { write, dialect, .. } = &self.0.connections;
        write.query_one_raw(Statement::from_string(dialect.backend(), "SELECT 1")).await?;
        Ok(())
    }

    /// Waits for what is under way and lets go of the database. Everything after it is unavailable.
    pub async fn close(&self) {
        let Connections { write, read, .. } = &self.0.connections;
        for pool in [read, write] {
            if let Err(error) = pool.close_by_ref().await {
                tracing::warn!(%error, "a connection pool did not close cleanly");
            }
        }
    }

    /// The right to act on the hub as a whole. Hand it on only to who has proved to be an operator.
    pub fn operator(&self) -> Operator {
        Operator(self.0.clone())
    }

    /// The operator whose token this is, if it is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn authenticate_operator(&self, token: &str) -> Result<Option<Operator>> {
        let Some(hash) = self.hash("ro_", token) else { return Ok(None) };
        let kept = self.0.connections.hub(Claim::Bearer(&hash), false).await?.token(&hash).await?;
        Ok(kept.is_some_and(|kept| same(&kept, &hash)).then(|| self.operator()))
    }

    /// The tenant and the key, unless the key is unknown, revoked or past its end, or the tenant is disabled.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn authenticate_api_key(&self, key: &str, now: Timestamp) -> Result<Option<(TenantScope, ApiKey)>> {
        let Some(hash) = self.hash("rk_", key) else { return Ok(None) };
        let Some((tenant, api_key)) = api_key::find(&self.0.connections, &hash).await? else { return Ok(None) };
        if api_key.expires_at.is_some_and(|end| end <= now) {
            return Ok(None);
        }
        let scope = self.lease(tenant);
        match scope.tenant().await {
            Ok(tenant) if tenant.enabled => Ok(Some((scope, api_key))),
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a write key gives, unless it is unknown or revoked or the tenant is disabled. The grant of a disabled
    /// source says so. Answers may be five seconds old where another node made the change.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn authenticate_write_key(&self, key: &str) -> Result<Option<Arc<WriteGrant>>> {
        let Some(hash) = self.hash("wk_", key) else { return Ok(None) };
        remembered(&self.0.grants, hash, write_key::find(&self.0.connections, &hash)).await
    }

    /// The source that a webhook names, unless there is none or its tenant is disabled; a disabled source says so. It
    /// gives no right: the sender has yet to prove that it may. Answers may be old as those of
    /// [`Store::authenticate_write_key`] may.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] for a secret that does not open.
    pub async fn webhook_source(&self, source: SourceId) -> Result<Option<Arc<WebhookSource>>> {
        let hash = self.0.hasher.hash(&source.to_string());
        let question = webhook::find(&self.0.connections, &self.0.master, &self.0.hasher, source);
        remembered(&self.0.webhooks, hash, question).await
    }

    /// The right to act on a tenant for the hub's own loops.
    pub fn lease(&self, tenant: TenantId) -> TenantScope {
        TenantScope { store: self.0.clone(), tenant }
    }

    /// A key's hash, if it looks like a key at all.
    fn hash(&self, prefix: &str, key: &str) -> Option<[u8; 32]> {
        (key.len() <= 64 && key.starts_with(prefix)).then(|| self.0.hasher.hash(key))
    }
}

/// The answer of a cache, or of the question, which is then remembered.
async fn remembered<G: Granted>(
    cache: &GrantCache<G>,
    hash: [u8; 32],
    question: impl Future<Output = Result<Option<G>>>,
) -> Result<Option<Arc<G>>> {
    if let Some(answer) = cache.get(&hash) {
        return Ok(answer);
    }
    let generation = cache.generation();
    let last = cache.last(&hash);
    let answer = match &last {
        None => question.await,
        // While the database is silent the log goes on: what it said last holds.
        Some(_) => match tokio::time::timeout(ASKING, question).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::unavailable("the database does not answer")),
        },
    };
    match (answer, last) {
        (Ok(grant), _) => {
            let grant = grant.map(Arc::new);
            cache.put(hash, grant.clone(), generation);
            Ok(grant)
        }
        (Err(StoreError::Unavailable { .. }), Some(last)) => Ok(Some(last)),
        (Err(error), _) => Err(error),
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dialect", &self.0.connections.dialect).finish_non_exhaustive()
    }
}
