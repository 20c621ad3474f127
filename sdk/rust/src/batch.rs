//! The events of one job, as the action sees them.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::{Outcomes, Reply, Request, Verdict, bindings::exports::rialto::plugin::destination as wit};

/// What an action takes: anything that serde reads, or [`Raw`].
pub trait Payload: Sized {
    /// Reads one payload, or says why it cannot be taken.
    fn read(json: String) -> Result<Self, String>;
}

impl<T: DeserializeOwned> Payload for T {
    fn read(json: String) -> Result<Self, String> {
        serde_json::from_str(&json).map_err(|e| e.to_string())
    }
}

/// A payload that is passed on as it is: a JSON text that nobody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw(String);

impl Raw {
    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Payload for Raw {
    fn read(json: String) -> Result<Self, String> {
        Ok(Self(json))
    }
}

/// One event with its delivery id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<P> {
    index: u32,
    id: String,
    payload: P,
}

impl<P> Item<P> {
    /// Its place in the job, which requests name it by.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The delivery's id: the same on every attempt, so that the receiver can tell a repeat.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The payload.
    pub fn payload(&self) -> &P {
        &self.payload
    }
}

impl<P> Deref for Item<P> {
    type Target = P;
    fn deref(&self) -> &P {
        &self.payload
    }
}

/// Events of one destination, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<P> {
    items: Vec<Item<P>>,
}

impl<P: Payload> Batch<P> {
    /// Reads the payloads; what cannot be read is rejected by itself and does not hold up the others.
    pub(crate) fn read(events: Vec<wit::Item>) -> (Self, Outcomes) {
        let (mut items, mut refused) = (Vec::with_capacity(events.len()), Outcomes::none());
        for (index, wit::Item { id, payload }) in (0..).zip(events) {
            match P::read(payload) {
                Ok(payload) => items.push(Item { index, id, payload }),
                Err(message) => refused = refused.set(index, Verdict::Rejected, "payload", message),
            }
        }
        (Self { items }, refused)
    }
}

impl<P> Batch<P> {
    /// The events, oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Item<P>> {
        self.items.iter()
    }

    /// How many events there are; never none.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// An idempotency key for the batch as a whole: the delivery id of an only event, else a digest of all ids.
    pub fn key(&self) -> String {
        if let [only] = self.items.as_slice() {
            return only.id.clone();
        }
        let mut hash = Sha256::new();
        for item in &self.items {
            hash.update(item.id.as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// One outcome for all.
    pub fn all(&self, verdict: Verdict, code: &str, message: &str) -> Outcomes {
        self.items.iter().fold(Outcomes::over(self), |all, item| all.set(item.index, verdict, code, message))
    }

    /// The outcome that the reply's status means, for all.
    pub fn outcomes(&self, reply: &Reply) -> Outcomes {
        Outcomes::of_reply(self, reply)
    }

    /// One last request an event; the hub judges each by its status. Events of one person stay in order.
    pub fn each<'a>(&'a self, mut request: impl FnMut(&'a Item<P>) -> Request<'a>) -> Outcomes {
        Outcomes::sent(self.items.iter().map(|item| request(item).carries([item.index])))
    }

    /// One last request that carries all events; the hub judges them by its status.
    pub fn once(&self, request: Request<'_>) -> Outcomes {
        Outcomes::sent([request.carries(self.items.iter().map(Item::index))])
    }
}

impl<'a, P> IntoIterator for &'a Batch<P> {
    type Item = &'a Item<P>;
    type IntoIter = std::slice::Iter<'a, Item<P>>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
