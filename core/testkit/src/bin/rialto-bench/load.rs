//! The load generator: keep-alive clients on one thread. Closed: each sends as soon as it has its answer. Open:
//! each request has a due time whatever the hub does, and its latency counts from then, so that a hub that
//! stalls cannot hide it by slowing its clients (coordinated omission).

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Outcome;
use crate::latency::Latencies;
use crate::template::{Packing, Template};
use crate::wire::Wire;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After so long.
    Elapsed(Duration),
    /// After so many events.
    Events(u64),
}

/// What to send.
#[derive(Clone)]
pub(crate) struct Plan {
    /// The hub.
    pub(crate) address: SocketAddr,
    /// Write keys in their Basic form, one a tenant: requests go round all of them.
    pub(crate) keys: Rc<[String]>,
    /// How many connections.
    pub(crate) clients: usize,
    /// How events are packed.
    pub(crate) packing: Packing,
    /// How many persons they are of.
    pub(crate) persons: u64,
    /// The number of the first event.
    pub(crate) first: u64,
    /// When to stop.
    pub(crate) until: Until,
    /// Events a second over all clients; `None` is as fast as they are answered.
    pub(crate) pace: Option<f64>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Events that were answered with 200.
    pub(crate) events: u64,
    /// From the first request to the last answer.
    pub(crate) wall: Duration,
    /// Per request.
    pub(crate) latencies: Latencies,
    /// Requests that were told to come back later, and did.
    pub(crate) put_off: u64,
}

impl Sent {
    /// Events a second.
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 / self.wall.as_secs_f64()
    }
}

/// What the clients share.
struct Shared {
    plan: Plan,
    start: Instant,
    /// `start` by the wall clock, in microseconds since 1970.
    start_moment: u64,
    /// Requests that some client has taken on.
    taken: Cell<u64>,
}

impl Shared {
    /// The next request's number and due time since the start; `None` when enough is sent.
    fn next(&self) -> Option<(u64, Duration)> {
        let number = self.taken.get();
        let events = self.plan.packing.events() as u64;
        let due = match self.plan.pace {
            Some(pace) => Duration::from_secs_f64((number * events) as f64 / pace),
            None => self.start.elapsed(),
        };
        let more = match self.plan.until {
            Until::Elapsed(limit) => due < limit,
            Until::Events(limit) => number * events < limit,
        };
        more.then(|| self.taken.set(number + 1)).map(|()| (number, due))
    }
}

/// Runs a plan. Must run inside a `LocalSet`.
pub(crate) async fn run(plan: Plan) -> Outcome<Sent> {
    let mut wires = Vec::with_capacity(plan.clients);
    for _ in 0..plan.clients {
        wires.push(Wire::connect(plan.address).await?);
    }
    let start_moment = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    let shared = Rc::new(Shared { plan, start: Instant::now(), start_moment, taken: Cell::new(0) });
    let clients: Vec<_> =
        wires.into_iter().map(|wire| tokio::task::spawn_local(client(Rc::clone(&shared), wire))).collect();
    let mut all = Sent::default();
    for client in clients {
        let one = client.await??;
        all.events += one.events;
        all.put_off += one.put_off;
        all.latencies.merge(&one.latencies);
    }
    all.wall = shared.start.elapsed();
    Ok(all)
}

async fn client(shared: Rc<Shared>, mut wire: Wire) -> Outcome<Sent> {
    let plan = &shared.plan;
    let mut template = Template::new(plan.packing, plan.keys[0].len());
    let events = template.events() as u64;
    let mut sent = Sent::default();
    while let Some((number, due)) = shared.next() {
        if plan.pace.is_some() && due > shared.start.elapsed() {
            tokio::time::sleep_until((shared.start + due).into()).await;
        }
        let key = &plan.keys[usize::try_from(number % plan.keys.len() as u64)?];
        let moment = shared.start_moment + u64::try_from(due.as_micros())?;
        let request = template.fill(key, plan.first + number * events, plan.persons, moment);
        loop {
            let answer = wire.exchange(request).await?;
            match answer.status {
                200 => break,
                429 | 503 => {
                    sent.put_off += 1;
                    let pause = answer.retry_after.ok_or("put off without Retry-After")?;
                    tokio::time::sleep(Duration::from_secs(pause.clamp(1, 5))).await;
                }
                status => {
                    let body = String::from_utf8_lossy(wire.body(answer)).into_owned();
                    return Err(format!("the hub answered {status}: {body}").into());
                }
            }
        }
        sent.latencies.add(shared.start.elapsed().saturating_sub(due));
        sent.events += events;
    }
    Ok(sent)
}
