//! Dead letters: deliveries that were given up on; they stay until someone retries or discards them.

use axum::extract::State;
use rialto_model::DeadLetterId;
use rialto_model::delivery::{DeadLetter, Parked};
use rialto_model::event::Event;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Done, Found, Listed};
use crate::auth::{Editor, Viewer};
use crate::extract::{Asked, At};
use crate::manage::events::payload;
use crate::manage::parked::Wanted;
use crate::problem::Result;
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list_dead_letters))
        .routes(routes!(read_dead_letter, discard_dead_letter))
        .routes(routes!(retry_dead_letter))
}

/// A dead letter with the event that it could not deliver.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenedDeadLetter {
    /// The dead letter.
    #[serde(flatten)]
    dead_letter: DeadLetter,
    /// The event; absent once retention has trimmed it, and then a retry cannot deliver it either.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Event>,
}

/// List dead letters
#[utoipa::path(get, path = "/api/v1/dead_letters", tag = "Deliveries", params(Wanted))]
async fn list_dead_letters(Viewer(scope): Viewer, Asked(wanted): Asked<Wanted>) -> Result<Listed<DeadLetter>> {
    let (filter, page) = wanted.split()?;
    Ok(Listed(scope.dead_letters(&filter, &page).await?))
}

/// Read a dead letter, with its attempts and its event
#[utoipa::path(get, path = "/api/v1/dead_letters/{id}", tag = "Deliveries", params(("id" = DeadLetterId, Path)))]
async fn read_dead_letter(
    State(api): State<Api>,
    Viewer(scope): Viewer,
    At(id): At<DeadLetterId>,
) -> Result<Found<OpenedDeadLetter>> {
    let dead_letter = scope.dead_letter(id).await?;
    let event = payload(&api, scope.tenant_id(), dead_letter.position).await?;
    Ok(Found(OpenedDeadLetter { dead_letter, event }))
}

/// Retry a dead letter
///
/// It becomes a parked delivery that is due now, with its attempts counted anew.
#[utoipa::path(post, path = "/api/v1/dead_letters/{id}/retry", tag = "Deliveries",
    params(("id" = DeadLetterId, Path)))]
async fn retry_dead_letter(
    State(api): State<Api>,
    Editor(scope): Editor,
    At(id): At<DeadLetterId>,
) -> Result<Found<Parked>> {
    let parked = scope.redrive(id, api.now()).await?;
    api.engine.wake_lane(scope.tenant_id(), parked.destination_id);
    Ok(Found(parked))
}

/// Discard a dead letter
///
/// Its event is never delivered to that destination. The event itself stays.
#[utoipa::path(delete, path = "/api/v1/dead_letters/{id}", tag = "Deliveries", params(("id" = DeadLetterId, Path)))]
async fn discard_dead_letter(State(api): State<Api>, Editor(scope): Editor, At(id): At<DeadLetterId>) -> Result<Done> {
    scope.discard(id, api.now()).await?;
    Ok(Done)
}
