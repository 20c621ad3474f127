//! The HTTP/1 server: every wait of a client has an end, and the number of connections has a cap.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::patience::{Patience, PatientBody, PatientIo};

/// How long a refused `accept` (out of file handles) is left alone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most that request line and headers may take, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// The most headers of a request.
const MAX_HEADERS: usize = 100;

/// What the server puts up with.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// How long a client may take to send a request's head; an idle connection is closed after it too.
    pub header_timeout: Duration,
    /// How long a client may stay silent within a request's body, or refuse to read its answer.
    pub body_idle_timeout: Duration,
    /// How long a request's body may take as a whole.
    pub body_timeout: Duration,
    /// The most connections at a time; further ones wait in the listener's queue.
    pub max_connections: usize,
    /// How long open requests may go on once the shutdown has begun.
    pub drain: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(120),
            max_connections: 10_000,
            drain: Duration::from_secs(15),
        }
    }
}

/// The address of the socket's other end, put into every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Turns true when the shutdown begins, so that answers without an end can end.
#[derive(Debug, Clone)]
pub(crate) struct Closing(watch::Receiver<bool>);

impl Closing {
    /// Waits until the shutdown begins.
    pub(crate) async fn begun(&mut self) {
        // An error means that the server is gone, which is the same news.
        let _ = self.0.wait_for(|closing| *closing).await;
    }
}

/// Serves until `shutdown` is ready and then lets open requests finish, for `drain` at the longest.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    let graceful = GracefulShutdown::new();
    let (close, closing) = watch::channel(false);
    let seats = Arc::new(Semaphore::new(options.max_connections));
    let patience = Patience { idle: options.body_idle_timeout, total: options.body_timeout };
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer, seat) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next_connection(&listener, &seats) => next,
        };
        let entrance =
            Entrance { router: router.clone(), peer: Peer(peer), closing: Closing(closing.clone()), patience };
        let connection = graceful.watcher().watch(connection(stream, entrance, &options));
        tokio::spawn(async move {
            // A client that goes away or keeps the server waiting is no event of note.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(seat);
        });
    }
    drop(listener);
    let _ = close.send(true);
    if tokio::time::timeout(options.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off: they had not ended within the drain time");
    }
}

/// The next connection, once there is a seat for it.
async fn next_connection(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a seat in the end.
    let seat = Arc::clone(seats).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                return (stream, peer, seat);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection's way into the router.
struct Entrance {
    router: Router,
    peer: Peer,
    closing: Closing,
    patience: Patience,
}

impl Service<Request<Incoming>> for Entrance {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <Router as tower::Service<Request<Body>>>::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(|body| Body::new(PatientBody::new(body, self.patience)));
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.closing.clone());
        // A router is always ready, and a clone of it is one pointer.
        tower::Service::call(&mut self.router.clone(), request)
    }
}

fn connection(
    stream: TcpStream,
    entrance: Entrance,
    options: &ServeOptions,
) -> http1::Connection<TokioIo<PatientIo>, Entrance> {
    let io = TokioIo::new(PatientIo::new(stream, entrance.patience.idle));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .serve_connection(io, entrance)
}
