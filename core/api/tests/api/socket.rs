//! The server on a real socket: whoever dawdles is shown out, and a shutdown lets work finish.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rialto_api::{ApiOptions, ServeOptions, serve};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::harness::{Choices, Hub};
use crate::ingest::gzip;

/// A server of a test's own.
struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn served(hub: &Hub, options: ServeOptions) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let router = hub.router.clone();
    let ended = tokio::spawn(serve(listener, router, options, async {
        let _ = stopped.await;
    }));
    Served { address, stop, ended }
}

fn impatient() -> ServeOptions {
    ServeOptions {
        header_timeout: Duration::from_millis(300),
        body_idle_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(900),
        max_connections: 4,
        drain: Duration::from_secs(5),
    }
}

async fn connect(served: &Served, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.expect("connects");
    stream.write_all(text.as_bytes()).await.expect("writes");
    stream
}

/// Everything until the server hangs up, and how long that took.
async fn hear_out(mut stream: TcpStream) -> (String, Duration) {
    let since = Instant::now();
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut heard)).await;
    assert!(ended.is_ok(), "the server never hung up");
    (String::from_utf8_lossy(&heard).into_owned(), since.elapsed())
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let hub = Hub::sqlite().await;
    let served = served(&hub, impatient()).await;
    for start in ["", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let (_, took) = hear_out(connect(&served, start).await).await;
        assert!(took < Duration::from_secs(2), "{start:?} was kept for {took:?}");
    }
}

#[tokio::test]
async fn a_body_that_stalls_or_trickles_is_a_408() {
    let hub = Hub::sqlite().await;
    let served = served(&hub, impatient()).await;
    let head = "POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{";
    let (heard, took) = hear_out(connect(&served, head).await).await;
    assert!(heard.starts_with("HTTP/1.1 408") && heard.contains("body_too_slow"), "{heard}");
    assert!(took < Duration::from_secs(2), "{took:?}");

    let mut stream = connect(&served, head).await;
    let since = Instant::now();
    let mut reply = [0; 12];
    loop {
        // A byte each tenth of a second is never silent for long, and still has to end.
        if stream.write_all(b" ").await.is_err() {
            break;
        }
        match tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut reply)).await {
            Ok(_) => break,
            Err(_) => assert!(since.elapsed() < Duration::from_secs(5), "a trickle was let go on"),
        }
    }
    assert_eq!(&reply, b"HTTP/1.1 408");
}

#[tokio::test]
async fn bodies_without_a_known_key_have_room_of_their_own_and_no_more() {
    let options = ApiOptions { max_bodies: 1 << 20, ..ApiOptions::default() };
    let hub = Hub::with(None, Choices { options, ..Choices::default() }).await;
    let acme = hub.tenant("acme").await;
    let served = served(&hub, ServeOptions::default()).await;
    let head = "POST /v1/batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000000\r\n";
    let large = " ".repeat(400 << 10);
    // Half of the room is the strangers', and the first of them has most of that.
    let first = connect(&served, &format!("{head}\r\n{large}")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (heard, took) = hear_out(connect(&served, &format!("{head}\r\n{large}")).await).await;
    assert!(heard.starts_with("HTTP/1.1 503") && heard.to_lowercase().contains("retry-after: 1"), "{heard}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let body = format!(r#"{{"batch":[{{"type":"page","userId":"u"}}]{}}}"#, " ".repeat(400 << 10));
    let known = format!(
        "POST /v1/batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Write-Key: {}\r\nContent-Length: {}\r\n\r\n{body}",
        acme.write_key,
        body.len()
    );
    let (heard, took) = hear_out(connect(&served, &known).await).await;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    assert!(took < Duration::from_millis(900), "who has a key waits for no stranger: {took:?}");
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (heard, _) = hear_out(connect(&served, &known.replace("X-Write-Key", "X-Other")).await).await;
    assert!(heard.starts_with("HTTP/1.1 401"), "the room is free again: {heard}");
}

#[tokio::test]
async fn one_tenant_and_one_address_have_a_share_of_the_room_and_no_more() {
    // Of two MiB each a tenant, and an address without a known key, get one.
    let options = ApiOptions { max_bodies: 4 << 20, ..ApiOptions::default() };
    let hub = Hub::with(None, Choices { options, ..Choices::default() }).await;
    let (acme, globex) = (hub.tenant("acme").await, hub.tenant("globex").await);
    let served = served(&hub, ServeOptions::default()).await;
    let large = " ".repeat(700 << 10);
    let begun = |key: &str| {
        format!("POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: {key}\r\nContent-Length: 1000000\r\n\r\n{large}")
    };
    let held = connect(&served, &begun(&acme.write_key)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let item = json!({"type": "page", "userId": "u"});
    let plain = json!({"batch": [item], "pad": (0..60_000).collect::<Vec<u32>>()}).to_string();
    let shared = json!({"batch": vec![item; 100], "context": {"pad": " ".repeat(5 << 10)}}).to_string();
    let packed = gzip(plain.as_bytes());
    assert!(plain.len() > 330 << 10 && packed.len() < 200 << 10, "{} {}", plain.len(), packed.len());
    let zip = ("content-encoding", "gzip");
    // As it comes, as it inflates, and as what its events share is written into each: all of it needs room.
    for (headers, body) in
        [(vec![], plain.clone().into_bytes()), (vec![zip], packed), (vec![], shared.clone().into_bytes())]
    {
        let send = async |key: &str| {
            let headers = [headers.clone(), vec![("x-write-key", key)]].concat();
            hub.ingest("/v1/batch", &headers, body.clone()).await
        };
        assert_eq!(send(&acme.write_key).await.expect(503)["code"], "busy");
        send(&globex.write_key).await.expect(200);
    }
    drop(held);
    tokio::time::sleep(Duration::from_millis(200)).await;
    hub.ingest("/v1/batch", &[("x-write-key", &acme.write_key)], shared).await.expect(200);

    // A source that is switched off has no more room than a stranger at the same address.
    let path = format!("/api/v1/sources/{}", acme.source);
    hub.call("PATCH", &path, &acme.editor, Some(&json!({"enabled": false}))).await.expect(200);
    let _held = connect(&served, &begun(&acme.write_key)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stranger = "POST /v1/batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length";
    let request = format!("{stranger}: {}\r\n\r\n{plain}", plain.len());
    let (heard, _) = hear_out(connect(&served, &request).await).await;
    assert!(heard.starts_with("HTTP/1.1 503") && heard.contains("busy"), "{heard}");
    assert_eq!(hub.ingest("/v1/batch", &[], plain).await.expect(401)["code"], "unknown_write_key", "another address");
}

#[tokio::test]
async fn a_key_that_is_revoked_while_a_body_comes_writes_nothing() {
    let hub = Hub::sqlite().await;
    let acme = hub.tenant("acme").await;
    let served = served(&hub, ServeOptions::default()).await;
    let body = json!({"userId": "u", "event": "E"}).to_string();
    let mut slow = Vec::new();
    let basic = format!("Authorization: Basic {}", STANDARD.encode(format!("{}:", acme.write_key)));
    for key in [basic, format!("X-Write-Key: {}", acme.write_key)] {
        let head = format!(
            "POST /v1/track HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{key}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        slow.push(connect(&served, &(head + &body[..5])).await);
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let key = format!("/api/v1/sources/{}/write_keys/{}", acme.source, acme.write_key_id);
    hub.call("DELETE", &key, &acme.admin, None).await.expect(204);
    for mut stream in slow {
        stream.write_all(&body.as_bytes()[5..]).await.expect("writes");
        let (heard, _) = hear_out(stream).await;
        assert!(heard.starts_with("HTTP/1.1 401"), "{heard}");
    }
    assert_eq!(hub.events(acme.id).await.len(), 0);
}

#[tokio::test]
async fn a_head_beyond_all_bounds_is_refused() {
    let hub = Hub::sqlite().await;
    let served = served(&hub, ServeOptions::default()).await;
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    let (heard, _) = hear_out(connect(&served, &request).await).await;
    assert!(heard.starts_with("HTTP/1.1 431"), "{heard}");

    let mut stream = connect(&served, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ").await;
    let (mut sent, chunk) = (0, vec![b'y'; 64 << 10]);
    // Megabytes without an end: the server hangs up long before it would have to keep them.
    while sent < 64 << 20 && stream.write_all(&chunk).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 16 << 20, "{sent} bytes of head were taken");
    let (heard, _) =
        hear_out(connect(&served, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await).await;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
}

#[tokio::test]
async fn dawdlers_cannot_hold_every_seat() {
    let hub = Hub::sqlite().await;
    let served = served(&hub, impatient()).await;
    let mut dawdlers = Vec::new();
    for _ in 0..20 {
        dawdlers.push(connect(&served, "GET /hea").await);
    }
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let (heard, waited) = hear_out(connect(&served, request).await).await;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    // Twenty in four seats, a third of a second each: were there more seats, it would not have waited.
    assert!(waited > Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_open_and_takes_nothing_new() {
    let hub = Hub::sqlite().await;
    let acme = hub.tenant("acme").await;
    let served = served(&hub, ServeOptions { drain: Duration::from_secs(8), ..ServeOptions::default() }).await;
    let live = format!("GET /api/v1/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", acme.viewer);
    let mut tail = connect(&served, &live).await;
    let mut first = [0; 15];
    tail.read_exact(&mut first).await.expect("the tail answers");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let body = json!({"userId": "u", "event": "E"}).to_string();
    let head = format!(
        "POST /v1/track HTTP/1.1\r\nHost: x\r\nX-Write-Key: {}\r\nContent-Length: {}\r\n\r\n",
        acme.write_key,
        body.len()
    );
    let mut open = connect(&served, &(head + &body[..5])).await;
    tokio::time::sleep(Duration::from_millis(100)).await;

    let since = Instant::now();
    served.stop.send(()).expect("the server runs");
    tokio::time::sleep(Duration::from_millis(100)).await;
    open.write_all(&body.as_bytes()[5..]).await.expect("writes");
    let (heard, _) = hear_out(open).await;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    hear_out(tail).await;
    served.ended.await.expect("the server ends");
    assert!(since.elapsed() < Duration::from_secs(4), "took {:?}: the tail held it up", since.elapsed());
    assert!(TcpStream::connect(served.address).await.is_err(), "it still takes connections");
    assert_eq!(hub.events(acme.id).await.len(), 1);
}
