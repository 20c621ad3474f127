//! The webhook connector, from event to a receiver that checks the signature.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use rialto_engine::FailureKind;
use rialto_model::delivery::Verdict;
use rialto_plugin::CallLimits;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    artifact,
    bench::{self, Bench, event, host, said},
    receiver::{Answer, Received, Receiver},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn webhook(receiver: &Receiver, settings: Value, secrets: &[(&str, &str)]) -> Bench {
    let mut whole = json!({ "url": format!("{}in?x=1", receiver.url()) });
    whole.as_object_mut().expect("an object").extend(settings.as_object().cloned().unwrap_or_default());
    Bench::new(host(artifact::webhook(), CallLimits::default(), bench::local()), "rialto/webhook", whole, secrets)
}

/// Checks the signature as a receiver does.
fn is_signed(request: &Received) -> bool {
    let header = |name| request.header(name).unwrap_or_default();
    let key = STANDARD.decode(&SECRET["whsec_".len()..]).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&request.body);
    (0..60).contains(&late(request))
        && header("webhook-signature") == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// How many seconds after the job's beginning a request was signed.
fn late(request: &Received) -> i64 {
    let signed: i64 = request.header("webhook-timestamp").and_then(|at| at.parse().ok()).expect("a timestamp");
    signed - bench::NOW.millis() / 1000
}

fn events(n: u32) -> Vec<rialto_engine::JobEvent> {
    (0..n)
        .map(|n| event(n, n as u8, &json!({ "message_id": format!("m{n}"), "type": "track", "text": "é\u{1F600}" })))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_posted_signed_with_its_delivery_id() {
    let receiver = Receiver::willing().await;
    let settings = json!({ "headers": { "X-Tenant": "acme" } });
    let bench = webhook(&receiver, settings, &[("signing", SECRET), ("authorization", "Bearer abcdef")]);
    let outcomes = bench.deliver("", events(3)).await.expect("outcomes");
    assert_eq!(said(&outcomes), [(Verdict::Delivered, "http_200"); 3]);
    let mut requests = receiver.received();
    requests.sort_by(|a, b| a.header("webhook-id").cmp(&b.header("webhook-id")));
    for (n, request) in requests.iter().enumerate() {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/in?x=1"));
        assert_eq!(request.header("webhook-id"), Some(format!("delivery-{n}").as_str()));
        assert_eq!(request.header("idempotency-key"), request.header("webhook-id"));
        assert_eq!(request.header("x-tenant"), Some("acme"));
        assert_eq!(request.header("authorization"), Some("Bearer abcdef"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("Rialto/")));
        assert_eq!(request.body, events(3)[n].body, "the event's bytes, unchanged");
        assert!(is_signed(request), "{request:?}");
    }
    let again = bench.deliver("", events(3)).await.expect("outcomes");
    assert_eq!(again.len(), 3);
    assert!(
        receiver.received()[3..].iter().all(|r| r.header("webhook-id").is_some_and(|id| id.starts_with("delivery-")))
    );
}

/// A job of seventeen for a destination that takes sixteen at a time, and its time for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_had_to_wait_is_signed_with_the_moment_it_starts() {
    let receiver = Receiver::start(|_| Answer::Late(Duration::from_millis(1_500), 200)).await;
    let bench = webhook(&receiver, json!({}), &[("signing", SECRET)]);
    bench.deliver("send", events(17)).await.expect("outcomes");
    let requests = receiver.received();
    assert!(requests.iter().all(is_signed));
    assert!(late(&requests[16]) > late(&requests[0]), "{} after {}", late(&requests[16]), late(&requests[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_secrets_it_is_sent_unsigned() {
    let receiver = Receiver::willing().await;
    let outcomes = webhook(&receiver, json!({}), &[]).deliver("send", events(1)).await.expect("outcomes");
    assert_eq!(said(&outcomes), [(Verdict::Delivered, "http_200")]);
    let request = receiver.received().remove(0);
    assert_eq!((request.header("webhook-signature"), request.header("authorization")), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_one_signed_request_with_a_key_of_its_own() {
    let receiver = Receiver::willing().await;
    let bench = webhook(&receiver, json!({ "mode": "batch" }), &[("signing", SECRET)]);
    bench.deliver("send", events(3)).await.expect("outcomes");
    bench.deliver("send", events(3)).await.expect("outcomes");
    bench.deliver("send", events(2)).await.expect("outcomes");
    let requests = receiver.received();
    assert_eq!(requests.len(), 3);
    let body: Value = serde_json::from_slice(&requests[0].body).expect("JSON");
    assert_eq!(body["batch"].as_array().map(Vec::len), Some(3));
    assert_eq!(body["batch"][1]["message_id"], "m1");
    assert!(requests.iter().all(is_signed));
    let ids: Vec<_> = requests.iter().map(|request| request.header("webhook-id")).collect();
    assert!(ids[0].is_some() && ids[0] == ids[1], "the same batch has the same key: {ids:?}");
    assert_ne!(ids[0], ids[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_event_does_not_take_its_batch_down() {
    let receiver = Receiver::start(|request| {
        let bad = String::from_utf8_lossy(&request.body).contains("\"m1\"");
        Answer::Reply(if bad { 422 } else { 200 }, Vec::new(), b"m1 has no price".to_vec())
    })
    .await;
    let outcomes = webhook(&receiver, json!({ "mode": "batch" }), &[("signing", SECRET)]);
    let outcomes = outcomes.deliver("send", events(3)).await.expect("outcomes");
    let expected =
        [(Verdict::Delivered, "http_200"), (Verdict::Rejected, "http_422"), (Verdict::Delivered, "http_200")];
    assert_eq!(said(&outcomes), expected);
    assert!(outcomes[1].message.contains("m1 has no price"));
    assert!(receiver.received().iter().all(is_signed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_among_the_headers_is_refused() {
    let receiver = Receiver::willing().await;
    let bench = webhook(&receiver, json!({ "headers": { "Authorization": "Bearer x" } }), &[]);
    let failure = bench.deliver("send", events(1)).await.expect_err("the lane says so, and does not try for days");
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Fatal, "settings"));
    assert!(
        failure.message.starts_with("settings.headers") && failure.message.contains("Authorization"),
        "{failure:?}"
    );
    assert_eq!(receiver.connections(), 0);
}
