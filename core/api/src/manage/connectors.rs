//! Connectors: what is installed, and what each wants to be told.

use axum::extract::State;
use rialto_model::manifest::Manifest;
use rialto_model::page::Page;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Found, Listed};
use crate::auth::Viewer;
use crate::extract::At;
use crate::problem::{Problem, Result};
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(read))
}

/// List the installed connectors
///
/// Each with its settings, auth slots and actions. They are few, so there is one page only.
#[utoipa::path(get, path = "/api/v1/connectors", tag = "Connectors")]
async fn list(State(api): State<Api>, _: Viewer) -> Result<Listed<Manifest>> {
    let items = api.connectors.all().iter().map(|manifest| Manifest::clone(manifest)).collect();
    Ok(Listed(Page { items, next: None }))
}

/// Read an installed connector
#[utoipa::path(get, path = "/api/v1/connectors/{publisher}/{name}", tag = "Connectors",
    params(("publisher" = String, Path, example = "rialto"), ("name" = String, Path, example = "webhook")))]
async fn read(
    State(api): State<Api>,
    _: Viewer,
    At((publisher, name)): At<(String, String)>,
) -> Result<Found<Manifest>> {
    let found = api.connectors.find(&format!("{publisher}/{name}"));
    found.map(|manifest| Found(Manifest::clone(&manifest))).ok_or_else(|| Problem::not_found("connector"))
}
