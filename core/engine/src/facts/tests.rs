//! Where identifiers and traits are found on an event.

use rialto_model::decision::SetAsideReason;
use rialto_model::{SourceId, Timestamp};
use serde_json::json;

use super::*;
use crate::accept::{Envelope, Form, Stamp};

fn read(kind: EventType, body: Value) -> Facts {
    let body = body.to_string();
    let envelope = Envelope::parse(body.as_bytes(), Form::Single(kind)).expect("is taken");
    let source_id = SourceId::from_parts(1, &[1; 10]);
    let stamp = Stamp { source_id, now: Timestamp(0), ip: None, new_id: &mut || "m".to_owned(), given_id: None };
    let events = envelope.stamp(stamp).expect("is taken");
    facts(&events[0], &IdentityRules::default())
}

fn written(facts: &Facts) -> Vec<String> {
    facts.identifiers.iter().map(ToString::to_string).collect()
}

#[test]
fn every_place_that_may_identify_is_looked_at_in_the_order_of_priority() {
    let facts = read(
        EventType::Identify,
        json!({"userId": "U1", "anonymousId": "a1", "traits": {"email": " Jane@X.org ", "phone": "+49 170 1234567"},
            "context": {"traits": {"email": "other@x.org"},
                "device": {"advertisingId": "ab-1", "token": "t1", "type": "iOS"},
                "externalIds": [{"id": "g1", "type": "ga_client_id", "collection": "users", "encoding": "none"},
                    {"id": "z9", "type": "loyalty"}, {"id": "x", "type": "crm", "collection": "accounts"},
                    {"id": "x", "type": "crm", "encoding": "sha256"}, {"id": 5}, 7]}}),
    );
    let expected = [
        "user_id:U1",
        "email:jane@x.org",
        "phone:+491701234567",
        "anonymous_id:a1",
        "device.idfa:AB-1",
        "device.push_token:t1",
        "ga_client_id:g1",
        "loyalty:z9",
    ];
    assert_eq!(written(&facts), expected);
}

#[test]
fn an_android_id_is_another_kind_and_an_unknown_system_identifies_nobody() {
    let of = |system: &str| {
        read(
            EventType::Track,
            json!({"anonymousId": "a", "context": {"device": {"type": system, "advertisingId": "AB"}}}),
        )
    };
    assert_eq!(written(&of("android")), ["anonymous_id:a", "device.gaid:ab"]);
    assert_eq!(written(&of("tv")), ["anonymous_id:a"]);
}

#[test]
fn traits_of_a_group_are_not_a_persons() {
    let facts =
        read(EventType::Group, json!({"userId": "u", "groupId": "g", "traits": {"email": "info@x.org", "n": 1}}));
    assert_eq!(written(&facts), ["user_id:u"]);
    assert!(facts.traits.is_empty());
}

#[test]
fn own_traits_stand_over_carried_ones_and_null_is_kept_as_a_deletion() {
    let facts = read(
        EventType::Identify,
        json!({"userId": "u", "traits": {"plan": "pro", "old": null}, "context": {"traits": {"plan": "free", "x": ""}}}),
    );
    assert_eq!(Value::Object(facts.traits), json!({"plan": "pro", "old": null, "x": ""}));
}

#[test]
fn shared_values_are_set_aside_and_blank_ones_are_not_even_that() {
    let facts = read(
        EventType::Track,
        json!({"userId": "null", "anonymousId": "x".repeat(300), "context": {"traits": {"email": " "}}}),
    );
    assert!(facts.identifiers.is_empty());
    let aside: Vec<_> = facts.set_aside.iter().map(|aside| (aside.identifier.kind.as_str(), aside.why)).collect();
    assert_eq!(aside, [("user_id", SetAsideReason::Blocked), ("anonymous_id", SetAsideReason::TooLong)]);
    assert_eq!(facts.set_aside[1].identifier.value.len(), MAX_VALUE);
}

#[test]
fn context_of_any_shape_is_survived() {
    for context in [json!({"traits": [1], "device": "phone", "externalIds": {}}), json!({"traits": "x"})] {
        assert_eq!(written(&read(EventType::Track, json!({"userId": "u", "context": context}))), ["user_id:u"]);
    }
}

#[test]
fn an_alias_call_names_the_other_id_in_both_kinds() {
    let facts = read(EventType::Alias, json!({"userId": "u", "previousId": " p "}));
    let previous = facts.previous.expect("there is one");
    assert_eq!(previous.anonymous.to_string(), "anonymous_id:p");
    assert_eq!(previous.user.to_string(), "user_id:p");
}
