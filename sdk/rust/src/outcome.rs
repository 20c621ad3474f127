//! What became of each event.

use std::collections::BTreeMap;

use crate::{
    Batch, Item, Reply, Request, Verdict,
    bindings::{
        exports::rialto::plugin::destination::{LastCalls, Step},
        rialto::plugin::types::{HttpRequest, Outcome},
    },
};

/// An outcome an event. An event that has none is tried again.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcomes {
    /// The job's indices in the order of the batch that was sent.
    order: Vec<u32>,
    known: BTreeMap<u32, Outcome>,
    requests: Vec<HttpRequest>,
}

impl Outcomes {
    /// No outcome yet.
    pub fn none() -> Self {
        Self::default()
    }

    pub(crate) fn over<P>(batch: &Batch<P>) -> Self {
        Self { order: batch.iter().map(Item::index).collect(), ..Self::default() }
    }

    pub(crate) fn of_reply<P>(batch: &Batch<P>, reply: &Reply) -> Self {
        let (verdict, code) = (reply.verdict(), format!("http_{}", reply.status()));
        let message = if verdict == Verdict::Delivered { String::new() } else { reply.summary() };
        let mut all = batch.all(verdict, &code, &message);
        for outcome in all.known.values_mut() {
            outcome.retry_after_ms = reply.retry_after_ms();
        }
        all
    }

    pub(crate) fn sent<'a>(requests: impl IntoIterator<Item = Request<'a>>) -> Self {
        Self { requests: requests.into_iter().map(HttpRequest::from).collect(), ..Self::default() }
    }

    /// Sets the outcome of the event at an index of the job ([`Item::index`]).
    #[must_use]
    pub fn set(mut self, event: u32, verdict: Verdict, code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        self.known.insert(event, Outcome { event, verdict, code, message, retry_after_ms: None, ext: Vec::new() });
        self
    }

    /// Rejects the events that the destination's list of errors names: `read` gives an error's place in the batch
    /// and its message. Errors without a place are passed over.
    #[must_use]
    pub fn reject_each<E>(
        mut self,
        errors: impl IntoIterator<Item = E>,
        read: impl for<'e> Fn(&'e E) -> (Option<u64>, Option<&'e str>),
    ) -> Self {
        for error in errors {
            let (place, message) = read(&error);
            let event = place.and_then(|place| self.order.get(usize::try_from(place).ok()?)).copied();
            if let Some(event) = event {
                let message = message.unwrap_or("the destination gave no reason").to_owned();
                self = self.set(event, Verdict::Rejected, "rejected", message);
            }
        }
        self
    }

    /// These and those; where both have one of an event, the other's counts.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.known.extend(other.known);
        self.requests.extend(other.requests);
        self
    }
}

impl From<Outcomes> for Step {
    fn from(Outcomes { known, requests, order: _ }: Outcomes) -> Self {
        let outcomes: Vec<_> = known.into_values().collect();
        if requests.is_empty() { Self::Done(outcomes) } else { Self::Send(LastCalls { requests, outcomes }) }
    }
}
