//! Who is asking, and what they may do. To hold one of these values is to have the right.

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use rialto_model::key::Role;
use rialto_store::{Operator, TenantScope};

use crate::problem::Problem;
use crate::problem::slug::Slug;
use crate::state::Api;

/// The operator, who makes tenants.
pub(crate) struct Operating(pub(crate) Operator);

/// Someone who may read a tenant.
pub(crate) struct Viewer(pub(crate) TenantScope);

/// Someone who may also change it.
pub(crate) struct Editor(pub(crate) TenantScope);

/// Someone who may also make and revoke keys.
pub(crate) struct Admin(pub(crate) TenantScope);

enum Caller {
    Operator(Operator),
    Tenant(TenantScope, Role),
}

async fn caller(parts: &Parts, api: &Api) -> Result<Caller, Problem> {
    let token = bearer(parts).ok_or_else(|| {
        Problem::new(
            Slug::Unauthenticated,
            "Send 'Authorization: Bearer …' with an API key (rk_…) or, for tenants, the operator's token (ro_…).",
        )
    })?;
    let known = if token.starts_with("ro_") {
        api.store.authenticate_operator(token).await?.map(Caller::Operator)
    } else {
        let found = api.store.authenticate_api_key(token, api.now()).await?;
        found.map(|(scope, key)| Caller::Tenant(scope, key.role))
    };
    known.ok_or_else(|| Problem::new(Slug::Unauthenticated, "This key or token is unknown, expired or revoked."))
}

/// The token of `Authorization: Bearer …`.
fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

async fn in_tenant(parts: &Parts, api: &Api, least: Role) -> Result<TenantScope, Problem> {
    match caller(parts, api).await? {
        Caller::Operator(_) => Err(Problem::new(
            Slug::Forbidden,
            "The operator's token acts on the hub, not within a tenant. Make a key of the tenant: POST /api/v1/tenants/{id}/api_keys.",
        )),
        Caller::Tenant(_, role) if role < least => Err(Problem::new(
            Slug::Forbidden,
            format!("This key's role is {}; it takes {}.", role.as_str(), least.as_str()),
        )),
        Caller::Tenant(scope, _) => Ok(scope),
    }
}

impl FromRequestParts<Api> for Operating {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match caller(parts, api).await? {
            Caller::Operator(operator) => Ok(Self(operator)),
            Caller::Tenant(..) => Err(Problem::new(Slug::Forbidden, "Only the operator's token (ro_…) allows this.")),
        }
    }
}

macro_rules! roles {
    ($($name:ident: $role:ident),*) => {$(
        impl FromRequestParts<Api> for $name {
            type Rejection = Problem;
            async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
                in_tenant(parts, api, Role::$role).await.map(Self)
            }
        }
    )*};
}
roles!(Viewer: Viewer, Editor: Editor, Admin: Admin);
