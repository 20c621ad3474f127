//! One item of a request: its members become an event.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use rialto_model::event::{Event, EventType, MAX_MESSAGE_ID};
use rialto_model::{Timestamp, json};
use serde_json::value::RawValue;

use super::Refusal;
use super::envelope::Stamp;
use super::time::Given;
use crate::members::{Members, pick, text};

/// What the items of a batch share; an item's own members win.
#[derive(Default)]
pub(super) struct Shared<'a> {
    context: Members<'a>,
    integrations: Members<'a>,
    sent_at: Option<Timestamp>,
    bytes: usize,
}

impl<'a> Shared<'a> {
    /// How many bytes it may add to each item.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn of_batch(
        context: Option<&'a RawValue>,
        integrations: Option<&'a RawValue>,
        sent_at: Option<&'a RawValue>,
    ) -> Result<Self, Refusal> {
        let members = |raw: Option<&'a RawValue>, name: &str| match object(raw, name)? {
            Some(raw) => Members::parse(raw.get()).map_err(|_| not_an_object(name)),
            None => Ok(Members::default()),
        };
        Ok(Self {
            context: members(context, "context")?,
            integrations: members(integrations, "integrations")?,
            sent_at: moment(sent_at, "sentAt")?,
            bytes: [context, integrations].into_iter().flatten().map(|raw| raw.get().len()).sum(),
        })
    }
}

/// Refuses what no later step could keep: NUL, depth, too many members, numbers beyond f64.
pub(super) fn scan(raw: &RawValue) -> Result<(), Refusal> {
    json::scan(raw.get()).map_err(|why| Refusal::new("unsafe_json", format!("the event {why}")))
}

/// The members of an item that the specification names, each taken out once.
#[derive(Default)]
struct Named<'a> {
    kind: Option<&'a RawValue>,
    message_id: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    category: Option<&'a RawValue>,
    user_id: Option<&'a RawValue>,
    anonymous_id: Option<&'a RawValue>,
    previous_id: Option<&'a RawValue>,
    group_id: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    original_timestamp: Option<&'a RawValue>,
    sent_at: Option<&'a RawValue>,
    context: Option<&'a RawValue>,
    properties: Option<&'a RawValue>,
    traits: Option<&'a RawValue>,
    integrations: Option<&'a RawValue>,
    extra: BTreeMap<String, Box<RawValue>>,
}

impl<'a> Named<'a> {
    fn sort(members: Members<'a>) -> Self {
        let mut named = Self::default();
        for (name, raw) in members.0 {
            let place = match name.as_ref() {
                "type" => &mut named.kind,
                "messageId" => &mut named.message_id,
                "event" => &mut named.event,
                "name" => &mut named.name,
                "category" => &mut named.category,
                "userId" => &mut named.user_id,
                "anonymousId" => &mut named.anonymous_id,
                "previousId" => &mut named.previous_id,
                "groupId" => &mut named.group_id,
                "timestamp" => &mut named.timestamp,
                "originalTimestamp" => &mut named.original_timestamp,
                "sentAt" => &mut named.sent_at,
                "context" => &mut named.context,
                "properties" => &mut named.properties,
                "traits" => &mut named.traits,
                "integrations" => &mut named.integrations,
                // The key is a credential and must not lie in the log.
                "writeKey" => continue,
                _ => {
                    named.extra.insert(name.into_owned(), raw.to_owned());
                    continue;
                }
            };
            *place = Some(raw);
        }
        named
    }
}

/// An event of an item's members; `kind` is the path's type, if it decides.
pub(super) fn event(
    members: Members<'_>,
    kind: Option<EventType>,
    shared: &Shared<'_>,
    stamp: &mut Stamp<'_>,
) -> Result<Event, Refusal> {
    let named = Named::sort(members);
    let kind = match kind {
        Some(kind) => kind,
        None => named.kind.and_then(text).and_then(|word| EventType::from_word(word.trim())).ok_or_else(|| {
            Refusal::of_field("invalid_type", "type", "must be identify, track, page, screen, group or alias")
        })?,
    };
    let user_id = id(named.user_id, "userId")?;
    let anonymous_id = id(named.anonymous_id, "anonymousId")?;
    let previous_id = id(named.previous_id, "previousId")?;
    match kind {
        EventType::Alias if user_id.is_none() || previous_id.is_none() => {
            return Err(Refusal::new("no_usable_id", "an alias call needs 'previousId' and 'userId'"));
        }
        _ if user_id.is_none() && anonymous_id.is_none() => {
            return Err(Refusal::new("no_usable_id", "needs a 'userId' or an 'anonymousId'"));
        }
        _ => {}
    }
    let given = Given {
        original: moment(named.original_timestamp, "originalTimestamp")?,
        timestamp: moment(named.timestamp, "timestamp")?,
        sent: moment(named.sent_at, "sentAt")?.or(shared.sent_at),
    };
    Ok(Event {
        message_id: message_id(named.message_id, stamp)?,
        kind,
        source_id: stamp.source_id,
        event: word(named.event, "event")?,
        name: word(named.name, "name")?,
        category: word(named.category, "category")?,
        user_id,
        anonymous_id,
        previous_id,
        group_id: id(named.group_id, "groupId")?,
        timestamp: given.event_time(stamp.now),
        received_at: stamp.now,
        original_timestamp: given.original_time(),
        sent_at: given.sent,
        context: context(named.context, shared, stamp.ip)?,
        properties: object(named.properties, "properties")?.map(ToOwned::to_owned),
        traits: object(named.traits, "traits")?.map(ToOwned::to_owned),
        integrations: merged(object(named.integrations, "integrations")?, &shared.integrations)?,
        extra: named.extra,
    })
}

fn message_id(raw: Option<&RawValue>, stamp: &mut Stamp<'_>) -> Result<String, Refusal> {
    match id(raw, "messageId")? {
        None => Ok((stamp.new_id)()),
        Some(given) if given.chars().count() > MAX_MESSAGE_ID => {
            let message = format!("may have at most {MAX_MESSAGE_ID} characters");
            Err(Refusal::of_field("invalid_message_id", "messageId", &message))
        }
        Some(given) => Ok(stamp.given_id.map_or_else(|| given.clone(), |becomes| becomes(&given))),
    }
}

/// An id: a text or a number, trimmed; null and blank are none.
fn id(raw: Option<&RawValue>, field: &str) -> Result<Option<String>, Refusal> {
    let Some(raw) = present(raw) else { return Ok(None) };
    let text = text(raw).ok_or_else(|| Refusal::of_field("invalid_id", field, "must be a text or a number"))?;
    Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned))
}

/// A name: a text, or what is written of a number or a boolean, as it is.
fn word(raw: Option<&RawValue>, field: &str) -> Result<Option<String>, Refusal> {
    let Some(raw) = present(raw) else { return Ok(None) };
    match text(raw) {
        Some(text) => Ok(Some(text.into_owned())),
        None if matches!(raw.get(), "true" | "false") => Ok(Some(raw.get().to_owned())),
        None => Err(Refusal::of_field("invalid_field", field, "must be a text")),
    }
}

fn moment(raw: Option<&RawValue>, field: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(raw) = present(raw) else { return Ok(None) };
    let fault = || {
        let message = "must be an ISO 8601 date and time with a zone, such as 2026-01-31T12:00:00.000Z";
        Refusal::of_field("invalid_timestamp", field, message)
    };
    if !raw.get().starts_with('"') {
        return Err(fault());
    }
    text(raw).and_then(|text| text.parse().ok()).map(Some).ok_or_else(fault)
}

/// An object. An empty list is taken for an empty one, for PHP cannot tell them apart; null for none.
fn object<'a>(raw: Option<&'a RawValue>, field: &str) -> Result<Option<&'a RawValue>, Refusal> {
    let Some(raw) = present(raw) else { return Ok(None) };
    match raw.get().as_bytes() {
        [b'{', ..] => Ok(Some(raw)),
        [b'[', inside @ .., b']'] if inside.iter().all(u8::is_ascii_whitespace) => Ok(None),
        _ => Err(not_an_object(field)),
    }
}

fn not_an_object(field: &str) -> Refusal {
    Refusal::of_field("invalid_field", field, "must be an object")
}

fn present(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

/// The item's context over the batch's, with the client's address where it gave none or asked for the socket's.
fn context(own: Option<&RawValue>, shared: &Shared<'_>, ip: Option<IpAddr>) -> Result<Option<Box<RawValue>>, Refusal> {
    let own = object(own, "context")?;
    let Some(ip) = ip else { return merged(own, &shared.context) };
    let [own_ip, own_direct] = own.map_or([None; 2], |own| pick(own, ["ip", "direct"]));
    let given = present(own_ip).or_else(|| present(shared.context.get("ip")));
    let direct = own_direct.or_else(|| shared.context.get("direct")).is_some_and(|raw| raw.get() == "true");
    if given.is_some() && !direct {
        return merged(own, &shared.context);
    }
    let ip = RawValue::from_string(format!("\"{ip}\"")).map_err(|_| not_an_object("context"))?;
    let mut members = overlaid(own, &shared.context)?;
    members.put(Cow::Borrowed("ip"), &ip);
    written(&members).map(Some)
}

/// An item's object over its batch's; copied whole where the batch has nothing to say.
fn merged(own: Option<&RawValue>, shared: &Members<'_>) -> Result<Option<Box<RawValue>>, Refusal> {
    match own {
        own if shared.0.is_empty() => Ok(own.map(ToOwned::to_owned)),
        own => written(&overlaid(own, shared)?).map(Some),
    }
}

fn overlaid<'a>(own: Option<&'a RawValue>, shared: &Members<'a>) -> Result<Members<'a>, Refusal> {
    let mut members = Members(shared.0.clone());
    if let Some(own) = own {
        let own = Members::parse(own.get()).map_err(|_| not_an_object("context"))?;
        own.0.into_iter().for_each(|(name, value)| members.put(name, value));
    }
    Ok(members)
}

fn written(members: &Members<'_>) -> Result<Box<RawValue>, Refusal> {
    serde_json::value::to_raw_value(members).map_err(|_| not_an_object("context"))
}
