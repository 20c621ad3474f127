//! Suppressions: whose events are taken and go nowhere. Only admins see the list, and it does not say whom it names.

use axum::extract::State;
use rialto_model::SuppressionId;
use rialto_model::identifier::Identifier;
use rialto_model::page::Page;
use rialto_model::suppression::Suppression;
use rialto_store::TenantScope;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Created, Done, Found, Listed};
use crate::auth::Admin;
use crate::extract::{Asked, At, Given};
use crate::manage::paging::page;
use crate::problem::slug::Slug;
use crate::problem::{Problem, Result};
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(read, remove))
}

/// A suppression to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSuppression {
    /// The identifier's kind: `user_id`, `email`, `phone`, `anonymous_id`, … or a kind of your own.
    #[schema(example = "email", min_length = 1, max_length = 64)]
    kind: String,
    /// Its value; compared as identity resolution compares it, and not kept.
    #[schema(example = "jane@example.com", min_length = 1, max_length = 1000)]
    value: String,
    /// Why. It is shown as it is, so it should name nobody.
    #[schema(example = "asked for it, ticket 4711", max_length = 500)]
    reason: Option<String>,
}

/// Which suppressions are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// How many items at the most: 1 to 200, 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next` of the page before; absent for the first page.
    after: Option<String>,
    /// Only that of an identifier of this kind; together with `value`.
    kind: Option<String>,
    /// Only that of this identifier; together with `kind`.
    value: Option<String>,
}

/// An identifier as events bring it, by the tenant's rules.
async fn identifier(scope: &TenantScope, kind: &str, value: &str) -> Result<Identifier> {
    let kind = kind.trim();
    if kind.is_empty() || kind.contains('\0') {
        return Err(Problem::field("/kind", "must name a kind of identifier, such as email"));
    }
    let rules = scope.tenant().await?.identity;
    Identifier::new(kind, value, &rules).map_err(|why| Problem::field("/value", why.to_string()))
}

/// List suppressions
///
/// Oldest first. With `kind` and `value`, the one that holds for that identifier, or none.
#[utoipa::path(get, path = "/api/v1/suppressions", tag = "Suppressions", params(Wanted))]
async fn list(Admin(scope): Admin, Asked(wanted): Asked<Wanted>) -> Result<Listed<Suppression>> {
    let Wanted { limit, after, kind, value } = wanted;
    let request = page(limit, after)?;
    match (kind, value) {
        (None, None) => Ok(Listed(scope.suppressions(&request).await?)),
        (Some(kind), Some(value)) => {
            let found = scope.suppression_of(&identifier(&scope, &kind, &value).await?).await?;
            Ok(Listed(Page { items: found.into_iter().collect(), next: None }))
        }
        _ => {
            Err(Problem::new(Slug::Malformed, "'kind' and 'value' name an identifier together; give both or neither."))
        }
    }
}

/// Suppress a person
///
/// From now on an event that carries this identifier, or that would belong to a profile that holds it, is answered 200
/// and goes nowhere: no profile, no destination, no payload. What was kept before stays. Repeating it makes no second
/// one: the answer is the one that is there.
#[utoipa::path(post, path = "/api/v1/suppressions", tag = "Suppressions", request_body = NewSuppression)]
async fn create(
    State(api): State<Api>,
    Admin(scope): Admin,
    given: Given<NewSuppression>,
) -> Result<Created<Suppression>> {
    let NewSuppression { kind, value, reason } = given.value;
    let identifier = identifier(&scope, &kind, &value).await?;
    let body = scope.suppress(&identifier, reason.as_deref(), api.now()).await?;
    Ok(Created { location: format!("/api/v1/suppressions/{}", body.id), body })
}

/// Read a suppression
#[utoipa::path(get, path = "/api/v1/suppressions/{id}", tag = "Suppressions", params(("id" = SuppressionId, Path)))]
async fn read(Admin(scope): Admin, At(id): At<SuppressionId>) -> Result<Found<Suppression>> {
    Ok(Found(scope.suppression(id).await?))
}

/// Lift a suppression
///
/// What comes from now on is taken again. What went nowhere does not come back.
#[utoipa::path(delete, path = "/api/v1/suppressions/{id}", tag = "Suppressions", params(("id" = SuppressionId, Path)))]
async fn remove(Admin(scope): Admin, At(id): At<SuppressionId>) -> Result<Done> {
    scope.lift_suppression(id).await?;
    Ok(Done)
}
