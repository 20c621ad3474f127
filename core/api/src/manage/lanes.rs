//! Lanes: how each destination goes.

use axum::extract::State;
use rialto_model::delivery::Lane;
use rialto_model::lane::LaneState;
use rialto_model::page::Page;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::Listed;
use crate::auth::Viewer;
use crate::problem::Result;
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list_lanes))
}

/// A destination's lane, with what it does now.
#[derive(Serialize, ToSchema)]
pub(crate) struct StandingLane {
    /// Its cursor and counters.
    #[serde(flatten)]
    lane: Lane,
    /// How many processed events it has not come to yet.
    behind: u64,
    /// What it does now.
    #[serde(flatten)]
    state: LaneState,
}

/// List lanes
///
/// One a destination: how far it is, what it delivered, and if it stands still, why, and when it tries again.
/// There is one page only.
#[utoipa::path(get, path = "/api/v1/lanes", tag = "Deliveries")]
async fn list_lanes(State(api): State<Api>, Viewer(scope): Viewer) -> Result<Listed<StandingLane>> {
    let lanes = scope.lanes().await?;
    let head = scope.processor_cursor().await?;
    let items = lanes
        .into_iter()
        .map(|lane| StandingLane {
            behind: head.saturating_sub(lane.cursor),
            state: api.engine.lane_state(scope.tenant_id(), lane.destination_id).unwrap_or(LaneState::Running),
            lane,
        })
        .collect();
    Ok(Listed(Page { items, next: None }))
}
