//! The destination: a process of its own, so that its processor time is told apart. It answers 200 at once and
//! keeps count of which events came, how often, and how long after they were due to be sent.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::latency::Latencies;
use crate::template::{MOMENT_DIGITS, MOMENT_MARK, NUMBER_DIGITS, NUMBER_MARK};
use crate::wire::Wire;

/// What has come in since the last reset.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Events that came for the first time.
    pub(crate) events: u64,
    /// Events that came again.
    pub(crate) repeats: u64,
    /// Requests.
    pub(crate) requests: u64,
    /// When the last new event came, in microseconds since 1970.
    pub(crate) last_moment: u64,
}

/// How long after they were due to be sent the events came, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Delays {
    /// Half of them came within this.
    pub(crate) p50: f64,
    /// 99 % of them came within this.
    pub(crate) p99: f64,
    /// All of them came within this.
    pub(crate) longest: f64,
}

#[derive(Default)]
struct State {
    tally: Tally,
    /// A bit an event number.
    seen: Vec<u64>,
    delays: Latencies,
}

impl State {
    fn take(&mut self, body: &[u8]) {
        let now = now_micros();
        self.tally.requests += 1;
        for place in memmem::find_iter(body, NUMBER_MARK) {
            let Some(number) = digits(body, place + NUMBER_MARK.len(), NUMBER_DIGITS) else { continue };
            let (word, bit) = ((number / 64) as usize, 1u64 << (number % 64));
            if self.seen.len() <= word {
                self.seen.resize(word + 1, 0);
            }
            if self.seen[word] & bit == 0 {
                self.seen[word] |= bit;
                self.tally.events += 1;
                self.tally.last_moment = now;
            } else {
                self.tally.repeats += 1;
            }
        }
        for place in memmem::find_iter(body, MOMENT_MARK) {
            if let Some(due) = digits(body, place + MOMENT_MARK.len(), MOMENT_DIGITS) {
                self.delays.add(Duration::from_micros(now.saturating_sub(due)));
            }
        }
    }

    fn delays(&mut self) -> Delays {
        let [p50, p99, longest] = [500, 990, 1_000].map(|n| self.delays.per_mille(n));
        Delays { p50, p99, longest }
    }
}

/// The process's whole life: prints its address, then serves until it is ended.
pub(crate) async fn serve() -> Outcome<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", listener.local_addr()?)?;
    out.flush()?;
    let state = Rc::new(RefCell::new(State::default()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let state = Rc::clone(&state);
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| answer(Rc::clone(&state), request));
            // A connection that breaks off is its client's matter; the tally tells what is missing.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(state: Rc<RefCell<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = match (request.method(), request.uri().path()) {
        (&Method::GET, "/tally") => serde_json::to_vec(&state.borrow().tally).unwrap_or_default(),
        (&Method::GET, "/delays") => serde_json::to_vec(&state.borrow_mut().delays()).unwrap_or_default(),
        (&Method::DELETE, "/tally") => {
            *state.borrow_mut() = State::default();
            Vec::new()
        }
        _ => {
            let body = request.into_body().collect().await?.to_bytes();
            state.borrow_mut().take(&body);
            Vec::new()
        }
    };
    Ok(Response::new(Full::new(Bytes::from(body))))
}

fn digits(body: &[u8], at: usize, length: usize) -> Option<u64> {
    std::str::from_utf8(body.get(at..at + length)?).ok()?.parse().ok()
}

/// Now, in microseconds since 1970.
pub(crate) fn now_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}

/// The receiver as its parent sees it; ends with it.
pub(crate) struct Receiver {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    wire: Wire,
}

impl Receiver {
    /// Starts it.
    pub(crate) async fn start() -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("receive")
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let address = line.trim().parse()?;
        Ok(Self { child, address, wire: Wire::connect(address).await? })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Forgets all that came.
    pub(crate) async fn reset(&mut self) -> Outcome<()> {
        self.wire.exchange(b"DELETE /tally HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        Ok(())
    }

    /// What has come.
    pub(crate) async fn tally(&mut self) -> Outcome<Tally> {
        let answer = self.wire.exchange(b"GET /tally HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        Ok(serde_json::from_slice(self.wire.body(answer))?)
    }

    /// How late it came.
    pub(crate) async fn delays(&mut self) -> Outcome<Delays> {
        let answer = self.wire.exchange(b"GET /delays HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        Ok(serde_json::from_slice(self.wire.body(answer))?)
    }

    /// Waits until so many different events have come; an error when nothing new comes for a minute.
    pub(crate) async fn wait_for(&mut self, events: u64) -> Outcome<Tally> {
        let mut last = (0, std::time::Instant::now());
        loop {
            let tally = self.tally().await?;
            if tally.events >= events {
                return Ok(tally);
            }
            if tally.events != last.0 {
                last = (tally.events, std::time::Instant::now());
            }
            if last.1.elapsed() > Duration::from_secs(60) {
                return Err(
                    format!("only {} of {events} events arrived, and no more for a minute", tally.events).into()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended by itself; nothing is left to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_comes_twice_is_counted_once_and_told() {
        let mut state = State::default();
        let body = br#"{"batch":[{"message_id":"81-bench-000000000007","x":1},{"message_id":"9-bench-000000000131"}]}"#;
        state.take(body);
        state.take(body);
        assert_eq!((state.tally.events, state.tally.repeats, state.tally.requests), (2, 2, 2));
    }

    #[test]
    fn a_delay_counts_from_the_moment_in_the_payload() {
        let mut state = State::default();
        let due = now_micros() - 5_000_000;
        state.take(format!(r#"{{"context":{{"bench_at":"{due}"}}}}"#).as_bytes());
        assert!((5_000.0..6_000.0).contains(&state.delays().p50), "{:?}", state.delays());
    }
}
