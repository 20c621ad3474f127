//! Events: what came in, what was decided on it, and what became of it.

use axum::extract::State;
use rialto_model::decision::TimelineEntry;
use rialto_model::event::Event;
use rialto_model::explain::Explanation;
use rialto_model::{Position, TenantId};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Found, Listed};
use crate::auth::Viewer;
use crate::extract::{Asked, At};
use crate::manage::paging::Paging;
use crate::problem::{Problem, Result};
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(read)).routes(routes!(explain))
}

/// An event with what was decided on it.
#[derive(Serialize, ToSchema)]
pub(crate) struct DecidedEvent {
    /// What was sent; absent once retention has trimmed it, and where its person is suppressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Event>,
    /// What was decided: first on the event itself, then on each duplicate that came within 24 hours.
    decisions: Vec<TimelineEntry>,
}

/// List events
///
/// Newest first, as they were processed.
#[utoipa::path(get, path = "/api/v1/events", tag = "Events", params(Paging))]
async fn list(Viewer(scope): Viewer, Asked(paging): Asked<Paging>) -> Result<Listed<TimelineEntry>> {
    Ok(Listed(scope.timeline(&paging.request()?).await?))
}

/// Read an event
///
/// By its message id. An event that was accepted a moment ago and is not processed yet is not found;
/// `…/explain` knows it.
#[utoipa::path(get, path = "/api/v1/events/{message_id}", tag = "Events", params(("message_id" = String, Path)))]
async fn read(
    State(api): State<Api>,
    Viewer(scope): Viewer,
    At(message_id): At<String>,
) -> Result<Found<DecidedEvent>> {
    let decisions = scope.timeline_of(&message_id).await?;
    let Some(first) = decisions.first() else { return Err(Problem::not_found("event")) };
    // What was withdrawn is not shown for as long as it still lies in the log.
    let event = match first.decision.suppressed {
        Some(_) => None,
        None => payload(&api, scope.tenant_id(), first.position).await?,
    };
    Ok(Found(DecidedEvent { event, decisions }))
}

/// Explain an event
///
/// What happened to it at each step, and why it reached, or did not reach, each destination: from what was really
/// decided at the time, not from a guess made now. An event that still waits to be processed is looked for among those
/// that wait, 500,000 or two seconds far; if more wait, the answer is a 503 that says so. One such search a tenant, and
/// a few in all, are made at a time; who comes meanwhile gets a 503 too.
#[utoipa::path(get, path = "/api/v1/events/{message_id}/explain", tag = "Events",
    params(("message_id" = String, Path)))]
async fn explain(
    State(api): State<Api>,
    Viewer(scope): Viewer,
    At(message_id): At<String>,
) -> Result<Found<Explanation>> {
    let explained = api.engine.explain(&scope, &message_id).await?;
    explained.map(Found).ok_or_else(|| Problem::not_found("event"))
}

/// The event at a position, if it is still there.
pub(crate) async fn payload(api: &Api, tenant: TenantId, position: Position) -> Result<Option<Event>> {
    let Some(entry) = api.log.get(tenant, position).await? else { return Ok(None) };
    serde_json::from_slice(&entry.body).map(Some).map_err(|error| Problem::internal(&error))
}
