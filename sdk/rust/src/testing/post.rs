//! A webhook to be tried.

use std::marker::PhantomData;

use serde_json::Value;

use super::{LINES, NOW_MS};
use crate::{
    bindings::{
        rialto::plugin::types::{Context, Failure},
        webhook::exports::rialto::plugin::webhook::{Answer, Request},
    },
    webhook::{self, Receiver},
};

/// The most records of one webhook.
const MAX_RECORDS: usize = 2_500;
/// The most bytes of all records of one webhook.
const MAX_RECORD_BYTES: usize = 500 << 10;
/// The most bytes of an answer.
const MAX_ANSWER: usize = 64 << 10;

/// A webhook to be tried, signed unless it says otherwise.
pub struct Post<R> {
    settings: Value,
    request: Request,
    connector: PhantomData<R>,
}

/// What came of a webhook.
#[derive(Debug)]
pub struct Taken {
    /// The records, in order.
    pub records: Vec<Value>,
    /// The connector's own answer.
    pub answer: Option<Answer>,
    /// Why it was refused, if it was.
    pub failure: Option<Failure>,
    /// What the connector logged: `level: message`.
    pub lines: Vec<String>,
}

impl<R: Receiver> Post<R> {
    /// A webhook with a body, to a source with these settings.
    pub fn new(settings: Value, body: impl Into<Vec<u8>>) -> Self {
        let (headers, query, ext) = Default::default();
        let request = Request { headers, query, body: body.into(), verified: true, ext };
        Self { settings, request, connector: PhantomData }
    }

    /// A webhook with a JSON body.
    pub fn json(settings: Value, body: &Value) -> Self {
        Self::new(settings, body.to_string()).header("content-type", "application/json")
    }

    /// Adds a header, its name in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.request.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// It came with a write key and no signature.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.request.verified = false;
        self
    }

    /// Has it read.
    ///
    /// # Panics
    /// If the connector gives what the hub refuses: records that are no objects with a known `type` and a usable id,
    /// more than 2,500 of them, or 500 KiB in all, an answer that is no success, of another content type
    /// than JSON, plain text or XML, or of more than 64 KiB.
    pub fn receive(self) -> Taken {
        let context =
            Context { now_ms: NOW_MS, seed: 42, attempt: 1, settings: self.settings.to_string(), ext: Vec::new() };
        LINES.take();
        let received = webhook::receive::<R>(&context, self.request);
        let lines = LINES.take();
        match received {
            Ok(accepted) => {
                let bytes: usize = accepted.records.iter().map(String::len).sum();
                let count = accepted.records.len();
                assert!(count <= MAX_RECORDS && bytes <= MAX_RECORD_BYTES, "{count} records of {bytes} bytes");
                accepted.answer.iter().for_each(inspect_answer);
                let records: Vec<Value> = accepted.records.iter().map(|record| inspect(record)).collect();
                Taken { records, answer: accepted.answer, failure: None, lines }
            }
            Err(failure) => Taken { records: Vec::new(), answer: None, failure: Some(failure), lines },
        }
    }
}

fn inspect(record: &str) -> Value {
    let record: Value = serde_json::from_str(record).expect("a record is JSON");
    let kind = record["type"].as_str().unwrap_or_default();
    let known = ["track", "identify", "page", "screen", "group", "alias"].contains(&kind);
    assert!(known, "a record needs a 'type' of the tracking API: {record}");
    let named = |member: &str| {
        record.get(member).is_some_and(|id| id.is_number() || id.as_str().is_some_and(|id| !id.trim().is_empty()))
    };
    assert!(named("userId") || named("anonymousId"), "a record needs a 'userId' or an 'anonymousId': {record}");
    record
}

fn inspect_answer(answer: &Answer) {
    let bare = answer.content_type.split(';').next().unwrap_or_default().trim();
    let known = ["application/json", "text/plain", "application/xml"].contains(&bare);
    let empty = answer.body.is_empty() && answer.content_type.is_empty();
    assert!((200..300).contains(&answer.status) && (known || empty), "plugin_answer: {answer:?}");
    assert!(answer.body.len() <= MAX_ANSWER, "plugin_answer: {} bytes, of at most {MAX_ANSWER}", answer.body.len());
}
