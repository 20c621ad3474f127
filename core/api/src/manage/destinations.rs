//! Destinations: where a tenant's events go. Settings and secrets are checked by the connector's manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use rialto_model::DestinationId;
use rialto_model::destination::{Destination, Secrets};
use rialto_model::manifest::Manifest;
use rialto_store::{DestinationChange, NewDestination as Made, TenantScope};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Created, Current, Done, Listed};
use crate::auth::{Editor, Viewer};
use crate::extract::{Asked, At, Given};
use crate::manage::paging::Paging;
use crate::manage::settings;
use crate::precondition::{IfMatch, Keep, Once};
use crate::problem::slug::Slug;
use crate::problem::{Problem, Result};
use crate::state::Api;

/// When it is worth asking again for a check that could not be made.
const CHECK_RETRY: Duration = Duration::from_secs(1);

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(read, change, remove))
}

/// A destination to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDestination {
    /// Its name, unique in the tenant; a client's `integrations` object may name it.
    #[schema(example = "Warehouse", min_length = 1, max_length = 200)]
    name: String,
    /// The connector's id; `GET /api/v1/connectors` lists them.
    #[schema(example = "rialto/webhook")]
    connector: String,
    /// The connector's settings.
    #[serde(default)]
    #[schema(value_type = Object, required = false, example = json!({"url": "https://example.com/events"}))]
    settings: BTreeMap<String, Value>,
    /// Secrets by the name of their slot. They are sealed, and never shown again.
    #[serde(default)]
    #[schema(required = false)]
    secrets: BTreeMap<String, String>,
    /// Whether events are delivered.
    #[serde(default = "yes")]
    #[schema(required = false, default = true)]
    enabled: bool,
}

/// A change of a destination; what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeDestination {
    /// Its new name.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Its new settings, all of them.
    #[schema(value_type = Object, nullable = false, required = false)]
    settings: Option<BTreeMap<String, Value>>,
    /// Secrets to set, or to remove by `null`; those not named stay.
    #[serde(default)]
    #[schema(required = false)]
    secrets: BTreeMap<String, Option<String>>,
    /// Whether events are delivered; while they are not, the lane stands still and loses nothing.
    #[schema(nullable = false)]
    enabled: Option<bool>,
}

fn yes() -> bool {
    true
}

/// List destinations
#[utoipa::path(get, path = "/api/v1/destinations", tag = "Destinations", params(Paging))]
async fn list(Viewer(scope): Viewer, Asked(paging): Asked<Paging>) -> Result<Listed<Destination>> {
    Ok(Listed(scope.destinations(&paging.request()?).await?))
}

/// Make a destination
///
/// Its lane begins with what is taken in from now on. Then make a route that ends at it.
#[utoipa::path(post, path = "/api/v1/destinations", tag = "Destinations", request_body = NewDestination,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat of this request harmless.")))]
async fn create(
    State(api): State<Api>,
    Editor(scope): Editor,
    once: Once,
    given: Given<NewDestination>,
) -> Result<Created<Destination>> {
    let now = api.now();
    let NewDestination { name, connector, settings, secrets, enabled } = given.value;
    let manifest = installed(&api, &connector)?;
    let secrets = Secrets(secrets);
    check(&api, &manifest, &settings, &secrets, &BTreeSet::new())?;
    let made = Made { name, connector, settings, secrets, enabled };
    let maker = scope.clone();
    let work = async move {
        let destination = maker.create_destination(made, now).await?;
        api.engine.config_changed(maker.tenant_id());
        Ok(Created { location: format!("/api/v1/destinations/{}", destination.id), body: destination })
    };
    once.make(&scope, given.fingerprint, now, Keep::Whole, work).await
}

/// Read a destination
///
/// Secrets are never shown; `secrets` names those that are filled.
#[utoipa::path(get, path = "/api/v1/destinations/{id}", tag = "Destinations", params(("id" = DestinationId, Path)))]
async fn read(Viewer(scope): Viewer, At(id): At<DestinationId>) -> Result<Current<Destination>> {
    Ok(Current(scope.destination(id).await?))
}

/// Change a destination
///
/// What waits for another try is tried soon after, with the new settings.
#[utoipa::path(patch, path = "/api/v1/destinations/{id}", tag = "Destinations", request_body = ChangeDestination,
    params(("id" = DestinationId, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the version to change.")))]
async fn change(
    State(api): State<Api>,
    Editor(scope): Editor,
    At(id): At<DestinationId>,
    IfMatch(expected): IfMatch,
    given: Given<ChangeDestination>,
) -> Result<Current<Destination>> {
    let ChangeDestination { name, settings, secrets, enabled } = given.value;
    if settings.is_some() || !secrets.is_empty() {
        check_change(&api, &scope, id, settings.as_ref(), &secrets).await?;
    }
    let change = DestinationChange { name, settings, secrets, enabled };
    let destination = scope.update_destination(id, change, expected, api.now()).await?;
    api.engine.config_changed(scope.tenant_id());
    api.engine.wake_lane(scope.tenant_id(), id);
    Ok(Current(destination))
}

/// Remove a destination
///
/// Answers 409 while a route ends at it. Its parked deliveries and dead letters go with it.
#[utoipa::path(delete, path = "/api/v1/destinations/{id}", tag = "Destinations",
    params(("id" = DestinationId, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the version to remove.")))]
async fn remove(
    State(api): State<Api>,
    Editor(scope): Editor,
    At(id): At<DestinationId>,
    IfMatch(expected): IfMatch,
) -> Result<Done> {
    scope.delete_destination(id, expected).await?;
    api.engine.config_changed(scope.tenant_id());
    Ok(Done)
}

/// The connector, which must deliver.
fn installed(api: &Api, connector: &str) -> Result<Arc<Manifest>> {
    let manifest = settings::installed(api, connector)?;
    if manifest.actions.is_empty() {
        let detail = "this connector receives webhooks and delivers nothing; make a source of it";
        return Err(Problem::field("/connector", detail));
    }
    Ok(manifest)
}

/// Checks what the destination will be once the change is made.
async fn check_change(
    api: &Api,
    scope: &TenantScope,
    id: DestinationId,
    given: Option<&BTreeMap<String, Value>>,
    secrets: &BTreeMap<String, Option<String>>,
) -> Result<()> {
    let current = scope.destination(id).await?;
    let manifest = installed(api, &current.connector)?;
    let (set, kept) = settings::after(current.secrets, secrets);
    check(api, &manifest, given.unwrap_or(&current.settings), &set, &kept)
}

/// Checks settings and secrets against the connector's manifest; of the secrets that are `kept`, only the names are
/// known.
fn check(
    api: &Api,
    manifest: &Manifest,
    given: &BTreeMap<String, Value>,
    secrets: &Secrets,
    kept: &BTreeSet<String>,
) -> Result<()> {
    let checked = api.connectors.check(manifest, given, secrets, kept).ok_or_else(|| {
        Problem::new(
            Slug::Unavailable,
            "The connector is being asked about other settings: these could not be checked.",
        )
        .retry_after(CHECK_RETRY)
    })?;
    settings::sound(checked)
}
