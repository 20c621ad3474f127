//! Standard Webhooks: what the webhook connector signs is verified at the receiver by others' libraries, and what
//! was tampered with is not.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rialto_testkit::receiver::{Received, Receiver, Reply};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::clients::{command, installed};
use crate::ground::Ground;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_verifies_the_signatures() {
    let test = "webhooks::node_verifies_the_signatures";
    check(test, "node", "node_modules", "node/verify-webhook.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_verifies_the_signatures() {
    let test = "webhooks::python_verifies_the_signatures";
    check(test, "python3", "python", "python/verify_webhook.py").await;
}

async fn check(test: &str, runtime: &str, libraries: &str, verifier: &str) {
    let Some(folder) = installed(test, runtime, libraries) else { return };
    let ground = Ground::sqlite(test).await;
    let receiver = Receiver::kind().await;
    let acme = &ground.acme;
    for mode in ["single", "batch"] {
        let settings = json!({"url": receiver.url(&format!("/{mode}")), "mode": mode});
        acme.destination(mode, settings, json!({"signing": SECRET})).await;
    }
    let events: Vec<Value> = (0..6)
        .map(|n| json!({"type": "track", "event": "Søld “it” 😀", "userId": format!("u-{n}"), "properties": {"n": n}}))
        .collect();
    acme.accept_all(&events).await;
    let all = |received: &[Received]| {
        let count = |path: &str| received.iter().filter(|r| r.path == path).flat_map(Received::events).count();
        count("/single") >= events.len() && count("/batch") >= events.len()
    };
    receiver.until("both destinations got all events", Duration::from_secs(20), all).await;

    let received = receiver.received();
    let mut questions: Vec<Value> = received.iter().map(|one| question(SECRET, one)).collect();
    let honest = questions.len();
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    questions.push(question(other, &received[0]));
    let mut tampered = question(SECRET, &received[0]);
    tampered["body"] = json!(tampered["body"].as_str().expect("a text").replacen("track", "trick", 1));
    questions.push(tampered);
    let answers = verify(runtime, verifier, &folder, &questions).await;
    for (question, answer) in questions.iter().zip(&answers).take(honest) {
        assert_eq!(answer, "ok", "{question}");
    }
    assert_ne!(answers[honest], "ok", "a signature under another secret passes for ours");
    assert_ne!(answers[honest + 1], "ok", "a changed body passes for ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_keeps_its_id_over_attempts() {
    let ground = Ground::sqlite("webhooks::a_delivery_keeps_its_id_over_attempts").await;
    // The first attempt for one person fails and everybody else's succeeds: a destination that takes nothing at all
    // would stop its lane instead.
    let failed = AtomicBool::new(false);
    let receiver = Receiver::start(move |received| {
        let unlucky = received.events()[0]["user_id"] == json!("unlucky");
        Reply::Status(if unlucky && !failed.swap(true, Ordering::Relaxed) { 500 } else { 200 })
    })
    .await;
    let acme = &ground.acme;
    let settings = json!({"url": receiver.url("/"), "mode": "single"});
    let destination = acme.destination("flaky", settings, json!({"signing": SECRET})).await;
    let events: Vec<Value> = (0..10)
        .map(|n| json!({"type": "track", "event": "Once", "userId": if n == 5 { "unlucky".to_owned() } else { format!("u{n}") }}))
        .collect();
    acme.accept_all(&events).await;
    let parked = acme.wait("/api/v1/deliveries/parked", "a parked delivery", |answer| {
        answer.json()["items"].as_array().is_some_and(|items| items.len() == 1)
    });
    let parked = parked.await["items"][0].clone();
    assert_eq!((&parked["attempts"], &parked["destination_id"]), (&json!(1), &json!(destination)), "{parked}");
    let again = json!({"destination_id": destination, "position": parked["position"], "action": parked["action"]});
    acme.api().post("/api/v1/deliveries/parked/retry", &again).await.expect(200);
    receiver.until("the second attempt", Duration::from_secs(10), |received| received.len() == 11).await;
    let tried = receiver.received().into_iter().filter(|received| received.events()[0]["user_id"] == json!("unlucky"));
    let ids: Vec<_> = tried.map(|received| received.headers["webhook-id"].clone()).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1], "an attempt is known by its delivery's id");
    assert_eq!(ids[0], parked["delivery_id"].as_str().expect("a delivery has an id"));
}

fn question(secret: &str, received: &Received) -> Value {
    let body = std::str::from_utf8(&received.body).expect("the connector sends UTF-8");
    json!({"secret": secret, "headers": received.headers, "body": body})
}

/// What a library says of each webhook: a line in, a line out.
pub(crate) async fn verify(
    runtime: &str,
    verifier: &str,
    folder: &std::path::Path,
    questions: &[Value],
) -> Vec<String> {
    let mut command = command(runtime, verifier, folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a verifier can be started");
    let lines: String = questions.iter().map(|question| format!("{question}\n")).collect();
    let mut input = child.stdin.take().expect("its input is ours");
    input.write_all(lines.as_bytes()).await.expect("it reads");
    drop(input);
    let output = child.wait_with_output().await.expect("it ends");
    let answers: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), questions.len(), "an answer to each");
    answers
}
