//! What the hub itself puts into a tenant's stream: merges, demotions, blocked values, caps. Such an event's id
//! follows from its cause, so that saying it again is dropped like any duplicate; what could be said with every
//! event is said once a day.

use std::collections::BTreeMap;

use rialto_model::ProfileId;
use rialto_model::decision::{Resolution, SetAside, SetAsideReason};
use rialto_model::event::{Event, EventType};
use rialto_model::profile::Merge;
use rialto_store::OutboxEvent;
use serde_json::{Value, json};

use crate::derive::{ENGINE_SOURCE, notice_id};
use crate::resolve::Occasion;

const DAY_MS: i64 = 86_400_000;

/// What resolving one event gives the hub to say.
pub(crate) fn notices(
    occasion: &Occasion<'_>,
    profile: Option<ProfileId>,
    resolution: &Resolution,
    merges: &[Merge],
) -> Vec<OutboxEvent> {
    let merged = merges.iter().map(|merge| merged(occasion, merge));
    let aside = resolution.set_aside.iter().map(|aside| set_aside(occasion, profile, aside));
    merged.chain(aside).flatten().collect()
}

fn merged(occasion: &Occasion<'_>, merge: &Merge) -> Option<OutboxEvent> {
    let id = notice_id("profile.merged", &[merge.id.0.as_bytes()]);
    let kinds: Vec<&str> = merge.by.iter().map(|by| by.kind.as_str()).collect();
    let properties = json!({
        "profile_id": merge.survivor_id, "absorbed_id": merge.absorbed_id, "merge_id": merge.id,
        "cause": occasion.message_id, "by": kinds,
    });
    event(occasion, "profile.merged", id, &properties)
}

fn set_aside(occasion: &Occasion<'_>, profile: Option<ProfileId>, aside: &SetAside) -> Option<OutboxEvent> {
    let name = match aside.why {
        SetAsideReason::Blocked | SetAsideReason::TooLong => "identifier.blocked",
        SetAsideReason::Demoted => "identifier.demoted",
        SetAsideReason::Capped => "profile.capped",
    };
    let day = (occasion.received_at.millis() / DAY_MS).to_le_bytes();
    let person = profile.filter(|_| name != "identifier.blocked").map(|id| *id.0.as_bytes()).unwrap_or_default();
    let (kind, value) = (&aside.identifier.kind, &aside.identifier.value);
    let id = match aside.why {
        SetAsideReason::Capped => notice_id(name, &[&day, &person]),
        _ => notice_id(name, &[&day, &person, kind.as_bytes(), value.as_bytes()]),
    };
    let properties =
        json!({"profile_id": profile, "kind": kind, "value": value, "why": aside.why, "cause": occasion.message_id});
    event(occasion, name, id, &properties)
}

fn event(occasion: &Occasion<'_>, name: &str, message_id: String, properties: &Value) -> Option<OutboxEvent> {
    let event = Event {
        message_id,
        kind: EventType::Track,
        source_id: ENGINE_SOURCE,
        event: Some(name.to_owned()),
        name: None,
        category: None,
        user_id: None,
        anonymous_id: None,
        previous_id: None,
        group_id: None,
        timestamp: occasion.received_at,
        received_at: occasion.received_at,
        original_timestamp: None,
        sent_at: None,
        context: None,
        properties: serde_json::value::to_raw_value(properties).ok(),
        traits: None,
        integrations: None,
        extra: BTreeMap::new(),
    };
    let body = serde_json::to_string(&event).ok()?;
    Some(OutboxEvent { message_id: event.message_id, body })
}
