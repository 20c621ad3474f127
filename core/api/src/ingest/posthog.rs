//! PostHog's capture calls as Segment calls: what its SDKs send, told in the words of the tracking API.
//!
//! Read from `posthog-node` 5.70 and `posthog` (Python) 7.91: one JSON body `{api_key, batch, sent_at}`, events
//! `{event, distinct_id, properties, timestamp, uuid}`. Nothing but the key is dropped: what has no place of its own
//! stays in `properties`, or is put there.

use bytes::Bytes;
use serde_json::{Map, Value, json};

/// A body that is not what PostHog's clients send; the text names the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotPosthog(pub(crate) String);

/// A `/batch/` body, or the single event of `/capture/` and `/i/v0/e/`, as a Segment batch.
///
/// # Errors
/// The body is no JSON object.
pub(crate) fn to_segment(body: &[u8]) -> Result<Bytes, NotPosthog> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| NotPosthog(format!("the body is no JSON: {error}")))?;
    let Value::Object(mut body) = body else {
        return Err(NotPosthog("the body must be a JSON object".to_owned()));
    };
    let key = body.remove("api_key").or_else(|| body.remove("token"));
    let sent_at = body.remove("sent_at");
    let events = match body.remove("batch") {
        Some(Value::Array(events)) => events,
        Some(_) => return Err(NotPosthog("'batch' must be a list of events".to_owned())),
        None => vec![Value::Object(body)],
    };
    let batch: Vec<Value> = events.into_iter().map(|one| event(one, key.as_ref())).collect();
    let mut out = Map::new();
    out.insert("batch".to_owned(), Value::Array(batch));
    put(&mut out, "writeKey", key);
    put(&mut out, "sentAt", sent_at);
    Ok(Bytes::from(Value::Object(out).to_string()))
}

/// One event; what is no object goes through as it is, for the acceptor to refuse by its index.
fn event(event: Value, key: Option<&Value>) -> Value {
    let Value::Object(mut event) = event else { return event };
    let mut properties = match event.remove("properties") {
        Some(Value::Object(properties)) => properties,
        Some(other) => Map::from_iter([("value".to_owned(), other)]),
        None => Map::new(),
    };
    // The browser's client repeats the key there; it is a credential and must not lie in the log.
    if key.is_some() && properties.get("token") == key {
        properties.remove("token");
    }
    let mut out = Map::new();
    put(&mut out, "messageId", event.remove("uuid").or_else(|| event.remove("message_id")));
    put(&mut out, "timestamp", event.remove("timestamp"));
    let person = event.remove("distinct_id").or_else(|| properties.remove("distinct_id"));
    let name = event.remove("event").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
    // What is left stands beside `properties`: `$set` from the Python client, `library` and `type` from Node's.
    for (name, value) in event {
        if name != "api_key" && name != "token" {
            properties.entry(name).or_insert(value);
        }
    }
    put(&mut out, "context", context(&name, &properties));
    call(&mut out, &name, person, properties);
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
        let out: Value =
            serde_json::from_slice(&to_segment(body.to_string().as_bytes()).expect("translates")).expect("is JSON");
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
    fn nothing_but_the_key_is_dropped() {
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
        assert!(to_segment(b"[]").is_err());
        assert!(to_segment(b"{").is_err());
        assert!(to_segment(br#"{"batch": 1}"#).is_err());
        assert_eq!(translated(json!(7)), json!(7));
    }
}
