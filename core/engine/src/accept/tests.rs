//! The ingest contract, rule by rule.

use std::net::IpAddr;

use proptest::prelude::*;
use rialto_model::event::{Event, EventType};
use rialto_model::{SourceId, Timestamp};
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_769_860_800_000);

fn take(body: &[u8], form: Form, ip: Option<&str>) -> Result<Vec<Event>, Refusal> {
    let mut made = 0;
    let mut new_id = || {
        made += 1;
        format!("made-{made}")
    };
    let ip = ip.map(|ip| ip.parse::<IpAddr>().expect("an address"));
    let source_id = SourceId::from_parts(1, &[1; 10]);
    Envelope::parse(body, form)?.stamp(Stamp { source_id, now: NOW, ip, new_id: &mut new_id, given_id: None })
}

fn single(kind: EventType, body: Value) -> Result<Event, Refusal> {
    take(body.to_string().as_bytes(), Form::Single(kind), None).map(|mut events| events.remove(0))
}

fn batch(body: Value) -> Result<Vec<Event>, Refusal> {
    take(body.to_string().as_bytes(), Form::Batch, None)
}

fn value(raw: &Option<Box<serde_json::value::RawValue>>) -> Value {
    raw.as_ref().map_or(Value::Null, |raw| serde_json::from_str(raw.get()).expect("JSON"))
}

#[test]
fn everything_a_client_sends_is_kept_in_its_place() {
    let body = json!({"type": "identify", "messageId": "m1", "userId": "u", "anonymousId": "a", "event": "Bought",
        "name": "n", "category": "c", "groupId": "g", "previousId": "p", "properties": {"x": 1.50}, "traits": {"t": ""},
        "context": {"library": {"name": "x"}}, "integrations": {"All": true}, "channel": "server", "version": 2,
        "writeKey": "wk_secret"});
    let event = single(EventType::Track, body).expect("taken");
    assert_eq!(event.kind, EventType::Track, "the path decides the type");
    let kept = serde_json::to_value(&event).expect("JSON");
    let source = event.source_id.to_string();
    assert_eq!(
        kept,
        json!({"message_id": "m1", "type": "track", "source_id": source, "event": "Bought", "name": "n",
            "category": "c", "user_id": "u", "anonymous_id": "a", "previous_id": "p", "group_id": "g",
            "timestamp": NOW, "received_at": NOW, "properties": {"x": 1.50}, "traits": {"t": ""},
            "context": {"library": {"name": "x"}}, "integrations": {"All": true},
            "extra": {"channel": "server", "version": 2}})
    );
    let back: Event = serde_json::from_value(kept.clone()).expect("reads back");
    assert_eq!(serde_json::to_value(back).expect("JSON"), kept);
}

#[test]
fn ids_are_text_whatever_the_client_made_of_them() {
    let event = single(EventType::Track, json!({"userId": 42, "anonymousId": null, "messageId": 7})).expect("taken");
    assert_eq!((event.user_id.as_deref(), event.anonymous_id, event.message_id.as_str()), (Some("42"), None, "7"));
    let event = single(EventType::Track, json!({"userId": " \u{a0}", "anonymousId": " a b "})).expect("taken");
    assert_eq!((event.user_id, event.anonymous_id.as_deref()), (None, Some("a b")));
    assert_eq!(event.message_id, "made-1");
    let raw = br#"{"userId": 12345678901234567890123, "event": 4.0}"#;
    let event = take(raw, Form::Single(EventType::Track), None).expect("taken").remove(0);
    assert_eq!(event.user_id.as_deref(), Some("12345678901234567890123"), "as written, not through a float");
    assert_eq!(event.event.as_deref(), Some("4.0"));
}

#[test]
fn each_fault_is_named_with_its_field() {
    let long = "x".repeat(101);
    for (kind, body, code, field) in [
        (EventType::Track, json!({"event": "e"}), "no_usable_id", None),
        (EventType::Track, json!({"userId": "", "anonymousId": "  "}), "no_usable_id", None),
        (EventType::Track, json!({"previousId": "p"}), "no_usable_id", None),
        (EventType::Alias, json!({"userId": "u"}), "no_usable_id", None),
        (EventType::Alias, json!({"previousId": "p", "anonymousId": "a"}), "no_usable_id", None),
        (EventType::Track, json!({"userId": {"a": 1}}), "invalid_id", Some("userId")),
        (EventType::Track, json!({"userId": true}), "invalid_id", Some("userId")),
        (EventType::Track, json!({"userId": "u", "messageId": long}), "invalid_message_id", Some("messageId")),
        (EventType::Track, json!({"userId": "u", "timestamp": "yesterday"}), "invalid_timestamp", Some("timestamp")),
        (EventType::Track, json!({"userId": "u", "timestamp": 1_769_860_800}), "invalid_timestamp", Some("timestamp")),
        (
            EventType::Track,
            json!({"userId": "u", "sentAt": "2026-01-31T12:00:00"}),
            "invalid_timestamp",
            Some("sentAt"),
        ),
        (
            EventType::Page,
            json!({"userId": "u", "originalTimestamp": {}}),
            "invalid_timestamp",
            Some("originalTimestamp"),
        ),
        (EventType::Track, json!({"userId": "u", "properties": "none"}), "invalid_field", Some("properties")),
        (EventType::Track, json!({"userId": "u", "context": [1]}), "invalid_field", Some("context")),
        (EventType::Track, json!({"userId": "u", "event": {}}), "invalid_field", Some("event")),
    ] {
        let refusal = single(kind, body.clone()).expect_err("is refused");
        assert_eq!((refusal.code, refusal.field.as_deref(), refusal.index), (code, field, None), "{body}");
        let fault = batch(json!({"batch": [{"type": "page", "userId": "u"}, with_type(kind, body.clone())]}));
        assert_eq!(fault.expect_err("all or nothing").index, Some(1), "{body}");
    }
}

fn with_type(kind: EventType, mut body: Value) -> Value {
    body["type"] = kind.as_str().into();
    body
}

#[test]
fn a_body_that_is_no_event_is_refused() {
    for (body, code) in [
        (&b"{"[..], "invalid_json"),
        (b"", "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"{\"userId\": \"\xc3\x28\"}", "invalid_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b"\"text\"", "not_an_object"),
        (br#"{"userId": "a\u0000"}"#, "unsafe_json"),
        (br#"{"userId": "u", "properties": {"n": 1e999}}"#, "unsafe_json"),
        (br#"{"userId": "u", "properties": {"s": "\ud800"}}"#, "unsafe_json"),
    ] {
        let refusal = take(body, Form::Single(EventType::Track), None).expect_err("is refused");
        assert_eq!(refusal.code, code, "{}", String::from_utf8_lossy(body));
    }
    for (body, code) in [
        (json!({}), "invalid_batch"),
        (json!({"batch": {}}), "invalid_batch"),
        (json!({"batch": []}), "empty_batch"),
        (json!({"batch": [[]]}), "not_an_object"),
        (json!({"batch": [{"userId": "u"}]}), "invalid_type"),
        (json!({"batch": [{"type": "purchase", "userId": "u"}]}), "invalid_type"),
        (json!({"batch": [{"type": "t", "userId": "u"}], "context": 1}), "invalid_field"),
        (json!({"batch": [{"type": "track", "userId": "u"}], "sentAt": "x"}), "invalid_timestamp"),
        (json!({"batch": vec![json!({"type": "track", "userId": "u"}); MAX_BATCH_EVENTS + 1]}), "too_many_events"),
    ] {
        assert_eq!(batch(body).expect_err("is refused").code, code);
    }
}

#[test]
fn the_limits_of_size_hold_to_the_byte() {
    let padded = |most: usize, frame: &dyn Fn(&str) -> String| {
        let room = most - frame("").len();
        (frame(&"x".repeat(room)), frame(&"x".repeat(room + 1)))
    };
    let (fits, over) = padded(MAX_EVENT, &|pad| format!(r#"{{"userId":"u","properties":{{"p":"{pad}"}}}}"#));
    assert!(take(fits.as_bytes(), Form::Single(EventType::Track), None).is_ok());
    let refusal = take(over.as_bytes(), Form::Single(EventType::Track), None).expect_err("too large");
    assert_eq!(refusal.code, "event_too_large");
    let (fits, over) = padded(MAX_EVENT, &|pad| format!(r#"{{"type":"track","userId":"u","x":"{pad}"}}"#));
    let in_batch = |item: &str| take(format!(r#"{{"batch":[{item}]}}"#).as_bytes(), Form::Batch, None);
    assert!(in_batch(&fits).is_ok());
    assert_eq!(in_batch(&over).map_err(|r| (r.code, r.index)).err(), Some(("event_too_large", Some(0))));
    let (fits, over) =
        padded(MAX_BATCH, &|pad| format!(r#"{{"batch":[{{"type":"page","userId":"u"}}],"pad":"{pad}"}}"#));
    assert!(take(fits.as_bytes(), Form::Batch, None).is_ok());
    assert_eq!(take(over.as_bytes(), Form::Batch, None).map_err(|r| r.code).err(), Some("batch_too_large"));
    let full = json!({"batch": vec![json!({"type": "track", "userId": "u"}); MAX_BATCH_EVENTS]});
    assert_eq!(batch(full).expect("taken").len(), MAX_BATCH_EVENTS);
}

#[test]
fn what_a_batch_shares_reaches_each_item_and_the_items_own_word_wins() {
    let events =
        batch(json!({"sentAt": "2026-01-31T12:00:10Z", "writeKey": "wk_1", "context": {"a": 1, "ip": "10.0.0.1"},
        "integrations": {"All": false},
        "batch": [
            {"type": "track", "userId": "u", "timestamp": "2026-01-31T12:00:00Z", "context": {"a": 2, "b": 3},
             "integrations": {"X": true}},
            {"type": "page", "userId": "u", "timestamp": "2026-01-31T12:00:00Z", "sentAt": "2026-01-31T12:00:05Z"}]}))
        .expect("taken");
    assert_eq!(value(&events[0].context), json!({"a": 2, "b": 3, "ip": "10.0.0.1"}));
    assert_eq!(value(&events[0].integrations), json!({"All": false, "X": true}));
    assert_eq!(value(&events[1].context), json!({"a": 1, "ip": "10.0.0.1"}));
    assert_eq!(events[0].timestamp, Timestamp::from_millis(NOW.millis() - 10_000));
    assert_eq!(events[1].timestamp, Timestamp::from_millis(NOW.millis() - 5_000));
    let body = br#"{"writeKey": " wk_1 ", "batch": [{}]}"#;
    assert_eq!(Envelope::parse(body, Form::Batch).expect("reads").write_key(), Some("wk_1"));
}

#[test]
fn both_times_that_a_client_gave_are_kept() {
    let (called, given) = ("2026-01-31T11:59:00.5Z", "2026-01-30T08:00:00Z");
    let event = single(
        EventType::Track,
        json!({"userId": "u", "originalTimestamp": called, "timestamp": given, "sentAt": "2026-01-31T12:00:00Z"}),
    )
    .expect("taken");
    assert_eq!(event.original_timestamp, called.parse().ok());
    assert_eq!(Some(event.timestamp), given.parse().ok(), "the clocks agree");
}

/// Else a small request would become gigabytes of events.
#[test]
fn what_a_batch_shares_counts_for_each_item() {
    let (item, larger) = (r#"{"type":"page","userId":"u"}"#, r#"{"type":"page","userId":"user"}"#);
    let object = |bytes: usize| format!(r#"{{"p":"{}"}}"#, "x".repeat(bytes - 8));
    let shared = |context: usize, integrations: usize, last: &str| {
        let (context, integrations) = (object(context), object(integrations));
        let body = format!(r#"{{"context":{context},"integrations":{integrations},"batch":[{item},{last}]}}"#);
        take(body.as_bytes(), Form::Batch, None).map(|events| events.len()).map_err(|fault| (fault.code, fault.index))
    };
    let room = MAX_EVENT - item.len();
    for (context, integrations) in [(room - 8, 8), (8, room - 8), (room / 2, room - room / 2)] {
        assert_eq!(shared(context, integrations, item), Ok(2));
        assert_eq!(shared(context, integrations, larger), Err(("event_too_large", Some(1))));
        assert_eq!(shared(context + 1, integrations, item), Err(("event_too_large", Some(0))));
    }
}

/// A body of a few KB on the wire may hold thousands of small events that share a large context.
#[test]
fn what_all_events_of_a_batch_share_may_not_outgrow_the_log() {
    let item = r#"{"type":"page","userId":"u"}"#;
    let shared = |name: &str, bytes: usize, count: usize| {
        let pad = "x".repeat(bytes - 8);
        format!(r#"{{"{name}":{{"p":"{pad}"}},"batch":[{}]}}"#, vec![item; count].join(","))
    };
    let unfolded = |bytes: usize| shared("context", bytes, 2_500).len() + 2_500 * bytes;
    let fits = (1..).take_while(|bytes| *bytes < 9 || unfolded(*bytes) <= MAX_UNFOLDED).last().expect("some fits");
    let body = shared("context", fits, 2_500);
    let envelope = Envelope::parse(body.as_bytes(), Form::Batch).expect("it fits");
    assert!(body.len() + envelope.added() <= MAX_UNFOLDED && envelope.added() > 14 << 20, "{}", envelope.added());
    for (name, bytes) in [("context", fits + 1), ("context", 7_000), ("integrations", 32_000)] {
        let refusal = take(shared(name, bytes, 2_500).as_bytes(), Form::Batch, None).expect_err("is refused");
        assert_eq!((refusal.code, refusal.field.as_deref()), ("batch_too_large", Some(name)));
        let told: usize = refusal
            .message
            .split("at most ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .expect("says how many");
        assert!(take(shared(name, bytes, told).as_bytes(), Form::Batch, None).is_ok(), "{}", refusal.message);
        assert!(refusal.message.contains(&format!("{bytes} bytes")), "{}", refusal.message);
    }
    let alone = take(shared("context", MAX_EVENT + 1, 2_500).as_bytes(), Form::Batch, None).expect_err("is refused");
    assert_eq!((alone.code, alone.index), ("event_too_large", Some(0)), "fewer events would not help");
}

#[test]
fn the_address_is_the_clients_word_unless_it_asks_for_the_sockets() {
    for (context, expected) in [
        (None, json!({"ip": "192.0.2.1"})),
        (Some(json!({"a": 1})), json!({"a": 1, "ip": "192.0.2.1"})),
        (Some(json!({"ip": null})), json!({"ip": "192.0.2.1"})),
        (Some(json!({"ip": "10.1.1.1"})), json!({"ip": "10.1.1.1"})),
        (Some(json!({"ip": "10.1.1.1", "direct": true})), json!({"ip": "192.0.2.1", "direct": true})),
        (Some(json!({"ip": "10.1.1.1", "direct": false})), json!({"ip": "10.1.1.1", "direct": false})),
        (Some(json!([])), json!({"ip": "192.0.2.1"})),
    ] {
        let mut body = json!({"userId": "u"});
        if let Some(context) = context {
            body["context"] = context;
        }
        let form = Form::Single(EventType::Track);
        let events = take(body.to_string().as_bytes(), form, Some("192.0.2.1")).expect("taken");
        assert_eq!(value(&events[0].context), expected);
    }
}

#[test]
fn of_two_members_with_one_name_the_last_wins() {
    let body = br#"{"userId": "first", "userId": "last", "properties": {"a": 1}, "properties": {"a": 2}}"#;
    let event = take(body, Form::Single(EventType::Track), None).expect("taken").remove(0);
    assert_eq!((event.user_id.as_deref(), value(&event.properties)), (Some("last"), json!({"a": 2})));
}

proptest! {
    #[test]
    fn no_body_makes_it_panic_and_what_is_taken_reads_back(body in ".{0,200}", id in "\\PC{1,40}") {
        let _ = take(body.as_bytes(), Form::Batch, Some("::1"));
        let _ = take(body.as_bytes(), Form::Single(EventType::Page), Some("::1"));
        let taken = single(EventType::Track, json!({"anonymousId": format!("x{id}x"), "properties": {id.clone(): id}}));
        let event = taken.expect("is taken");
        let text = serde_json::to_string(&event).expect("JSON");
        let back: Event = serde_json::from_str(&text).expect("reads back");
        prop_assert_eq!(back.anonymous_id, event.anonymous_id);
        prop_assert_eq!(value(&back.properties), value(&event.properties));
    }
}
