//! Connects: resolves the name once, looks at every address, and connects to one of those very addresses.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rialto_model::TenantId;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tower::Service;

use super::{EgressError, Resolve, lookups::Lookups, target::may_connect};
use crate::EgressPolicy;

/// The most addresses of a name that are tried.
const TRIES: usize = 4;

tokio::task_local! {
    /// Whose request is being made; the pool of connections passes nothing on but the URL.
    pub(super) static TENANT: TenantId;
}

/// Makes connections to where they may go.
#[derive(Clone)]
pub(crate) struct Connector {
    policy: Arc<EgressPolicy>,
    lookups: Arc<Lookups>,
    tls: TlsConnector,
    open: Arc<AtomicUsize>,
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
        let lookups = Arc::new(Lookups::new(resolver, &policy));
        Ok(Self { policy, lookups, tls: TlsConnector::from(Arc::new(config)), open: Arc::default() })
    }

    /// How many connections are open, idle ones included.
    pub(crate) fn open(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.open)
    }

    async fn connect(self, tenant: TenantId, uri: Uri) -> Result<Stream, EgressError> {
        let within = self.policy.connect_timeout;
        tokio::time::timeout(within, self.reach(tenant, &uri)).await.map_err(|_| EgressError::Timeout)?
    }

    async fn reach(&self, tenant: TenantId, uri: &Uri) -> Result<Stream, EgressError> {
        let https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let host = uri.host().ok_or_else(|| EgressError::Refused("the URL has no host".into()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let addresses = self.addresses(tenant, host, https).await?;
        let tcp = dial(&addresses, port).await?;
        let _ = tcp.set_nodelay(true);
        let io: Box<dyn Io> = if https {
            let name = ServerName::try_from(host.to_owned()).map_err(|e| EgressError::Tls(e.to_string()))?;
            Box::new(self.tls.connect(name, tcp).await.map_err(|e| EgressError::Tls(e.to_string()))?)
        } else {
            Box::new(tcp)
        };
        Ok(Stream { io: TokioIo::new(io), _open: Open::of(&self.open) })
    }

    /// The addresses of a host, if they may all be connected to: one that may not shows that someone plays with
    /// names, or points into a network.
    async fn addresses(&self, tenant: TenantId, host: &str, https: bool) -> Result<Vec<IpAddr>, EgressError> {
        // An address passes the same gate as what a name leads to.
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.lookups.find(tenant, host).await?,
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
        // Asked for here, as the rest may run on a task of its own.
        let (connector, tenant) = (self.clone(), TENANT.try_with(|tenant| *tenant));
        Box::pin(async move { connector.connect(tenant.map_err(|_| EgressError::Connect)?, uri).await })
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Counts one connection until it is dropped.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn of(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A connection.
pub(crate) struct Stream {
    io: TokioIo<Box<dyn Io>>,
    _open: Open,
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
