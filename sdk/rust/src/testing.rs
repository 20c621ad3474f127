//! Runs an action offline against scripted replies, or has a webhook read: no Wasm, no network, no hub. Every round is a
//! fresh replay from kept bytes, as in the hub, and what the hub would refuse fails the test.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::Value;

use crate::{
    Destination, Verdict,
    bindings::{
        exports::rialto::plugin::destination::{Item, Job, LastCalls, Step},
        rialto::plugin::types::{Context, Failure, HttpResponse, Outcome, Reply, TransportError},
    },
    executor, headers,
};

pub use self::post::{Post, Taken};
pub use crate::bindings::rialto::plugin::types::HttpRequest;

mod post;

/// The most rounds that the hub makes.
pub const MAX_ROUNDS: usize = 8;
/// The most requests that the hub makes in one round.
pub const MAX_REQUESTS: usize = 1_000;
/// The most bytes that the hub keeps between two rounds; of a job that wants more it halves the batch.
pub const MAX_STATE: usize = 64 << 10;

/// The moment at which everything happens.
const NOW_MS: u64 = 1_767_225_600_000;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn record_line(line: String) {
    LINES.with_borrow_mut(|lines| lines.push(line));
}

/// What the scripted destination answers.
#[derive(Debug, Clone)]
pub struct Answer(Reply);

impl Answer {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self(Ok(HttpResponse { status, headers: Vec::new(), body: Vec::new(), ext: Vec::new() }))
    }

    /// A status with a JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::status(status).header("content-type", "application/json").body(body.to_string())
    }

    /// No answer: a transport error such as `timeout`.
    pub fn nothing(code: &str) -> Self {
        Self(Err(TransportError { code: code.to_owned(), message: format!("scripted {code}") }))
    }

    /// Adds a header, its name in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(response) = &mut self.0 {
            response.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        if let Ok(response) = &mut self.0 {
            response.body = body.into();
        }
        self
    }
}

/// A job to be tried.
pub struct Trial<D> {
    settings: Value,
    events: Vec<Item>,
    attempt: u32,
    answers: Box<dyn FnMut(&HttpRequest) -> Answer>,
    connector: std::marker::PhantomData<D>,
}

/// What came of a trial.
#[derive(Debug)]
pub struct Run {
    /// The requests that were made, round by round.
    pub rounds: Vec<Vec<HttpRequest>>,
    /// The outcome of each event that has one.
    pub outcomes: BTreeMap<u32, Outcome>,
    /// Why the whole job failed, if it did.
    pub failure: Option<Failure>,
    /// What the connector logged: `level: message`.
    pub lines: Vec<String>,
}

impl Run {
    /// All requests, in the order they were made.
    pub fn requests(&self) -> impl Iterator<Item = &HttpRequest> {
        self.rounds.iter().flatten()
    }

    /// The verdict of an event; none if it has no outcome and is therefore tried again.
    pub fn verdict(&self, event: u32) -> Option<Verdict> {
        self.outcomes.get(&event).map(|outcome| outcome.verdict)
    }
}

/// The first header of a name in a request, in any case.
pub fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

impl<D: Destination> Trial<D> {
    /// A job without events yet, whose destination answers 200 to everything.
    pub fn new(settings: Value) -> Self {
        let answers = Box::new(|_: &HttpRequest| Answer::status(200));
        Self { settings, events: Vec::new(), attempt: 1, answers, connector: std::marker::PhantomData }
    }

    /// Adds an event with its delivery id.
    #[must_use]
    pub fn event(mut self, id: &str, payload: &Value) -> Self {
        self.events.push(Item { id: id.to_owned(), payload: payload.to_string() });
        self
    }

    /// Which attempt it is, from 1.
    #[must_use]
    pub fn attempt(mut self, number: u32) -> Self {
        self.attempt = number;
        self
    }

    /// What the destination answers.
    #[must_use]
    pub fn answer(mut self, answers: impl FnMut(&HttpRequest) -> Answer + 'static) -> Self {
        self.answers = Box::new(answers);
        self
    }

    /// Runs an action to its end.
    ///
    /// # Panics
    /// If the connector does what the hub refuses: more than [`MAX_ROUNDS`] rounds, more than [`MAX_REQUESTS`] in one,
    /// more than [`MAX_STATE`] bytes kept between two, a header that only the hub may set, an auth slot that the
    /// manifest does not have, an outcome for an event that is not there.
    pub fn run(mut self, action: &str) -> Run {
        let manifest: Value = serde_json::from_slice(D::MANIFEST).expect("the manifest is JSON");
        let job = Job { action: action.to_owned(), events: self.events.clone() };
        let context = Context {
            now_ms: NOW_MS,
            seed: 42,
            attempt: self.attempt,
            settings: self.settings.to_string(),
            ext: Vec::new(),
        };
        LINES.take();
        let mut run = Run { rounds: Vec::new(), outcomes: BTreeMap::new(), failure: None, lines: Vec::new() };
        let mut step = executor::prepare::<D>(&context, job.clone());
        loop {
            step = match step {
                Ok(Step::Call(calls)) => {
                    let kept = calls.state.len();
                    assert!(kept <= MAX_STATE, "plugin_state: {kept} bytes between two rounds, of at most {MAX_STATE}");
                    let replies = self.make(&manifest, calls.requests, &mut run);
                    executor::resume::<D>(&context, calls.replay.then(|| job.clone()), &calls.state, replies)
                }
                Ok(Step::Send(last)) => {
                    self.judge(&manifest, last, &mut run);
                    break;
                }
                Ok(Step::Done(outcomes)) => {
                    run.add(outcomes, self.events.len());
                    break;
                }
                Err(failure) => {
                    run.failure = Some(failure);
                    break;
                }
            };
        }
        run.lines = LINES.take();
        run
    }

    fn make(&mut self, manifest: &Value, requests: Vec<HttpRequest>, run: &mut Run) -> Vec<Reply> {
        assert!(run.rounds.len() < MAX_ROUNDS, "the connector asks for more than {MAX_ROUNDS} rounds");
        assert!(requests.len() <= MAX_REQUESTS, "the connector asks for {} requests in one round", requests.len());
        requests.iter().for_each(|request| inspect(manifest, request));
        let replies = requests.iter().map(|request| {
            (self.answers)(request).0.map(|mut response| {
                response.ext.push(("verdict".into(), word(verdict(manifest, response.status)).into()));
                let seconds = response.headers.iter().find(|(name, _)| name == "retry-after");
                if let Some(seconds) = seconds.and_then(|(_, value)| value.parse::<u64>().ok()) {
                    response.ext.push(("retry_after_ms".into(), (seconds * 1000).to_string()));
                }
                response
            })
        });
        let replies = replies.collect();
        run.rounds.push(requests);
        replies
    }

    /// Turns the replies of last requests into outcomes, as the hub does.
    fn judge(&mut self, manifest: &Value, last: LastCalls, run: &mut Run) {
        let carried: Vec<Vec<u32>> = last.requests.iter().map(|request| request.events.clone()).collect();
        run.add(last.outcomes, self.events.len());
        let replies = self.make(manifest, last.requests, run);
        for (events, reply) in carried.into_iter().zip(replies) {
            let (verdict, code) = match reply {
                Ok(response) => (verdict(manifest, response.status), format!("http_{}", response.status)),
                Err(error) => (Verdict::Retry, error.code),
            };
            for event in events {
                let (code, message, ext) = (code.clone(), String::new(), Vec::new());
                run.add(vec![Outcome { event, verdict, code, message, retry_after_ms: None, ext }], self.events.len());
            }
        }
    }
}

impl Run {
    fn add(&mut self, outcomes: Vec<Outcome>, events: usize) {
        for outcome in outcomes {
            assert!((outcome.event as usize) < events, "an outcome for event {} of {events}", outcome.event);
            let old = self.outcomes.insert(outcome.event, outcome);
            assert!(old.is_none(), "two outcomes for one event: {old:?}");
        }
    }
}

fn inspect(manifest: &Value, request: &HttpRequest) {
    for (name, value) in &request.headers {
        let problem = headers::problem(name, value);
        assert!(problem.is_none(), "egress_refused: {}", problem.unwrap_or_default());
    }
    let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let few = request.headers.len() <= headers::MAX_HEADERS && bytes <= headers::MAX_HEADER_BYTES;
    assert!(few, "egress_refused: {} headers of {bytes} bytes", request.headers.len());
    for slot in &request.auth {
        let declared = manifest["auth"].as_array().is_some_and(|slots| slots.iter().any(|s| s["name"] == **slot));
        assert!(declared, "the manifest has no auth slot '{slot}'");
    }
}

/// What a status means where the manifest does not say. The hub has the same table; its tests compare the two.
pub fn default_verdict(status: u16) -> Verdict {
    match status {
        200..300 => Verdict::Delivered,
        401 | 403 | 407 => Verdict::Unauthorized,
        408 | 425 | 429 | 500.. => Verdict::Retry,
        _ => Verdict::Rejected,
    }
}

fn verdict(manifest: &Value, status: u16) -> Verdict {
    let table = &manifest["verdicts"];
    let given = table.get(status.to_string()).or_else(|| table.get(format!("{}xx", status / 100)));
    match given.and_then(Value::as_str) {
        Some("delivered") => Verdict::Delivered,
        Some("skipped") => Verdict::Skipped,
        Some("rejected") => Verdict::Rejected,
        Some("retry") => Verdict::Retry,
        Some("unauthorized") => Verdict::Unauthorized,
        _ => default_verdict(status),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Skipped => "skipped",
        Verdict::Rejected => "rejected",
        Verdict::Retry => "retry",
        Verdict::Unauthorized => "unauthorized",
    }
}
