//! Who may do what: every operation of the document as nobody, with dead keys, with a weaker role, and as another
//! tenant that knows this one's ids.

use std::collections::BTreeSet;

use rialto_model::Timestamp;
use rialto_model::key::Role;
use serde_json::{Value, json};

use crate::harness::{DOCUMENT, Hub, long_ago, operation};
use crate::world::{Tenant, text};

/// The least that is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Least {
    /// Nothing: it tells nothing of anyone.
    Nothing,
    /// A write key, which has tests of its own.
    WriteKey,
    Viewer,
    Editor,
    Admin,
    Operator,
}
use Least::*;

/// Every operation: method, path with the names of what it is about, the least that is needed, and a body that
/// would do. What removes things stands last, for the same world is used throughout.
const OPERATIONS: &[(&str, &str, Least, &str)] = &[
    ("get", "/healthz", Nothing, ""),
    ("get", "/readyz", Nothing, ""),
    ("get", "/metrics", Nothing, ""),
    ("get", "/v1/pixel/{method}", Nothing, ""),
    ("post", "/v1/webhook/{source}", WriteKey, ""),
    ("get", "/v1/projects/{writeKey}/settings", WriteKey, ""),
    ("post", "/v1/track", WriteKey, ""),
    ("post", "/v1/identify", WriteKey, ""),
    ("post", "/v1/page", WriteKey, ""),
    ("post", "/v1/screen", WriteKey, ""),
    ("post", "/v1/group", WriteKey, ""),
    ("post", "/v1/alias", WriteKey, ""),
    ("post", "/v1/batch", WriteKey, ""),
    ("post", "/v1/import", WriteKey, ""),
    ("post", "/beacon/v1/batch", WriteKey, ""),
    ("post", "/batch/", WriteKey, ""),
    ("get", "/api/v1/tenant", Viewer, ""),
    ("get", "/api/v1/sources", Viewer, ""),
    ("get", "/api/v1/sources/{source}", Viewer, ""),
    ("get", "/api/v1/destinations", Viewer, ""),
    ("get", "/api/v1/destinations/{destination}", Viewer, ""),
    ("get", "/api/v1/routes", Viewer, ""),
    ("get", "/api/v1/routes/{route}", Viewer, ""),
    ("get", "/api/v1/connectors", Viewer, ""),
    ("get", "/api/v1/connectors/test/script", Viewer, ""),
    ("get", "/api/v1/profiles", Viewer, ""),
    ("get", "/api/v1/profiles/{profile}", Viewer, ""),
    ("get", "/api/v1/profiles/{profile}/events", Viewer, ""),
    ("get", "/api/v1/profiles/{profile}/merges", Viewer, ""),
    ("get", "/api/v1/profiles/by/user_id/{user}", Viewer, ""),
    ("get", "/api/v1/events", Viewer, ""),
    ("get", "/api/v1/events/{event}", Viewer, ""),
    ("get", "/api/v1/events/{event}/explain", Viewer, ""),
    ("get", "/api/v1/live", Viewer, ""),
    ("get", "/api/v1/lanes", Viewer, ""),
    ("get", "/api/v1/deliveries/parked", Viewer, ""),
    ("get", "/api/v1/dead_letters", Viewer, ""),
    ("get", "/api/v1/dead_letters/{dead}", Viewer, ""),
    ("post", "/api/v1/sources", Editor, r#"{"name": "another"}"#),
    ("patch", "/api/v1/sources/{source}", Editor, r#"{"name": "renamed canary"}"#),
    (
        "post",
        "/api/v1/destinations",
        Editor,
        r#"{"name": "other", "connector": "test/script", "settings": {"url": "https://example.com"}}"#,
    ),
    ("patch", "/api/v1/destinations/{destination}", Editor, r#"{"name": "renamed canary"}"#),
    ("post", "/api/v1/routes", Editor, r#"{"name": "another", "destination_id": "{destination}"}"#),
    ("patch", "/api/v1/routes/{route}", Editor, r#"{"name": "renamed canary"}"#),
    (
        "post",
        "/api/v1/deliveries/parked/retry",
        Editor,
        r#"{"destination_id": "{parking}", "position": {position}, "action": "{action}"}"#,
    ),
    ("get", "/api/v1/api_keys", Admin, ""),
    ("post", "/api/v1/api_keys", Admin, r#"{"name": "another", "role": "viewer"}"#),
    ("get", "/api/v1/sources/{source}/write_keys", Admin, ""),
    ("post", "/api/v1/sources/{source}/write_keys", Admin, "{}"),
    ("get", "/api/v1/suppressions", Admin, ""),
    ("get", "/api/v1/suppressions/{suppression}", Admin, ""),
    ("post", "/api/v1/suppressions", Admin, r#"{"kind": "email", "value": "canary@example.com"}"#),
    ("get", "/api/v1/tenants", Operator, ""),
    ("post", "/api/v1/tenants", Operator, r#"{"slug": "initech", "name": "Initech"}"#),
    ("get", "/api/v1/tenants/{tenant}", Operator, ""),
    ("patch", "/api/v1/tenants/{tenant}", Operator, r#"{"name": "renamed canary"}"#),
    ("post", "/api/v1/tenants/{tenant}/api_keys", Operator, r#"{"name": "another", "role": "viewer"}"#),
    ("post", "/api/v1/dead_letters/{dead}/retry", Editor, ""),
    ("delete", "/api/v1/dead_letters/{dead_too}", Editor, ""),
    ("delete", "/api/v1/routes/{route}", Editor, ""),
    ("delete", "/api/v1/destinations/{spare}", Editor, ""),
    ("delete", "/api/v1/sources/{source}/write_keys/{write_key}", Admin, ""),
    ("delete", "/api/v1/sources/{source}", Editor, ""),
    ("delete", "/api/v1/suppressions/{suppression}", Admin, ""),
    ("delete", "/api/v1/api_keys/{api_key}", Admin, ""),
    ("delete", "/api/v1/tenants/{tenant}", Operator, ""),
];

/// What no answer to another tenant may hold.
const CANARY: &str = "canary";

/// The ids of everything that the tenant has, by the names that the table uses.
struct Ids(Vec<(&'static str, String)>);

impl Ids {
    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, id)| text.replace(&format!("{{{name}}}"), id))
    }
}

/// One of everything, found by asking the API itself.
async fn furnish(hub: &Hub, tenant: &Tenant) -> Ids {
    let (destination, route) = hub.destination(tenant, "canary works", "deliver").await;
    let (parking, _) = hub.destination(tenant, "canary waits", "retry").await;
    hub.destination(tenant, "canary dies", "reject").await;
    let spare = json!({"name": "canary spare", "connector": "test/script", "settings": {"url": "https://example.com"}});
    let spare = text(&hub.post("/api/v1/destinations", &tenant.editor, &spare).await.expect(201), "id");
    let key =
        hub.post("/api/v1/api_keys", &tenant.admin, &json!({"name": "canary key", "role": "viewer"})).await.expect(201);
    for (message, user) in [("canary-event", "canary-user"), ("canary-event-2", "canary-user-2")] {
        let event = json!({"messageId": message, "userId": user, "event": "canary sings", "context": {"traits": {"note": CANARY}}});
        hub.track(tenant, &event).await.expect(200);
    }
    let two = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 2);
    let dead = hub.until("/api/v1/dead_letters", &tenant.viewer, two).await;
    let parked = hub.until("/api/v1/deliveries/parked", &tenant.viewer, two).await;
    let whom = json!({"kind": "user_id", "value": "nobody-yet", "reason": "canary asked for it"});
    let suppression = hub.post("/api/v1/suppressions", &tenant.admin, &whom).await.expect(201);
    let profile = hub.get("/api/v1/profiles/by/user_id/canary-user", &tenant.viewer).await.expect(200);
    Ids(vec![
        ("tenant", tenant.id.to_string()),
        ("source", tenant.source.clone()),
        ("write_key", tenant.write_key_id.clone()),
        ("api_key", text(&key, "id")),
        ("destination", destination),
        ("parking", parking),
        ("spare", spare),
        ("route", route),
        ("suppression", text(&suppression, "id")),
        ("profile", text(&profile, "id")),
        ("user", "canary-user".to_owned()),
        ("event", "canary-event".to_owned()),
        ("dead", text(&dead["items"][0], "id")),
        ("dead_too", text(&dead["items"][1], "id")),
        ("position", parked["items"][0]["position"].to_string()),
        ("action", text(&parked["items"][0], "action")),
    ])
}

#[test]
fn every_operation_of_the_document_is_in_the_table() {
    let mut there = BTreeSet::new();
    for (path, item) in DOCUMENT["paths"].as_object().expect("paths") {
        there.extend(item.as_object().expect("operations").keys().map(|method| (method.clone(), path.clone())));
    }
    let tabled: Vec<&Value> = OPERATIONS.iter().filter_map(|(method, path, ..)| operation(method, path)).collect();
    let ids: BTreeSet<&str> = tabled.iter().filter_map(|operation| operation["operationId"].as_str()).collect();
    assert_eq!(tabled.len(), OPERATIONS.len(), "the table has operations that the document has not");
    for (method, path) in there {
        let id = operation(&method, &path).and_then(|operation| operation["operationId"].as_str()).expect("an id");
        assert!(ids.contains(id), "{method} {path} ({id}) is missing from the access table");
    }
}

/// Keys that were good once, and rubbish.
async fn dead_keys(hub: &Hub, tenant: &Tenant) -> Vec<String> {
    let scope = hub.store.lease(tenant.id);
    let (_, expired) =
        scope.create_api_key("old", Role::Admin, Some(long_ago()), Timestamp::from_millis(1)).await.expect("made");
    let revoked =
        hub.post("/api/v1/api_keys", &tenant.admin, &json!({"name": "gone", "role": "admin"})).await.expect(201);
    hub.call("DELETE", &format!("/api/v1/api_keys/{}", text(&revoked, "id")), &tenant.admin, None).await.expect(204);
    let off = hub.tenant("umbrella").await;
    let path = format!("/api/v1/tenants/{}", off.id);
    hub.call("PATCH", &path, &hub.operator, Some(&json!({"enabled": false}))).await.expect(200);
    let unknown = ["rk_0000000000000000000000000000000000000000000", "ro_nothing", "nonsense", ""];
    let mut keys = vec![expired, text(&revoked, "key"), off.admin, tenant.write_key.clone()];
    keys.extend(unknown.map(str::to_owned));
    keys
}

async fn every_operation_lets_in_whom_it_should_and_nobody_else(hub: &Hub) {
    let (acme, globex) = (hub.tenant("acme").await, hub.tenant("globex").await);
    let ids = furnish(hub, &acme).await;
    let dead = dead_keys(hub, &acme).await;
    for (method, path, least, body) in OPERATIONS {
        if matches!(least, Nothing | WriteKey) {
            continue;
        }
        let (asked, body) = (ids.fill(path), ids.fill(body));
        let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_str(&body).expect("a body"));
        let method = method.to_uppercase();
        let what = format!("{method} {path}");
        for key in &dead {
            let answer = hub.call(&method, &asked, key, body.as_ref()).await;
            assert_eq!(answer.status, 401, "{what} with {key:?}: {}", answer.text());
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{what}");
        }
        let weaker = match least {
            Viewer => vec![&hub.operator],
            Editor => vec![&acme.viewer, &hub.operator],
            Admin => vec![&acme.viewer, &acme.editor, &hub.operator],
            _ => vec![&acme.viewer, &acme.editor, &acme.admin],
        };
        for key in weaker {
            let answer = hub.call(&method, &asked, key, body.as_ref()).await;
            assert_eq!(answer.status, 403, "{what}: {}", answer.text());
        }
        if *least != Operator {
            as_another_tenant(hub, &globex, &what, &method, &asked, body.as_ref(), *path != asked).await;
        }
    }
}

/// Another tenant's admin who knows the ids: nothing is there, and no listing shows anything of the first tenant.
async fn as_another_tenant(
    hub: &Hub,
    globex: &Tenant,
    what: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
    names_something: bool,
) {
    if path == "/api/v1/live" {
        return; // Has no end; the pipeline's test listens to it.
    }
    let answer = hub.call(method, path, &globex.admin, body).await;
    let refers = body.is_some_and(|body| body.get("destination_id").is_some());
    match (names_something, refers) {
        (true, _) => assert_eq!(answer.status, 404, "{what}: {}", answer.text()),
        (false, true) if what.ends_with("/retry") => assert_eq!(answer.status, 404, "{what}: {}", answer.text()),
        (false, true) => assert_eq!(answer.status, 422, "{what}: {}", answer.text()),
        (false, false) => assert!(answer.status.is_success(), "{what}: {}", answer.text()),
    }
    assert!(!answer.text().contains(CANARY), "{what} shows another tenant's things: {}", answer.text());
}

async fn every_operation_works_for_the_least_that_is_needed(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let ids = furnish(hub, &acme).await;
    for (method, path, least, body) in OPERATIONS {
        let key = match least {
            Nothing => "",
            WriteKey => continue,
            Viewer => &acme.viewer,
            Editor => &acme.editor,
            Admin => &acme.admin,
            Operator => &hub.operator,
        };
        if *path == "/api/v1/live" {
            continue;
        }
        // Routes hold on to sources and destinations; nothing else may still do so when those go.
        if *method == "delete" && path.starts_with("/api/v1/sources/{source}") && !path.contains("write_keys") {
            remove_routes(hub, &acme).await;
        }
        let body = ids.fill(body);
        let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_str(&body).expect("a body"));
        let answer = hub.call(&method.to_uppercase(), &ids.fill(path), key, body.as_ref()).await;
        assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text());
    }
    assert_eq!(hub.get("/api/v1/tenant", &acme.admin).await.status, 401, "its keys went with the tenant");
    assert!(hub.events(acme.id).await.is_empty(), "its events went with the tenant");
}

async fn remove_routes(hub: &Hub, tenant: &Tenant) {
    let routes = hub.get("/api/v1/routes", &tenant.editor).await.expect(200);
    for route in routes["items"].as_array().expect("routes") {
        let path = format!("/api/v1/routes/{}", text(route, "id"));
        hub.call("DELETE", &path, &tenant.editor, None).await.expect(204);
    }
}

on_both!(every_operation_lets_in_whom_it_should_and_nobody_else, every_operation_works_for_the_least_that_is_needed);
