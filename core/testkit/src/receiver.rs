//! A destination's server, as good or as bad as a test wants it: it writes down every request and answers by script.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::client::Client;

/// A request that came in whole.
#[derive(Debug, Clone)]
pub struct Received {
    /// Which request of this receiver it was, from 0.
    pub number: usize,
    /// When its last byte was read.
    pub at: Instant,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
    /// The status that it is answered with; none where it is not answered at all.
    pub status: Option<u16>,
}

impl Received {
    /// Whether the answer says that it is taken.
    pub fn is_taken(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The events in it, whether it is one or a batch of the webhook connector.
    ///
    /// # Panics
    /// When the body is neither.
    pub fn events(&self) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&self.body).expect("the connector sends JSON");
        match body.get("batch") {
            Some(Value::Array(events)) => events.clone(),
            _ => vec![body],
        }
    }
}

/// What the receiver does with a request once it has read it.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers with a status and an empty body.
    Status(u16),
    /// Answers with headers and a body.
    Full(u16, Vec<(String, String)>, Bytes),
    /// Waits, then does the other thing.
    After(Duration, Box<Reply>),
    /// Never answers, and keeps the connection.
    Hang,
    /// Closes the connection with a reset.
    Reset,
    /// Passes the request on to another server, and answers what that answers.
    Forward(SocketAddr),
    /// Answers 200 and goes on with the body for ever.
    Endless,
    /// Answers 200 with headers of about so many bytes in all.
    Headers(usize),
    /// Answers 200, a byte of the body at a time, so far apart.
    Drip(Duration),
}

impl Reply {
    fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status) | Self::Full(status, ..) => Some(*status),
            Self::After(_, then) => then.status(),
            Self::Endless | Self::Headers(_) | Self::Drip(_) => Some(200),
            Self::Hang | Self::Reset | Self::Forward(_) => None,
        }
    }
}

type Script = dyn Fn(&Received) -> Reply + Send + Sync;

struct Book {
    script: Mutex<Arc<Script>>,
    received: Mutex<Vec<Received>>,
    next: AtomicUsize,
}

/// The server; it stops when dropped, but its address may be taken up again.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    book: Arc<Book>,
    accepting: JoinHandle<()>,
}

impl Receiver {
    /// Starts one on a free port of the loopback that answers by a script.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let book = Arc::new(Book {
            script: Mutex::new(Arc::new(script)),
            received: Mutex::default(),
            next: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&book);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let book = Arc::clone(&shared);
                // A client that goes away in the middle is none of the receiver's business.
                connections.spawn(async move { drop(converse(stream, &book).await) });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, book, accepting }
    }

    /// One that says 200 to everything.
    pub async fn kind() -> Self {
        Self::start(|_| Reply::Status(200)).await
    }

    /// Answers by another script from now on.
    pub fn now(&self, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.book.script.lock() = Arc::new(script);
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far, in the order in which they were whole.
    pub fn received(&self) -> Vec<Received> {
        self.book.received.lock().clone()
    }

    /// All events so far, with the request that brought each.
    pub fn events(&self) -> Vec<(Received, Value)> {
        let received = self.received();
        received.into_iter().flat_map(|one| one.events().into_iter().map(move |event| (one.clone(), event))).collect()
    }

    /// Waits until what was received is enough.
    ///
    /// # Panics
    /// When it is not within the time.
    #[track_caller]
    pub fn until<'a>(
        &'a self,
        what: &'a str,
        within: Duration,
        enough: impl Fn(&[Received]) -> bool + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let start = Instant::now();
            while !enough(&self.book.received.lock()) {
                let count = self.book.received.lock().len();
                assert!(start.elapsed() < within, "{what}: not within {within:?} ({count} requests came) at {caller}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse(stream: TcpStream, book: &Book) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some((method, path, headers, body)) = read_request(&mut stream).await? {
        let number = book.next.fetch_add(1, Ordering::Relaxed);
        let mut received = Received { number, at: Instant::now(), method, path, headers, body, status: None };
        let script = Arc::clone(&book.script.lock());
        let mut reply = script(&received);
        if let Reply::Forward(server) = reply {
            reply = forward(server, &received).await?;
        }
        received.status = reply.status();
        book.received.lock().push(received);
        while let Reply::After(wait, then) = reply {
            tokio::time::sleep(wait).await;
            reply = *then;
        }
        if !write_reply(stream.get_mut(), &reply).await? {
            return Ok(());
        }
    }
    Ok(())
}

type Read = (String, String, BTreeMap<String, String>, Bytes);

/// The next request of a connection; none when the client has closed it.
async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Read>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    if headers.get("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        let body = read_chunks(stream).await?;
        return Ok(Some((method, path, headers, body)));
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some((method, path, headers, body.into())))
}

async fn read_chunks(stream: &mut BufReader<TcpStream>) -> io::Result<Bytes> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + size + 2, 0);
        stream.read_exact(&mut body[start..]).await?;
        body.truncate(start + size);
        if size == 0 {
            return Ok(body.into());
        }
    }
}

/// Writes the reply; says whether the connection goes on.
async fn write_reply(stream: &mut TcpStream, reply: &Reply) -> io::Result<bool> {
    match reply {
        Reply::Status(status) => answer(stream, *status, &[], b"").await.map(|()| true),
        Reply::Full(status, headers, body) => answer(stream, *status, headers, body).await.map(|()| true),
        Reply::After(..) | Reply::Forward(_) => unreachable!("turned into another reply above"),
        Reply::Hang => std::future::pending().await,
        Reply::Reset => stream.set_zero_linger().map(|()| false),
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = format!("{:x}\r\n{}\r\n", 16_384, "x".repeat(16_384));
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
        Reply::Headers(bytes) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            let line = format!("x-much: {}\r\n", "y".repeat(1_000));
            for _ in 0..bytes / line.len() {
                stream.write_all(line.as_bytes()).await?;
            }
            stream.write_all(b"content-length: 0\r\n\r\n").await.map(|()| true)
        }
        Reply::Drip(apart) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await?;
            loop {
                stream.write_all(b".").await?;
                tokio::time::sleep(*apart).await;
            }
        }
    }
}

/// The request as it came, to another server; its answer as a reply.
async fn forward(server: SocketAddr, received: &Received) -> io::Result<Reply> {
    let mut request = http::Request::builder().method(received.method.as_str()).uri(&received.path);
    for (name, value) in &received.headers {
        if !["host", "connection", "content-length", "transfer-encoding", "expect"].contains(&name.as_str()) {
            request = request.header(name, value);
        }
    }
    let request = request.body(received.body.clone()).map_err(io::Error::other)?;
    let answer = Client::new(server).send(request).await?;
    let kind = answer.header("content-type").unwrap_or("application/octet-stream").to_owned();
    Ok(Reply::Full(answer.status, vec![("content-type".to_owned(), kind)], answer.body))
}

async fn answer(stream: &mut TcpStream, status: u16, headers: &[(String, String)], body: &[u8]) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} As Scripted\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut whole = head.into_bytes();
    whole.extend_from_slice(body);
    stream.write_all(&whole).await
}
