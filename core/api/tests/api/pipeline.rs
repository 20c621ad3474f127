//! What became of an event, as the API tells it: profiles, deliveries, explanations, the live tail.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use http::Request;
use rialto_log::EventLog;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::{Choices, Hub};
use crate::ingest::{Mood, Moody};
use crate::world::text;

fn count(page: &Value) -> usize {
    page["items"].as_array().map_or(0, Vec::len)
}

async fn two_devices_become_one_person_who_is_found_by_everything_they_are_known_by(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let events = [
        json!({"messageId": "m1", "anonymousId": "phone-1", "event": "Browsed"}),
        json!({"messageId": "m2", "anonymousId": "laptop-1", "userId": "u1", "event": "Signed In", "context": {"traits": {"plan": "free"}}}),
        json!({"messageId": "m3", "anonymousId": "phone-1", "userId": "u1", "event": "Bought", "context": {"traits": {"plan": "gold"}}}),
    ];
    for event in &events {
        hub.track(&acme, event).await.expect(200);
    }
    hub.until("/api/v1/events", &acme.viewer, |page| count(page) >= 3).await;
    let person = hub.get("/api/v1/profiles/by/user_id/u1", &acme.viewer).await.expect(200);
    assert_eq!((&person["plane"], &person["merges"]), (&json!("known"), &json!(1)));
    let plan = &person["traits"]["plan"];
    assert_eq!(
        (&plan["value"], &plan["message_id"], &plan["source_id"]),
        (&json!("gold"), &json!("m3"), &json!(acme.source))
    );
    for by in ["anonymous_id/phone-1", "anonymous_id/laptop-1"] {
        assert_eq!(hub.get(&format!("/api/v1/profiles/by/{by}"), &acme.viewer).await.expect(200), person, "{by}");
    }
    let alias = person["aliases"][0].as_str().expect("the absorbed profile's id");
    assert_eq!(hub.get(&format!("/api/v1/profiles/{alias}"), &acme.viewer).await.expect(200), person);
    let id = text(&person, "id");
    for id in [id.as_str(), alias] {
        let merges = hub.get(&format!("/api/v1/profiles/{id}/merges"), &acme.viewer).await.expect(200);
        assert_eq!((count(&merges), &merges["items"][0]["message_id"]), (1, &json!("m3")));
        let events = hub.get(&format!("/api/v1/profiles/{id}/events"), &acme.viewer).await.expect(200);
        let ids: Vec<String> =
            events["items"].as_array().expect("events").iter().map(|event| text(event, "message_id")).collect();
        for wanted in ["m1", "m2", "m3"] {
            assert!(ids.iter().any(|id| id == wanted), "{wanted} is missing from {ids:?}");
        }
    }
    hub.get("/api/v1/profiles/by/user_id/nobody", &acme.viewer).await.expect(404);
}

async fn an_explanation_tells_what_became_of_an_event_at_each_destination(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let (works, _) = hub.destination(&acme, "works", "deliver").await;
    let (waits, _) = hub.destination(&acme, "waits", "retry").await;
    let (dies, _) = hub.destination(&acme, "dies", "reject").await;
    let (never, route) = hub.destination(&acme, "never", "deliver").await;
    let condition = json!({"condition": {"field": "event.properties.total", "gte": 100}});
    hub.call("PATCH", &format!("/api/v1/routes/{route}"), &acme.editor, Some(&condition)).await.expect(200);
    let event = json!({"messageId": "m1", "userId": "u1", "event": "Bought", "properties": {"total": 3, "sku": "x"}});
    hub.track(&acme, &event).await.expect(200);
    hub.track(&acme, &event).await.expect(200);
    hub.until("/api/v1/dead_letters", &acme.viewer, |page| count(page) == 1).await;
    let parked = hub.until("/api/v1/deliveries/parked", &acme.viewer, |page| count(page) == 1).await;
    hub.until("/api/v1/events/m1/explain", &acme.viewer, |told| {
        told["duplicates"].as_array().is_some_and(|d| d.len() == 1)
    })
    .await;

    let told = hub.get("/api/v1/events/m1/explain", &acme.viewer).await.expect(200);
    let fate = |id: &str| {
        let fates = told["destinations"].as_array().expect("fates");
        let fate = fates.iter().find(|fate| fate["destination_id"] == id);
        text(fate.unwrap_or_else(|| panic!("{id} is missing from {told}")), "status")
    };
    assert_eq!(fate(&works), "delivered", "{told}");
    assert!(["parked", "lane_stopped"].contains(&fate(&waits).as_str()), "{told}");
    assert_eq!((fate(&dies).as_str(), fate(&never).as_str()), ("dead", "not_taken"), "{told}");
    let read = hub.get("/api/v1/events/m1", &acme.viewer).await.expect(200);
    assert_eq!(read["event"]["properties"], event["properties"]);
    assert_eq!(read["decisions"].as_array().expect("decisions").len(), 2, "the event and its duplicate");
    hub.get("/api/v1/events/m2/explain", &acme.viewer).await.expect(404);

    let row = &parked["items"][0];
    assert_eq!((&row["destination_id"], &row["message_id"]), (&json!(waits), &json!("m1")));
    assert!(row["attempts"].as_u64().is_some_and(|attempts| attempts >= 1), "{row}");
    let path = format!("/api/v1/deliveries/parked?destination_id={works}");
    assert_eq!(count(&hub.get(&path, &acme.viewer).await.expect(200)), 0, "the filter holds");
    let lanes = hub.get("/api/v1/lanes", &acme.viewer).await.expect(200);
    let lane = lanes["items"].as_array().expect("lanes").iter().find(|lane| lane["destination_id"] == works.as_str());
    let lane = lane.expect("the lane of a destination that works");
    assert_eq!(
        (&lane["delivered"], &lane["dead"], &lane["state"]),
        (&json!(1), &json!(0), &json!("running")),
        "{lane}"
    );
}

#[tokio::test]
async fn an_event_that_waits_far_behind_is_still_explained() {
    let hub = Hub::with(None, Choices { processing: false, ..Choices::default() }).await;
    let acme = hub.tenant("acme").await;
    for batch in 0..10 {
        let id = |n: u32| format!("m{}", batch * 2_500 + n);
        let events = (0..2_500).map(|n| json!({"type": "page", "userId": "u", "messageId": id(n)}));
        let body = json!({"batch": events.collect::<Vec<_>>()}).to_string();
        hub.ingest("/v1/batch", &[("x-write-key", &acme.write_key)], body).await.expect(200);
    }
    let told = hub.get("/api/v1/events/m24999/explain", &acme.viewer).await.expect(200);
    assert_eq!((&told["position"], &told["payload"]["message_id"]), (&json!(25_000), &json!("m24999")));
    assert!(text(&told, "said").contains("processing is switched off"), "{told}");
    hub.get("/api/v1/events/m25000/explain", &acme.viewer).await.expect(404);
}

#[tokio::test]
async fn one_search_a_tenant_is_made_at_a_time_among_events_that_wait() {
    let mood = Mood::SlowToRead(Duration::from_millis(500));
    let log = Box::new(move |inner| Arc::new(Moody { inner, mood }) as Arc<dyn EventLog>);
    let hub = Hub::with(None, Choices { log, processing: false, ..Choices::default() }).await;
    let (acme, globex) = (hub.tenant("acme").await, hub.tenant("globex").await);
    hub.track(&acme, &json!({"messageId": "m1", "userId": "u1", "event": "Bought"})).await.expect(200);
    let explain = async |key: &str| hub.get("/api/v1/events/m1/explain", key).await;
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        explain(&acme.viewer).await
    };
    let (first, second, other) = tokio::join!(explain(&acme.viewer), second, explain(&globex.viewer));
    first.expect(200);
    other.expect(404);
    assert!(second.header("retry-after").parse::<u64>().is_ok_and(|wait| wait >= 1), "{:?}", second.headers);
    assert_eq!(second.expect(503)["type"], "/problems/unavailable");
    explain(&acme.viewer).await.expect(200);
}

async fn a_dead_letter_is_read_retried_and_discarded(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let (dies, _) = hub.destination(&acme, "dies", "reject").await;
    hub.track(&acme, &json!({"messageId": "m1", "userId": "u1", "event": "Bought"})).await.expect(200);
    let page = hub.until("/api/v1/dead_letters", &acme.viewer, |page| count(page) == 1).await;
    let id = text(&page["items"][0], "id");
    let path = format!("/api/v1/dead_letters/{id}");
    let read = hub.get(&path, &acme.viewer).await.expect(200);
    assert_eq!(
        (&read["event"]["message_id"], &read["history"][0]["outcome"]["code"]),
        (&json!("m1"), &json!("http_400"))
    );

    let settings = json!({"settings": {"url": "https://example.com", "mode": "deliver"}});
    hub.call("PATCH", &format!("/api/v1/destinations/{dies}"), &acme.editor, Some(&settings)).await.expect(200);
    let parked = hub.post(&format!("{path}/retry"), &acme.editor, &json!({})).await.expect(200);
    assert_eq!(parked["message_id"], "m1");
    hub.until("/api/v1/lanes", &acme.viewer, |lanes| lanes["items"][0]["delivered"] == 1).await;
    hub.get(&path, &acme.viewer).await.expect(404);
    assert_eq!(count(&hub.get("/api/v1/deliveries/parked", &acme.viewer).await.expect(200)), 0);

    let settings = json!({"settings": {"url": "https://example.com", "mode": "reject"}});
    hub.call("PATCH", &format!("/api/v1/destinations/{dies}"), &acme.editor, Some(&settings)).await.expect(200);
    hub.track(&acme, &json!({"messageId": "m2", "userId": "u1", "event": "Bought"})).await.expect(200);
    let page = hub.until("/api/v1/dead_letters", &acme.viewer, |page| count(page) == 1).await;
    let path = format!("/api/v1/dead_letters/{}", text(&page["items"][0], "id"));
    hub.call("DELETE", &path, &acme.editor, None).await.expect(204);
    hub.call("DELETE", &path, &acme.editor, None).await.expect(404);
    assert_eq!(count(&hub.get("/api/v1/dead_letters", &acme.viewer).await.expect(200)), 0);
}

async fn an_explanation_tells_delivered_skipped_and_discarded_of_one_lane_apart(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let (crm, _) = hub.destination(&acme, "crm", "skip").await;
    let track = |id: &'static str| json!({"messageId": id, "userId": "u1", "event": "Bought"});
    let turn = async |mode: &str| {
        let settings = json!({"settings": {"url": "https://example.com", "mode": mode}});
        hub.call("PATCH", &format!("/api/v1/destinations/{crm}"), &acme.editor, Some(&settings)).await.expect(200);
    };
    let counts = async |what: &str| {
        hub.until("/api/v1/lanes", &acme.viewer, |lanes| lanes["items"][0][what] == 1).await;
    };
    hub.track(&acme, &track("left")).await.expect(200);
    counts("skipped").await;
    turn("reject").await;
    hub.track(&acme, &track("dead")).await.expect(200);
    counts("dead").await;
    turn("deliver").await;
    hub.track(&acme, &track("taken")).await.expect(200);
    counts("delivered").await;
    let letters = hub.get("/api/v1/dead_letters", &acme.viewer).await.expect(200);
    let path = format!("/api/v1/dead_letters/{}", text(&letters["items"][0], "id"));
    hub.call("DELETE", &path, &acme.editor, None).await.expect(204);

    for (id, status, said) in [
        ("left", "skipped", "nothing_to_send"),
        ("dead", "discarded", "http_400"),
        ("taken", "delivered", "The destination took it."),
    ] {
        let told = hub.get(&format!("/api/v1/events/{id}/explain"), &acme.viewer).await.expect(200);
        let fate = &told["destinations"][0];
        assert_eq!(text(fate, "status"), status, "{told}");
        assert!(text(fate, "said").contains(said), "{told}");
        assert!(text(&told, "said").contains(&format!("{status}: 1")), "{told}");
    }
}

async fn the_live_tail_shows_a_tenant_its_own_events_as_they_pass(hub: &Hub) {
    let (acme, globex) = (hub.tenant("acme").await, hub.tenant("globex").await);
    hub.destination(&acme, "works", "deliver").await;
    let request = Request::builder().uri("/api/v1/live").header("authorization", format!("Bearer {}", acme.viewer));
    let response = hub.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("answers");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.into_body().into_data_stream();
    hub.track(&globex, &json!({"messageId": "not-yours", "userId": "u1", "event": "Secret"})).await.expect(200);
    hub.track(&acme, &json!({"messageId": "m1", "userId": "u1", "event": "Bought"})).await.expect(200);
    let mut heard = String::new();
    while !heard.contains("event: delivered") {
        let chunk = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
        let chunk =
            chunk.unwrap_or_else(|_| panic!("the tail fell silent after: {heard}")).expect("no end").expect("data");
        heard.push_str(&String::from_utf8_lossy(&chunk));
    }
    let at = |what: &str| heard.find(&format!("event: {what}")).unwrap_or_else(|| panic!("no {what} in {heard}"));
    assert!(at("accepted") < at("decided") && at("decided") < at("delivered"), "{heard}");
    assert!(heard.contains("\"message_id\":\"m1\"") && !heard.contains("not-yours"), "{heard}");
}

async fn a_revoked_key_is_shown_out_of_the_live_tail(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let made = hub.post("/api/v1/api_keys", &acme.admin, &json!({"name": "wall", "role": "viewer"})).await.expect(201);
    let request =
        Request::builder().uri("/api/v1/live").header("authorization", format!("Bearer {}", text(&made, "key")));
    let response = hub.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("answers");
    hub.call("DELETE", &format!("/api/v1/api_keys/{}", text(&made, "id")), &acme.admin, None).await.expect(204);
    let ended = tokio::time::timeout(Duration::from_secs(12), response.into_body().into_data_stream().count()).await;
    assert!(ended.is_ok(), "the tail goes on without a key");
}

async fn listeners_to_one_tenant_are_bounded(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let listen = || async {
        let request = Request::builder().uri("/api/v1/live").header("authorization", format!("Bearer {}", acme.viewer));
        hub.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("answers")
    };
    let mut open = Vec::new();
    for _ in 0..20 {
        let response = listen().await;
        assert_eq!(response.status(), 200);
        open.push(response);
    }
    assert_eq!(listen().await.status(), 429);
    let metrics = hub.get("/metrics", "").await.text();
    assert!(metrics.contains("rialto_live_listeners 20"), "{metrics}");
    drop(open.pop());
    assert_eq!(listen().await.status(), 200);
}

async fn metrics_count_and_name_no_tenant(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    hub.track(&acme, &json!({"userId": "u1", "event": "E"})).await.expect(200);
    hub.track(&acme, &json!({"event": "E"})).await.expect(400);
    let metrics = hub.get("/metrics", "").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = metrics.text();
    for line in [
        "rialto_ingest_events_accepted_total 1",
        "rialto_ingest_requests_accepted_total 1",
        "rialto_ingest_requests_refused_total{code=\"no_usable_id\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing from:\n{text}");
    }
    for hidden in [acme.id.to_string(), acme.source, acme.write_key] {
        assert!(!text.contains(&hidden), "{hidden} is in the metrics");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        assert!(name.starts_with("rialto_") && value.parse::<f64>().is_ok(), "{line}");
    }
}

on_both!(
    two_devices_become_one_person_who_is_found_by_everything_they_are_known_by,
    an_explanation_tells_what_became_of_an_event_at_each_destination,
    a_dead_letter_is_read_retried_and_discarded,
    an_explanation_tells_delivered_skipped_and_discarded_of_one_lane_apart,
    the_live_tail_shows_a_tenant_its_own_events_as_they_pass,
    a_revoked_key_is_shown_out_of_the_live_tail,
    listeners_to_one_tenant_are_bounded,
    metrics_count_and_name_no_tenant,
);
