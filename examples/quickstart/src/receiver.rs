//! The receiver: a small web server that the hub delivers to. It checks each signature and tells what came.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::signature;

/// The most that a delivery may be, in bytes.
const MOST: usize = 4 << 20;

/// One request of the hub.
#[derive(Debug)]
pub struct Arrival {
    /// The path it came to: the shop's slug.
    pub shop: String,
    /// The events in it.
    pub events: Vec<Value>,
}

/// Secrets by slug, which the hub signs with.
pub type Secrets = BTreeMap<String, String>;

/// Begins to receive on any free port; what comes is told to `arrivals`. Unsigned requests are refused with 401.
///
/// # Errors
/// When no port can be had.
pub async fn start(secrets: Secrets, arrivals: mpsc::UnboundedSender<Arrival>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let secrets = Arc::new(secrets);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&secrets), arrivals.clone()));
        }
    });
    Ok(address)
}

async fn serve(stream: TcpStream, secrets: Arc<Secrets>, arrivals: mpsc::UnboundedSender<Arrival>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (secrets, arrivals) = (Arc::clone(&secrets), arrivals.clone());
        async move {
            let mut response = Response::new(Full::new(Bytes::new()));
            *response.status_mut() = receive(request, &secrets, &arrivals).await;
            Ok::<_, Infallible>(response)
        }
    });
    // A connection that breaks is the hub's to retry.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn receive(
    request: Request<Incoming>,
    secrets: &Secrets,
    arrivals: &mpsc::UnboundedSender<Arrival>,
) -> StatusCode {
    let shop = request.uri().path().trim_matches('/').to_owned();
    let headers = request.headers().clone();
    let Ok(body) = Limited::new(request.into_body(), MOST).collect().await.map(|body| body.to_bytes()) else {
        return StatusCode::BAD_REQUEST;
    };
    let Some(secret) = secrets.get(&shop) else { return StatusCode::NOT_FOUND };
    if !signed(secret, &headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(value) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    let events = match value.get("batch").and_then(Value::as_array) {
        Some(batch) => batch.clone(),
        None => vec![value],
    };
    // Nobody listens any more when the story has ended.
    let _ = arrivals.send(Arrival { shop, events });
    StatusCode::NO_CONTENT
}

fn signed(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    signature::is_valid(secret, headers, body, jiff::Timestamp::now().as_second())
}
