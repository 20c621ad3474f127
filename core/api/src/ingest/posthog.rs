//! PostHog's capture calls as Segment calls: what its SDKs send, told in the words of the tracking API.
//!
//! Read from `posthog-node` 5.70 and `posthog` (Python) 7.91: one JSON body `{api_key, batch, sent_at}`, events
//! `{event, distinct_id, properties, timestamp, uuid}`. Of an event nothing but the request's keys is dropped: what has
//! no place of its own stays in `properties`, or is put there. Of a batch only these three members are read.

use bytes::Bytes;
use rialto_engine::accept::{MAX_BATCH, MAX_BATCH_EVENTS, MAX_EVENT};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::ingest::write_key::bare;

/// A body that is not what PostHog's clients send; the text names the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct NotPosthog {
    /// A word for programs.
    pub(crate) code: &'static str,
    message: String,
}

impl NotPosthog {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What stands around events.
#[derive(Deserialize)]
struct Around<'a> {
    #[serde(borrow)]
    api_key: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow)]
    sent_at: Option<&'a RawValue>,
    #[serde(borrow)]
    batch: Option<&'a RawValue>,
}

/// A `/batch/` body, or the single event of `/capture/` and `/i/v0/e/`, as a Segment batch. `keys` are those of the
/// request's head. It is judged by size and number first, and no more than one event lies in pieces at a time.
///
/// # Errors
/// The body is no JSON object, or too large, or has too many events.
pub(crate) fn to_segment(body: &[u8], keys: &[&str]) -> Result<Bytes, NotPosthog> {
    if body.len() > MAX_BATCH {
        let message = format!("the body has {} bytes; the most is {MAX_BATCH}", body.len());
        return Err(NotPosthog::new("batch_too_large", message));
    }
    let no_json =
        |error: &dyn std::fmt::Display| NotPosthog::new("invalid_json", format!("the body is no JSON: {error}"));
    let body: &RawValue = serde_json::from_slice(body).map_err(|error| no_json(&error))?;
    if !body.get().starts_with('{') {
        return Err(NotPosthog::new("invalid_json", "the body must be a JSON object"));
    }
    let around: Around<'_> = serde_json::from_str(body.get()).map_err(|error| no_json(&error))?;
    let events = match around.batch {
        Some(batch) => serde_json::from_str::<Vec<&RawValue>>(batch.get())
            .map_err(|_| NotPosthog::new("invalid_json", "'batch' must be a list of events"))?,
        None => vec![body],
    };
    if events.len() > MAX_BATCH_EVENTS {
        let message = format!("'batch' holds {} events; the most is {MAX_BATCH_EVENTS}", events.len());
        return Err(NotPosthog::new("too_many_events", message));
    }
    let inside = [around.api_key, around.token].map(|raw| serde_json::from_str::<String>(raw?.get()).ok());
    let keys: Vec<&str> = keys.iter().copied().chain(inside.iter().flatten().map(String::as_str)).collect();
    let mut out = String::with_capacity(body.get().len() + 64);
    out.push('{');
    for (name, raw) in [("writeKey", around.api_key.or(around.token)), ("sentAt", around.sent_at)] {
        if let Some(raw) = raw {
            out.push_str(&format!("\"{name}\":{},", raw.get()));
        }
    }
    out.push_str("\"batch\":[");
    for (index, raw) in events.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let one = translated(raw, around.batch.is_none(), &keys);
        out.push_str(&one.map_err(|error| NotPosthog::new("invalid_json", format!("batch item {index}: {error}")))?);
    }
    out.push_str("]}");
    Ok(Bytes::from(out))
}

/// One event; what is too large or no object goes through as it is, for the acceptor to refuse by its index.
fn translated(raw: &RawValue, alone: bool, keys: &[&str]) -> serde_json::Result<String> {
    if raw.get().len() > MAX_EVENT || !raw.get().starts_with('{') {
        return Ok(raw.get().to_owned());
    }
    let mut members: Map<String, Value> = serde_json::from_str(raw.get())?;
    if alone {
        members.remove("sent_at");
    }
    Ok(event(members, keys).to_string())
}

fn event(mut event: Map<String, Value>, keys: &[&str]) -> Value {
    let mut properties = match event.remove("properties") {
        Some(Value::Object(properties)) => properties,
        Some(other) => Map::from_iter([("value".to_owned(), other)]),
        None => Map::new(),
    };
    // A key is a credential and must not lie in the log. The browser's client repeats it among the properties.
    let is_key = |name: &str, value: &Value| {
        let text = value.as_str().and_then(bare);
        matches!(name, "token" | "api_key") && text.is_some() && keys.iter().any(|key| bare(key) == text)
    };
    properties.retain(|name, value| !is_key(name, value));
    let mut out = Map::new();
    put(&mut out, "messageId", event.remove("uuid").or_else(|| event.remove("message_id")));
    put(&mut out, "timestamp", event.remove("timestamp"));
    let person = event.remove("distinct_id").or_else(|| properties.remove("distinct_id"));
    let (name, other) = match event.remove("event") {
        Some(Value::String(name)) => (name, None),
        other => (String::new(), other),
    };
    // What is left stands beside `properties`: `$set` from the Python client, `library` and `type` from Node's.
    for (name, value) in event {
        if !is_key(&name, &value) {
            properties.entry(name).or_insert(value);
        }
    }
    put(&mut out, "context", context(&name, &properties));
    call(&mut out, &name, person, properties);
    // A name that is no text is for the acceptor to judge.
    put(&mut out, "event", other);
    out.into()
}

/// The type of the call and what belongs to it.
fn call(out: &mut Map<String, Value>, name: &str, person: Option<Value>, mut properties: Map<String, Value>) {
    let kind = match name {
        name if is_identify(name) => {
            put(out, "anonymousId", properties.remove("$anon_distinct_id"));
            out.insert("traits".to_owned(), traits(&mut properties));
            "identify"
        }
        "$create_alias" => {
            put(out, "previousId", properties.remove("alias"));
            properties.remove("distinct_id");
            "alias"
        }
        "$groupidentify" => {
            put(out, "groupId", properties.remove("$group_key"));
            let traits = properties.remove("$group_set").unwrap_or_else(|| json!({}));
            out.insert("traits".to_owned(), traits);
            "group"
        }
        "$pageview" => {
            put(out, "name", properties.get("title").cloned());
            "page"
        }
        "$screen" => {
            put(out, "name", properties.get("$screen_name").cloned());
            "screen"
        }
        name => {
            out.insert("event".to_owned(), name.into());
            "track"
        }
    };
    out.insert("type".to_owned(), kind.into());
    put(out, if is_anonymous(kind, &person, &properties) { "anonymousId" } else { "userId" }, person);
    if !properties.is_empty() {
        out.insert("properties".to_owned(), properties.into());
    }
}

/// Whether an event is about traits alone.
fn is_identify(name: &str) -> bool {
    matches!(name, "$identify" | "$set")
}

/// `$set`, and null for what `$unset` names, which deletes it. `$set_once` stays where it is: as a trait it would be
/// overwritten by the next one.
fn traits(properties: &mut Map<String, Value>) -> Value {
    let mut traits = match properties.remove("$set") {
        Some(Value::Object(values)) => values,
        _ => Map::new(),
    };
    if let Some(Value::Array(names)) = properties.remove("$unset") {
        traits.extend(names.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), Value::Null)));
    }
    traits.into()
}

/// PostHog has one field for both kinds of id; these are the ways its clients say that it is a device's.
fn is_anonymous(kind: &str, person: &Option<Value>, properties: &Map<String, Value>) -> bool {
    let says = |name: &str| properties.get(name) == Some(&Value::Bool(false));
    let device = properties.get("$device_id").is_some_and(|device| Some(device) == person.as_ref());
    !matches!(kind, "identify" | "alias") && (says("$process_person_profile") || says("$is_identified") || device)
}

/// What Segment keeps in `context`: copies, so that `properties` stays as it was sent. The traits of an identify call
/// stand in its own.
fn context(name: &str, properties: &Map<String, Value>) -> Option<Value> {
    let mut context = Map::new();
    put(&mut context, "ip", properties.get("$ip").cloned());
    put(&mut context, "userAgent", properties.get("$raw_user_agent").or(properties.get("$useragent")).cloned());
    if let Some(name) = properties.get("$lib") {
        context.insert("library".to_owned(), json!({"name": name, "version": properties.get("$lib_version")}));
    }
    if let Some(url) = properties.get("$current_url") {
        let page = json!({"url": url, "path": properties.get("$pathname"), "referrer": properties.get("$referrer")});
        context.insert("page".to_owned(), page);
    }
    if let (false, Some(Value::Object(values))) = (is_identify(name), properties.get("$set")) {
        context.insert("traits".to_owned(), Value::Object(values.clone()));
    }
    (!context.is_empty()).then_some(context.into())
}

fn put(into: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value.filter(|value| !value.is_null()) {
        into.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(event: Value) -> Value {
        let body = json!({"api_key": "wk_1", "sent_at": "2026-01-01T00:00:00Z", "batch": [event]});
        let out: Value = serde_json::from_slice(&to_segment(body.to_string().as_bytes(), &[]).expect("translates"))
            .expect("is JSON");
        assert_eq!(out["writeKey"], "wk_1");
        assert_eq!(out["sentAt"], "2026-01-01T00:00:00Z");
        out["batch"][0].clone()
    }

    #[test]
    fn each_kind_of_event_becomes_its_segment_call() {
        let identify = translated(json!({"event": "$identify", "distinct_id": "u1", "uuid": "m1",
            "properties": {"$set": {"email": "a@b.c"}, "$set_once": {"first": 1}, "$anon_distinct_id": "d1"}}));
        assert_eq!(identify["type"], "identify");
        assert_eq!(
            (&identify["userId"], &identify["anonymousId"], &identify["messageId"]),
            (&json!("u1"), &json!("d1"), &json!("m1"))
        );
        assert_eq!(identify["traits"], json!({"email": "a@b.c"}));
        assert_eq!(identify["properties"], json!({"$set_once": {"first": 1}}), "it is no trait to be overwritten");
        assert_eq!(identify.get("context"), None, "the traits are not said twice");

        let set = translated(
            json!({"event": "$set", "distinct_id": "u1", "$set": {"plan": "x"}, "properties": {"$lib": "posthog-python", "$lib_version": "7"}}),
        );
        assert_eq!((&set["type"], &set["traits"]), (&json!("identify"), &json!({"plan": "x"})));
        assert_eq!(set["context"]["library"], json!({"name": "posthog-python", "version": "7"}));

        let alias = translated(
            json!({"event": "$create_alias", "distinct_id": "u1", "properties": {"distinct_id": "u1", "alias": "d9"}}),
        );
        assert_eq!(alias, json!({"type": "alias", "userId": "u1", "previousId": "d9"}));

        let group = translated(json!({"event": "$groupidentify", "distinct_id": "u1",
            "properties": {"$group_type": "company", "$group_key": "g1", "$group_set": {"name": "G"}}}));
        assert_eq!(
            (&group["type"], &group["groupId"], &group["traits"]["name"]),
            (&json!("group"), &json!("g1"), &json!("G"))
        );
        assert_eq!(group["properties"]["$group_type"], "company");

        let page = translated(
            json!({"event": "$pageview", "distinct_id": "u1", "properties": {"$current_url": "https://x/y", "title": "Y"}}),
        );
        assert_eq!(
            (&page["type"], &page["name"], &page["context"]["page"]["url"]),
            (&json!("page"), &json!("Y"), &json!("https://x/y"))
        );

        let track = translated(
            json!({"event": "Bought", "distinct_id": 7, "timestamp": "2026-01-01T00:00:00Z", "properties": {"total": 3}}),
        );
        assert_eq!(
            track,
            json!({"type": "track", "event": "Bought", "userId": 7, "timestamp": "2026-01-01T00:00:00Z", "properties": {"total": 3}})
        );
    }

    #[test]
    fn nothing_of_an_event_but_the_requests_keys_is_dropped() {
        let track =
            translated(json!({"event": "Bought", "distinct_id": "u1", "type": "capture", "library": "posthog-node",
            "$set": {"plan": "x"}, "$set_once": {"first": 1}, "api_key": "wk_1", "total": 4,
            "properties": {"total": 3, "token": "wk_1"}}));
        assert_eq!((&track["type"], &track["context"]), (&json!("track"), &json!({"traits": {"plan": "x"}})));
        assert_eq!(
            track["properties"],
            json!({"total": 3, "type": "capture", "library": "posthog-node", "$set": {"plan": "x"}, "$set_once": {"first": 1}})
        );
        let other = translated(json!({"event": "Bought", "distinct_id": "u1", "properties": {"token": "t"}}));
        assert_eq!(other["properties"]["token"], "t", "a property of that name");
        let beside = translated(json!({"event": 7, "distinct_id": "u1", "token": "t", "api_key": "wk_1:x"}));
        assert_eq!((&beside["properties"], &beside["event"]), (&json!({"token": "t"}), &json!(7)));
    }

    #[test]
    fn a_key_of_the_head_does_not_stay_in_an_event() {
        let event = json!({"event": "E", "distinct_id": "u", "token": "wk_2", "properties": {"token": "wk_1", "x": 1}});
        for body in [json!({"batch": [event]}), event.clone()] {
            let out = to_segment(body.to_string().as_bytes(), &["wk_0", "wk_1:secret", "wk_2"]).expect("translates");
            let out: Value = serde_json::from_slice(&out).expect("is JSON");
            assert_eq!(out["batch"][0]["properties"], json!({"x": 1}), "{out}");
        }
    }

    #[test]
    fn size_and_number_are_judged_before_an_event_is_read() {
        let code = |body: &str| to_segment(body.as_bytes(), &[]).expect_err("is refused").code;
        let unreadable = |count: usize| format!(r#"{{"batch":[{}]}}"#, vec![r#"{"n":1e999}"#; count].join(","));
        assert_eq!(code(&unreadable(1)), "invalid_json");
        assert_eq!(code(&unreadable(MAX_BATCH_EVENTS + 1)), "too_many_events");
        assert_eq!(code(&unreadable(MAX_BATCH / 10)), "batch_too_large");
        let large = format!(r#"{{"batch":[{{"n":1e999,"pad":"{}"}}]}}"#, " ".repeat(MAX_EVENT));
        let left: Value = serde_json::from_slice(&to_segment(large.as_bytes(), &[]).expect("left to the acceptor"))
            .unwrap_or_default();
        assert_eq!(left, Value::Null, "it was not read");
    }

    #[test]
    fn an_id_that_is_a_devices_identifies_no_user() {
        for properties in
            [json!({"$process_person_profile": false}), json!({"$device_id": "d1"}), json!({"$is_identified": false})]
        {
            let event = translated(json!({"event": "x", "distinct_id": "d1", "properties": properties}));
            assert_eq!((event.get("userId"), &event["anonymousId"]), (None, &json!("d1")));
        }
    }

    #[test]
    fn what_is_no_posthog_body_is_refused_and_no_object_is_left_to_the_acceptor() {
        for body in ["[]", "{", r#"{"batch": 1}"#, "7", r#"{"batch": [{"a": "\ud800"}]}"#] {
            assert!(to_segment(body.as_bytes(), &[]).is_err(), "{body}");
        }
        assert_eq!(translated(json!(7)), json!(7));
    }
}
