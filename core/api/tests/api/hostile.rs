//! Bodies and heads that mean harm: refused, never a 500, and the hub goes on.

use std::io::Write;

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::harness::Hub;

/// Texts that are no JSON, or JSON that no database and no parser likes.
fn nasty() -> Vec<(&'static str, Vec<u8>)> {
    let event = |properties: String| format!(r#"{{"userId":"u","event":"E","properties":{properties}}}"#).into_bytes();
    let keys: Vec<String> = (0..20_000).map(|n| format!("\"k{n}\":1")).collect();
    vec![
        ("nothing", Vec::new()),
        ("no JSON", b"userId=u&event=E".to_vec()),
        ("cut short", br#"{"userId":"u","event":"#.to_vec()),
        ("more after it", br#"{"userId":"u","event":"E"}{"#.to_vec()),
        ("a million brackets", vec![b'['; 1_000_000]),
        ("deep objects", event(r#"{"a":"#.repeat(3_000) + "1" + &"}".repeat(3_000))),
        ("deep lists", event("[".repeat(65) + &"]".repeat(65))),
        ("many keys", event(format!("{{{}}}", keys.join(",")))),
        ("a number beyond all floats", event(r#"{"n":1e131071}"#.to_owned())),
        ("a million digits", event(format!("{{\"n\":{}}}", "9".repeat(1_000_000)))),
        ("NUL", event(r#"{"a":"x\u0000y"}"#.to_owned())),
        ("NUL in a key", event(r#"{"\u0000":1}"#.to_owned())),
        ("a raw NUL", event("{\"a\":\"x\0y\"}".to_owned())),
        ("a lone surrogate", event(r#"{"a":"\ud800"}"#.to_owned())),
        ("no UTF-8", [br#"{"userId":""#.as_slice(), &[0xff, 0xfe], br#"","event":"E"}"#].concat()),
        ("a byte order mark in UTF-16", "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a list", b"[]".to_vec()),
        ("a number", b"7".to_vec()),
        ("null", b"null".to_vec()),
        ("NaN", br#"{"userId":"u","event":"E","properties":{"n":NaN}}"#.to_vec()),
        ("an id that is an object", br#"{"userId":{"a":1},"event":"E"}"#.to_vec()),
        (
            "a long message id",
            format!(r#"{{"userId":"u","event":"E","messageId":"{}"}}"#, "x".repeat(101)).into_bytes(),
        ),
        ("a time without a zone", br#"{"userId":"u","event":"E","timestamp":"2026-01-01T00:00:00"}"#.to_vec()),
    ]
}

async fn nasty_bodies_are_refused_with_a_reason(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let key = ("x-write-key", acme.write_key.as_str());
    for (name, body) in nasty() {
        let answer = hub.ingest("/v1/track", &[key], body.clone()).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        assert!(answer.json()["code"].is_string() && answer.json()["message"].is_string(), "{name}: {}", answer.text());
        for path in ["/v1/batch", "/v1/import", "/batch/", "/api/s/track"] {
            let answer = hub.ingest(path, &[key], body.clone()).await;
            assert!(answer.status.is_client_error(), "{name} at {path}: {}", answer.text());
        }
        for path in ["/api/v1/sources", "/api/v1/destinations", "/api/v1/routes", "/api/v1/api_keys"] {
            let request =
                Request::builder().method("POST").uri(path).header("authorization", format!("Bearer {}", acme.admin));
            let answer = hub.send(request.body(Body::from(body.clone())).expect("a request")).await;
            assert!(answer.status.is_client_error(), "{name} at {path}: {}", answer.text());
        }
    }
    assert!(hub.events(acme.id).await.is_empty());
    hub.track(&acme, &json!({"userId": "u", "event": "E"})).await.expect(200);
}

async fn a_bomb_is_refused_before_it_unfolds(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..100 {
        encoder.write_all(&vec![b'['; 1 << 20]).expect("memory takes it");
    }
    let bomb = encoder.finish().expect("memory takes it");
    assert!(bomb.len() < 200 << 10, "the bomb itself is small: {}", bomb.len());
    let asked = std::time::Instant::now();
    let headers = [("x-write-key", acme.write_key.as_str()), ("content-encoding", "gzip")];
    let answer = hub.ingest("/v1/batch", &headers, bomb).await;
    assert_eq!(answer.expect(400)["code"], "batch_too_large");
    // In a debug build inflating all of it takes seconds; the bound stops at a two-hundredth of that.
    assert!(asked.elapsed() < std::time::Duration::from_millis(500), "took {:?}", asked.elapsed());
}

async fn nasty_heads_are_refused(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    let body = json!({"userId": "u", "event": "E"}).to_string();
    for value in ["Basic", "Basic ====", "Basic //79/Q==", "Bearer", "Digest a=b", &"x".repeat(9_000)] {
        hub.ingest("/v1/track", &[("authorization", value)], body.clone()).await.expect(401);
    }
    for path in [
        "/api/v1/sources?after=%00",
        "/api/v1/events/%00",
        "/api/v1/events/%ff",
        "/api/v1/profiles/by/email/%00",
        "/api/v1/profiles/by/%00/x",
        "/api/v1/dead_letters?message_id=%00",
        "/api/v1/sources?after=",
        "/v1/pixel/%ff",
    ] {
        let answer = hub.get(path, &acme.viewer).await;
        assert!(!answer.status.is_server_error(), "{path}: {}", answer.text());
    }
}

on_both!(nasty_heads_are_refused);

mod bodies {
    use super::*;

    on_sqlite!(nasty_bodies_are_refused_with_a_reason, a_bomb_is_refused_before_it_unfolds);
}
