//! Browsers may send from any page: any origin, with credentials, with all headers.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// How long a browser may remember the answer to its preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("900");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After, X-RateLimit-Reset");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Lets the page of this origin read the answer. Credentials forbid the wildcard, so the origin is named back.
pub(crate) fn allow(origin: HeaderValue, answer: &mut HeaderMap) {
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
    answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// The answer to a preflight.
pub(crate) fn preflight(asked: &HeaderMap) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answer = response.headers_mut();
    if let Some(origin) = asked.get(header::ORIGIN) {
        allow(origin.clone(), answer);
    }
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(headers) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        answer.append(header::VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    }
    if asked.contains_key("access-control-request-private-network") {
        answer.insert("access-control-allow-private-network", TRUE);
    }
    response
}
