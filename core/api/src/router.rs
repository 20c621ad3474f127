//! The whole of the HTTP surface, put together.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;

use crate::check::Checker;
use crate::extract::At;
use crate::ingest::cors;
use crate::ingest::reply::json;
use crate::openapi::{base, finish};
use crate::problem::Problem;
use crate::problem::slug::Slug;
use crate::state::{Api, ApiState};
use crate::{ingest, manage, probe};

/// The router of a hub.
pub fn router(state: ApiState) -> Router {
    let (documented, document) = assembled().split_for_parts();
    let document = finish(&document);
    let api = Api::new(state, Checker::new(&document));
    let document = Bytes::from(document.to_string());
    documented
        .merge(unlisted())
        .route("/openapi.json", get(move || std::future::ready(json(StatusCode::OK, document.clone()))))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(api)
}

/// The OpenAPI document, made from the handlers.
pub fn openapi() -> serde_json::Value {
    finish(&assembled().into_openapi())
}

/// Every operation, with its handler.
fn assembled() -> OpenApiRouter<Api> {
    let (ingest, document) = ingest::documented().split_for_parts();
    // The fallback has to be there before the layer, or preflights would not reach the layer.
    let ingest = ingest.merge(ingest::aliases()).method_not_allowed_fallback(wrong_method);
    let mut base = OpenApiRouter::with_openapi(base());
    base.get_openapi_mut().merge(document);
    base.merge(OpenApiRouter::from(ingest.layer(from_fn(open_to_browsers))))
        .merge(manage::router())
        .merge(probe::router())
}

fn unlisted() -> Router<Api> {
    Router::new().route("/problems/{slug}", get(problem_page))
}

/// Lets pages of any origin call ingest, and answers their preflights.
async fn open_to_browsers(request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return cors::preflight(request.headers());
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = next.run(request).await;
    if let Some(origin) = origin {
        cors::allow(origin, response.headers_mut());
    }
    response
}

/// The page that a problem's `type` names.
async fn problem_page(State(_): State<Api>, At(word): At<String>) -> Result<Response, Problem> {
    let slug = Slug::from_word(&word).ok_or_else(|| Problem::not_found("kind of problem"))?;
    let mut response = slug.page().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/markdown; charset=utf-8"));
    Ok(response)
}

async fn nothing_here() -> Problem {
    Problem::new(Slug::NotFound, "No such path. /openapi.json lists what there is.")
}

async fn wrong_method() -> Problem {
    Problem::new(Slug::MethodNotAllowed, "The Allow header and /openapi.json tell which methods there are.")
}
