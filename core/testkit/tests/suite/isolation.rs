//! Two tenants that use the same ids for everything see nothing of each other.

use std::time::Duration;

use http::Method;
use rialto_testkit::persona::Persona;
use rialto_testkit::receiver::{Received, Receiver};
use serde_json::{Value, json};

use crate::ground::{Backend, Ground, on_both};

on_both!(tenants_with_the_same_ids_see_nothing_of_each_other, isolated);

const EVENTS: usize = 12;

/// What this tenant's customer did; every id is the same at the other tenant, every value is marked as this one's.
fn events(of: &str) -> Vec<Value> {
    let canary = format!("canary-{of}");
    let mut events = vec![json!({
        "type": "identify", "messageId": "m-0", "userId": "jane", "anonymousId": "a-1",
        "traits": {"email": "jane@example.com", "mark": canary, format!("only_{of}"): true},
    })];
    events.extend((1..EVENTS).map(|n| {
        json!({
            "type": "track", "messageId": format!("m-{n}"), "userId": "jane", "event": format!("Marked {canary}"),
            "properties": {"mark": canary, "n": n},
        })
    }));
    events
}

async fn isolated(backend: Backend, test: &str) {
    let Some(ground) = Ground::on(backend, test).await else { return };
    let receiver = Receiver::kind().await;
    let mut destinations = Vec::new();
    for persona in [&ground.acme, &ground.globex] {
        let id = persona.webhook("the same name", &receiver.url(&format!("/{}", persona.slug))).await;
        destinations.push(id);
    }
    for persona in [&ground.acme, &ground.globex] {
        persona.accept_all(&events(&persona.slug)).await;
    }
    let all = |received: &[Received]| {
        let count = |path: &str| received.iter().filter(|r| r.path == path).flat_map(Received::events).count();
        count("/acme") == EVENTS && count("/globex") == EVENTS
    };
    receiver.until("each tenant's events at its own destination", Duration::from_secs(30), all).await;
    for (received, event) in receiver.events() {
        let own = format!("canary-{}", received.path.trim_start_matches('/'));
        assert!(event.to_string().contains(&own), "{}: {event}", received.path);
    }
    for (own, other) in [(&ground.acme, &ground.globex), (&ground.globex, &ground.acme)] {
        reads_are_own(own, other).await;
        ids_of_others_lead_nowhere(own, other, &destinations).await;
    }
}

/// Nothing that a tenant can read holds the other's mark, and all of its own is there.
async fn reads_are_own(own: &Persona, other: &Persona) {
    let jane = own.profile("user_id", "jane").await;
    assert_eq!(jane["traits"]["mark"]["value"], json!(format!("canary-{}", own.slug)));
    assert_eq!(jane["events"], json!(EVENTS), "each tenant's events count for its own person");
    let id = jane["id"].as_str().expect("a profile has an id");
    let mut paths = vec![
        "/api/v1/profiles/by/email/jane%40example.com".to_owned(),
        format!("/api/v1/profiles/{id}"),
        format!("/api/v1/profiles/{id}/events"),
        format!("/api/v1/profiles/{id}/merges"),
    ];
    for listing in ["profiles", "events", "sources", "destinations", "routes", "api_keys", "lanes", "dead_letters"] {
        paths.push(format!("/api/v1/{listing}"));
    }
    paths.push("/api/v1/deliveries/parked".to_owned());
    for n in 0..EVENTS {
        paths.push(format!("/api/v1/events/m-{n}"));
        paths.push(format!("/api/v1/events/m-{n}/explain"));
    }
    let strangers = [format!("canary-{}", other.slug), format!("only_{}", other.slug), other.source_id.clone()];
    for path in &paths {
        let answer = own.api().get(path).await.expect(200).text();
        for stranger in &strangers {
            assert!(!answer.contains(stranger.as_str()), "{} reads {stranger} at {path}", own.slug);
        }
    }
    assert_eq!(own.all("/api/v1/profiles").await.len(), 1);
    assert_eq!(own.all("/api/v1/events").await.len(), EVENTS);
    assert_eq!(own.all("/api/v1/destinations").await.len(), 1);
}

/// The other's ids are unknown here, for reading and for changing, and its keys open nothing of ours.
async fn ids_of_others_lead_nowhere(own: &Persona, other: &Persona, destinations: &[String]) {
    let theirs = other.profile("user_id", "jane").await;
    let profile = theirs["id"].as_str().expect("a profile has an id");
    let foreign = destinations.iter().map(String::as_str).collect::<Vec<_>>();
    let mine = own.all("/api/v1/destinations").await;
    let foreign = foreign.into_iter().find(|id| mine[0]["id"] != **id).expect("the other's destination");
    let attempts = [
        (Method::GET, format!("/api/v1/profiles/{profile}"), None),
        (Method::GET, format!("/api/v1/profiles/{profile}/events"), None),
        (Method::GET, format!("/api/v1/destinations/{foreign}"), None),
        (Method::PATCH, format!("/api/v1/destinations/{foreign}"), Some(json!({"enabled": false}))),
        (Method::DELETE, format!("/api/v1/destinations/{foreign}"), None),
        (Method::GET, format!("/api/v1/sources/{}", other.source_id), None),
        (Method::POST, format!("/api/v1/sources/{}/write_keys", other.source_id), Some(json!({}))),
    ];
    for (method, path, body) in attempts {
        let answer = own.api().call(method.clone(), &path, body.as_ref()).await.expect("an answer");
        assert_eq!(answer.status, 404, "{method} {path} by {}: {}", own.slug, answer.text());
    }
    let operator = own.api().get(&format!("/api/v1/tenants/{}", other.tenant_id)).await;
    assert!(matches!(operator.status, 401 | 403), "a tenant is no operator: {}", operator.status);
    let still = other.api().get(&format!("/api/v1/destinations/{foreign}")).await.expect(200).json();
    assert_eq!(still["enabled"], json!(true), "and nothing was changed");
}
