//! Ingest: the Segment tracking API and what speaks nearly like it. See docs/guide/ingest.md.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use rialto_engine::accept::Form;
use rialto_model::event::EventType;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(crate) mod bodies;
pub(crate) mod cors;
pub(crate) mod inflate;
pub(crate) mod intake;
pub(crate) mod pixel;
pub(crate) mod posthog;
pub(crate) mod quota;
pub(crate) mod reply;
pub(crate) mod settings;
pub(crate) mod verify;
pub(crate) mod webhook;
pub(crate) mod write_key;

use intake::{Endpoint, take, take_body};
use reply::{Accepted, Refused};

type Answer = Result<Accepted, Refused>;

/// What is in the document: one operation a call.
pub(crate) fn documented() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(track))
        .routes(routes!(identify))
        .routes(routes!(page))
        .routes(routes!(screen))
        .routes(routes!(group))
        .routes(routes!(alias))
        .routes(routes!(batch))
        .routes(routes!(import))
        .routes(routes!(beacon))
        .routes(routes!(pixel_call))
        .routes(routes!(webhook::receive))
        .routes(routes!(posthog_batch))
        .routes(routes!(settings::read))
}

/// Other spellings of the same calls, as certain SDKs use them.
pub(crate) fn aliases() -> Router<Api> {
    let mut router = Router::new();
    for kind in EventType::ALL {
        let (word, single) = (kind.as_str(), || calls(Endpoint::of(Form::Single(kind))));
        router = router
            .route(&format!("/v1/{}", &word[..1]), single())
            .route(&format!("/api/s/{word}"), single())
            .route(&format!("/api/s/s2s/{word}"), single());
    }
    for path in ["/v1/b", "/api/s/batch", "/api/s/s2s/batch"] {
        router = router.route(path, calls(Endpoint::of(Form::Batch)));
    }
    for path in ["/batch", "/capture", "/capture/", "/e", "/e/", "/i/v0/e", "/i/v0/e/", "/i/v0/ai/batch/"] {
        router = router.route(path, calls(POSTHOG));
    }
    for path in ["/flags", "/flags/", "/decide", "/decide/"] {
        router = router.route(path, post(no_flags));
    }
    router
}

fn calls(endpoint: Endpoint) -> MethodRouter<Api> {
    post(move |State(api): State<Api>, request: Request| async move { take(&api, request, endpoint).await })
}

macro_rules! documented_calls {
    ($($name:ident, $path:literal, $kind:ident, $summary:literal, $text:literal, $example:tt;)*) => {$(
        #[doc = $summary]
        #[doc = ""]
        #[doc = $text]
        #[utoipa::path(post, path = $path, tag = "Ingest",
            request_body(content = Object, content_type = "application/json", example = json!($example)),
            security(("write_key" = []), ("write_key_header" = []), ()))]
        async fn $name(State(api): State<Api>, request: Request) -> Answer {
            take(&api, request, Endpoint::of(Form::Single(EventType::$kind))).await
        }
    )*};
}

documented_calls! {
    track, "/v1/track", Track, "Say what a person did",
        "Also `POST /v1/t`, and `POST /api/s/track` for Jitsu's clients.",
        {"userId": "u-17", "event": "Order Completed", "properties": {"order_id": "A-1", "total": 99.5}, "timestamp": "2026-01-31T12:00:00.000Z"};
    identify, "/v1/identify", Identify, "Say who a person is",
        "Also `POST /v1/i` and `POST /api/s/identify`. A trait that is null is deleted.",
        {"userId": "u-17", "anonymousId": "5d3c", "traits": {"email": "jane@example.com", "plan": "gold"}};
    page, "/v1/page", Page, "Say which page a person saw", "Also `POST /v1/p` and `POST /api/s/page`.",
        {"anonymousId": "5d3c", "name": "Home", "properties": {"url": "https://shop.example/"}};
    screen, "/v1/screen", Screen, "Say which screen a person saw", "Also `POST /v1/s` and `POST /api/s/screen`.",
        {"anonymousId": "5d3c", "name": "Cart"};
    group, "/v1/group", Group, "Say which group a person belongs to", "Also `POST /v1/g` and `POST /api/s/group`.",
        {"userId": "u-17", "groupId": "acme", "traits": {"name": "Acme Outdoor"}};
    alias, "/v1/alias", Alias, "Say that two ids are one person", "Also `POST /v1/a` and `POST /api/s/alias`.",
        {"previousId": "5d3c", "userId": "u-17"};
}

/// Send many events at once
///
/// `{"batch": [{"type": "track", …}], "context": {}, "integrations": {}, "writeKey", "sentAt"}`: at most 2,500
/// events and 500 KB inflated, each at most 32 KB. All are kept, or none. Also `POST /v1/b`.
#[utoipa::path(post, path = "/v1/batch", tag = "Ingest",
    request_body(content = Object, content_type = "application/json", example = json!({"batch": [
        {"type": "identify", "userId": "u-17", "traits": {"plan": "gold"}},
        {"type": "track", "userId": "u-17", "event": "Product Viewed", "properties": {"sku": "A-1"}}],
        "sentAt": "2026-01-31T12:00:00.000Z"})),
    security(("write_key" = []), ("write_key_header" = []), ()))]
async fn batch(State(api): State<Api>, request: Request) -> Answer {
    take(&api, request, Endpoint::of(Form::Batch)).await
}

/// Send many past events at once
///
/// As `POST /v1/batch`.
#[utoipa::path(post, path = "/v1/import", tag = "Ingest", request_body(content = Object, content_type = "application/json"),
    security(("write_key" = []), ("write_key_header" = []), ()))]
async fn import(State(api): State<Api>, request: Request) -> Answer {
    take(&api, request, Endpoint::of(Form::Batch)).await
}

/// Send a batch as a page is left
///
/// For `navigator.sendBeacon`, which sets no headers: the write key stands in the query.
#[utoipa::path(post, path = "/beacon/v1/batch", tag = "Ingest", request_body(content = Object, content_type = "text/plain"),
    params(("writeKey" = Option<String>, Query)), security(("write_key" = []), ("write_key_header" = []), ()))]
async fn beacon(State(api): State<Api>, request: Request) -> Answer {
    take(&api, request, Endpoint { key_in_query: true, ..Endpoint::of(Form::Batch) }).await
}

/// Send PostHog events
///
/// What PostHog's SDKs send, with the write key as `api_key`. `$identify`, `$set`, `$create_alias`,
/// `$groupidentify`, `$pageview` and `$screen` become the calls they mean; everything else is a track call.
#[utoipa::path(post, path = "/batch/", tag = "Ingest",
    request_body(content = Object, content_type = "application/json", example = json!({"api_key": "wk_…", "batch": [
        {"event": "Order Completed", "distinct_id": "u-17", "properties": {"total": 99.5}, "timestamp": "2026-01-31T12:00:00.000Z"}]})),
    security(()))]
async fn posthog_batch(State(api): State<Api>, request: Request) -> Answer {
    take(&api, request, POSTHOG).await
}

const POSTHOG: Endpoint = Endpoint { form: Form::Batch, translate: Some(posthog_body), key_in_query: false };

fn posthog_body(body: &[u8], keys: &[&str]) -> Result<bytes::Bytes, Refused> {
    posthog::to_segment(body, keys)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.code, error.to_string()))
}

/// PostHog's clients ask for feature flags at start; there are none here.
async fn no_flags() -> Response {
    let none = r#"{"flags":{},"featureFlags":{},"featureFlagPayloads":{},"errorsWhileComputingFlags":false}"#;
    reply::json(StatusCode::OK, none)
}

/// A transparent image of one by one.
pub(crate) struct Image;

impl IntoResponse for Image {
    fn into_response(self) -> Response {
        let mut response = Response::new(axum::body::Body::from(pixel::GIF));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/gif"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl utoipa::IntoResponses for Image {
    fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
        let image = utoipa::openapi::ContentBuilder::new().build();
        let response =
            utoipa::openapi::ResponseBuilder::new().description("A transparent image.").content("image/gif", image);
        std::collections::BTreeMap::from([("200".to_owned(), response.build().into())])
    }
}

/// Send an event by an image
///
/// `?data=` and the call's JSON in base64, or its members as dotted parameters: `?writeKey=…&userId=…&event=Mail
/// Opened&properties.campaign=x`. A picture cannot handle an error, so the answer is always 200 and the image.
#[utoipa::path(get, path = "/v1/pixel/{method}", tag = "Ingest",
    params(("method" = String, Path, example = "track"), ("writeKey" = Option<String>, Query), ("data" = Option<String>, Query)),
    security(()))]
async fn pixel_call(State(api): State<Api>, request: Request) -> Image {
    let (head, _) = request.into_parts();
    let read = pixel::read(head.uri.query().unwrap_or_default());
    let outcome = match (EventType::from_word(last_segment(&head)), read) {
        (Some(kind), Ok(pixel)) => take_body(&api, &head, &pixel.body, Form::Single(kind), pixel.key.as_deref()).await,
        (None, _) => Err(Refused::new(StatusCode::NOT_FOUND, "unknown_call", "no such call")),
        (_, Err(fault)) => Err(Refused::new(StatusCode::BAD_REQUEST, "invalid_query", fault)),
    };
    if let Err(refused) = outcome {
        tracing::debug!(code = refused.code, "a pixel was refused");
    }
    Image
}

/// The last part of the path, as it was sent: whatever it holds, it is no reason to answer in another form.
pub(crate) fn last_segment(head: &Parts) -> &str {
    head.uri.path().rsplit('/').next().unwrap_or_default()
}
