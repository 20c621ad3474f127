//! The webhook connector offline, against scripted replies.

use rialto_sdk::{
    Verdict,
    testing::{Answer, Run, Trial, header},
};
use rialto_webhook::Webhook;
use serde_json::{Value, json};

fn run(
    settings: &Value,
    events: u32,
    answer: impl FnMut(&rialto_sdk::testing::HttpRequest) -> Answer + 'static,
) -> Run {
    let mut whole = json!({ "url": "https://example.com/in" });
    whole.as_object_mut().expect("an object").extend(settings.as_object().cloned().unwrap_or_default());
    let trial =
        (0..events).fold(Trial::<Webhook>::new(whole), |trial, n| trial.event(&format!("d{n}"), &json!({ "n": n })));
    trial.answer(answer).run("send")
}

#[test]
fn the_example_s_settings_are_those_of_the_manifest() {
    let example: Value = serde_json::from_str(include_str!("../examples/destination.json")).expect("JSON");
    let manifest: Value =
        serde_json::from_slice(<Webhook as rialto_sdk::Destination>::MANIFEST).expect("the manifest is JSON");
    assert_eq!(example["connector"], manifest["id"]);
    for (part, field) in [("settings", "settings"), ("secrets", "auth")] {
        let known: Vec<_> = manifest[field].as_array().expect("a list").iter().map(|f| f["name"].as_str()).collect();
        for name in example[part].as_object().expect("an object").keys() {
            assert!(known.contains(&Some(name.as_str())), "{part}.{name}");
        }
    }
    let done = Trial::<Webhook>::new(example["settings"].clone()).event("d", &json!({})).run("send");
    assert_eq!(done.verdict(0), Some(Verdict::Delivered));
}

#[test]
fn every_event_is_a_request_of_its_own_unless_batches_are_asked_for() {
    let single = run(&json!({}), 3, |_| Answer::status(204));
    assert_eq!(single.rounds.len(), 1, "all in one round, which the hub judges");
    let sent: Vec<_> =
        single.requests().map(|r| (header(r, "webhook-id"), r.events.as_slice(), r.body.as_slice())).collect();
    let bodies: [&[u8]; 3] = [br#"{"n":0}"#, br#"{"n":1}"#, br#"{"n":2}"#];
    assert_eq!(
        sent,
        [(Some("d0"), &[0][..], bodies[0]), (Some("d1"), &[1][..], bodies[1]), (Some("d2"), &[2][..], bodies[2]),]
    );
    let batch = run(&json!({ "mode": "batch" }), 3, |_| Answer::status(204));
    let request = batch.requests().next().expect("one");
    assert_eq!(request.body, br#"{"batch":[{"n":0},{"n":1},{"n":2}]}"#);
    assert_eq!(request.auth, ["authorization", "signing"]);
    assert_eq!(header(request, "webhook-id"), header(request, "idempotency-key"));
    assert!((0..3).all(|n| batch.verdict(n) == Some(Verdict::Delivered)));
}

#[test]
fn a_batch_that_is_refused_is_sent_again_one_by_one() {
    for status in [400, 413, 422] {
        let run = run(&json!({ "mode": "batch" }), 3, move |request| {
            let bad = String::from_utf8_lossy(&request.body).contains("\"n\":1");
            Answer::status(if bad { status } else { 200 })
        });
        let verdicts: Vec<_> = (0..3).map(|n| run.verdict(n)).collect();
        assert_eq!(verdicts, [Some(Verdict::Delivered), Some(Verdict::Rejected), Some(Verdict::Delivered)], "{status}");
        assert_eq!(run.rounds[1][0].body, br#"{"batch":[{"n":0}]}"#);
        assert_eq!(header(&run.rounds[1][1], "webhook-id"), Some("d1"));
    }
}

#[test]
fn what_may_pass_is_not_split_but_tried_again() {
    for status in [429, 500, 503] {
        let run = run(&json!({ "mode": "batch" }), 3, move |_| Answer::status(status));
        assert_eq!(run.rounds.len(), 1, "{status}");
        assert!((0..3).all(|n| run.verdict(n) == Some(Verdict::Retry)));
    }
}

#[test]
fn a_batch_of_one_is_named_by_its_delivery() {
    let run = run(&json!({ "mode": "batch" }), 1, |_| Answer::status(400));
    assert_eq!(run.rounds.len(), 1, "there is nothing to split");
    assert_eq!(header(&run.rounds[0][0], "webhook-id"), Some("d0"));
    assert_eq!(run.verdict(0), Some(Verdict::Rejected));
}

#[test]
fn the_tenant_s_headers_are_added() {
    let run = run(&json!({ "headers": { "X-Team": "growth" } }), 1, |_| Answer::status(200));
    assert_eq!(header(&run.rounds[0][0], "x-team"), Some("growth"));
}

#[test]
fn headers_that_would_never_be_sent_are_a_fault_of_the_settings() {
    let many: Value = (0..49).map(|n| (format!("x-{n}"), json!("y"))).collect::<serde_json::Map<_, _>>().into();
    for (headers, said) in [
        (json!({ "Authorization": "Bearer x" }), "Authorization"),
        (json!({ "Proxy-Authorization": "x" }), "auth slots"),
        (json!({ "Content-Type": "text/plain" }), "sets the header 'Content-Type' itself"),
        (json!({ "x-a": "y", "Webhook-Id": "1" }), "sets the header 'Webhook-Id' itself"),
        (json!({ "idempotency-key": "1" }), "sets the header 'idempotency-key' itself"),
        (json!({ "a b": "x" }), "not a header's name"),
        (json!({ "x-a": "b\r\nx-injected: 1" }), "control characters"),
        (json!({ "x-a": "y".repeat(13_000) }), "12288 bytes"),
        (many, "48 headers"),
    ] {
        let run = run(&json!({ "headers": headers }), 1, |_| Answer::status(200));
        let failure = run.failure.as_ref().expect("it failed");
        assert_eq!((failure.code.as_str(), failure.field.as_deref()), ("settings", Some("headers")));
        assert!(failure.message.contains(said) && !failure.retryable, "{failure:?}");
        assert_eq!(run.requests().count(), 0);
    }
}
