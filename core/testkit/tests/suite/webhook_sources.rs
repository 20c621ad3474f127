//! Webhook sources in a running hub: what others' libraries sign is taken and leaves again by a route, and a connector
//! that means harm holds up nobody else.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use rialto_testkit::child::{Setup, hostile_webhook_guest, plugins};
use rialto_testkit::client::{Answer, Client};
use rialto_testkit::persona::{Persona, ingest};
use rialto_testkit::receiver::{Received, Receiver};
use serde_json::{Value, json};

use crate::clients::installed;
use crate::ground::{Backend, Ground, on_both};
use crate::webhooks::verify;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A hub with all connectors and the one that means harm.
async fn ground(backend: Backend, test: &str) -> Option<Ground> {
    let with_harm = |mut setup: Setup| {
        let folder = setup.data.with_file_name("plugins");
        std::fs::create_dir(&folder).expect("a folder can be made");
        for name in ["rialto-webhook.wasm", "rialto-json-webhook.wasm"] {
            std::fs::copy(plugins().join(name), folder.join(name)).expect("a plugin can be copied");
        }
        std::fs::copy(hostile_webhook_guest(), folder.join("hostile.wasm")).expect("a plugin can be copied");
        setup.plugins = Some(folder);
        setup
    };
    Ground::with(backend, test, with_harm).await
}

/// A source with its connector, and a write key of it.
async fn source(persona: &Persona, connector: &str, settings: Value, secrets: Value) -> (String, String) {
    let new = json!({"name": "hooks", "connector": connector, "settings": settings, "secrets": secrets});
    let source = persona.api().post("/api/v1/sources", &new).await.expect(201).json();
    let id = source["id"].as_str().expect("an id").to_owned();
    let key = persona.api().post(&format!("/api/v1/sources/{id}/write_keys"), &json!({})).await.expect(201).json();
    (id, key["key"].as_str().expect("a key").to_owned())
}

async fn post(client: &Client, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::from(body.to_owned())).expect("a request");
    client.send(request).await.expect("an answer")
}

on_both!(what_a_library_signs_becomes_events_and_leaves_by_a_route, signed);

async fn signed(backend: Backend, test: &str) {
    let Some(folder) = installed(test, "node", "node_modules") else { return };
    let Some(ground) = ground(backend, test).await else { return };
    let acme = &ground.acme;
    let receiver = Receiver::kind().await;
    acme.webhook("warehouse", &receiver.url("/")).await;
    let settings = json!({"user_id_pointer": "/customer", "event_pointer": "/type", "timestamp_pointer": "/at"});
    let (source, _) = source(acme, "rialto/json-webhook", settings, json!({"signing": SECRET})).await;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let body = json!([
        {"type": "Søld “it” 😀", "customer": "u-1", "at": since - 90, "total": 5},
        {"type": "refunded", "customer": "u-2", "at": since - 30},
    ])
    .to_string();
    let question = |seconds: u64| json!({"secret": SECRET, "id": "msg_1", "seconds": seconds, "body": body});
    let questions = [question(since), question(since - 600)];
    let signatures = verify("node", "node/sign-webhook.mjs", &folder, &questions).await;
    let stranger = Client::new(acme.address);
    let path = format!("/v1/webhook/{source}");
    let send = async |seconds: u64, signature: &str, body: &str| {
        let seconds = seconds.to_string();
        let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", &*seconds), ("webhook-signature", signature)];
        post(&stranger, &path, &headers, body).await
    };
    assert_eq!(send(since - 600, &signatures[1], &body).await.expect(401).json()["code"], "stale_timestamp");
    let changed = body.replace("u-1", "u-9");
    assert_eq!(send(since, &signatures[0], &changed).await.expect(401).json()["code"], "bad_signature");
    for _ in 0..3 {
        send(since, &signatures[0], &body).await.expect(200);
    }
    let all = |received: &[Received]| received.iter().flat_map(Received::events).count() >= 2;
    receiver.until("both events left", Duration::from_secs(20), all).await;
    // What comes behind the repeats shows that they are past.
    acme.accept(&json!({"type": "track", "event": "Last", "userId": "u-3"})).await;
    let last = |received: &[Received]| received.iter().flat_map(Received::events).any(|event| event["event"] == "Last");
    receiver.until("the last event left", Duration::from_secs(20), last).await;
    let events: Vec<Value> = receiver.received().iter().flat_map(Received::events).collect();
    assert_eq!(events.len(), 3, "a repeat is dropped: {events:?}");
    let sold = events.iter().find(|event| event["user_id"] == "u-1").expect("it left");
    assert_eq!((&sold["event"], &sold["source_id"]), (&json!("Søld “it” 😀"), &json!(source)));
    assert_eq!(sold["properties"]["total"], 5);
    let id = sold["message_id"].as_str().expect("an id");
    acme.explained(id, "delivered", |said| said.to_string().contains("delivered")).await;
    let foreign = ground.globex.api().get(&format!("/api/v1/events/{id}")).await;
    assert_eq!(foreign.status, 404, "another tenant knows nothing of it");
}

on_both!(a_connector_that_means_harm_is_stopped_and_others_are_served, hostile);

async fn hostile(backend: Backend, test: &str) {
    let Some(ground) = ground(backend, test).await else { return };
    let (acme, globex) = (&ground.acme, &ground.globex);
    let (bad, key) = source(acme, "test/hostile-webhook", json!({}), json!({})).await;
    let settings = json!({"user_id_pointer": "/user"});
    let (good, good_key) = source(globex, "rialto/json-webhook", settings, json!({})).await;
    let call = async |what: &str| {
        let request = ingest(&key, &format!("/v1/webhook/{bad}?do={what}"), "[]");
        Client::new(acme.address).send(request).await.expect("an answer")
    };
    for what in ["spin", "memory", "trap", "output", "lines", "redirect", "html", "flood", "later"] {
        let answer = call(what).await.expect(503);
        assert_eq!(answer.json()["code"], "connector_failed", "{what}");
        assert!(
            answer.header("retry-after").is_some() && !answer.text().contains("taste"),
            "{what}: {}",
            answer.text()
        );
    }
    for (what, code) in [
        ("many", "too_many_events"),
        ("large", "batch_too_large"),
        ("escape", "not_an_object"),
        ("never", "webhook_refused"),
    ] {
        assert_eq!(call(what).await.expect(400).json()["code"], code, "{what}");
    }
    let told = call("tell").await.expect(200).json();
    assert_eq!((&told["shown"], &told["key"], &told["verified"]), (&json!([]), &Value::Null, &json!(false)), "{told}");

    // While one tenant's connector spins on all it may have, others' events and webhooks get through.
    let spinning = futures::future::join_all((0..20).map(|_| call("spin")));
    let others = async {
        let start = Instant::now();
        for n in 0..10 {
            let body = json!({"user": format!("u-{n}")}).to_string();
            let request = ingest(&good_key, &format!("/v1/webhook/{good}"), body);
            Client::new(globex.address).send(request).await.expect("an answer").expect(200);
            globex.accept(&json!({"type": "track", "event": "e", "userId": "u"})).await;
        }
        start.elapsed()
    };
    let (spun, took) = tokio::join!(spinning, others);
    println!("ten webhooks and ten events of another tenant took {took:?} beside twenty that spin");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(spun.iter().all(|answer| answer.status == 503));
    globex.profile("user_id", "u-9").await;
    assert!(acme.all("/api/v1/events").await.is_empty(), "of what was refused nothing is kept");
}
