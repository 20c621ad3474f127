//! The live tail: what a tenant's pipeline does, as it does it, as server-sent events.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::request::Parts;
use http::{HeaderValue, header};
use rialto_model::TenantId;
use rialto_model::live::LiveEvent;
use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Documented, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Viewer;
use crate::problem::slug::Slug;
use crate::problem::{Problem, Result};
use crate::serve::Closing;
use crate::state::Api;

/// The most listeners of one tenant at a time.
const MAX_LISTENERS: usize = 20;
/// How often it is asked whether the key of an open tail still holds.
const RECHECK: Duration = Duration::from_secs(5);
/// How often a silent tail shows that it lives: proxies cut what is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(live))
}

/// A stream of server-sent events.
pub(crate) struct Tail(Response);

impl IntoResponse for Tail {
    fn into_response(self) -> Response {
        self.0
    }
}

impl IntoResponses for Tail {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Documented>> {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("LiveEvent"))).build();
        let response = ResponseBuilder::new()
            .description(
                "A stream without an end; the `data` of each event is one of these, and its `event` is `what`.",
            )
            .content("text/event-stream", content);
        std::collections::BTreeMap::from([("200".to_owned(), response.build().into())])
    }
}

/// Watch events as they pass
///
/// Server-sent events, from now on: accepted, decided, delivered, skipped, parked, dead. Who reads too slowly gets
/// a `missed` with the number left out. `curl -N -H 'Authorization: Bearer rk_…' …/api/v1/live`
#[utoipa::path(get, path = "/api/v1/live", tag = "Events")]
async fn live(State(api): State<Api>, Viewer(scope): Viewer, head: Parts) -> Result<Tail> {
    let tenant = scope.tenant_id();
    let seat = api.listeners.sit_down(tenant).ok_or_else(|| {
        Problem::new(Slug::TooMany, format!("This tenant has {MAX_LISTENERS} listeners; close one first."))
            .retry_after(KEEP_ALIVE)
    })?;
    let events = api.engine.live(tenant).into_stream().map(move |event| {
        // The seat lives as long as the stream does.
        let _ = &seat;
        Ok::<_, Infallible>(frame(&event))
    });
    let stream = events.take_until(Box::pin(ended(api, head)));
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx holds back what it proxies unless it is told not to.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(Tail(response))
}

/// Ready once the hub shuts down, or the key that opened the tail no longer lets in.
async fn ended(api: Api, mut head: Parts) {
    let mut closing = head.extensions.get::<Closing>().cloned();
    loop {
        let begun = async {
            match &mut closing {
                Some(closing) => closing.begun().await,
                None => std::future::pending().await,
            }
        };
        if tokio::time::timeout(RECHECK, begun).await.is_ok() {
            return;
        }
        match Viewer::from_request_parts(&mut head, &api).await {
            Err(problem) if problem.is_about_the_caller() => return,
            // A database that is away is no reason to cut off who was let in.
            Ok(_) | Err(_) => {}
        }
    }
}

fn frame(event: &LiveEvent) -> Frame {
    let what = match event {
        LiveEvent::Accepted { .. } => "accepted",
        LiveEvent::Decided { .. } => "decided",
        LiveEvent::Delivered(_) => "delivered",
        LiveEvent::Skipped(_) => "skipped",
        LiveEvent::Parked(_) => "parked",
        LiveEvent::Dead(_) => "dead",
        LiveEvent::Missed { .. } => "missed",
    };
    let data = serde_json::to_string(event).unwrap_or_default();
    Frame::default().event(what).data(data)
}

/// How many listen, a tenant.
#[derive(Clone, Default)]
pub(crate) struct Listeners(Arc<Mutex<HashMap<TenantId, usize>>>);

/// A listener's place, free again when dropped.
struct Seat {
    listeners: Listeners,
    tenant: TenantId,
}

impl Listeners {
    fn sit_down(&self, tenant: TenantId) -> Option<Seat> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = seats.entry(tenant).or_default();
        if *taken >= MAX_LISTENERS {
            return None;
        }
        *taken += 1;
        Some(Seat { listeners: self.clone(), tenant })
    }

    /// How many listen in all.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = seats.get_mut(&self.tenant) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_a_tenant_and_free_again() {
        let listeners = Listeners::default();
        let (one, other) = (TenantId::from_parts(1, &[1; 10]), TenantId::from_parts(1, &[2; 10]));
        let mut seats: Vec<Seat> = (0..MAX_LISTENERS).filter_map(|_| listeners.sit_down(one)).collect();
        assert_eq!(seats.len(), MAX_LISTENERS);
        assert!(listeners.sit_down(one).is_none());
        let held = listeners.sit_down(other);
        assert!(held.is_some());
        seats.pop();
        assert!(listeners.sit_down(one).is_some());
        drop((seats, held));
        assert_eq!(listeners.count(), 0);
    }
}
