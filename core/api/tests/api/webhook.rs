//! Webhooks: signed or keyed, never open; all of their events or none; and a repeat is a repeat.

use std::time::{SystemTime, UNIX_EPOCH};

use rialto_api::ApiOptions;
use rialto_model::signature::standard_webhooks;
use serde_json::{Value, json};

use crate::harness::{Answer, Choices, Hub};
use crate::world::{HOOKS, Tenant, text};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

on_both!(
    a_signed_webhook_becomes_events_of_its_source,
    a_webhook_that_is_not_proved_is_refused,
    without_a_secret_a_webhook_needs_the_source_s_own_key,
    a_source_that_is_not_there_for_webhooks_answers_404,
    a_webhook_that_is_sent_again_gives_no_event_twice,
    a_source_s_connector_is_checked_field_by_field,
    what_a_source_was_told_in_confidence_ends_with_its_connector,
    of_a_bad_webhook_nothing_is_kept_and_the_sender_hears_why,
    a_webhook_may_come_compressed_and_not_too_large,
);

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("it fits")
}

/// A source that reads webhooks.
async fn source(hub: &Hub, tenant: &Tenant, secrets: Value) -> String {
    let new = json!({"name": "hooks", "connector": HOOKS, "secrets": secrets});
    text(&hub.post("/api/v1/sources", &tenant.editor, &new).await.expect(201), "id")
}

async fn key(hub: &Hub, tenant: &Tenant, source: &str) -> String {
    let path = format!("/api/v1/sources/{source}/write_keys");
    text(&hub.post(&path, &tenant.admin, &json!({})).await.expect(201), "key")
}

/// Sends a webhook that is signed by a secret, at a moment.
async fn signed(hub: &Hub, source: &str, secret: &str, id: &str, at: i64, body: &Value) -> Answer {
    let body = body.to_string();
    let signature = standard_webhooks(secret, id, at, body.as_bytes()).expect("a secret");
    let at = at.to_string();
    let headers = [("webhook-id", id), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
    hub.ingest(&format!("/v1/webhook/{source}"), &headers, body).await
}

async fn bare(hub: &Hub, source: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    hub.ingest(&format!("/v1/webhook/{source}"), headers, body.to_string()).await
}

fn order(user: &str) -> Value {
    json!({"type": "track", "event": "Order Paid", "userId": user, "properties": {"total": 5}})
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

async fn a_signed_webhook_becomes_events_of_its_source(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let source = source(hub, &acme, json!({"signing": SECRET})).await;
    let named = json!({"type": "identify", "userId": "u1", "messageId": "named", "traits": {"plan": "gold"}});
    let answer = signed(hub, &source, SECRET, "msg_1", now(), &json!([order("u1"), named])).await;
    assert_eq!(answer.expect(200), json!({"success": true}));
    let events = hub.events(acme.id).await;
    assert_eq!(events.len(), 2, "durable before the answer");
    assert!(events.iter().all(|event| event.source_id.to_string() == source));
    assert!(events[0].message_id.starts_with("webhook-") && events[0].message_id.ends_with("-0"));
    assert_eq!(events[1].message_id, format!("{source}:named"), "no write key's event can take its place");
    let path = format!("/api/v1/events/{}/explain", events[0].message_id);
    let said = hub.until(&path, &acme.viewer, |said| said["position"].is_u64()).await;
    assert!(said.to_string().contains(&source), "{said}");
    assert_eq!(hub.get(&path, &hub.tenant("globex").await.viewer).await.status, 404);
    let profile = hub.until("/api/v1/profiles/by/user_id/u1", &acme.viewer, |_| true).await;
    assert_eq!(profile["traits"]["plan"]["value"], "gold", "{profile}");
}

async fn a_webhook_that_is_not_proved_is_refused(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let source = source(hub, &acme, json!({"signing": SECRET})).await;
    let key = key(hub, &acme, &source).await;
    let body = json!([order("u1")]);
    for (answer, expected) in [
        (signed(hub, &source, OTHER, "m", now(), &body).await, "bad_signature"),
        (signed(hub, &source, SECRET, "m", now() - 400, &body).await, "stale_timestamp"),
        (signed(hub, &source, SECRET, "m", now() + 400, &body).await, "stale_timestamp"),
        (bare(hub, &source, &[], &body).await, "unsigned"),
        // Whoever reads a page of the tenant's may know a write key.
        (bare(hub, &source, &[("x-write-key", &key)], &body).await, "unsigned"),
        (bare(hub, &source, &[("x-signed", "sha256=00")], &body).await, "unsigned"),
    ] {
        assert_eq!(code(&answer), (401, expected.to_owned()), "{}", answer.text());
        assert!(!answer.text().contains(SECRET));
    }
    let at = now();
    let signature = standard_webhooks(SECRET, "m", at, body.to_string().as_bytes()).expect("a secret");
    let at = at.to_string();
    let headers = [("webhook-id", "m"), ("webhook-timestamp", &*at), ("webhook-signature", &*signature)];
    let changed = bare(hub, &source, &headers, &json!([order("u2")])).await;
    assert_eq!(code(&changed), (401, "bad_signature".to_owned()));
    assert!(hub.events(acme.id).await.is_empty());
}

async fn without_a_secret_a_webhook_needs_the_source_s_own_key(hub: &Hub) {
    let (acme, globex) = (hub.tenant("acme").await, hub.tenant("globex").await);
    let source = source(hub, &acme, json!({})).await;
    let own = key(hub, &acme, &source).await;
    let body = json!([order("u1")]);
    for headers in [
        &[][..],
        &[("x-write-key", acme.write_key.as_str())],
        &[("x-write-key", globex.write_key.as_str())],
        &[("x-write-key", "wk_nothing")],
        &[("webhook-id", "m"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,AAAA")],
        &[("authorization", "Bearer nonsense")],
    ] {
        let answer = bare(hub, &source, headers, &body).await;
        assert_eq!(code(&answer), (401, "unknown_write_key".to_owned()), "{headers:?}: {}", answer.text());
    }
    assert!(hub.events(acme.id).await.is_empty() && hub.events(globex.id).await.is_empty());
    use base64::Engine as _;
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{own}:")));
    bare(hub, &source, &[("authorization", &basic)], &json!([order("u1")])).await.expect(200);
    bare(hub, &source, &[("x-write-key", &own)], &json!([order("u2")])).await.expect(200);
    bare(hub, &format!("{source}?writeKey={own}"), &[], &json!([order("u3")])).await.expect(200);
    assert_eq!(hub.events(acme.id).await.len(), 3);
}

async fn a_source_that_is_not_there_for_webhooks_answers_404(hub: &Hub) {
    let (acme, globex) = (hub.tenant("acme").await, hub.tenant("globex").await);
    let source = source(hub, &acme, json!({"signing": SECRET})).await;
    let body = json!([order("u1")]);
    let unknown = "src_01890a5d-ac96-774b-bcce-b302099a8057";
    for (asked, expected) in [
        (unknown, "unknown_source"),
        ("nonsense", "unknown_source"),
        (acme.source.as_str(), "no_webhook_connector"),
        (globex.source.as_str(), "no_webhook_connector"),
    ] {
        let answer = bare(hub, asked, &[("x-write-key", &acme.write_key)], &body).await;
        assert_eq!(code(&answer), (404, expected.to_owned()), "{asked}");
    }
    let path = format!("/api/v1/sources/{source}");
    hub.call("PATCH", &path, &acme.editor, Some(&json!({"enabled": false}))).await.expect(200);
    let off = signed(hub, &source, SECRET, "m", now(), &body).await;
    assert_eq!(code(&off), (404, "source_disabled".to_owned()));
    hub.call("PATCH", &path, &acme.editor, Some(&json!({"enabled": true}))).await.expect(200);
    signed(hub, &source, SECRET, "m", now(), &body).await.expect(200);
    let tenant = format!("/api/v1/tenants/{}", acme.id);
    hub.call("PATCH", &tenant, &hub.operator, Some(&json!({"enabled": false}))).await.expect(200);
    let gone = signed(hub, &source, SECRET, "m", now(), &body).await;
    assert_eq!(code(&gone), (404, "unknown_source".to_owned()), "a disabled tenant has no sources");
}

async fn a_webhook_that_is_sent_again_gives_no_event_twice(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let source = source(hub, &acme, json!({"signing": SECRET})).await;
    let body = json!([order("u1"), order("u1")]);
    signed(hub, &source, SECRET, "msg_1", now() - 60, &body).await.expect(200);
    signed(hub, &source, SECRET, "msg_1", now(), &body).await.expect(200);
    signed(hub, &source, SECRET, "msg_2", now(), &body).await.expect(200);
    let ids: Vec<String> = hub.events(acme.id).await.into_iter().map(|event| event.message_id).collect();
    assert_eq!((&ids[0], &ids[1]), (&ids[2], &ids[3]), "the same message");
    assert!(ids[0] != ids[1] && ids[0] != ids[4], "each event of a message, and each message, is its own");
    let counted = |profile: &Value| profile["events"] == 4;
    hub.until("/api/v1/profiles/by/user_id/u1", &acme.viewer, counted).await;
}

async fn a_source_s_connector_is_checked_field_by_field(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    for (new, faults) in [
        (json!({"connector": "test/none"}), &["/connector"][..]),
        (json!({"connector": "test/script"}), &["/connector"]),
        (json!({"settings": {"mode": "a"}}), &["/settings"]),
        (json!({"secrets": {"signing": SECRET}}), &["/secrets"]),
        (json!({"connector": HOOKS, "settings": {"mode": "c", "odd": 1}}), &["/settings/mode", "/settings/odd"]),
        (json!({"connector": HOOKS, "settings": {"signed": "not a header"}}), &["/settings/signed"]),
        (
            json!({"connector": HOOKS, "secrets": {"signing": "short", "token": "x"}}),
            &["/secrets/signing", "/secrets/token"],
        ),
    ] {
        let mut whole = json!({"name": "hooks"});
        whole.as_object_mut().expect("an object").extend(new.as_object().cloned().expect("an object"));
        let answer = hub.post("/api/v1/sources", &acme.editor, &whole).await;
        assert_eq!(
            (answer.status.as_u16(), answer.faults()),
            (422, faults.iter().map(|f| (*f).to_owned()).collect()),
            "{new}"
        );
    }
    let destination = json!({"name": "d", "connector": HOOKS});
    let answer = hub.post("/api/v1/destinations", &acme.editor, &destination).await;
    assert_eq!(answer.faults(), ["/connector"], "{}", answer.text());
    let plain = hub.post("/api/v1/sources", &acme.editor, &json!({"name": "plain"})).await.expect(201);
    assert_eq!((plain.get("connector"), plain.get("settings")), (None, None), "as it was before there were connectors");
}

async fn what_a_source_was_told_in_confidence_ends_with_its_connector(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let source = source(hub, &acme, json!({"signing": SECRET})).await;
    let path = format!("/api/v1/sources/{source}");
    let body = json!([order("u1")]);
    let change = async |change: Value| hub.call("PATCH", &path, &acme.editor, Some(&change)).await;
    let shown = hub.get(&path, &acme.viewer).await;
    assert_eq!(shown.json()["secrets"], json!(["signing"]));
    assert!(!shown.text().contains(SECRET), "a secret is written and never read");
    signed(hub, &source, SECRET, "m1", now(), &body).await.expect(200);
    change(json!({"secrets": {"signing": OTHER}, "settings": {"mode": "b"}})).await.expect(200);
    assert_eq!(signed(hub, &source, SECRET, "m2", now(), &body).await.status, 401, "at once");
    signed(hub, &source, OTHER, "m2", now(), &body).await.expect(200);
    assert_eq!(change(json!({"settings": {"mode": "c"}})).await.faults(), ["/settings/mode"]);
    let without = change(json!({"connector": null})).await.expect(200);
    assert_eq!((without.get("connector"), without.get("settings"), without.get("secrets")), (None, None, None));
    assert_eq!(signed(hub, &source, OTHER, "m3", now(), &body).await.status, 404);
    let again = change(json!({"connector": HOOKS})).await.expect(200);
    assert_eq!(again.get("secrets"), None, "nothing of it came back");
    assert_eq!(signed(hub, &source, OTHER, "m3", now(), &body).await.status, 401);
    hub.call("DELETE", &path, &acme.editor, None).await.expect(204);
    assert_eq!(signed(hub, &source, OTHER, "m3", now(), &body).await.status, 404);
}

async fn of_a_bad_webhook_nothing_is_kept_and_the_sender_hears_why(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let source = source(hub, &acme, json!({"signing": SECRET})).await;
    let nobody = json!({"type": "track", "event": "e"});
    let large = json!({"type": "track", "userId": "u", "event": "x".repeat(40_000)});
    let many = Value::from(vec![order("u"); 2_501]);
    for (body, status, expected, index) in [
        (json!([order("u1"), nobody]), 400, "no_usable_id", json!(1)),
        (json!([order("u1"), 7]), 400, "not_an_object", json!(1)),
        (json!([order("u1"), {"type": "sing", "userId": "u"}]), 400, "invalid_type", json!(1)),
        (json!([order("u1"), large]), 400, "event_too_large", json!(1)),
        (many, 400, "too_many_events", Value::Null),
        (json!({"odd": true}), 400, "webhook_refused", Value::Null),
        (json!("later"), 503, "connector_failed", Value::Null),
    ] {
        let answer = signed(hub, &source, SECRET, "m", now(), &body).await;
        assert_eq!(code(&answer), (status, expected.to_owned()), "{}", answer.text());
        assert_eq!(answer.json()["index"], index, "{}", answer.text());
        assert_eq!(answer.header("retry-after").is_empty(), status == 400);
    }
    let refused = signed(hub, &source, SECRET, "m", now(), &json!({})).await.json();
    assert_eq!(
        (&refused["field"], &refused["message"]),
        (&json!("settings.mode"), &json!("the connector refuses it: as told (told)"))
    );
    assert!(hub.events(acme.id).await.is_empty());
    let said = signed(hub, &source, SECRET, "m", now(), &json!("answer")).await;
    assert_eq!((said.status.as_u16(), said.text().as_str()), (202, "hello"));
    assert_eq!(said.header("x-content-type-options"), "nosniff");
    assert_eq!(signed(hub, &source, SECRET, "m", now(), &json!([])).await.expect(200), json!({"success": true}));
}

async fn a_webhook_may_come_compressed_and_not_too_large(hub: &Hub) {
    use std::io::Write as _;
    let small = Hub::with(
        None,
        Choices { options: ApiOptions { max_body: 4_096, ..ApiOptions::default() }, ..Choices::default() },
    )
    .await;
    let acme = small.tenant("acme").await;
    let there = source(&small, &acme, json!({"signing": SECRET})).await;
    let padded = json!([{"type": "track", "userId": "u", "event": "x".repeat(5_000)}]);
    let answer = signed(&small, &there, SECRET, "m", now(), &padded).await;
    assert_eq!(code(&answer), (413, "body_too_large".to_owned()));

    let acme = hub.tenant("acme").await;
    let source = source(hub, &acme, json!({"signing": SECRET})).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(json!([order("u1")]).to_string().as_bytes()).expect("packed");
    let packed = encoder.finish().expect("packed");
    let at = now();
    let signature = standard_webhooks(SECRET, "m", at, &packed).expect("a secret");
    let at = at.to_string();
    let headers = [
        ("webhook-id", "m"),
        ("webhook-timestamp", &*at),
        ("webhook-signature", &*signature),
        ("content-encoding", "gzip"),
    ];
    hub.ingest(&format!("/v1/webhook/{source}"), &headers, packed).await.expect(200);
    assert_eq!(hub.events(acme.id).await.len(), 1, "the signature is of what was sent");
}
