//! Destinations that misbehave: each fills only its own lane, and the hub says what it saw.

use std::time::{Duration, Instant};

use rialto_testkit::receiver::{Received, Receiver, Reply};
use serde_json::{Value, json};

use crate::ground::{Ground, alone};

/// What a bad server does, and a word that `explain` must say of it; none where it takes half a minute until anything
/// is known. Who says 200 has taken the events, however long the rest of the answer is.
fn misbehaviours() -> Vec<(&'static str, Reply, Option<&'static str>)> {
    let gzip = vec![("content-encoding".to_owned(), "gzip".to_owned())];
    let redirect = vec![("location".to_owned(), "http://169.254.169.254/latest/meta-data".to_owned())];
    vec![
        ("refuses the connection", Reply::Hang, Some("connect")),
        ("never answers", Reply::Hang, None),
        ("resets", Reply::Reset, Some("protocol")),
        ("fails", Reply::Status(500), Some("http_500")),
        ("endless body", Reply::Endless, Some("took it")),
        ("a gigabyte of headers", Reply::Headers(1 << 30), Some("protocol")),
        ("redirects inwards", Reply::Full(302, redirect, "".into()), Some("http_302")),
        ("a byte a second", Reply::Drip(Duration::from_secs(1)), None),
        ("gzip bomb", Reply::Full(200, gzip, bomb()), None),
    ]
}

/// 20 MB of zeros as 20 kB of gzip.
fn bomb() -> bytes::Bytes {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..20 {
        encoder.write_all(&[0; 1 << 20]).expect("memory can be written");
    }
    encoder.finish().expect("memory can be written").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_destination_fills_only_its_own_lane() {
    let mut ground = Ground::sqlite("destinations::each_bad_destination_fills_only_its_own_lane").await;
    let _turn = alone().await;
    let acme = &ground.acme;
    let mut bad = Vec::new();
    for (what, reply, word) in misbehaviours() {
        let server = Receiver::start(move |_| reply.clone()).await;
        let url = if what.starts_with("refuses") { closed_port().await } else { server.url("/") };
        let id = acme.destination(what, json!({"url": url}), json!({})).await;
        bad.push((what, server, id, word));
    }
    let good = Receiver::kind().await;
    acme.webhook("healthy", &good.url("/")).await;
    let memory = resident(ground.hub.id().expect("it runs"));
    let start = Instant::now();
    let events: Vec<Value> = (0..200)
        .map(|n| json!({"type": "track", "event": "e", "userId": format!("u-{}", n % 40), "messageId": format!("d-{n}")}))
        .collect();
    for chunk in events.chunks(10) {
        acme.accept_all(chunk).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let all = |received: &[Received]| received.iter().flat_map(Received::events).count() >= 200;
    good.until("the healthy lane goes on", Duration::from_secs(10), all).await;
    println!("healthy lane done after {:?}", start.elapsed());
    for (what, _, id, word) in &bad {
        let Some(word) = word else { continue };
        let told = |said: &Value| {
            let fates = said["destinations"].as_array().cloned().unwrap_or_default();
            let fate = fates.iter().find(|fate| fate["destination_id"] == json!(id)).cloned().unwrap_or_default();
            let status = fate["status"].as_str().unwrap_or_default();
            let text = fate.to_string();
            ["parked", "dead", "lane_stopped", "delivered"].contains(&status) && text.contains(word)
        };
        acme.explained("d-0", &format!("says why not: {what}"), told).await;
    }
    let grown = resident(ground.hub.id().expect("it runs")).saturating_sub(memory);
    println!("the hub grew by {} MiB", grown >> 20);
    assert!(grown < 200 << 20, "bad destinations cost the hub {} MiB", grown >> 20);
    let (took, code) = ground.hub.stop().await;
    assert!(took < Duration::from_secs(25) && code == Some(0), "stopped in {took:?} with {code:?}");
}

/// An address where nobody listens.
async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
    format!("http://{}/", listener.local_addr().expect("a bound listener has an address"))
}

/// The memory that a process has, in bytes.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kb| kb << 10)
}
