//! The management API's manners: versions, repeats, pages, faults, and what is never shown.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::{Hub, long_ago};
use crate::world::{CONNECTOR, text};

async fn a_change_names_the_version_it_was_made_for(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let path = format!("/api/v1/sources/{}", acme.source);
    let read = hub.get(&path, &acme.viewer).await;
    let first = read.header("etag").to_owned();
    assert!(first.starts_with('"') && first.ends_with('"'), "{first}");

    let change = |name: &str| json!({"name": name});
    let changed = hub.with_headers("PATCH", &path, &acme.editor, &[("if-match", &first)], &change("one")).await;
    let second = changed.header("etag").to_owned();
    assert_eq!(changed.expect(200)["name"], "one");
    assert_ne!(first, second);

    for (method, stale) in [("PATCH", first.as_str()), ("PATCH", "W/\"x\""), ("DELETE", first.as_str())] {
        let refused = hub.with_headers(method, &path, &acme.editor, &[("if-match", stale)], &change("two")).await;
        assert_eq!(refused.json()["type"], "/problems/changed", "{method} {stale}");
        refused.expect(412);
    }
    assert_eq!(hub.get(&path, &acme.viewer).await.expect(200)["name"], "one");
    hub.with_headers("PATCH", &path, &acme.editor, &[("if-match", "*")], &change("three")).await.expect(200);
}

async fn a_tenant_that_is_gone_is_removed_again_to_the_last_event(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    hub.track(&acme, &json!({"userId": "u", "event": "E"})).await.expect(200);
    let path = format!("/api/v1/tenants/{}", acme.id);
    hub.call("DELETE", &path, &hub.operator, None).await.expect(204);
    assert_eq!(hub.events(acme.id).await.len(), 0);
    // As a removal leaves it that failed at its last step.
    let left = Bytes::from_static(b"{}");
    hub.log.append(acme.id, long_ago(), vec![left]).await.expect("appends");
    hub.call("DELETE", &path, &hub.operator, None).await.expect(404);
    assert_eq!(hub.log.read(acme.id, 0, 10, 1_000).await.expect("reads").len(), 0);
}

async fn a_repeated_request_makes_nothing_twice(hub: &Hub) {
    let (acme, globex) = (hub.tenant("acme").await, hub.tenant("globex").await);
    let body = json!({"name": "only once"});
    let once = [("idempotency-key", "k1")];
    let first = hub.with_headers("POST", "/api/v1/sources", &acme.editor, &once, &body).await;
    let again = hub.with_headers("POST", "/api/v1/sources", &acme.editor, &once, &body).await;
    assert_eq!(
        (first.status, first.json(), first.header("location")),
        (again.status, again.json(), again.header("location"))
    );
    let sources = hub.get("/api/v1/sources", &acme.viewer).await.expect(200);
    let named = |item: &&Value| item["name"] == "only once";
    assert_eq!(sources["items"].as_array().expect("sources").iter().filter(named).count(), 1);

    let other = hub.with_headers("POST", "/api/v1/sources", &acme.editor, &once, &json!({"name": "different"})).await;
    assert_eq!(other.expect(422)["type"], "/problems/key-reused");
    let elsewhere = hub.with_headers("POST", "/api/v1/sources", &globex.editor, &once, &body).await.expect(201);
    assert_ne!(elsewhere["id"], first.json()["id"], "the key is the tenant's own");

    let refused = json!({"name": ""});
    let key = [("idempotency-key", "k2")];
    hub.with_headers("POST", "/api/v1/sources", &acme.editor, &key, &refused).await.expect(422);
    hub.with_headers("POST", "/api/v1/sources", &acme.editor, &key, &json!({"name": "better"})).await.expect(201);

    // A failure is not kept either: the name is taken now and free later.
    let body = json!({"name": "works", "connector": CONNECTOR, "settings": {"url": "https://example.com"}});
    let taken = hub.post("/api/v1/destinations", &acme.editor, &body).await.expect(201);
    let key = [("idempotency-key", "k3")];
    hub.with_headers("POST", "/api/v1/destinations", &acme.editor, &key, &body).await.expect(409);
    let path = format!("/api/v1/destinations/{}", text(&taken, "id"));
    hub.call("DELETE", &path, &acme.editor, None).await.expect(204);
    hub.with_headers("POST", "/api/v1/destinations", &acme.editor, &key, &body).await.expect(201);
}

async fn a_key_is_shown_once_and_never_again(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let body = json!({"name": "deploy", "role": "editor"});
    let once = [("idempotency-key", "k1")];
    let made = hub.with_headers("POST", "/api/v1/api_keys", &acme.admin, &once, &body).await.expect(201);
    let key = text(&made, "key");
    assert!(key.starts_with("rk_") && key.len() > 40, "{key}");
    hub.get("/api/v1/sources", &key).await.expect(200);

    let again = hub.with_headers("POST", "/api/v1/api_keys", &acme.admin, &once, &body).await;
    assert_eq!(again.json()["type"], "/problems/shown-once");
    assert!(again.text().contains(&text(&made, "id")) && !again.text().contains(&key), "{}", again.text());
    let listed = hub.get("/api/v1/api_keys", &acme.admin).await;
    assert!(!listed.text().contains(&key));
    let hints: Vec<String> =
        listed.json()["items"].as_array().expect("keys").iter().map(|key| text(key, "hint")).collect();
    assert!(hints.iter().any(|hint| key.ends_with(hint.as_str())), "{hints:?}");
    assert_eq!(hints.len(), 4, "three of the tenant's first, and this one once");

    let path = format!("/api/v1/sources/{}/write_keys", acme.source);
    let listed = hub.get(&path, &acme.admin).await;
    assert!(!listed.text().contains(&acme.write_key));
    let past = json!({"name": "late", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"});
    assert_eq!(hub.post("/api/v1/api_keys", &acme.admin, &past).await.faults(), ["/expires_at"]);
}

async fn secrets_go_in_and_never_come_out(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let (destination, _) = hub.destination(&acme, "works", "deliver").await;
    let path = format!("/api/v1/destinations/{destination}");
    let secret = "hush-hush";
    for answer in [hub.get(&path, &acme.admin).await, hub.get("/api/v1/destinations", &acme.admin).await] {
        assert!(!answer.text().contains(secret) && answer.text().contains("token"), "{}", answer.text());
    }
    let changed = hub.call("PATCH", &path, &acme.editor, Some(&json!({"secrets": {"token": null}}))).await.expect(200);
    assert_eq!(changed["secrets"], json!([]));
    let changed = hub.call("PATCH", &path, &acme.editor, Some(&json!({"secrets": {"token": "new"}}))).await.expect(200);
    assert_eq!(changed["secrets"], json!(["token"]));
    let refused = hub.call("PATCH", &path, &acme.editor, Some(&json!({"secrets": {"tokem": "new"}}))).await;
    assert_eq!(refused.faults(), ["/secrets/tokem"]);
}

async fn a_fault_is_told_with_its_place_and_every_fault_at_once(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let cases: &[(&str, Value, &[&str])] = &[
        ("/api/v1/sources", json!({"nam": "x"}), &["/name", "/nam"]),
        ("/api/v1/sources", json!({"name": 7, "enabled": true}), &["/enabled", "/name"]),
        ("/api/v1/sources", json!({"name": "x".repeat(201)}), &["/name"]),
        ("/api/v1/sources", json!([]), &["/"]),
        ("/api/v1/destinations", json!({"name": "d", "connector": "no/such"}), &["/connector"]),
        ("/api/v1/destinations", json!({"name": "d", "connector": CONNECTOR}), &["/settings/url"]),
        (
            "/api/v1/destinations",
            json!({"name": "d", "connector": CONNECTOR, "settings": {"url": "x", "speed": 1}, "secrets": {"a.b": "c"}}),
            &["/settings/speed", "/settings/url", "/secrets/a.b"],
        ),
        (
            "/api/v1/routes",
            json!({"name": "r", "destination_id": "dst_00000000000070008000000000000000",
            "source_id": "src_00000000000070008000000000000000"}),
            &["/source_id", "/destination_id"],
        ),
        ("/api/v1/routes", json!({"name": "r", "destination_id": "nonsense"}), &["/destination_id"]),
        ("/api/v1/api_keys", json!({"name": "k", "role": "owner", "expires_at": "soon"}), &["/role"]),
    ];
    for (path, body, pointers) in cases {
        let answer = hub.post(path, &acme.admin, body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        let (mut found, mut wanted) = (answer.faults(), pointers.to_vec());
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{body}: {}", answer.text());
    }
}

async fn a_route_is_checked_before_it_is_kept(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let (destination, route) = hub.destination(&acme, "works", "deliver").await;
    let with = |condition: Value| json!({"name": "r", "destination_id": destination, "condition": condition});
    let faulty: &[(Value, &str)] = &[
        (json!({"field": "event.type"}), "/condition"),
        (json!({"al": []}), "/condition"),
        (json!("all"), "/condition"),
        (json!({"all": [{"field": "events.type", "eq": 1}]}), "/condition/all/0/field"),
        (json!({"any": [{"all": []}, {"field": "event.name", "matches": "("}]}), "/condition/any/1/matches"),
        (json!({"not": {"field": "event.x", "gt": []}}), "/condition/not"),
    ];
    for (condition, pointer) in faulty {
        let answer = hub.post("/api/v1/routes", &acme.editor, &with(condition.clone())).await;
        assert_eq!(answer.status, 422, "{condition}");
        assert!(answer.faults()[0].starts_with(pointer), "{condition}: {}", answer.text());
    }
    let condition = json!({"all": [{"field": "event.type", "eq": "track"}, {"not": {"field": "profile.traits.plan", "in": ["free"]}}]});
    let made = hub.post("/api/v1/routes", &acme.editor, &with(condition.clone())).await.expect(201);
    assert_eq!(made["condition"], condition);
    let answer = hub
        .post("/api/v1/routes", &acme.editor, &json!({"name": "r", "destination_id": destination, "action": "jump"}))
        .await;
    assert_eq!(answer.faults(), ["/action"]);

    let path = format!("/api/v1/routes/{route}");
    let narrowed = json!({"source_id": acme.source, "condition": condition});
    let changed = hub.call("PATCH", &path, &acme.editor, Some(&narrowed)).await.expect(200);
    assert_eq!((&changed["source_id"], &changed["condition"]), (&json!(acme.source), &condition));
    let kept = hub.call("PATCH", &path, &acme.editor, Some(&json!({"enabled": false}))).await.expect(200);
    assert_eq!((&kept["source_id"], &kept["condition"]), (&json!(acme.source), &condition));
    let widened =
        hub.call("PATCH", &path, &acme.editor, Some(&json!({"source_id": null, "condition": null}))).await.expect(200);
    assert_eq!((widened.get("source_id"), widened.get("condition")), (None, None));
    let refused = hub.call("PATCH", &path, &acme.editor, Some(&json!({"name": null, "enabled": null}))).await;
    assert_eq!(refused.faults(), ["/enabled", "/name"]);
}

async fn what_is_used_is_not_removed(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let (destination, route_id) = hub.destination(&acme, "works", "deliver").await;
    let source = format!("/api/v1/sources/{}", acme.source);
    let route = format!("/api/v1/routes/{route_id}");
    hub.call("PATCH", &route, &acme.editor, Some(&json!({"source_id": acme.source}))).await.expect(200);
    for path in [source, format!("/api/v1/destinations/{destination}")] {
        let refused = hub.call("DELETE", &path, &acme.editor, None).await;
        assert_eq!(refused.json()["type"], "/problems/conflict", "{path}");
        assert!(refused.text().contains(&route_id), "{path} does not name the route: {}", refused.text());
        hub.get(&path, &acme.viewer).await.expect(200);
    }
    let again = json!({"name": "works", "connector": CONNECTOR, "settings": {"url": "https://example.com"}});
    assert_eq!(
        hub.post("/api/v1/destinations", &acme.editor, &again).await.expect(409)["errors"][0]["pointer"],
        "/name"
    );
    let taken = hub.post("/api/v1/tenants", &hub.operator, &json!({"slug": "acme", "name": "Second"})).await;
    assert_eq!(taken.expect(409)["errors"][0]["pointer"], "/slug");
    let bad = hub.post("/api/v1/tenants", &hub.operator, &json!({"slug": "Not A Slug", "name": "x"})).await;
    assert_eq!(bad.faults(), ["/slug"]);
}

async fn pages_show_everything_once(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    for n in 0..7 {
        hub.post("/api/v1/sources", &acme.editor, &json!({"name": format!("s{n}")})).await.expect(201);
    }
    let (mut seen, mut after, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let page = hub.get(&format!("/api/v1/sources?limit=3{after}"), &acme.viewer).await.expect(200);
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 3);
        assert!(items.iter().all(|item| seen.insert(text(item, "id"))), "something was shown twice");
        pages += 1;
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (8, 3));
    for bad in ["limit=0", "limit=201", "limit=x", "limt=3"] {
        let answer = hub.get(&format!("/api/v1/sources?{bad}"), &acme.viewer).await;
        assert_eq!(answer.expect(400)["type"], "/problems/malformed", "{bad}");
    }
    let forged = hub.get("/api/v1/sources?after=forged", &acme.viewer).await;
    assert!(forged.status.is_client_error(), "{}", forged.text());
}

async fn problems_explain_themselves(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let lost = hub.get("/api/v1/sources/src_00000000000070008000000000000000", &acme.viewer).await;
    assert_eq!(lost.header("content-type"), "application/problem+json");
    let problem = lost.expect(404);
    let page = hub.get(problem["type"].as_str().expect("a path"), "").await;
    assert_eq!(page.header("content-type"), "text/markdown; charset=utf-8");
    assert!(page.text().contains(problem["title"].as_str().expect("a title")));
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/sources/nonsense", 404),
        ("PUT", "/api/v1/sources", 405),
        ("GET", "/problems/nothing", 404),
        ("DELETE", "/v1/track", 405),
    ] {
        let answer = hub
            .raw(
                http::Request::builder()
                    .method(method)
                    .uri(path)
                    .header("authorization", format!("Bearer {}", acme.admin))
                    .body(axum::body::Body::empty())
                    .expect("a request"),
            )
            .await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {path}");
        assert_eq!(answer.json()["status"], status);
    }
    let document = hub.get("/openapi.json", "").await.expect(200);
    assert_eq!(&document, &*crate::harness::DOCUMENT);
}

on_both!(
    a_change_names_the_version_it_was_made_for,
    a_tenant_that_is_gone_is_removed_again_to_the_last_event,
    a_repeated_request_makes_nothing_twice,
    a_key_is_shown_once_and_never_again,
    secrets_go_in_and_never_come_out,
    a_fault_is_told_with_its_place_and_every_fault_at_once,
    a_route_is_checked_before_it_is_kept,
    what_is_used_is_not_removed,
    pages_show_everything_once,
    problems_explain_themselves,
);
