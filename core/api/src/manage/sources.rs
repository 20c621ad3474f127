//! Sources: where a tenant's events come from. One with a connector receives webhooks, and has settings and secrets that
//! the connector's manifest checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use rialto_model::SourceId;
use rialto_model::destination::Secrets;
use rialto_model::manifest::{Manifest, check_source};
use rialto_model::source::Source;
use rialto_store::{NewSource as Made, SourceChange, TenantScope};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Created, Current, Done, Listed};
use crate::auth::{Editor, Viewer};
use crate::extract::{Asked, At, Given};
use crate::manage::paging::{Paging, given};
use crate::manage::settings;
use crate::precondition::{IfMatch, Keep, Once};
use crate::problem::{Problem, Result};
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(read, change, remove))
}

/// A source to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSource {
    /// Its name.
    #[schema(example = "Web shop", min_length = 1, max_length = 200)]
    name: String,
    /// The id of the connector that reads its webhooks, if it is to receive any; `GET /api/v1/connectors` lists them.
    #[schema(example = "rialto/json-webhook", nullable = false)]
    connector: Option<String>,
    /// The connector's settings.
    #[serde(default)]
    #[schema(value_type = Object, required = false, example = json!({"event_pointer": "/type"}))]
    settings: BTreeMap<String, Value>,
    /// What its webhooks are proved by, by the name of the slot. They are sealed, and never shown again.
    #[serde(default)]
    #[schema(required = false)]
    secrets: BTreeMap<String, String>,
}

/// A change of a source; what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeSource {
    /// Its new name.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The connector that reads its webhooks; `null` for none. Another one begins without settings and secrets.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    connector: Option<Option<String>>,
    /// Its connector's new settings, all of them.
    #[schema(value_type = Object, nullable = false, required = false)]
    settings: Option<BTreeMap<String, Value>>,
    /// Secrets to set, or to remove by `null`; those not named stay.
    #[serde(default)]
    #[schema(required = false)]
    secrets: BTreeMap<String, Option<String>>,
    /// Whether events are taken; the write keys of a disabled source answer 404, and so do webhooks to it.
    #[schema(nullable = false)]
    enabled: Option<bool>,
}

/// List sources
#[utoipa::path(get, path = "/api/v1/sources", tag = "Sources", params(Paging))]
async fn list(Viewer(scope): Viewer, Asked(paging): Asked<Paging>) -> Result<Listed<Source>> {
    Ok(Listed(scope.sources(&paging.request()?).await?))
}

/// Make a source
///
/// Then make a write key for it, with which clients send: `POST /api/v1/sources/{id}/write_keys`. With a connector it
/// receives webhooks at `POST /v1/webhook/{id}`, signed by what stands in `secrets`, or with a write key if nothing does.
#[utoipa::path(post, path = "/api/v1/sources", tag = "Sources", request_body = NewSource,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat of this request harmless.")))]
async fn create(
    State(api): State<Api>,
    Editor(scope): Editor,
    once: Once,
    given: Given<NewSource>,
) -> Result<Created<Source>> {
    let now = api.now();
    let NewSource { name, connector, settings, secrets } = given.value;
    let secrets = Secrets(secrets);
    check(&api, connector.as_deref(), &settings, &secrets, &BTreeSet::new())?;
    let made = Made { name, connector, settings, secrets };
    let maker = scope.clone();
    let work = async move {
        let source = maker.create_source(made, now).await?;
        api.engine.config_changed(maker.tenant_id());
        Ok(Created { location: format!("/api/v1/sources/{}", source.id), body: source })
    };
    once.make(&scope, given.fingerprint, now, Keep::Whole, work).await
}

/// Read a source
///
/// Secrets are never shown; `secrets` names those that are filled.
#[utoipa::path(get, path = "/api/v1/sources/{id}", tag = "Sources", params(("id" = SourceId, Path)))]
async fn read(Viewer(scope): Viewer, At(id): At<SourceId>) -> Result<Current<Source>> {
    Ok(Current(scope.source(id).await?))
}

/// Change a source
#[utoipa::path(patch, path = "/api/v1/sources/{id}", tag = "Sources", request_body = ChangeSource,
    params(("id" = SourceId, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the version to change.")))]
async fn change(
    State(api): State<Api>,
    Editor(scope): Editor,
    At(id): At<SourceId>,
    IfMatch(expected): IfMatch,
    given: Given<ChangeSource>,
) -> Result<Current<Source>> {
    let ChangeSource { name, connector, settings, secrets, enabled } = given.value;
    let change = SourceChange { name, connector, settings, secrets, enabled };
    if change.connector.is_some() || change.settings.is_some() || !change.secrets.is_empty() {
        check_change(&api, &scope, id, &change).await?;
    }
    let source = scope.update_source(id, change, expected, api.now()).await?;
    api.engine.config_changed(scope.tenant_id());
    Ok(Current(source))
}

/// Remove a source, its write keys and its secrets
///
/// Answers 409 while a route starts from it. What came from it stays.
#[utoipa::path(delete, path = "/api/v1/sources/{id}", tag = "Sources",
    params(("id" = SourceId, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the version to remove.")))]
async fn remove(
    State(api): State<Api>,
    Editor(scope): Editor,
    At(id): At<SourceId>,
    IfMatch(expected): IfMatch,
) -> Result<Done> {
    scope.delete_source(id, expected).await?;
    api.engine.config_changed(scope.tenant_id());
    Ok(Done)
}

/// Checks what the source will be once the change is made.
async fn check_change(api: &Api, scope: &TenantScope, id: SourceId, change: &SourceChange) -> Result<()> {
    let mut current = scope.source(id).await?;
    if let Some(connector) = change.connector.clone().filter(|connector| *connector != current.connector) {
        current = Source { connector, settings: BTreeMap::new(), secrets: BTreeSet::new(), ..current };
    }
    let (set, kept) = settings::after(current.secrets, &change.secrets);
    let settings = change.settings.as_ref().unwrap_or(&current.settings);
    check(api, current.connector.as_deref(), settings, &set, &kept)
}

/// Checks settings and secrets against the manifest of the connector, if there is one; of the secrets that are `kept`,
/// only the names are known.
fn check(
    api: &Api,
    connector: Option<&str>,
    settings: &BTreeMap<String, Value>,
    secrets: &Secrets,
    kept: &BTreeSet<String>,
) -> Result<()> {
    if let Some(connector) = connector {
        return settings::sound(check_source(&*receiving(api, connector)?, settings, secrets, kept));
    }
    for (pointer, idle) in [("/settings", !settings.is_empty()), ("/secrets", !secrets.0.is_empty())] {
        if idle {
            return Err(Problem::field(pointer, "belong to a connector, and this source has none; set 'connector'"));
        }
    }
    Ok(())
}

/// The connector, which must receive webhooks.
fn receiving(api: &Api, connector: &str) -> Result<Arc<Manifest>> {
    let manifest = settings::installed(api, connector)?;
    if manifest.webhook.is_none() {
        let detail = "this connector delivers events and receives no webhooks; make a destination of it";
        return Err(Problem::field("/connector", detail));
    }
    Ok(manifest)
}
