//! A small HTTP client over one kept-alive connection: it shows a test what truly came back, and retries nothing.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// How long one request may take before the client calls it failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the answer {} {}", self.status, self.text()))
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// This answer, once it is known to have the status.
    ///
    /// # Panics
    /// When it has another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// A connection to one address, opened when first needed and again after it broke.
pub struct Client {
    address: SocketAddr,
    authorization: Option<String>,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// A client without credentials.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, authorization: None, connection: Mutex::new(None) }
    }

    /// A client that presents an API key or operator token.
    pub fn bearer(address: SocketAddr, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..Self::new(address) }
    }

    /// Another connection with the same credentials.
    pub fn again(&self) -> Self {
        Self { authorization: self.authorization.clone(), ..Self::new(self.address) }
    }

    /// Sends a request as it is, but for `host` and the client's credentials, which are added where they are absent.
    ///
    /// # Errors
    /// When the connection fails or nothing comes back within 30 seconds; the request may have been taken in even so.
    pub async fn send(&self, request: Request<Bytes>) -> io::Result<Answer> {
        let mut request = request.map(Full::new);
        let headers = request.headers_mut();
        headers.entry(header::HOST).or_insert(self.address.to_string().parse().map_err(io::Error::other)?);
        if let Some(authorization) = &self.authorization {
            headers.entry(header::AUTHORIZATION).or_insert(authorization.parse().map_err(io::Error::other)?);
        }
        let mut connection = self.connection.lock().await;
        let exchange = async {
            let mut kept = connection.take();
            if let Some(sender) = &mut kept
                && sender.ready().await.is_err()
            {
                kept = None;
            }
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            *connection = Some(sender);
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn connect(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        sender.ready().await.map_err(io::Error::other)?;
        Ok(sender)
    }

    /// Sends JSON, or nothing.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(|value| Bytes::from(value.to_string())).unwrap_or_default();
        self.send(request.body(body).map_err(io::Error::other)?).await
    }

    /// Fetches a path.
    ///
    /// # Panics
    /// When nothing comes back.
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Posts JSON to a path.
    ///
    /// # Panics
    /// When nothing comes back.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Changes what a path names.
    ///
    /// # Panics
    /// When nothing comes back.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PATCH, path, Some(body)).await.unwrap_or_else(|error| panic!("PATCH {path}: {error}"))
    }
}
