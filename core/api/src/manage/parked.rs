//! Parked deliveries: what waits for another try, and what waits behind it.

use axum::extract::State;
use rialto_model::delivery::Parked;
use rialto_model::{DestinationId, Position, ProfileId};
use rialto_store::DeliveryFilter;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Found, Listed};
use crate::auth::{Editor, Viewer};
use crate::extract::{Asked, Given};
use crate::manage::paging::page;
use crate::problem::Result;
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list_parked)).routes(routes!(retry_parked))
}

/// Which deliveries are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// How many items at the most: 1 to 200, 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next` of the page before; absent for the first page.
    after: Option<String>,
    /// Only those to this destination.
    destination_id: Option<DestinationId>,
    /// Only those of this person.
    profile_id: Option<ProfileId>,
    /// Only those of this event.
    message_id: Option<String>,
}

impl Wanted {
    pub(crate) fn split(self) -> Result<(DeliveryFilter, rialto_model::page::PageRequest)> {
        let Self { limit, after, destination_id, profile_id, message_id } = self;
        let filter = DeliveryFilter { destination_id, profile_id, message_id, ..DeliveryFilter::default() };
        Ok((filter, page(limit, after)?))
    }
}

/// Which parked delivery to try now.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryParked {
    /// Its destination.
    destination_id: DestinationId,
    /// Where its event stands in the stream.
    position: Position,
    /// The connector's action, as the parked delivery names it.
    #[serde(default)]
    #[schema(required = false)]
    action: String,
}

/// List parked deliveries
///
/// Each with its attempts. `due_at` says when it is tried next; without it, it waits behind an earlier one of the
/// same person, so that order is kept.
#[utoipa::path(get, path = "/api/v1/deliveries/parked", tag = "Deliveries", params(Wanted))]
async fn list_parked(Viewer(scope): Viewer, Asked(wanted): Asked<Wanted>) -> Result<Listed<Parked>> {
    let (filter, page) = wanted.split()?;
    Ok(Listed(scope.parked(&filter, &page).await?))
}

/// Try a parked delivery now
///
/// One that waits behind an earlier one of the same person is a 409 that names the earlier one: retry that.
#[utoipa::path(post, path = "/api/v1/deliveries/parked/retry", tag = "Deliveries", request_body = RetryParked)]
async fn retry_parked(
    State(api): State<Api>,
    Editor(scope): Editor,
    given: Given<RetryParked>,
) -> Result<Found<Parked>> {
    let RetryParked { destination_id, position, action } = given.value;
    let parked = scope.retry_parked(destination_id, position, &action, api.now()).await?;
    api.engine.wake_lane(scope.tenant_id(), destination_id);
    Ok(Found(parked))
}
