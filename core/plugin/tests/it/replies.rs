//! Destinations that mean harm: whatever comes back is bounded in size and time, and credentials in it are taken out.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use rialto_model::delivery::Verdict;
use rialto_plugin::{CallLimits, EgressPolicy};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    artifact,
    bench::{self, Bench, event, host, said},
    receiver::{Answer, Receiver},
};

/// The hostile guest at a receiver, with short patience.
fn impatient(url: &str) -> Bench {
    let egress = EgressPolicy { request_timeout: Duration::from_millis(500), ..bench::local() };
    Bench::new(host(artifact::hostile(), CallLimits::default(), egress), "test/hostile", json!({ "url": url }), &[])
}

async fn outcome_of(answer: Answer) -> ((Verdict, String), Duration) {
    let receiver = Receiver::start(move |_| answer.clone()).await;
    let bench = impatient(&receiver.url());
    let begun = Instant::now();
    let outcomes = bench.deliver("each", vec![event(1, 1, &json!({ "n": 1 }))]).await.expect("outcomes");
    ((outcomes[0].verdict, outcomes[0].code.clone()), begun.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harmful_replies_are_cut_or_given_up_on() {
    for (answer, verdict, code) in [
        (Answer::Silence, Verdict::Retry, "timeout"),
        (Answer::Drip, Verdict::Retry, "timeout"),
        (Answer::Reset, Verdict::Retry, "protocol"),
        (Answer::Headers, Verdict::Retry, "protocol"),
        (Answer::Raw(b"220 smtp.example ESMTP\r\n"), Verdict::Retry, "protocol"),
        (Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort"), Verdict::Retry, "protocol"),
        // It said that it took the event before it began to babble.
        (Answer::Endless(b"babble and babble and babble and babble and babble"), Verdict::Delivered, "http_200"),
    ] {
        let (found, took) = outcome_of(answer).await;
        assert_eq!(found, (verdict, code.to_owned()));
        assert!(took < Duration::from_secs(5), "{code} took {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_at_home_is_a_connect_error() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let outcomes = impatient(&format!("http://127.0.0.1:{port}/")).one("each").await.expect("outcomes");
    assert_eq!(said(&outcomes), [(Verdict::Retry, "connect")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_bomb_stays_compressed() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    (0..100).for_each(|_| encoder.write_all(&vec![0; 1 << 20]).expect("memory"));
    let bomb = encoder.finish().expect("100 MB in 100 kB");
    let size = bomb.len();
    let receiver =
        Receiver::start(move |_| Answer::Reply(500, vec![("content-encoding", "gzip".into())], bomb.clone())).await;
    let bench = impatient(&receiver.url());
    let outcomes = bench.deliver("each", vec![event(1, 1, &json!({ "n": 1 }))]).await.expect("outcomes");
    assert_eq!(said(&outcomes), [(Verdict::Retry, "http_500")]);
    assert!(size < 200_000 && outcomes[0].message.chars().count() <= 1_000);
    assert_eq!(receiver.received()[0].header("accept-encoding"), Some("identity"), "nothing compressed is asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_passed_on() {
    let receiver =
        Receiver::start(|_| Answer::Reply(429, vec![("retry-after", "17".into())], b"slow down".to_vec())).await;
    let outcomes =
        impatient(&receiver.url()).deliver("each", vec![event(1, 1, &json!({ "n": 1 }))]).await.expect("outcomes");
    assert_eq!(outcomes[0].retry_after_ms, Some(17_000));
    assert!(outcomes[0].message.contains("slow down"), "{:?}", outcomes[0]);
}

/// Answers with all that it was sent, as an echo endpoint does, in several spellings.
async fn echo() -> Receiver {
    use base64::{Engine, engine::general_purpose::STANDARD};
    Receiver::start(|request| {
        let auth = request.header("authorization").unwrap_or_default().to_owned();
        let echoed = format!("{} {auth} {} {:?}", request.path, STANDARD.encode(&auth), request.headers);
        Answer::Reply(400, vec![("x-echo", format!("{auth} {}", request.path))], echoed.into_bytes())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echoed_credential_reaches_neither_guest_nor_reader() {
    let secrets = [("token", "tok-3cr3t+/="), ("key", "k3y s3cret&"), ("login", "ada:p4ssw0rd!")];
    let host = host(artifact::hostile(), CallLimits::default(), bench::local());
    let receiver = echo().await;
    let bench = Bench::new(host, "test/hostile", json!({ "url": receiver.url() }), &secrets);
    let gossip = bench.one("gossip").await.expect("outcomes").remove(0);
    let words = bench.one("last_words").await.expect_err("it panics").message;
    let plain = bench.deliver("each", vec![event(1, 1, &json!({ "n": 1 }))]).await.expect("outcomes").remove(0).message;
    assert!(gossip.message.contains("[secret]"), "it did hear something: {}", gossip.message);
    assert_eq!(gossip.code, "heard__it_");
    for text in [&gossip.message, &words, &plain] {
        for leaked in ["3cr3t", "s3cret", "p4ssw0rd", "YWRhOnA0c3N3MHJkI", "k3y"] {
            assert!(!text.contains(leaked), "{leaked} in {text}");
        }
    }
    let sent = receiver.received();
    // The last slot that sets the header wins; the query slot is in the URL.
    assert_eq!(sent[0].header("authorization"), Some("Basic YWRhOnA0c3N3MHJkIQ=="));
    assert_eq!(sent[0].path, "/?api_key=k3y+s3cret%26");
    assert_eq!(sent[1].header("authorization"), Some("Bearer tok-3cr3t+/="));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_lies_across_the_cut_of_a_long_reply_is_taken_out_whole() {
    let receiver = Receiver::start(|request| {
        let auth = request.header("authorization").unwrap_or_default();
        Answer::Reply(400, Vec::new(), format!("{}{auth}{}", "x".repeat(300), "y".repeat(50_000)).into_bytes())
    })
    .await;
    for cut in [300, 308, 309, 315, 325, 326] {
        let egress = EgressPolicy { reply_body: cut, ..bench::local() };
        let host = host(artifact::hostile(), CallLimits::default(), egress);
        let bench =
            Bench::new(host, "test/hostile", json!({ "url": receiver.url() }), &[("token", "3cr3t-0123456789")]);
        let words = bench.one("last_words").await.expect_err("it panics").message;
        assert!(words.contains(&"x".repeat(300)) && !words.contains("3c"), "{cut}: {words}");
    }
}

/// A TLS server on this machine with a certificate for a name.
async fn tls_server(name: &str) -> (u16, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], key))
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let _ = tls.read(&mut [0; 4096]).await;
            let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            let _ = tls.shutdown().await;
        }
    });
    (port, certificate.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_must_be_trusted_and_be_for_the_host() {
    for (name, trusted, expected) in [
        ("localhost", true, (Verdict::Delivered, "http_200")),
        ("localhost", false, (Verdict::Retry, "tls")),
        ("someone-else.example", true, (Verdict::Retry, "tls")),
    ] {
        let (port, certificate) = tls_server(name).await;
        let extra_roots = if trusted { vec![certificate] } else { Vec::new() };
        let egress = EgressPolicy { extra_roots, ..bench::local() };
        let host = host(artifact::hostile(), CallLimits::default(), egress);
        let bench = Bench::new(host, "test/hostile", json!({ "url": format!("https://localhost:{port}/") }), &[]);
        let outcomes = bench.deliver("each", vec![event(1, 1, &json!({ "n": 1 }))]).await.expect("outcomes");
        assert_eq!(said(&outcomes), [expected], "{name}, trusted: {trusted}");
    }
}
