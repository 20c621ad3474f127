//! Routes: which events of which source go to which destination.

use axum::extract::State;
use rialto_model::condition::Condition;
use rialto_model::route::Route;
use rialto_model::{DestinationId, RouteId, SourceId};
use rialto_store::{NewRoute as Made, RouteChange, RouteFilter, TenantScope};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Created, Current, Done, Listed};
use crate::auth::{Editor, Viewer};
use crate::extract::{Asked, At, Given};
use crate::manage::paging::{given, page};
use crate::precondition::{IfMatch, Keep, Once};
use crate::problem::{FieldError, Problem, Result};
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(read, change, remove))
}

/// A route to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRoute {
    /// Its name.
    #[schema(example = "Orders to the warehouse", min_length = 1, max_length = 200)]
    name: String,
    /// The source it starts from; all of the tenant's if absent.
    source_id: Option<SourceId>,
    /// The destination it ends at.
    destination_id: DestinationId,
    /// The connector's action to take; may be left out if the connector has one only.
    action: Option<String>,
    /// Which events take it; all if absent.
    #[schema(example = json!({"all": [{"field": "event.type", "eq": "track"}, {"field": "event.properties.total", "gte": 100}]}))]
    condition: Option<Condition>,
    /// Whether it is open.
    #[serde(default = "yes")]
    #[schema(required = false, default = true)]
    enabled: bool,
}

/// A change of a route; what is absent stays as it is, and `null` takes a value away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeRoute {
    /// Its new name.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The source it starts from; `null` for all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<SourceId>)]
    source_id: Option<Option<SourceId>>,
    /// The destination it ends at.
    #[schema(nullable = false)]
    destination_id: Option<DestinationId>,
    /// The connector's action; `null` for its only one.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    action: Option<Option<String>>,
    /// Which events take it; `null` for all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Condition>)]
    condition: Option<Option<Condition>>,
    /// Whether it is open.
    #[schema(nullable = false)]
    enabled: Option<bool>,
}

fn yes() -> bool {
    true
}

/// Which routes are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// How many items at the most: 1 to 200, 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next` of the page before; absent for the first page.
    after: Option<String>,
    /// Only those that name this source.
    source_id: Option<SourceId>,
    /// Only those that end at this destination.
    destination_id: Option<DestinationId>,
}

/// List routes
#[utoipa::path(get, path = "/api/v1/routes", tag = "Routes", params(Wanted))]
async fn list(Viewer(scope): Viewer, Asked(wanted): Asked<Wanted>) -> Result<Listed<Route>> {
    let Wanted { limit, after, source_id, destination_id } = wanted;
    let filter = RouteFilter { source_id, destination_id };
    Ok(Listed(scope.routes(&filter, &page(limit, after)?).await?))
}

/// Make a route
///
/// It holds for events that are processed from now on.
#[utoipa::path(post, path = "/api/v1/routes", tag = "Routes", request_body = NewRoute,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat of this request harmless.")))]
async fn create(
    State(api): State<Api>,
    Editor(scope): Editor,
    once: Once,
    given: Given<NewRoute>,
) -> Result<Created<Route>> {
    let now = api.now();
    let NewRoute { name, source_id, destination_id, action, condition, enabled } = given.value;
    check(&api, &scope, source_id, Some(destination_id), action.as_deref(), condition.as_ref()).await?;
    let made = Made { name, source_id, destination_id, action, condition, enabled };
    let maker = scope.clone();
    let work = async move {
        let route = maker.create_route(made, now).await?;
        api.engine.config_changed(maker.tenant_id());
        Ok(Created { location: format!("/api/v1/routes/{}", route.id), body: route })
    };
    once.make(&scope, given.fingerprint, now, Keep::Whole, work).await
}

/// Read a route
#[utoipa::path(get, path = "/api/v1/routes/{id}", tag = "Routes", params(("id" = RouteId, Path)))]
async fn read(Viewer(scope): Viewer, At(id): At<RouteId>) -> Result<Current<Route>> {
    Ok(Current(scope.route(id).await?))
}

/// Change a route
#[utoipa::path(patch, path = "/api/v1/routes/{id}", tag = "Routes", request_body = ChangeRoute,
    params(("id" = RouteId, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the version to change.")))]
async fn change(
    State(api): State<Api>,
    Editor(scope): Editor,
    At(id): At<RouteId>,
    IfMatch(expected): IfMatch,
    given: Given<ChangeRoute>,
) -> Result<Current<Route>> {
    let ChangeRoute { name, source_id, destination_id, action, condition, enabled } = given.value;
    let current = scope.route(id).await?;
    let later_action = action.as_ref().map_or(current.action.as_deref(), Option::as_deref);
    let ends_at =
        (destination_id.is_some() || action.is_some()).then(|| destination_id.unwrap_or(current.destination_id));
    let wanted = condition.as_ref().and_then(Option::as_ref);
    check(&api, &scope, source_id.flatten(), ends_at, later_action, wanted).await?;
    let change = RouteChange { name, source_id, destination_id, action, condition, enabled };
    let route = scope.update_route(id, change, expected, api.now()).await?;
    api.engine.config_changed(scope.tenant_id());
    Ok(Current(route))
}

/// Remove a route
///
/// What has already taken it is still delivered.
#[utoipa::path(delete, path = "/api/v1/routes/{id}", tag = "Routes",
    params(("id" = RouteId, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the version to remove.")))]
async fn remove(
    State(api): State<Api>,
    Editor(scope): Editor,
    At(id): At<RouteId>,
    IfMatch(expected): IfMatch,
) -> Result<Done> {
    scope.delete_route(id, expected).await?;
    api.engine.config_changed(scope.tenant_id());
    Ok(Done)
}

/// Checks what the schema cannot say: both ends are there, the connector knows the action, the condition compiles.
async fn check(
    api: &Api,
    scope: &TenantScope,
    source: Option<SourceId>,
    destination: Option<DestinationId>,
    action: Option<&str>,
    condition: Option<&Condition>,
) -> Result<()> {
    let mut errors = Vec::new();
    let mut say = |pointer: String, detail: String| errors.push(FieldError { pointer, detail });
    if let Some(source) = source
        && absent(scope.source(source).await)?
    {
        say("/source_id".to_owned(), "names no source of this tenant".to_owned());
    }
    if let Some(id) = destination {
        match scope.destination(id).await {
            Ok(destination) => {
                if let Some(detail) = action_fault(api, &destination.connector, action) {
                    say("/action".to_owned(), detail);
                }
            }
            Err(error) => {
                absent::<()>(Err(error))?;
                say("/destination_id".to_owned(), "names no destination of this tenant".to_owned());
            }
        }
    }
    if let Some(invalid) = condition.and_then(|condition| condition.compile().err()) {
        say(format!("/condition{}", invalid.at), invalid.reason);
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
}

/// Why a route to this connector cannot take this action. A connector that is not installed is left be: the lane
/// will wait for it, and its manifest cannot be asked.
fn action_fault(api: &Api, connector: &str, action: Option<&str>) -> Option<String> {
    let manifest = api.connectors.find(connector)?;
    let names: Vec<&str> = manifest.actions.iter().map(|action| action.name.as_str()).collect();
    match action {
        Some(action) if !names.contains(&action) => {
            Some(format!("is no action of {connector}; it has: {}", names.join(", ")))
        }
        None if names.len() > 1 => Some(format!("must be given, for {connector} has several: {}", names.join(", "))),
        _ => None,
    }
}

/// Whether it is not there; any other failure is passed on.
fn absent<T>(found: rialto_store::Result<T>) -> Result<bool> {
    match found {
        Ok(_) => Ok(false),
        Err(rialto_store::StoreError::NotFound { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
