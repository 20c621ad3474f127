//! What the hub counts, in the text form that Prometheus reads. No label names a tenant or anything of one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use rialto_engine::EngineStatus;
use utoipa::openapi::{ContentBuilder, RefOr, Response as Documented, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema};

use crate::state::Api;

/// The counters of the API.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: AtomicU64,
    events: AtomicU64,
    /// By code; codes are words of ours, so they are few.
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

impl Metrics {
    /// One request was taken in, with so many events.
    pub(crate) fn accepted(&self, events: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// One request was refused.
    pub(crate) fn refused(&self, code: &'static str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }
}

/// A page of samples.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn labelled(&mut self, name: &str, label: &str, value: &str, count: u64) {
        let _ = writeln!(self.0, "{name}{{{label}=\"{value}\"}} {count}");
    }
}

/// The samples of this moment.
pub(crate) struct Samples(String);

impl IntoResponse for Samples {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl IntoResponses for Samples {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        let content = ContentBuilder::new().schema(Some(String::schema())).build();
        let response =
            ResponseBuilder::new().description("The counters of this moment.").content("text/plain", content);
        BTreeMap::from([("200".to_owned(), response.build().into())])
    }
}

/// Takes the samples.
pub(crate) fn samples(api: &Api) -> Samples {
    let mut page = Page::default();
    ingest(&mut page, &api.metrics);
    pipeline(&mut page, &api.engine.status());
    let held = api.windows_held.load(Ordering::Relaxed);
    let help = "Windows of the log that are older than payloads are kept and hold events that wait to be processed.";
    page.one("rialto_log_windows_held", "gauge", help, held);
    let listeners = api.listeners.count() as u64;
    page.one("rialto_live_listeners", "gauge", "Listeners to live tails at the moment.", listeners);
    Samples(page.0)
}

fn ingest(page: &mut Page, metrics: &Metrics) {
    let requests = metrics.requests.load(Ordering::Relaxed);
    let events = metrics.events.load(Ordering::Relaxed);
    page.one("rialto_ingest_requests_accepted_total", "counter", "Ingest requests that were answered 200.", requests);
    page.one("rialto_ingest_events_accepted_total", "counter", "Events that were made durable.", events);
    let name = "rialto_ingest_requests_refused_total";
    page.family(name, "counter", "Ingest requests of which nothing was kept, by code.");
    for (code, count) in metrics.refused.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        page.labelled(name, "code", code, *count);
    }
}

fn pipeline(page: &mut Page, status: &EngineStatus) {
    let counters = [
        (
            "rialto_events_processed_total",
            "Events processed, duplicates and refused ones among them.",
            status.processed,
        ),
        ("rialto_events_duplicate_total", "Events dropped as duplicates.", status.duplicates),
        ("rialto_events_unprocessable_total", "Events that could not be processed.", status.refused),
        (
            "rialto_events_suppressed_total",
            "Events of persons who are suppressed, which went nowhere; repeats among them.",
            status.suppressed,
        ),
        ("rialto_profiles_merged_total", "Merges of two profiles.", status.merges),
        ("rialto_processor_steps_total", "Steps of the processor.", status.steps),
        ("rialto_processor_steps_failed_total", "Steps that were abandoned and tried again.", status.failed_steps),
    ];
    for (name, help, count) in counters {
        page.one(name, "counter", help, count);
    }
    let name = "rialto_deliveries_total";
    page.family(name, "counter", "What became of deliveries.");
    let outcomes = [
        ("delivered", status.delivered),
        ("skipped", status.skipped),
        ("parked", status.parked),
        ("dead", status.dead),
    ];
    for (outcome, count) in outcomes {
        page.labelled(name, "outcome", outcome, count);
    }
    page.one("rialto_events_waiting", "gauge", "Events in the log that wait to be processed.", status.backlog);
    page.one("rialto_tenants_waiting", "gauge", "Tenants that have such events.", status.waiting_tenants);
    let blocked = u64::from(status.unavailable.is_some());
    page.one("rialto_processor_blocked", "gauge", "1 while processing waits for the database or the log.", blocked);
}
