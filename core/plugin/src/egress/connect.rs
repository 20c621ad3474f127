//! Connects: resolves the name once, looks at every address, and connects to one of those very addresses.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsConnector;
use tower::Service;

use super::{EgressError, Resolve, target::may_connect};
use crate::EgressPolicy;

/// The most addresses of a name that are tried.
const TRIES: usize = 4;

/// Makes connections to where they may go.
#[derive(Clone)]
pub(crate) struct Connector {
    policy: Arc<EgressPolicy>,
    resolver: Arc<dyn Resolve>,
    tls: TlsConnector,
    room: Arc<Semaphore>,
}

impl Connector {
    pub(crate) fn new(policy: Arc<EgressPolicy>, resolver: Arc<dyn Resolve>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in &policy.extra_roots {
            roots.add(CertificateDer::from(root.clone()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let room = Arc::new(Semaphore::new(policy.connections));
        Ok(Self { policy, resolver, tls: TlsConnector::from(Arc::new(config)), room })
    }

    async fn connect(self, uri: Uri) -> Result<Stream, EgressError> {
        let within = self.policy.connect_timeout;
        let room = Arc::clone(&self.room).acquire_owned();
        let room = tokio::time::timeout(within, room).await.map_err(|_| EgressError::Busy)?;
        let room = room.map_err(|_| EgressError::Busy)?;
        tokio::time::timeout(within, self.reach(&uri, room)).await.map_err(|_| EgressError::Timeout)?
    }

    async fn reach(&self, uri: &Uri, room: OwnedSemaphorePermit) -> Result<Stream, EgressError> {
        let https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let host = uri.host().ok_or_else(|| EgressError::Refused("the URL has no host".into()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let addresses = self.addresses(host, https).await?;
        let tcp = dial(&addresses, port).await?;
        let _ = tcp.set_nodelay(true);
        let io: Box<dyn Io> = if https {
            let name = ServerName::try_from(host.to_owned()).map_err(|e| EgressError::Tls(e.to_string()))?;
            Box::new(self.tls.connect(name, tcp).await.map_err(|e| EgressError::Tls(e.to_string()))?)
        } else {
            Box::new(tcp)
        };
        Ok(Stream { io: TokioIo::new(io), _room: room })
    }

    /// The addresses of a host, if they may all be connected to: one that may not shows that someone plays with
    /// names, or points into a network.
    async fn addresses(&self, host: &str, https: bool) -> Result<Vec<IpAddr>, EgressError> {
        // An address passes the same gate as what a name leads to.
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.resolve(host).await?,
        };
        if found.is_empty() {
            return Err(EgressError::Dns);
        }
        if found.iter().all(|address| may_connect(*address, https, &self.policy)) {
            return Ok(found);
        }
        Err(EgressError::Refused(format!("{host} leads to an address that is not public")))
    }
}

async fn dial(addresses: &[IpAddr], port: u16) -> Result<TcpStream, EgressError> {
    for address in addresses.iter().take(TRIES) {
        if let Ok(stream) = TcpStream::connect(SocketAddr::new(*address, port)).await {
            return Ok(stream);
        }
    }
    Err(EgressError::Connect)
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = EgressError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, EgressError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection; it counts as open until it is dropped.
pub(crate) struct Stream {
    io: TokioIo<Box<dyn Io>>,
    _room: OwnedSemaphorePermit,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
