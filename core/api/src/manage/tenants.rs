//! Tenants: the operator makes, changes and removes them; a tenant's key can read its own.

use axum::extract::State;
use rialto_model::TenantId;
use rialto_model::identifier::IdentityRules;
use rialto_model::tenant::{Quota, Tenant, is_slug};
use rialto_store::{StoreError, TenantChange};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Created, Current, Done, Listed};
use crate::auth::{Operating, Viewer};
use crate::extract::{Asked, At, Given};
use crate::manage::paging::Paging;
use crate::precondition::IfMatch;
use crate::problem::{Problem, Result};
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(read, change, remove))
        .routes(routes!(read_own))
}

/// A tenant to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    /// A short name, unique in the hub: 1 to 63 lower-case letters, digits and dashes, starting with a letter.
    #[schema(example = "acme", min_length = 1, max_length = 63)]
    slug: String,
    /// Its name as people write it.
    #[schema(example = "Acme Outdoor", min_length = 1, max_length = 200)]
    name: String,
    /// What it may take of the hub; as the hub has it for all tenants if absent.
    #[serde(default)]
    quota: Quota,
}

/// A change of a tenant; what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeTenant {
    /// Its new name.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Whether it is served: while it is not, its keys are refused and its lanes stand still.
    #[schema(nullable = false)]
    enabled: Option<bool>,
    /// What identifies a person in it, all of it.
    #[schema(nullable = false)]
    identity: Option<IdentityRules>,
    /// What it may take of the hub, all of it: `{}` gives it back to the hub's default. Holds at once on this node,
    /// within five seconds on others.
    #[schema(nullable = false)]
    quota: Option<Quota>,
}

/// List tenants
///
/// Oldest first.
#[utoipa::path(get, path = "/api/v1/tenants", tag = "Tenants", params(Paging), security(("operator_token" = [])))]
async fn list(operator: Operating, Asked(paging): Asked<Paging>) -> Result<Listed<Tenant>> {
    Ok(Listed(operator.0.tenants(&paging.request()?).await?))
}

/// Make a tenant
///
/// Then make its first API key: `POST /api/v1/tenants/{id}/api_keys`. The slug is unique, so repeating this
/// request makes no second tenant: it answers 409.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "Tenants", request_body = NewTenant,
    security(("operator_token" = [])))]
async fn create(State(api): State<Api>, operator: Operating, given: Given<NewTenant>) -> Result<Created<Tenant>> {
    let NewTenant { slug, name, quota } = given.value;
    if !is_slug(&slug) {
        return Err(Problem::field(
            "/slug",
            "must be 1 to 63 lower-case letters, digits and dashes, starting with a letter",
        ));
    }
    let tenant = operator.0.create_tenant_within(quota, &slug, &name, api.now()).await?;
    Ok(Created { location: format!("/api/v1/tenants/{}", tenant.id), body: tenant })
}

/// Read a tenant
#[utoipa::path(get, path = "/api/v1/tenants/{id}", tag = "Tenants", params(("id" = TenantId, Path)),
    security(("operator_token" = [])))]
async fn read(operator: Operating, At(id): At<TenantId>) -> Result<Current<Tenant>> {
    Ok(Current(operator.0.tenant(id).await?))
}

/// Change a tenant
#[utoipa::path(patch, path = "/api/v1/tenants/{id}", tag = "Tenants", request_body = ChangeTenant,
    params(("id" = TenantId, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the version to change.")),
    security(("operator_token" = [])))]
async fn change(
    State(api): State<Api>,
    operator: Operating,
    At(id): At<TenantId>,
    IfMatch(expected): IfMatch,
    given: Given<ChangeTenant>,
) -> Result<Current<Tenant>> {
    let ChangeTenant { name, enabled, identity, quota } = given.value;
    let change = TenantChange { name, enabled, identity, quota };
    let tenant = operator.0.update_tenant(id, change, expected, api.now()).await?;
    api.engine.config_changed(id);
    Ok(Current(tenant))
}

/// Remove a tenant with all that it has
///
/// Its profiles, events, keys and settings are gone for good. If it fails half-way, the tenant is disabled and can be
/// removed again; a 404 then says that nothing of it is left.
#[utoipa::path(delete, path = "/api/v1/tenants/{id}", tag = "Tenants", params(("id" = TenantId, Path)),
    security(("operator_token" = [])))]
async fn remove(State(api): State<Api>, operator: Operating, At(id): At<TenantId>) -> Result<Done> {
    // Its keys are refused first, so that nothing new comes in; its record goes last, so that what failed can be
    // repeated.
    let off = TenantChange { enabled: Some(false), ..TenantChange::default() };
    match operator.0.update_tenant(id, off, None, api.now()).await {
        Ok(_) => {}
        // It may have gone by a request that failed at its last step, so its stream may still be there.
        Err(gone @ StoreError::NotFound { .. }) => {
            api.log.drop_tenant(id).await?;
            return Err(gone.into());
        }
        Err(error) => return Err(error.into()),
    }
    api.engine.config_changed(id);
    api.log.drop_tenant(id).await?;
    operator.0.delete_tenant(id, api.now()).await?;
    api.engine.config_changed(id);
    // Once more, for what was on its way while the keys were still known.
    api.log.drop_tenant(id).await?;
    Ok(Done)
}

/// Read the tenant that the key belongs to
#[utoipa::path(get, path = "/api/v1/tenant", tag = "Tenants")]
async fn read_own(Viewer(scope): Viewer) -> Result<Current<Tenant>> {
    Ok(Current(scope.tenant().await?))
}
