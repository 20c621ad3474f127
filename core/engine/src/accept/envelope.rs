//! The envelope of a request: one event, or a batch with what its events share.

use std::borrow::Cow;
use std::net::IpAddr;

use rialto_model::event::{Event, EventType};
use rialto_model::{SourceId, Timestamp, json};
use serde_json::value::RawValue;

use super::item::{self, Shared};
use super::{MAX_BATCH, MAX_BATCH_EVENTS, MAX_EVENT, MAX_UNFOLDED, Refusal};
use crate::members::{Members, pick, text};

/// Which form a body has; the path says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One event, of the path's type whatever its body says.
    Single(EventType),
    /// `{"batch": […]}`, each with its own type.
    Batch,
}

/// What the hub adds to each event.
pub struct Stamp<'s> {
    /// The source whose write key was used.
    pub source_id: SourceId,
    /// When the request was received.
    pub now: Timestamp,
    /// The client's address: the socket's, or what a trusted proxy says.
    pub ip: Option<IpAddr>,
    /// Makes the id of an event that came without one.
    pub new_id: &'s mut dyn FnMut() -> String,
    /// What becomes of an id that an event came with, if it does not stay.
    pub given_id: Option<&'s dyn Fn(&str) -> String>,
}

/// A well-formed body, not yet looked into item by item.
#[derive(Debug)]
pub struct Envelope<'a> {
    write_key: Option<Cow<'a, str>>,
    body: Body<'a>,
}

#[derive(Debug)]
enum Body<'a> {
    Single {
        kind: EventType,
        members: Members<'a>,
    },
    Batch {
        items: Vec<&'a RawValue>,
        context: Option<&'a RawValue>,
        integrations: Option<&'a RawValue>,
        sent_at: Option<&'a RawValue>,
    },
}

impl<'a> Envelope<'a> {
    /// Reads a body as UTF-8 JSON.
    ///
    /// # Errors
    /// A [`Refusal`]: no JSON, no object, too large (also by what a batch's events share), an empty batch, too many
    /// events.
    pub fn parse(body: &'a [u8], form: Form) -> Result<Self, Refusal> {
        let (most, too_large) = match form {
            Form::Single(_) => (MAX_EVENT, "event_too_large"),
            Form::Batch => (MAX_BATCH, "batch_too_large"),
        };
        if body.len() > most {
            return Err(Refusal::new(too_large, format!("the body has {} bytes; the most is {most}", body.len())));
        }
        let not_json = |e: &dyn std::fmt::Display| Refusal::new("invalid_json", format!("the body is not JSON: {e}"));
        let body = std::str::from_utf8(body).map_err(|e| not_json(&e))?;
        let raw: &RawValue = serde_json::from_str(body).map_err(|e| not_json(&e))?;
        if !raw.get().starts_with('{') {
            return Err(Refusal::new("not_an_object", "the body must be a JSON object"));
        }
        let body = match form {
            Form::Single(kind) => {
                item::scan(raw)?;
                Body::Single { kind, members: Members::parse(raw.get()).map_err(|e| not_json(&e))? }
            }
            Form::Batch => batch(raw)?,
        };
        let [write_key] = pick(raw, ["writeKey"]);
        Ok(Self { write_key: write_key.and_then(text).filter(|key| !key.trim().is_empty()), body })
    }

    /// The items that a connector made of a webhook: a batch under the same limits, whose items share nothing.
    ///
    /// # Errors
    /// A [`Refusal`]: an item is no JSON, or there are too many of them or too large ones. None at all are no error.
    pub fn of_records(records: &'a [String]) -> Result<Self, Refusal> {
        let bytes: usize = records.iter().map(String::len).sum();
        if bytes > MAX_BATCH {
            let message = format!("the connector made {bytes} bytes of events; the most is {MAX_BATCH}");
            return Err(Refusal::new("batch_too_large", message));
        }
        if records.len() > MAX_BATCH_EVENTS {
            let message = format!("the connector made {} events; the most is {MAX_BATCH_EVENTS}", records.len());
            return Err(Refusal::new("too_many_events", message));
        }
        let raw = |(index, record): (usize, &'a String)| {
            let not_json = |e| Refusal::new("invalid_json", format!("is not JSON: {e}")).at(Some(index));
            // Read by itself, so that no record can reach out into the next.
            serde_json::from_str::<&RawValue>(record).map_err(not_json)
        };
        let items = records.iter().enumerate().map(raw).collect::<Result<_, _>>()?;
        Ok(Self { write_key: None, body: Body::Batch { items, context: None, integrations: None, sent_at: None } })
    }

    /// The write key in the body, if there is one.
    pub fn write_key(&self) -> Option<&str> {
        self.write_key.as_deref().map(str::trim)
    }

    /// How many events it holds.
    pub fn count(&self) -> usize {
        match &self.body {
            Body::Single { .. } => 1,
            Body::Batch { items, .. } => items.len(),
        }
    }

    /// How many bytes the events take beside the body: what a batch shares, once an item.
    pub fn added(&self) -> usize {
        match &self.body {
            Body::Single { .. } => 0,
            Body::Batch { items, context, integrations, .. } => {
                let shared: usize = [context, integrations].into_iter().flatten().map(|raw| raw.get().len()).sum();
                // The first event that has more is refused, before any is made.
                if shared > MAX_EVENT { 0 } else { items.len() * shared }
            }
        }
    }

    /// Makes the events: checked, normalised and stamped. All of them or none.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first faulty item and field.
    pub fn stamp(self, mut stamp: Stamp<'_>) -> Result<Vec<Event>, Refusal> {
        match self.body {
            Body::Single { kind, members } => {
                Ok(vec![item::event(members, Some(kind), &Shared::default(), &mut stamp)?])
            }
            Body::Batch { items, context, integrations, sent_at } => {
                let shared = Shared::of_batch(context, integrations, sent_at)?;
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, raw)| batch_item(raw, &shared, &mut stamp).map_err(|fault| fault.at(Some(index))))
                    .collect()
            }
        }
    }
}

/// Reads by name alone: an envelope of 500 KB may have so many members that looking for repeats would be an attack.
fn batch(raw: &RawValue) -> Result<Body<'_>, Refusal> {
    let body = raw.get().len();
    let missing = || Refusal::of_field("invalid_batch", "batch", "must be a list of events");
    let [raw, context, integrations, sent_at] = pick(raw, ["batch", "context", "integrations", "sentAt"]);
    let raw = raw.ok_or_else(missing)?;
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| missing())?;
    if items.is_empty() {
        return Err(Refusal::of_field("empty_batch", "batch", "holds no events"));
    }
    if items.len() > MAX_BATCH_EVENTS {
        let message = format!("holds {} events; the most is {MAX_BATCH_EVENTS}", items.len());
        return Err(Refusal::of_field("too_many_events", "batch", &message));
    }
    for (name, raw) in [("context", context), ("integrations", integrations)] {
        if let Some(raw) = raw {
            json::scan(raw.get()).map_err(|why| Refusal::of_field("unsafe_json", name, &why.to_string()))?;
        }
    }
    judge_unfolded(body, items.len(), context, integrations)?;
    Ok(Body::Batch { items, context, integrations, sent_at })
}

/// What the events share is written into each of them: a small body may become more than can be kept at a time.
fn judge_unfolded(
    body: usize,
    count: usize,
    context: Option<&RawValue>,
    integrations: Option<&RawValue>,
) -> Result<(), Refusal> {
    let bytes = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
    let shared = bytes(context) + bytes(integrations);
    let unfolded = body + count * shared;
    if shared <= MAX_EVENT && unfolded > MAX_UNFOLDED {
        let larger = if bytes(context) >= bytes(integrations) { "context" } else { "integrations" };
        let fits = (MAX_UNFOLDED - body) / shared;
        let message = format!(
            "counts for each event: with the {shared} bytes of the batch's context and integrations its {count} events \
             have {unfolded} bytes; the most is {MAX_UNFOLDED}. Send at most {fits} of them at a time, or share less"
        );
        return Err(Refusal::of_field("batch_too_large", larger, &message));
    }
    Ok(())
}

fn batch_item(raw: &RawValue, shared: &Shared<'_>, stamp: &mut Stamp<'_>) -> Result<Event, Refusal> {
    if !raw.get().starts_with('{') {
        return Err(Refusal::new("not_an_object", "must be a JSON object"));
    }
    let (own, shared_bytes) = (raw.get().len(), shared.bytes());
    if own + shared_bytes > MAX_EVENT {
        let message = match shared_bytes {
            0 => format!("the event has {own} bytes; the most is {MAX_EVENT}"),
            _ => format!(
                "the event has {own} bytes and {shared_bytes} more from the batch's context and integrations; the \
                 most is {MAX_EVENT}"
            ),
        };
        return Err(Refusal::new("event_too_large", message));
    }
    item::scan(raw)?;
    let members =
        Members::parse(raw.get()).map_err(|e| Refusal::new("invalid_json", format!("is not a JSON object: {e}")))?;
    item::event(members, None, shared, stamp)
}
