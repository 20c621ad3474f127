//! What an action has of the world: its settings, the moment, and requests.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use serde::Serialize;

use crate::{
    Error, Reply, Result,
    bindings::rialto::plugin::types::{Context, HttpRequest},
    journal::{Entry, fingerprint},
};

/// The context of one call.
pub struct Cx<S> {
    settings: S,
    now_ms: u64,
    seed: u64,
    attempt: u32,
    tape: RefCell<Tape>,
}

/// Replies that are known, in the order in which their requests were first awaited, and requests that wait for one.
#[derive(Default)]
pub(crate) struct Tape {
    known: VecDeque<Entry>,
    pub(crate) asked: Vec<HttpRequest>,
    pub(crate) diverged: bool,
}

impl<S> Cx<S> {
    pub(crate) fn new(settings: S, context: &Context, known: Vec<Entry>) -> Self {
        crate::log::set_replaying(!known.is_empty());
        let tape = RefCell::new(Tape { known: known.into(), ..Tape::default() });
        Self { settings, now_ms: context.now_ms, seed: context.seed, attempt: context.attempt, tape }
    }

    /// The destination's settings.
    pub fn settings(&self) -> &S {
        &self.settings
    }

    /// When the attempt began, in milliseconds since 1970; the same in every round.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// A number to make random-looking choices from; the same in every round.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// 1 for the first attempt.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// A GET request.
    pub fn get(&self, url: impl Into<String>) -> Request<'_> {
        self.request("GET", url)
    }

    /// A POST request.
    pub fn post(&self, url: impl Into<String>) -> Request<'_> {
        self.request("POST", url)
    }

    /// A PUT request.
    pub fn put(&self, url: impl Into<String>) -> Request<'_> {
        self.request("PUT", url)
    }

    /// A PATCH request.
    pub fn patch(&self, url: impl Into<String>) -> Request<'_> {
        self.request("PATCH", url)
    }

    /// A DELETE request.
    pub fn delete(&self, url: impl Into<String>) -> Request<'_> {
        self.request("DELETE", url)
    }

    fn request(&self, method: &str, url: impl Into<String>) -> Request<'_> {
        let (method, url) = (method.to_owned(), url.into());
        let (headers, body, auth, events, ext) = Default::default();
        Request { tape: &self.tape, wanted: HttpRequest { method, url, headers, body, auth, events, ext } }
    }

    /// Makes requests at the same time, in one round, and gives their replies in order.
    ///
    /// # Errors
    /// The first transport error, which is retryable; `not_sent` if a request was held back behind an earlier one with
    /// an event of the same person. Use [`Request::attempt`] to look at each.
    pub async fn all<'a>(&'a self, requests: impl IntoIterator<Item = Request<'a>>) -> Result<Vec<Reply>> {
        let replies = All { waiting: requests.into_iter().map(|r| (r.attempt(), None)).collect() }.await;
        replies.into_iter().collect()
    }

    pub(crate) fn into_tape(self) -> Tape {
        self.tape.into_inner()
    }
}

/// A request being put together.
#[must_use = "a request is made when it is awaited or handed back in the outcomes"]
pub struct Request<'a> {
    tape: &'a RefCell<Tape>,
    wanted: HttpRequest,
}

impl Request<'_> {
    /// Adds a header. Those that carry credentials are filled by auth slots only.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.wanted.headers.push((name.into(), value.into()));
        self
    }

    /// Has the hub fill in an auth slot of the manifest; one that is optional and has no credential is left out.
    pub fn auth(mut self, slot: impl Into<String>) -> Self {
        self.wanted.auth.push(slot.into());
        self
    }

    /// A JSON body with its content type.
    pub fn json(self, body: &impl Serialize) -> Self {
        // Only a map with keys that are no text cannot be written; the destination's answer to an empty body says so.
        let bytes = serde_json::to_vec(body).unwrap_or_default();
        self.body("application/json", bytes)
    }

    /// A body with its content type.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.wanted.body = body.into();
        self.header("content-type", content_type)
    }

    /// Names the events that it carries, by their index: requests of one round that carry events of one person are
    /// made in order.
    pub fn carries(mut self, events: impl IntoIterator<Item = u32>) -> Self {
        self.wanted.events.extend(events);
        self
    }
}

impl<'a> Request<'a> {
    /// Awaits the reply, of any status.
    ///
    /// # Errors
    /// Retryable, if there was none.
    pub async fn send(self) -> Result<Reply> {
        self.attempt().await
    }

    /// The future of [`Request::send`], for those who combine futures themselves.
    pub fn attempt(self) -> Attempt<'a> {
        Attempt { tape: self.tape, wanted: Some(self.wanted) }
    }
}

impl From<Request<'_>> for HttpRequest {
    fn from(request: Request<'_>) -> Self {
        request.wanted
    }
}

/// A reply that is known already, or a request for this round.
pub struct Attempt<'a> {
    tape: &'a RefCell<Tape>,
    wanted: Option<HttpRequest>,
}

impl Future for Attempt<'_> {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Some(wanted) = self.wanted.take() else { return Poll::Pending };
        let mut tape = self.tape.borrow_mut();
        let known = tape.known.pop_front();
        crate::log::set_replaying(!tape.known.is_empty());
        match known {
            Some(entry) if entry.request == fingerprint(&wanted) => {
                Poll::Ready(entry.reply.map(Reply::new).map_err(Error::from))
            }
            Some(_) => {
                tape.diverged = true;
                Poll::Pending
            }
            None => {
                tape.asked.push(wanted);
                Poll::Pending
            }
        }
    }
}

/// Polls all until each has its reply.
struct All<'a> {
    waiting: Vec<(Attempt<'a>, Option<Result<Reply>>)>,
}

impl Future for All<'_> {
    type Output = Vec<Result<Reply>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        for (attempt, reply) in &mut self.waiting {
            if reply.is_none()
                && let Poll::Ready(ready) = Pin::new(attempt).poll(task)
            {
                *reply = Some(ready);
            }
        }
        if self.waiting.iter().any(|(_, reply)| reply.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(self.waiting.drain(..).filter_map(|(_, reply)| reply).collect())
    }
}
