//! The ingest contract, rule by rule: every endpoint, every way to give a key, every limit, every answer.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use rialto_api::{ApiOptions, Peer};
use rialto_log::{Entry, EventLog, Health, LogError, Tail, Trimmed};
use rialto_model::event::EventType;
use rialto_model::{Position, TenantId, Timestamp};
use serde_json::{Value, json};

use crate::harness::{Answer, Choices, Hub};

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// An event that any call takes.
fn call() -> Value {
    json!({"userId": "u1", "previousId": "u0", "groupId": "g1", "event": "E", "name": "N"})
}

async fn every_endpoint_takes_its_call(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let auth = [("x-write-key", acme.write_key.as_str())];
    let mut wanted = Vec::new();
    for kind in EventType::ALL {
        let word = kind.as_str();
        for path in [
            format!("/v1/{word}"),
            format!("/v1/{}", &word[..1]),
            format!("/api/s/{word}"),
            format!("/api/s/s2s/{word}"),
        ] {
            let answer = hub.ingest(&path, &auth, call().to_string()).await;
            assert_eq!(answer.expect(200), json!({"success": true}), "{path}");
            wanted.push(kind);
        }
    }
    let batch =
        json!({"batch": [{"type": "page", "userId": "u"}, {"type": "alias", "userId": "u", "previousId": "v"}]});
    for path in ["/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch", "/api/s/batch", "/api/s/s2s/batch"] {
        hub.ingest(path, &auth, batch.to_string()).await.expect(200);
        wanted.extend([EventType::Page, EventType::Alias]);
    }
    let kinds: Vec<EventType> = hub.events(acme.id).await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, wanted);
}

/// How a request carries its key, and whether it should be let in.
struct Way {
    name: &'static str,
    path: String,
    header: Option<(&'static str, String)>,
    body_key: Option<String>,
    status: u16,
}

fn ways(key: &str) -> Vec<Way> {
    let basic = |plain: &str| Some(("authorization", format!("Basic {}", STANDARD.encode(plain))));
    let way = |name, header, body_key: Option<&str>, status| Way {
        name,
        path: "/v1/batch".to_owned(),
        header,
        body_key: body_key.map(str::to_owned),
        status,
    };
    let jitsu = Some(("x-write-key", format!("{key}:secret")));
    let mut ways = vec![
        way("basic with colon", basic(&format!("{key}:")), None, 200),
        way("basic without colon", basic(key), None, 200),
        way("basic, and a masked key in the body", basic(&format!("{key}:")), Some("***"), 200),
        way("body", None, Some(key), 200),
        way("body with spaces", None, Some(&format!(" {key} ")), 200),
        way(
            "bearer of another kind, key in the body",
            Some(("authorization", "Bearer oauth.token".to_owned())),
            Some(key),
            200,
        ),
        way("header", Some(("x-write-key", key.to_owned())), None, 200),
        way("header as key and secret, masked in the body", jitsu, Some("***"), 200),
        way("nothing", None, None, 401),
        way("null in the body", None, Some(""), 401),
        way("unknown in the body", None, Some("wk_unknown"), 401),
        way("unknown by basic, though the body's is good", basic("wk_unknown:"), Some(key), 401),
        way("an API key is no write key", Some(("x-write-key", "rk_something".to_owned())), None, 401),
    ];
    for (name, path, status) in [("query on beacon", "/beacon/v1/batch", 200), ("query elsewhere", "/v1/batch", 401)] {
        ways.push(Way { name, path: format!("{path}?writeKey={key}"), header: None, body_key: None, status });
    }
    ways
}

async fn a_key_is_found_wherever_a_client_puts_it(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let mut taken = 0;
    for way in ways(&acme.write_key) {
        let mut body = json!({"batch": [{"type": "track", "event": "E", "anonymousId": way.name}]});
        body["writeKey"] = json!(way.body_key);
        let headers: Vec<(&str, &str)> = way.header.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = hub.ingest(&way.path, &headers, body.to_string()).await;
        assert_eq!(answer.status, way.status, "{}: {}", way.name, answer.text());
        if way.status == 401 {
            assert_eq!(answer.json()["code"], "unknown_write_key");
        }
        taken += usize::from(way.status == 200);
    }
    assert_eq!(hub.events(acme.id).await.len(), taken);
}

async fn a_switched_off_source_is_gone_and_so_is_a_switched_off_tenant(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let event = call();
    hub.track(&acme, &event).await.expect(200);
    let path = format!("/api/v1/sources/{}", acme.source);
    hub.call("PATCH", &path, &acme.editor, Some(&json!({"enabled": false}))).await.expect(200);
    assert_eq!(hub.track(&acme, &event).await.expect(404)["code"], "source_disabled");
    hub.call("PATCH", &path, &acme.editor, Some(&json!({"enabled": true}))).await.expect(200);
    hub.track(&acme, &event).await.expect(200);

    let tenant = format!("/api/v1/tenants/{}", acme.id);
    hub.call("PATCH", &tenant, &hub.operator, Some(&json!({"enabled": false}))).await.expect(200);
    hub.track(&acme, &event).await.expect(401);
    hub.call("PATCH", &tenant, &hub.operator, Some(&json!({"enabled": true}))).await.expect(200);
    hub.track(&acme, &event).await.expect(200);

    let key = format!("/api/v1/sources/{}/write_keys/{}", acme.source, acme.write_key_id);
    hub.call("DELETE", &key, &acme.admin, None).await.expect(204);
    hub.track(&acme, &event).await.expect(401);
    assert_eq!(hub.events(acme.id).await.len(), 3);
}

async fn content_types_lie_and_encodings_do_not(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let key = ("x-write-key", acme.write_key.as_str());
    let (plain, zipped) = (call().to_string(), gzip(call().to_string().as_bytes()));
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"] {
        hub.ingest("/v1/track", &[key, ("content-type", kind)], plain.clone()).await.expect(200);
        hub.ingest("/v1/track", &[key, ("content-type", kind), ("content-encoding", "gzip")], zipped.clone())
            .await
            .expect(200);
    }
    let mut refused = Vec::new();
    for (encoding, body) in [("gzip", plain.as_bytes()), ("gzip", &zipped[..20]), ("br", &zipped)] {
        let headers = [key, ("content-encoding", encoding)];
        refused.push(hub.ingest("/v1/track", &headers, body.to_vec()).await);
    }
    let codes: Vec<Value> = refused.iter().map(|answer| answer.json()["code"].clone()).collect();
    assert_eq!(codes, ["invalid_gzip", "invalid_gzip", "unsupported_encoding"]);
    assert_eq!(hub.events(acme.id).await.len(), 8);
}

async fn limits_hold_to_the_byte_and_nothing_of_a_refused_request_is_kept(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let key = ("x-write-key", acme.write_key.as_str());
    let padded = |size: usize| {
        let bare = json!({"userId": "u", "event": "E", "properties": {"pad": ""}}).to_string().len();
        json!({"userId": "u", "event": "E", "properties": {"pad": "x".repeat(size - bare)}}).to_string()
    };
    hub.ingest("/v1/track", &[key], padded(32 * 1024)).await.expect(200);
    assert_eq!(hub.ingest("/v1/track", &[key], padded(32 * 1024 + 1)).await.expect(400)["code"], "event_too_large");

    let item = json!({"type": "track", "userId": "u", "event": "E"});
    let batch = |items: Vec<Value>| json!({"batch": items}).to_string();
    hub.ingest("/v1/batch", &[key], batch(vec![item.clone(); 2_500])).await.expect(200);
    assert_eq!(
        hub.ingest("/v1/batch", &[key], batch(vec![item.clone(); 2_501])).await.expect(400)["code"],
        "too_many_events"
    );
    assert_eq!(hub.ingest("/v1/batch", &[key], batch(vec![])).await.expect(400)["code"], "empty_batch");
    let large = batch(
        (0..40)
            .map(|n| {
                let pad: String =
                    (0..2_000u32).map(|k| format!("{:08x}", (k + n).wrapping_mul(2_654_435_761))).collect();
                json!({"type": "track", "userId": n, "event": "E", "properties": {"pad": pad}})
            })
            .collect(),
    );
    assert!(large.len() > 500 * 1024 && large.len() < 1 << 20);
    for (headers, body) in
        [(vec![key], large.clone().into_bytes()), (vec![key, ("content-encoding", "gzip")], gzip(large.as_bytes()))]
    {
        assert_eq!(hub.ingest("/v1/batch", &headers, body).await.expect(400)["code"], "batch_too_large");
    }
    let mixed = hub
        .ingest("/v1/batch", &[key], batch(vec![item.clone(), item.clone(), json!({"type": "track", "event": "E"})]))
        .await;
    let told = mixed.expect(400);
    assert_eq!((&told["index"], &told["code"]), (&json!(2), &json!("no_usable_id")), "{told}");
    assert_eq!(hub.ingest("/v1/batch", &[key], batch(vec![item, json!(7)])).await.expect(400)["index"], 1);
    assert_eq!(hub.events(acme.id).await.len(), 2_501);
}

async fn a_body_over_the_transport_limit_is_a_413_whether_announced_or_not(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let key = ("x-write-key", acme.write_key.as_str());
    let body = vec![b' '; (1 << 20) + 1];
    let announced = body.len().to_string();
    let answer = hub.ingest("/v1/batch", &[key, ("content-length", &announced)], body.clone()).await;
    assert_eq!(answer.expect(413)["code"], "body_too_large");
    let chunks =
        body.chunks(1 << 16).map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk))).collect::<Vec<_>>();
    let streamed = Body::from_stream(futures::stream::iter(chunks));
    hub.ingest("/v1/batch", &[key], streamed).await.expect(413);
    let management =
        hub.call("POST", "/api/v1/sources", &acme.admin, Some(&json!({"name": "x".repeat(1 << 20)}))).await;
    assert_eq!(management.expect(413)["type"], "/problems/too-large");
}

async fn any_page_may_send(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let page = ("origin", "https://shop.example");
    for path in [
        "/v1/track",
        "/v1/t",
        "/v1/batch",
        "/beacon/v1/batch",
        "/api/s/page",
        "/batch/",
        "/flags/",
        "/v1/projects/x/settings",
    ] {
        let preflight = Request::builder()
            .method("OPTIONS")
            .uri(path)
            .header("origin", page.1)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, x-write-key, x-other");
        let answer = hub.raw(preflight.body(Body::empty()).expect("a request")).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), page.1, "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), "true", "{path}");
        assert_eq!(answer.header("access-control-allow-headers"), "authorization, x-write-key, x-other", "{path}");
        assert_eq!(answer.header("access-control-max-age"), "900", "{path}");
        assert!(answer.header("access-control-allow-methods").contains("POST"), "{path}");
    }
    let good = hub.ingest("/v1/track", &[page, ("x-write-key", &acme.write_key)], call().to_string()).await;
    let bad = hub.ingest("/v1/track", &[page], "{").await;
    for answer in [good, bad] {
        assert_eq!(answer.header("access-control-allow-origin"), page.1);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(answer.header("vary").contains("Origin"));
    }
    let management = hub.with_headers("GET", "/api/v1/sources", &acme.viewer, &[page], &Value::Null).await;
    assert_eq!(management.header("access-control-allow-origin"), "", "management is not for any page");
}

async fn a_pixel_is_always_an_image_and_its_event_is_kept(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let key = &acme.write_key;
    let event =
        json!({"writeKey": key, "userId": "u>?ü", "event": "Mail Opened", "properties": {"campaign": "x"}}).to_string();
    let good = [
        format!("/v1/pixel/track?data={}", STANDARD.encode(&event)),
        format!("/v1/pixel/track?data={}", URL_SAFE_NO_PAD.encode(&event)),
        format!("/v1/pixel/track?writeKey={key}&userId=u%3E%3F%C3%BC&event=Mail+Opened&properties.campaign=x"),
        format!("/v1/pixel/t?writeKey={key}&userId=u%3E%3F%C3%BC&event=Mail%20Opened&properties.campaign=x"),
    ];
    let bad = ["/v1/pixel/track?data=%25%25", "/v1/pixel/track?userId=u", "/v1/pixel/jump?userId=u", "/v1/pixel/track"];
    for path in good.iter().map(String::as_str).chain(bad) {
        let answer = hub.send(Request::builder().uri(path).body(Body::empty()).expect("a request")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/gif"), "{path}");
        assert!(answer.body.starts_with(b"GIF89a"), "{path}");
    }
    let events = hub.events(acme.id).await;
    assert_eq!(events.len(), good.len());
    for event in events {
        assert_eq!((event.user_id.as_deref(), event.event.as_deref()), (Some("u>?ü"), Some("Mail Opened")));
        let properties: Value =
            serde_json::from_str(event.properties.as_ref().expect("properties").get()).expect("JSON");
        assert_eq!(properties, json!({"campaign": "x"}));
    }
}

async fn posthogs_clients_are_understood(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let body = json!({"api_key": acme.write_key, "sent_at": "2026-01-01T00:00:10Z", "batch": [
        {"event": "$identify", "distinct_id": "u1", "uuid": "m1", "timestamp": "2026-01-01T00:00:00Z",
         "properties": {"$set": {"email": "a@b.c"}, "$anon_distinct_id": "d1"}},
        {"event": "Bought", "distinct_id": "u1", "uuid": "m2", "timestamp": "2026-01-01T00:00:01Z", "properties": {"total": 3}}]});
    let zipped = gzip(body.to_string().as_bytes());
    hub.ingest("/batch/", &[("content-encoding", "gzip")], zipped).await.expect(200);
    hub.ingest(
        "/batch",
        &[],
        json!({"api_key": acme.write_key, "batch": [{"event": "E", "distinct_id": "u"}]}).to_string(),
    )
    .await
    .expect(200);
    hub.ingest("/capture/", &[], json!({"api_key": acme.write_key, "event": "E", "distinct_id": "u"}).to_string())
        .await
        .expect(200);
    let events = hub.events(acme.id).await;
    let (identify, track) = (&events[0], &events[1]);
    assert_eq!((identify.kind, identify.message_id.as_str()), (EventType::Identify, "m1"));
    assert_eq!((identify.user_id.as_deref(), identify.anonymous_id.as_deref()), (Some("u1"), Some("d1")));
    assert_eq!((track.kind, track.event.as_deref(), events.len()), (EventType::Track, Some("Bought"), 4));
    let none = hub.ingest("/flags/?v=2", &[], "{}").await.expect(200);
    assert_eq!(none["featureFlags"], json!({}));
    hub.ingest("/batch/", &[], "[]").await.expect(400);
    hub.ingest(
        "/batch/",
        &[],
        json!({"api_key": "wk_unknown", "batch": [{"event": "E", "distinct_id": "u"}]}).to_string(),
    )
    .await
    .expect(401);
}

async fn the_browser_sdk_finds_its_settings(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let path = format!("/v1/projects/{}/settings", acme.write_key);
    let request =
        Request::builder().uri(&path).header("host", "hub.example:8080").header("origin", "https://shop.example");
    let answer = hub.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
    let settings = answer.expect(200);
    let segment = &settings["integrations"]["Segment.io"];
    assert_eq!((&segment["apiKey"], &segment["apiHost"]), (&json!(acme.write_key), &json!("hub.example:8080/v1")));
    hub.get("/v1/projects/wk_unknown/settings", "").await.expect(401);
}

async fn a_webhook_without_a_connector_says_so(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let told = hub.ingest(&format!("/v1/webhook/{}", acme.source), &[], "{}").await.expect(404);
    assert_eq!(told["code"], "no_webhook_connector");
}

on_both!(a_key_is_found_wherever_a_client_puts_it, a_switched_off_source_is_gone_and_so_is_a_switched_off_tenant);

mod wire {
    use super::*;

    on_sqlite!(
        every_endpoint_takes_its_call,
        content_types_lie_and_encodings_do_not,
        limits_hold_to_the_byte_and_nothing_of_a_refused_request_is_kept,
        a_body_over_the_transport_limit_is_a_413_whether_announced_or_not,
        any_page_may_send,
        a_pixel_is_always_an_image_and_its_event_is_kept,
        posthogs_clients_are_understood,
        the_browser_sdk_finds_its_settings,
        a_webhook_without_a_connector_says_so,
    );
}

#[tokio::test]
async fn the_clients_address_is_the_sockets_or_what_a_trusted_proxy_says() {
    let options = ApiOptions { trusted_proxies: vec!["10.0.0.0/8".parse().expect("a range")], ..ApiOptions::default() };
    let hub = Hub::with(None, Choices { options, ..Choices::default() }).await;
    let acme = hub.tenant("acme").await;
    for (peer, forwarded, wanted) in
        [("10.1.1.1:5", "6.6.6.6, 203.0.113.9", "203.0.113.9"), ("203.0.113.7:5", "6.6.6.6", "203.0.113.7")]
    {
        let mut request = Request::builder()
            .method("POST")
            .uri("/v1/track")
            .header("x-write-key", &acme.write_key)
            .header("x-forwarded-for", forwarded)
            .body(Body::from(call().to_string()))
            .expect("a request");
        request.extensions_mut().insert(Peer(peer.parse().expect("an address")));
        hub.send(request).await.expect(200);
        let events = hub.events(acme.id).await;
        let context: Value =
            serde_json::from_str(events.last().and_then(|event| event.context.as_ref()).expect("a context").get())
                .expect("JSON");
        assert_eq!(context["ip"], wanted);
    }
}

/// A log that is full, away, or slow, and says so to appends or to reads.
pub(crate) struct Moody {
    pub(crate) inner: Arc<dyn EventLog>,
    pub(crate) mood: Mood,
}

#[derive(Clone, Copy)]
pub(crate) enum Mood {
    Full,
    Away,
    Slow(Duration),
    SlowToRead(Duration),
}

#[async_trait]
impl EventLog for Moody {
    async fn append(
        &self,
        tenant: TenantId,
        now: Timestamp,
        bodies: Vec<Bytes>,
    ) -> Result<std::ops::RangeInclusive<Position>, LogError> {
        match self.mood {
            Mood::Full => Err(LogError::Full),
            Mood::Away => Err(LogError::Unavailable { reason: "the disk is full".to_owned(), source: None }),
            Mood::Slow(pause) => {
                tokio::time::sleep(pause).await;
                self.inner.append(tenant, now, bodies).await
            }
            Mood::SlowToRead(_) => self.inner.append(tenant, now, bodies).await,
        }
    }
    async fn read(
        &self,
        tenant: TenantId,
        after: Position,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError> {
        if let Mood::SlowToRead(pause) = self.mood {
            tokio::time::sleep(pause).await;
        }
        self.inner.read(tenant, after, limit, max_bytes).await
    }
    async fn get_many(&self, tenant: TenantId, positions: &[Position]) -> Result<Vec<Entry>, LogError> {
        self.inner.get_many(tenant, positions).await
    }
    async fn head(&self, tenant: TenantId) -> Result<Position, LogError> {
        self.inner.head(tenant).await
    }
    async fn oldest(&self, tenant: TenantId) -> Result<Position, LogError> {
        self.inner.oldest(tenant).await
    }
    fn tail(&self) -> Tail {
        self.inner.tail()
    }
    async fn tenants(&self) -> Result<Vec<(TenantId, Position)>, LogError> {
        self.inner.tenants().await
    }
    async fn trim(
        &self,
        now: Timestamp,
        kept: Duration,
        done: &HashMap<TenantId, Position>,
    ) -> Result<Trimmed, LogError> {
        self.inner.trim(now, kept, done).await
    }
    async fn erase(&self, tenant: TenantId, positions: &[Position]) -> Result<usize, LogError> {
        self.inner.erase(tenant, positions).await
    }
    async fn drop_tenant(&self, tenant: TenantId) -> Result<(), LogError> {
        self.inner.drop_tenant(tenant).await
    }
    async fn health(&self) -> Health {
        match self.mood {
            Mood::Away => Health { writable: false, reason: Some("the disk is full".to_owned()) },
            Mood::Full | Mood::Slow(_) | Mood::SlowToRead(_) => self.inner.health().await,
        }
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

async fn in_the_mood(mood: Mood) -> (Hub, Answer, Duration) {
    let log = Box::new(move |inner| Arc::new(Moody { inner, mood }) as Arc<dyn EventLog>);
    let hub = Hub::with(None, Choices { log, ..Choices::default() }).await;
    let acme = hub.tenant("acme").await;
    let asked = std::time::Instant::now();
    let answer = hub.track(&acme, &call()).await;
    (hub, answer, asked.elapsed())
}

#[tokio::test]
async fn a_full_queue_is_a_429_that_says_when_to_come_again() {
    let (hub, answer, _) = in_the_mood(Mood::Full).await;
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|wait| wait >= 1), "{:?}", answer.headers);
    assert!(
        answer.header("x-ratelimit-reset").parse::<u64>().is_ok_and(|wait| (1..1_000).contains(&wait)),
        "{:?}",
        answer.headers
    );
    assert_eq!(answer.expect(429)["code"], "over_capacity");
    let metrics = hub.get("/metrics", "").await.text();
    assert!(metrics.contains("rialto_ingest_requests_refused_total{code=\"over_capacity\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_log_that_cannot_write_is_a_503_and_the_hub_is_not_ready() {
    let (hub, answer, _) = in_the_mood(Mood::Away).await;
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|wait| wait >= 1), "{:?}", answer.headers);
    answer.expect(503);
    let ready = hub.get("/readyz", "").await.expect(503);
    assert_eq!(ready["checks"], json!({"store": "ok", "log": "the disk is full", "engine": "ok"}));
    hub.get("/healthz", "").await.expect(200);
}

#[tokio::test]
async fn the_answer_waits_until_the_log_has_the_event() {
    let pause = Duration::from_millis(300);
    let (hub, answer, took) = in_the_mood(Mood::Slow(pause)).await;
    answer.expect(200);
    assert!(took >= pause, "answered after {took:?}, before the log had the event");
    hub.get("/readyz", "").await.expect(200);
}
