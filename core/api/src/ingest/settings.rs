//! The settings that the browser SDK loads before it sends its first event.

use axum::extract::State;
use http::header;
use http::request::Parts;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::answer::Found;
use crate::ingest::reply::Refused;
use crate::ingest::write_key::authorise;
use crate::state::Api;

/// What `@segment/analytics-next` reads before it sends.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object)]
pub(crate) struct BrowserSettings(Value);

/// Read a source's settings, as the browser SDK does
///
/// The smallest that `@segment/analytics-next` takes: no device-mode destinations, and events sent to this hub.
#[utoipa::path(get, path = "/v1/projects/{writeKey}/settings", tag = "Ingest",
    params(("writeKey" = String, Path)), security(()))]
pub(crate) async fn read(State(api): State<Api>, head: Parts) -> Result<Found<BrowserSettings>, Refused> {
    // …/{writeKey}/settings; our keys hold nothing that would have to be decoded.
    let key = head.uri.path().split('/').nth_back(1).unwrap_or_default().to_owned();
    authorise(&api, &key).await?;
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    Ok(Found(BrowserSettings(settings(&key, host))))
}

/// The SDK takes https for granted; on a developer's own machine there is none.
fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

fn settings(key: &str, host: &str) -> Value {
    let mut segment = json!({"apiKey": key, "unbundledIntegrations": [], "addBundledMetadata": true, "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]}});
    if !host.is_empty() {
        segment["apiHost"] = format!("{host}/v1").into();
        if is_loopback(host) {
            segment["protocol"] = "http".into();
        }
    }
    json!({
        "integrations": {"Segment.io": segment},
        "plan": {"track": {"__default": {"enabled": true, "integrations": {}}}, "identify": {"__default": {"enabled": true}}, "group": {"__default": {"enabled": true}}},
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": []
    })
}
