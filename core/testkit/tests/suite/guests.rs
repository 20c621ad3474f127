//! Hostile guests in a running hub: each is stopped, only its own lane suffers, and `explain` says why. One event
//! that a connector cannot stomach does not take down those beside it.

use std::time::{Duration, Instant};

use rialto_testkit::child::{Setup, hostile_guest, plugins};
use rialto_testkit::persona::Persona;
use rialto_testkit::receiver::{Received, Receiver};
use serde_json::{Value, json};

use crate::ground::{Backend, Ground, alone, eventually};

/// Each misdeed with the code that it must be told under, and words of the message.
const MISDEEDS: [(&str, &str, &str); 8] = [
    ("spin", "plugin_deadline", "200ms"),
    ("memory", "plugin_memory", "64 MiB"),
    ("recursion", "plugin_trap", ""),
    ("output", "plugin_output", "8 MiB"),
    ("trap", "plugin_trap", "not to my taste"),
    ("rounds", "plugin_rounds", "8 rounds"),
    ("elsewhere", "egress_refused", ""),
    ("flood", "plugin_requests", "5000 requests"),
];

/// A hub with the webhook connector and the hostile one.
async fn ground(test: &str) -> Ground {
    let both = |mut setup: Setup| {
        let folder = setup.data.with_file_name("plugins");
        std::fs::create_dir(&folder).expect("a folder can be made");
        let webhook = plugins().join("rialto-webhook.wasm");
        std::fs::copy(webhook, folder.join("webhook.wasm")).expect("a plugin can be copied");
        std::fs::copy(hostile_guest(), folder.join("hostile.wasm")).expect("a plugin can be copied");
        setup.plugins = Some(folder);
        setup
    };
    Ground::with(Backend::Sqlite, test, both).await.expect("SQLite is always there")
}

/// A destination of the hostile connector, with a route by one of its actions.
async fn hostile(acme: &Persona, action: &str, url: &str) -> String {
    let settings = json!({"url": url, "elsewhere": "http://169.254.169.254/latest/meta-data"});
    let destination = json!({"name": action, "connector": "test/hostile", "settings": settings});
    let destination = acme.api().post("/api/v1/destinations", &destination).await.expect(201).json();
    let id = destination["id"].as_str().expect("a destination has an id").to_owned();
    let route = json!({"name": action, "destination_id": id, "action": action});
    acme.api().post("/api/v1/routes", &route).await.expect(201);
    id
}

fn event(n: usize, poison: bool) -> Value {
    let properties = if poison { json!({"poison": true}) } else { json!({}) };
    json!({"type": "track", "event": "e", "userId": format!("u-{n}"), "messageId": format!("g-{n}"), "properties": properties})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hostile_guest_stands_alone_and_is_told_of() {
    let ground = ground("guests::each_hostile_guest_stands_alone_and_is_told_of").await;
    let _turn = alone().await;
    let acme = &ground.acme;
    let receiver = Receiver::kind().await;
    let mut lanes = Vec::new();
    for (action, code, word) in MISDEEDS {
        let id = hostile(acme, action, &receiver.url("/hostile")).await;
        lanes.push((action, id, code, word));
    }
    acme.webhook("healthy", &receiver.url("/healthy")).await;
    let start = Instant::now();
    for n in 0..100 {
        acme.accept(&event(n, false)).await;
    }
    let healthy = |received: &[Received]| {
        received.iter().filter(|received| received.path == "/healthy").flat_map(Received::events).count() >= 100
    };
    receiver.until("the healthy lane goes on", Duration::from_secs(10), healthy).await;
    println!("the healthy lane was through after {:?}", start.elapsed());
    for (action, id, code, word) in &lanes {
        let told = |said: &Value| {
            let fate = fate_at(said, id);
            ["parked", "dead", "lane_stopped"].contains(&fate["status"].as_str().unwrap_or_default())
                && fate.to_string().contains(code)
                && fate.to_string().contains(word)
        };
        let said = acme.explained("g-0", &format!("says why: {action}"), told).await;
        println!("{action}: {}", fate_at(&said, id)["said"]);
    }
    assert!(receiver.received().iter().filter(|received| received.path == "/hostile").count() < 10_000);
}

fn fate_at(said: &Value, destination: &str) -> Value {
    let fates = said["destinations"].as_array().cloned().unwrap_or_default();
    fates.into_iter().find(|fate| fate["destination_id"] == json!(destination)).unwrap_or_default()
}

/// How long it takes until so many more events are through.
async fn through(acme: &Persona, destination: &str, events: &[Value], healthy: usize) -> Duration {
    let before = acme.lane(destination).await["delivered"].as_u64().unwrap_or_default();
    let start = Instant::now();
    for chunk in events.chunks(500) {
        acme.accept_all(chunk).await;
    }
    let wanted = before + healthy as u64;
    eventually("the healthy events are through", Duration::from_secs(30), async || {
        acme.lane(destination).await["delivered"].as_u64().unwrap_or_default() >= wanted
    })
    .await;
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_poisonous_event_in_five_hundred_delays_nobody() {
    let ground = ground("guests::one_poisonous_event_in_five_hundred_delays_nobody").await;
    let _turn = alone().await;
    let acme = &ground.acme;
    let destination = hostile(acme, "poison", "http://127.0.0.1:9/").await;
    let clean: Vec<Value> = (0..1_500).map(|n| event(n, false)).collect();
    through(acme, &destination, &clean[..500], 500).await;
    let healthy = through(acme, &destination, &clean[500..], 1_000).await;
    let mixed: Vec<Value> = (2_000..3_000).map(|n| event(n, n % 500 == 250)).collect();
    let poisoned = through(acme, &destination, &mixed, 998).await;
    println!("1,000 events in {healthy:?}, with two poisonous ones in {poisoned:?}");
    assert!(poisoned < healthy + Duration::from_secs(1), "{poisoned:?} against {healthy:?}");
    for n in [2_250, 2_750] {
        let told = |said: &Value| {
            let fate = fate_at(said, &destination);
            ["parked", "dead"].contains(&fate["status"].as_str().unwrap_or_default())
                && fate.to_string().contains("plugin_")
        };
        acme.explained(&format!("g-{n}"), "says what it is", told).await;
    }
    let lane = acme.lane(&destination).await;
    assert_eq!(lane["delivered"], json!(2_498), "each healthy event once: {lane}");
}
