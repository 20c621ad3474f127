//! Write keys: what clients send with. Shown once, kept as a hash.

use axum::extract::State;
use rialto_model::key::WriteKey;
use rialto_model::{SourceId, WriteKeyId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Created, Done, Listed};
use crate::auth::Admin;
use crate::extract::{Asked, At, Given};
use crate::manage::paging::Paging;
use crate::precondition::{Keep, Once};
use crate::problem::Result;
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A write key to be: there is nothing to choose.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWriteKey {}

/// A new write key, with the key itself: this is the only time it is shown.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct MadeWriteKey {
    /// What is kept of it.
    #[serde(flatten)]
    write_key: WriteKey,
    /// The key, to give to an SDK.
    #[schema(example = "wk_…")]
    key: String,
}

/// List a source's write keys
///
/// The keys themselves are not kept and cannot be shown again; `hint` is their last four characters.
#[utoipa::path(get, path = "/api/v1/sources/{id}/write_keys", tag = "Write keys",
    params(("id" = SourceId, Path), Paging))]
async fn list(Admin(scope): Admin, At(source): At<SourceId>, Asked(paging): Asked<Paging>) -> Result<Listed<WriteKey>> {
    Ok(Listed(scope.write_keys(source, &paging.request()?).await?))
}

/// Make a write key
///
/// The answer holds the key itself, once and never again. A source may have several, to change them one by one.
#[utoipa::path(post, path = "/api/v1/sources/{id}/write_keys", tag = "Write keys", request_body = NewWriteKey,
    params(("id" = SourceId, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat of this request harmless.")))]
async fn create(
    State(api): State<Api>,
    Admin(scope): Admin,
    At(source): At<SourceId>,
    once: Once,
    given: Given<NewWriteKey>,
) -> Result<Created<MadeWriteKey>> {
    let now = api.now();
    let NewWriteKey {} = given.value;
    let maker = scope.clone();
    let work = async move {
        let (write_key, key) = maker.create_write_key(source, now).await?;
        let location = format!("/api/v1/sources/{source}/write_keys/{}", write_key.id);
        Ok(Created { body: MadeWriteKey { write_key, key }, location })
    };
    once.make(&scope, given.fingerprint, now, Keep::LocationOnly, work).await
}

/// Revoke a write key
///
/// This node refuses it at once, others within five seconds.
#[utoipa::path(delete, path = "/api/v1/sources/{id}/write_keys/{key_id}", tag = "Write keys",
    params(("id" = SourceId, Path), ("key_id" = WriteKeyId, Path)))]
async fn revoke(Admin(scope): Admin, At((source, id)): At<(SourceId, WriteKeyId)>) -> Result<Done> {
    scope.revoke_write_key(source, id).await?;
    Ok(Done)
}
