//! Probes: does the process live, and can it do its work. They ask for no key, for they tell nothing of anyone.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Documented, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::Found;
use crate::ingest::reply::json;
use crate::metrics::{Samples, samples};
use crate::problem::Causes;
use crate::state::Api;

/// How long the database may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(alive)).routes(routes!(ready)).routes(routes!(metrics))
}

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Alive {
    /// Always `ok`.
    status: &'static str,
    /// The hub's version.
    version: &'static str,
}

/// Whether the hub can do its work.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether every part can.
    ready: bool,
    /// `ok`, or why not, part by part.
    checks: Checks,
}

/// The parts that the hub needs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Checks {
    /// The database.
    store: String,
    /// The event log.
    log: String,
    /// The processing of events.
    engine: String,
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, serde_json::to_vec(&self).unwrap_or_default())
    }
}

impl IntoResponses for Readiness {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        let told = |text: &str| -> RefOr<Documented> {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Readiness"))).build();
            ResponseBuilder::new().description(text).content("application/json", content).build().into()
        };
        BTreeMap::from([
            ("200".to_owned(), told("Events can be taken in and processed.")),
            ("503".to_owned(), told("They cannot; `checks` tells which part is at fault.")),
        ])
    }
}

/// Does the process live?
#[utoipa::path(get, path = "/healthz", tag = "Hub", security(()))]
async fn alive(State(api): State<Api>) -> Found<Alive> {
    Found(Alive { status: "ok", version: api.options.version })
}

/// Can the hub do its work?
///
/// 200 if events can be taken in and processed, else 503 and which part is at fault.
#[utoipa::path(get, path = "/readyz", tag = "Hub", security(()))]
async fn ready(State(api): State<Api>) -> Readiness {
    let store = match tokio::time::timeout(PATIENCE, api.store.ping()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(error = %Causes(&error), "the database does not answer a probe");
            Err("does not answer".to_owned())
        }
        Err(_) => Err(format!("does not answer within {} s", PATIENCE.as_secs())),
    };
    let health = api.log.health().await;
    let log = if health.writable { Ok(()) } else { Err(health.reason.unwrap_or_else(|| "takes no writes".to_owned())) };
    // A hub whose database is away still takes events in, but says that it cannot do all of its work.
    let engine = api.engine.status().unavailable.map_or(Ok(()), Err);
    let ready = store.is_ok() && log.is_ok() && engine.is_ok();
    let said = |part: Result<(), String>| part.err().unwrap_or_else(|| "ok".to_owned());
    Readiness { ready, checks: Checks { store: said(store), log: said(log), engine: said(engine) } }
}

/// Read the hub's counters
///
/// In Prometheus' text form. No label names a tenant or anything of one.
#[utoipa::path(get, path = "/metrics", tag = "Hub", security(()))]
async fn metrics(State(api): State<Api>) -> Samples {
    samples(&api)
}
