//! API keys: shown once, kept as a hash. The operator makes a tenant's first, its admins the others.

use axum::extract::State;
use rialto_model::key::{ApiKey, Role};
use rialto_model::{ApiKeyId, TenantId, Timestamp};
use rialto_store::TenantScope;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Created, Done, Listed};
use crate::auth::{Admin, Operating};
use crate::extract::{Asked, At, Given};
use crate::manage::paging::Paging;
use crate::precondition::{Keep, Once};
use crate::problem::{Problem, Result};
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(revoke)).routes(routes!(create_for_tenant))
}

/// An API key to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApiKey {
    /// What it is for.
    #[schema(example = "nightly export", min_length = 1, max_length = 200)]
    name: String,
    /// What it may do.
    role: Role,
    /// When it ends; never if absent.
    expires_at: Option<Timestamp>,
}

/// A new API key, with the key itself: this is the only time it is shown.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct MadeApiKey {
    /// What is kept of it.
    #[serde(flatten)]
    api_key: ApiKey,
    /// The key, for `Authorization: Bearer …`.
    #[schema(example = "rk_…")]
    key: String,
}

/// List API keys
///
/// The keys themselves are not kept and cannot be shown again; `hint` is their last four characters.
#[utoipa::path(get, path = "/api/v1/api_keys", tag = "API keys", params(Paging))]
async fn list(Admin(scope): Admin, Asked(paging): Asked<Paging>) -> Result<Listed<ApiKey>> {
    Ok(Listed(scope.api_keys(&paging.request()?).await?))
}

/// Make an API key
///
/// The answer holds the key itself, once and never again.
#[utoipa::path(post, path = "/api/v1/api_keys", tag = "API keys", request_body = NewApiKey,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat of this request harmless.")))]
async fn create(
    State(api): State<Api>,
    Admin(scope): Admin,
    once: Once,
    given: Given<NewApiKey>,
) -> Result<Created<MadeApiKey>> {
    make(&api, scope, once, given).await
}

/// Make an API key of a tenant, as the operator
///
/// How a tenant gets its first key. It is written to the tenant's audit trail.
#[utoipa::path(post, path = "/api/v1/tenants/{id}/api_keys", tag = "API keys", request_body = NewApiKey,
    params(("id" = TenantId, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat of this request harmless.")),
    security(("operator_token" = [])))]
async fn create_for_tenant(
    State(api): State<Api>,
    operator: Operating,
    At(id): At<TenantId>,
    once: Once,
    given: Given<NewApiKey>,
) -> Result<Created<MadeApiKey>> {
    let scope = operator.0.scope(id, "make an API key", api.now()).await?;
    make(&api, scope, once, given).await
}

async fn make(api: &Api, scope: TenantScope, once: Once, given: Given<NewApiKey>) -> Result<Created<MadeApiKey>> {
    let now = api.now();
    let NewApiKey { name, role, expires_at } = given.value;
    if expires_at.is_some_and(|end| end <= now) {
        return Err(Problem::field("/expires_at", "must lie in the future"));
    }
    let maker = scope.clone();
    let work = async move {
        let (api_key, key) = maker.create_api_key(&name, role, expires_at, now).await?;
        let location = format!("/api/v1/api_keys/{}", api_key.id);
        Ok(Created { body: MadeApiKey { api_key, key }, location })
    };
    once.make(&scope, given.fingerprint, now, Keep::LocationOnly, work).await
}

/// Revoke an API key
///
/// It is refused from this moment on.
#[utoipa::path(delete, path = "/api/v1/api_keys/{id}", tag = "API keys", params(("id" = ApiKeyId, Path)))]
async fn revoke(Admin(scope): Admin, At(id): At<ApiKeyId>) -> Result<Done> {
    scope.revoke_api_key(id).await?;
    Ok(Done)
}
