//! One request and its whole reply, within the policy's bounds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as HyperBody;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use rialto_model::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    EgressError, Resolve, Target,
    connect::{Connector, TENANT},
};
use crate::{EgressPolicy, shares::Shares};

/// How long a connection that nobody uses stays open.
const IDLE: Duration = Duration::from_secs(20);
/// How many of those one host may keep.
const IDLE_PER_HOST: usize = 16;
/// The most headers of a reply.
const HEADERS: usize = 100;
/// What the hub calls itself.
const AGENT: &str = concat!("Rialto/", env!("CARGO_PKG_VERSION"));

/// Makes requests. A cheap copy.
#[derive(Clone)]
pub struct Egress {
    client: Client<Connector, Full<Bytes>>,
    policy: Arc<EgressPolicy>,
    room: Arc<Semaphore>,
    shares: Arc<Shares>,
    open: Arc<AtomicUsize>,
}

/// A request to be made.
pub struct Outgoing<'a> {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its method.
    pub method: Method,
    /// Where it goes.
    pub target: &'a Target,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// How many bytes of the reply's body are wanted; never more than the policy allows.
    pub most: usize,
    /// How many more of a longer body are read, for whoever looks for what lies across the cut.
    pub beyond: usize,
}

/// A reply of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The status.
    pub status: u16,
    /// Names in lower case; what is not text is left out.
    pub headers: Vec<(String, String)>,
    /// The body, as it came over the wire.
    pub body: Vec<u8>,
    /// Whether the body was longer than wanted; it ends where reading ended.
    pub truncated: bool,
}

impl Egress {
    /// A way out under a policy.
    ///
    /// # Errors
    /// When TLS cannot be set up, such as by a root certificate that is none.
    pub fn new(policy: EgressPolicy, resolver: Arc<dyn Resolve>) -> Result<Self, rustls::Error> {
        let policy = Arc::new(policy);
        let connector = Connector::new(Arc::clone(&policy), resolver)?;
        let open = connector.open();
        let room = Arc::new(Semaphore::new(policy.connections.clamp(1, Semaphore::MAX_PERMITS)));
        let shares = Arc::new(Shares::new(policy.connections_per_tenant));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(policy.reply_head.max(8 << 10))
            .http1_max_headers(HEADERS)
            .build(connector);
        Ok(Self { client, policy, room, shares, open })
    }

    /// The policy that it is under.
    pub fn policy(&self) -> &EgressPolicy {
        &self.policy
    }

    /// Makes one request and reads its reply.
    ///
    /// # Errors
    /// [`EgressError::Busy`] when no connection became free in the time that there is to connect; the others when no
    /// whole reply came.
    pub async fn send(&self, outgoing: Outgoing<'_>) -> Result<Incoming, EgressError> {
        let Outgoing { tenant, method, target, headers, body, most, beyond } = outgoing;
        let uri: Uri =
            target.url().as_str().parse().map_err(|_| EgressError::Refused("the URL cannot be sent".into()))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let fixed = request.headers_mut();
        fixed.entry(header::USER_AGENT).or_insert(header::HeaderValue::from_static(AGENT));
        // Nothing is decompressed here, so nothing can swell.
        fixed.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("identity"));
        let most = most.min(self.policy.reply_body);
        let room = tokio::time::timeout(self.policy.connect_timeout, self.room(tenant));
        let _room = room.await.map_err(|_| EgressError::Busy)??;
        if self.open.load(Relaxed) >= self.policy.connections {
            // So many lie idle that this one is not kept, nor the idle one that it takes.
            request.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        }
        let exchange = TENANT.scope(tenant, self.exchange(request, most, beyond));
        tokio::time::timeout(self.policy.request_timeout, exchange).await.map_err(|_| EgressError::Timeout)?
    }

    /// Room for a connection in use: first in the tenant's own share, so that nobody waits in line behind it.
    async fn room(&self, tenant: TenantId) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), EgressError> {
        let own = self.shares.of(tenant).acquire_owned().await.map_err(|_| EgressError::Busy)?;
        let shared = Arc::clone(&self.room).acquire_owned().await.map_err(|_| EgressError::Busy)?;
        Ok((own, shared))
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        most: usize,
        beyond: usize,
    ) -> Result<Incoming, EgressError> {
        let reply = self.client.request(request).await.map_err(|e| cause(&e))?;
        let (head, body) = reply.into_parts();
        let headers = head.headers.iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
        let headers = headers.collect();
        let (body, cut) = read(body, most.saturating_add(beyond)).await?;
        let truncated = cut || body.len() > most;
        Ok(Incoming { status: head.status.as_u16(), headers, body, truncated })
    }
}

/// Reads a body up to a bound. Dropping the rest closes the connection.
async fn read(mut body: HyperBody, most: usize) -> Result<(Vec<u8>, bool), EgressError> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| EgressError::Protocol)?.into_data() else { continue };
        let room = most - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((read, true));
        }
    }
    Ok((read, false))
}

/// What a failed request is to be called: the connector's own error if it was that.
fn cause(e: &hyper_util::client::legacy::Error) -> EgressError {
    let mut at: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(e);
    while let Some(source) = at {
        if let Some(own) = source.downcast_ref::<EgressError>() {
            return own.clone();
        }
        at = source.source();
    }
    EgressError::Protocol
}
