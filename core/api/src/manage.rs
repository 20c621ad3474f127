//! The management API: what operators and tenants do with the hub, all of it in the document.

use utoipa_axum::router::OpenApiRouter;

use crate::state::Api;

pub(crate) mod api_keys;
pub(crate) mod connectors;
pub(crate) mod dead_letters;
pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod lanes;
pub(crate) mod live;
pub(crate) mod paging;
pub(crate) mod parked;
pub(crate) mod profiles;
pub(crate) mod routes;
pub(crate) mod settings;
pub(crate) mod sources;
pub(crate) mod suppressions;
pub(crate) mod tenants;
pub(crate) mod write_keys;

/// Every management operation.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .merge(tenants::router())
        .merge(api_keys::router())
        .merge(sources::router())
        .merge(write_keys::router())
        .merge(destinations::router())
        .merge(routes::router())
        .merge(connectors::router())
        .merge(profiles::router())
        .merge(events::router())
        .merge(suppressions::router())
        .merge(live::router())
        .merge(lanes::router())
        .merge(parked::router())
        .merge(dead_letters::router())
}
