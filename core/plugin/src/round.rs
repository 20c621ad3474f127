//! The requests of one round: at the same time where nothing speaks against it, in order where they carry events of
//! one person, and held back behind the first of such that has not got through.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rialto_engine::{Failure, FailureKind, HELD, JobEvent};
use rialto_model::{ProfileId, TenantId, Timestamp, delivery::Verdict};
use tokio::time::Instant;

use crate::{
    bindings::{HttpRequest, HttpResponse, Reply, TransportError},
    credential::{self, Unfilled},
    egress::{Egress, EgressError, Incoming, Outgoing, Target},
    prepared::Prepared,
    verdict,
};

/// The most headers of a request, and their bytes.
const HEADERS: usize = 64;
const HEADER_BYTES: usize = 16 << 10;
/// What all replies of a round may have in their bodies: they go into one instance.
const REPLY_BYTES: usize = 16 << 20;
/// Every reply may have that much, however many there are.
const LEAST_REPLY: usize = 8 << 10;
/// What only the hub, or a slot, sets; the SDK goes by the same list.
const HUB_ONLY: &str = include_str!("../../../sdk/wit/hub-headers.txt");

/// What came back for a request, and what it means.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) verdict: Verdict,
    pub(crate) retry_after_ms: Option<u64>,
}

impl Answer {
    fn error(code: &str, message: String) -> Self {
        let reply = Err(TransportError { code: code.to_owned(), message });
        Self { reply, verdict: Verdict::Retry, retry_after_ms: None }
    }

    fn got_through(&self) -> bool {
        matches!(&self.reply, Ok(response) if (200..300).contains(&response.status))
    }
}

/// What time it is within a job: the moment at which the engine began it, and what has passed since.
#[derive(Clone, Copy)]
pub(crate) struct JobClock {
    at: Timestamp,
    begun: Instant,
}

impl JobClock {
    pub(crate) fn starting(at: Timestamp) -> Self {
        Self { at, begun: Instant::now() }
    }

    fn now(self) -> Timestamp {
        self.at.after(self.begun.elapsed())
    }
}

/// One round of one delivery.
pub(crate) struct Round<'a> {
    pub(crate) egress: &'a Egress,
    pub(crate) prepared: &'a Prepared,
    pub(crate) tenant: TenantId,
    pub(crate) events: &'a [JobEvent],
    pub(crate) clock: JobClock,
}

impl Round<'_> {
    /// Makes the requests; the answers come in their order.
    pub(crate) async fn make(&self, requests: Vec<HttpRequest>) -> Result<Vec<Answer>, Failure> {
        let mut order = Order::of(&requests, self.events)?;
        let most = (REPLY_BYTES / requests.len().max(1)).max(LEAST_REPLY).min(self.egress.policy().reply_body);
        let mut waiting: Vec<Option<HttpRequest>> = requests.into_iter().map(Some).collect();
        let mut answers: Vec<Option<Answer>> = waiting.iter().map(|_| None).collect();
        let mut running = FuturesUnordered::new();
        loop {
            while let Some(at) = order.ready.pop_front() {
                let Some(request) = waiting[at].take() else { continue };
                if order.held[at] {
                    let why = "an earlier request with an event of the same person did not get through";
                    answers[at] = Some(Answer::error(HELD, why.into()));
                    order.finish(at, false);
                } else {
                    running.push(async move { (at, self.one(request, most).await) });
                }
            }
            let Some((at, answer)) = running.next().await else { break };
            let answer = answer?;
            order.finish(at, answer.got_through());
            answers[at] = Some(answer);
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Makes one request, when the destination has room for it.
    async fn one(&self, request: HttpRequest, most: usize) -> Result<Answer, Failure> {
        let HttpRequest { method, url, headers, body, auth, events: _, ext: _ } = request;
        let prepared = self.prepared;
        let checked = Target::check(&url, &prepared.allowed, self.egress.policy())
            .and_then(|target| Ok((target, sound_method(&method)?, sound_headers(headers)?)));
        let (mut target, method, mut headers) = match checked {
            Ok(checked) => checked,
            Err(e) => return Ok(self.failed(&e)),
        };
        let body = Bytes::from(body);
        let manifest = &prepared.plugin.manifest;
        let _room = prepared.room.acquire().await;
        // Only now, as a receiver refuses what was signed long ago.
        let now = self.clock.now();
        credential::fill(&auth, manifest, &prepared.secrets, &mut target, &mut headers, &body, now)
            .map_err(unfilled)?;
        let beyond = prepared.scrubber.beyond();
        let (tenant, target) = (self.tenant, &target);
        match self.egress.send(Outgoing { tenant, method, target, headers, body, most, beyond }).await {
            Ok(incoming) => Ok(self.came(incoming, most, now)),
            Err(e) => Ok(self.failed(&e)),
        }
    }

    fn failed(&self, e: &EgressError) -> Answer {
        Answer::error(e.code(), self.prepared.scrubber.text(&e.to_string()))
    }

    fn came(&self, incoming: Incoming, most: usize, now: Timestamp) -> Answer {
        let Incoming { status, headers, body, truncated } = incoming;
        let scrubber = &self.prepared.scrubber;
        let verdict = verdict::verdict(&self.prepared.plugin.manifest.verdicts, status);
        let asked = headers.iter().find(|(name, _)| name == "retry-after");
        let retry_after_ms = asked.and_then(|(_, value)| verdict::retry_after_ms(value, now));
        let mut ext = vec![("verdict".to_owned(), verdict::word(verdict).to_owned())];
        ext.extend(retry_after_ms.map(|ms| ("retry_after_ms".to_owned(), ms.to_string())));
        ext.extend(truncated.then(|| ("truncated".to_owned(), "true".to_owned())));
        let headers = headers.into_iter().map(|(name, value)| (name, scrubber.text(&value))).collect();
        let body = if truncated { scrubber.cut(&body, most) } else { scrubber.bytes(body) };
        let reply = Ok(HttpResponse { status, headers, body, ext });
        Answer { reply, verdict, retry_after_ms }
    }
}

fn unfilled(e: Unfilled) -> Failure {
    let (kind, code) = match e {
        Unfilled::Unknown(_) | Unfilled::NoId => (FailureKind::Plugin, "plugin_request"),
        Unfilled::Missing(_) => (FailureKind::Fatal, "secret_missing"),
        Unfilled::Unusable(..) => (FailureKind::Fatal, "secret_unusable"),
    };
    Failure { kind, code: code.into(), message: e.to_string() }
}

fn sound_method(method: &str) -> Result<Method, EgressError> {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" => {
            Method::from_bytes(method.as_bytes()).map_err(|e| EgressError::Refused(e.to_string()))
        }
        _ => Err(EgressError::Refused("the method is none that a connector may use".into())),
    }
}

/// `name` is in lower case.
fn is_hub_only(name: &str) -> bool {
    HUB_ONLY.lines().any(|own| own.strip_suffix('*').map_or(name == own, |start| name.starts_with(start)))
}

/// The connector's headers, without those that are not its own to set.
fn sound_headers(given: Vec<(String, String)>) -> Result<HeaderMap, EgressError> {
    let refused = |why: String| Err(EgressError::Refused(why));
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > HEADERS || bytes > HEADER_BYTES {
        return refused(format!("a request may have {HEADERS} headers of {HEADER_BYTES} bytes in all"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let (Ok(parsed), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) else {
            return refused("a header's name or value holds characters that it cannot".into());
        };
        if is_hub_only(parsed.as_str()) {
            return refused(format!("the header {parsed} is not a connector's to set; credentials go by auth slots"));
        }
        headers.append(parsed, value);
    }
    Ok(headers)
}

/// Which requests may go now, and which wait for which.
struct Order {
    ready: VecDeque<usize>,
    /// How many earlier requests each waits for.
    waits: Vec<usize>,
    /// Which later ones wait for each.
    behind: Vec<Vec<usize>>,
    /// Whether one that it waited for has not got through.
    held: Vec<bool>,
}

impl Order {
    fn of(requests: &[HttpRequest], events: &[JobEvent]) -> Result<Self, Failure> {
        let mut order = Self {
            ready: VecDeque::new(),
            waits: vec![0; requests.len()],
            behind: vec![Vec::new(); requests.len()],
            held: vec![false; requests.len()],
        };
        let mut last: HashMap<ProfileId, usize> = HashMap::new();
        for (at, request) in requests.iter().enumerate() {
            for event in &request.events {
                let Some(event) = events.get(*event as usize) else {
                    let message = format!("a request carries event {event} of a job of {}", events.len());
                    return Err(Failure { kind: FailureKind::Plugin, code: "plugin_request".into(), message });
                };
                if let Some(before) = last.insert(event.order_key, at).filter(|before| *before != at) {
                    order.waits[at] += 1;
                    order.behind[before].push(at);
                }
            }
        }
        order.ready = (0..requests.len()).filter(|at| order.waits[*at] == 0).collect();
        Ok(order)
    }

    fn finish(&mut self, at: usize, got_through: bool) {
        for next in std::mem::take(&mut self.behind[at]) {
            self.held[next] |= !got_through;
            self.waits[next] -= 1;
            if self.waits[next] == 0 {
                self.ready.push_back(next);
            }
        }
    }
}
