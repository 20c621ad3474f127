//! Sources: where a tenant's events come from.

use axum::extract::State;
use rialto_model::SourceId;
use rialto_model::source::Source;
use rialto_store::SourceChange;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Created, Current, Done, Listed};
use crate::auth::{Editor, Viewer};
use crate::extract::{Asked, At, Given};
use crate::manage::paging::Paging;
use crate::precondition::{IfMatch, Keep, Once};
use crate::problem::Result;
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
}

/// A change of a source; what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeSource {
    /// Its new name.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Whether events are taken; the write keys of a disabled source answer 404.
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
/// Then make a write key for it, with which clients send: `POST /api/v1/sources/{id}/write_keys`.
#[utoipa::path(post, path = "/api/v1/sources", tag = "Sources", request_body = NewSource,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat of this request harmless.")))]
async fn create(
    State(api): State<Api>,
    Editor(scope): Editor,
    once: Once,
    given: Given<NewSource>,
) -> Result<Created<Source>> {
    let now = api.now();
    let name = given.value.name;
    let maker = scope.clone();
    let work = async move {
        let source = maker.create_source(&name, now).await?;
        api.engine.config_changed(maker.tenant_id());
        Ok(Created { location: format!("/api/v1/sources/{}", source.id), body: source })
    };
    once.make(&scope, given.fingerprint, now, Keep::Whole, work).await
}

/// Read a source
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
    let ChangeSource { name, enabled } = given.value;
    let source = scope.update_source(id, SourceChange { name, enabled }, expected, api.now()).await?;
    api.engine.config_changed(scope.tenant_id());
    Ok(Current(source))
}

/// Remove a source and its write keys
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
