//! Profiles: the people, by id or by anything they are known by, with where each trait came from.

use axum::extract::State;
use rialto_model::ProfileId;
use rialto_model::decision::TimelineEntry;
use rialto_model::identifier::normalise;
use rialto_model::profile::{Merge, Plane, Profile};
use rialto_store::TenantScope;
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
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(read_by))
        .routes(routes!(events))
        .routes(routes!(merges))
}

/// One person, with the ids that lead to them.
#[derive(Serialize, ToSchema)]
pub(crate) struct Person {
    /// The profile.
    #[serde(flatten)]
    profile: Profile,
    /// Known (who the person is) or pseudonymous (cookie and device ids only).
    plane: Plane,
    /// The ids of profiles that were merged into this one; they lead here for ever.
    aliases: Vec<ProfileId>,
}

async fn person(scope: &TenantScope, profile: Option<Profile>) -> Result<Found<Person>> {
    let profile = profile.ok_or_else(|| Problem::not_found("profile"))?;
    let aliases = scope.aliases_of(profile.id).await?;
    Ok(Found(Person { plane: profile.plane(), profile, aliases }))
}

/// List profiles
#[utoipa::path(get, path = "/api/v1/profiles", tag = "Profiles", params(Paging))]
async fn list(Viewer(scope): Viewer, Asked(paging): Asked<Paging>) -> Result<Listed<Profile>> {
    Ok(Listed(scope.profiles(&paging.request()?).await?))
}

/// Read a profile
///
/// An id that was merged away leads to the profile that lives on, whose own id is in the answer.
#[utoipa::path(get, path = "/api/v1/profiles/{id}", tag = "Profiles", params(("id" = ProfileId, Path)))]
async fn read(Viewer(scope): Viewer, At(id): At<ProfileId>) -> Result<Found<Person>> {
    person(&scope, scope.profile(id).await?).await
}

/// Read a profile by an identifier
///
/// The value is normalised as its kind is: `/by/email/Jane%40Example.com` finds `jane@example.com`.
#[utoipa::path(get, path = "/api/v1/profiles/by/{kind}/{value}", tag = "Profiles",
    params(("kind" = String, Path, example = "email"), ("value" = String, Path, example = "jane@example.com")))]
async fn read_by(Viewer(scope): Viewer, At((kind, value)): At<(String, String)>) -> Result<Found<Person>> {
    person(&scope, scope.profile_by_identifier(&kind, &normalise(&kind, &value)).await?).await
}

/// List a profile's events
///
/// Newest first, with those of the profiles that were merged into it.
#[utoipa::path(get, path = "/api/v1/profiles/{id}/events", tag = "Profiles",
    params(("id" = ProfileId, Path), Paging))]
async fn events(
    State(_): State<Api>,
    Viewer(scope): Viewer,
    At(id): At<ProfileId>,
    Asked(paging): Asked<Paging>,
) -> Result<Listed<TimelineEntry>> {
    let id = living(&scope, id).await?;
    Ok(Listed(scope.profile_events(id, &paging.request()?).await?))
}

/// List the merges into a profile
///
/// Newest first; each with what both sides were before, and by which identifiers they were found to be one.
#[utoipa::path(get, path = "/api/v1/profiles/{id}/merges", tag = "Profiles",
    params(("id" = ProfileId, Path), Paging))]
async fn merges(Viewer(scope): Viewer, At(id): At<ProfileId>, Asked(paging): Asked<Paging>) -> Result<Listed<Merge>> {
    let id = living(&scope, id).await?;
    Ok(Listed(scope.merges(id, &paging.request()?).await?))
}

/// The id of the profile that an id leads to.
async fn living(scope: &TenantScope, id: ProfileId) -> Result<ProfileId> {
    let profile = scope.profile(id).await?.ok_or_else(|| Problem::not_found("profile"))?;
    Ok(profile.id)
}
