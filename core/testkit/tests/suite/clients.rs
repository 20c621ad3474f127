//! The real clients: each library sends every call type it has through a recording door, and what the hub stored is
//! compared field by field with what crossed the wire and with what the library was asked to send.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use flate2::read::GzDecoder;
use rialto_model::Timestamp;
use rialto_testkit::persona::Persona;
use rialto_testkit::receiver::{Received, Receiver, Reply};
use rialto_testkit::skip::skip;
use serde_json::{Map, Value, json};

use crate::ground::Ground;

/// The folder with the installed libraries.
const INSTALLED: &str = "RIALTO_TEST_CLIENTS";

/// What a driver says it asked its library to send.
#[derive(serde::Deserialize)]
struct Report {
    client: String,
    version: String,
    sent: Vec<Map<String, Value>>,
}

/// The folder with the installed libraries of a language; none when they are not there, which is then said.
pub(crate) fn installed(test: &str, runtime: &str, libraries: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os(INSTALLED).map(PathBuf::from) else {
        skip(test, &format!("{INSTALLED} is not set"));
        return None;
    };
    if !folder.join(libraries).is_dir() {
        skip(test, &format!("{runtime} and its libraries are not installed"));
        return None;
    }
    Some(folder)
}

/// The program of a driver.
pub(crate) fn driver(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(file)
}

/// Node or Python, with nothing of the machine's own settings that could send it elsewhere.
pub(crate) fn command(runtime: &str, file: &str, folder: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(runtime);
    command.arg(driver(file)).env(INSTALLED, folder).env("NO_PROXY", "*").env("PYTHONDONTWRITEBYTECODE", "1");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(name);
    }
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

async fn drive(runtime: &str, file: &str, folder: &Path, host: &str, write_key: &str) -> Report {
    let run = format!("run{:08x}", rand::random::<u32>());
    let running = command(runtime, file, folder).args([host, write_key, &run]).output();
    let output = tokio::time::timeout(Duration::from_secs(90), running).await;
    let output = output.unwrap_or_else(|_| panic!("{file} did not end")).expect("a driver can be started");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{file}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{file}: {error}: {errors}"))
}

/// Drives one library and compares.
async fn check(test: &str, runtime: &str, libraries: &str, file: &str) {
    let Some(folder) = installed(test, runtime, libraries) else { return };
    let ground = Ground::sqlite(test).await;
    let hub = ground.hub.address;
    let door = Receiver::start(move |_| Reply::Forward(hub)).await;
    let acme = &ground.acme;
    let report = drive(runtime, file, &folder, &format!("http://{}", door.address), &acme.write_key).await;
    println!("{} {}: {} calls", report.client, report.version, report.sent.len());
    assert!(!report.sent.is_empty(), "{file} says that it sent nothing");

    let wire: Vec<Wired> = door.received().iter().flat_map(Wired::of).collect();
    assert_eq!(wire.len(), report.sent.len(), "as many events on the wire as calls were made");
    let mut stored = Vec::new();
    for wired in &wire {
        let read = acme.stored(wired.message_id()).await;
        assert_eq!(read["decisions"].as_array().map(Vec::len), Some(1), "decided once: {read}");
        stored.push(read["event"].as_object().expect("the payload is in the log").clone());
    }
    for (wired, stored) in wire.iter().zip(&stored) {
        if wired.of_segment {
            wired.compare(stored);
        }
    }
    for sent in &report.sent {
        // Every driver makes one call of each type, so the type names the event.
        let of_type: Vec<_> = stored.iter().filter(|stored| stored["type"] == sent["type"]).collect();
        assert_eq!(of_type.len(), 1, "one stored {} event", sent["type"]);
        compare_with_asked(sent, of_type[0]);
    }
    compare_profile(acme, &report).await;
}

/// An event as it crossed the wire, batch-level members merged in.
struct Wired {
    item: Map<String, Value>,
    /// Whether it is in Segment's format, which is stored member for member.
    of_segment: bool,
}

impl Wired {
    fn of(received: &Received) -> Vec<Self> {
        if received.method != "POST" {
            return Vec::new();
        }
        let mut body: Map<String, Value> =
            serde_json::from_slice(&plain(received)).expect("a client sends a JSON object");
        let of_segment = received.path != "/batch/";
        let Some(Value::Array(batch)) = body.remove("batch") else { return vec![Self { item: body, of_segment }] };
        let merge = |item: Value| {
            let Value::Object(mut item) = item else { panic!("an item of a batch is an object") };
            if let Some(sent_at) = body.get("sentAt") {
                item.entry("sentAt").or_insert(sent_at.clone());
            }
            Self { item, of_segment }
        };
        batch.into_iter().map(merge).collect()
    }

    fn message_id(&self) -> &str {
        let id = self.item.get("messageId").or_else(|| self.item.get("uuid"));
        id.and_then(Value::as_str).expect("a client gives its events ids")
    }

    /// Every member that was sent is stored, and nothing else but what the hub stamps.
    fn compare(&self, stored: &Map<String, Value>) {
        let mut unexplained = stored.clone();
        let id = self.message_id();
        for (name, sent) in self.item.iter().filter(|(_, sent)| !sent.is_null()) {
            if ["writeKey", "sentAt", "timestamp", "originalTimestamp"].contains(&name.as_str()) {
                continue;
            }
            let stored_name = stored_name(name);
            let found = match unexplained.remove(&stored_name) {
                Some(found) => found,
                None => {
                    let extra = unexplained.get_mut("extra").and_then(Value::as_object_mut);
                    extra
                        .and_then(|extra| extra.remove(name))
                        .unwrap_or_else(|| panic!("{name} of {id} is not stored: {}", Value::Object(stored.clone())))
                }
            };
            if name == "context" {
                contains(&found, sent, &format!("context of {id}"));
            } else {
                assert!(same(&found, sent), "{name} of {id}: sent {sent}, stored {found}");
            }
        }
        self.compare_times(stored);
        for stamped in ["source_id", "timestamp", "received_at", "original_timestamp", "sent_at"] {
            unexplained.remove(stamped);
        }
        unexplained.retain(|name, value| name != "extra" || value != &json!({}));
        // The address of the caller is the one thing that the hub adds to a context.
        let context = unexplained.remove("context");
        assert!(context.is_none_or(|context| context.as_object().is_some_and(|c| c.keys().all(|key| key == "ip"))));
        assert!(unexplained.is_empty(), "stored of {id} but never sent: {unexplained:?}");
    }

    /// The client's time, with its clock's error taken out where the client says when it sent.
    fn compare_times(&self, stored: &Map<String, Value>) {
        let of = |object: &Map<String, Value>, name: &str| -> Option<Timestamp> {
            object.get(name)?.as_str().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a time: {text}")))
        };
        let said = of(&self.item, "timestamp").or(of(&self.item, "originalTimestamp")).expect("a client gives a time");
        let timestamp = of(stored, "timestamp").expect("an event has a time");
        let received_at = of(stored, "received_at").expect("an event has a time of receipt");
        let wanted = match of(&self.item, "sentAt") {
            Some(sent_at) => {
                assert_eq!(of(stored, "sent_at"), Some(sent_at), "sent_at of {}", self.message_id());
                Timestamp(received_at.0 - (sent_at.0 - said.0))
            }
            None => said,
        };
        assert_eq!(timestamp, wanted, "timestamp of {}", self.message_id());
        // RudderStack's Node library sends the moment of the call beside the time that the caller gave.
        let original = of(&self.item, "originalTimestamp").unwrap_or(said);
        assert_eq!(of(stored, "original_timestamp"), Some(original), "original_timestamp of {}", self.message_id());
    }
}

/// The body as it was before the client compressed it.
fn plain(received: &Received) -> Vec<u8> {
    if received.headers.get("content-encoding").is_none_or(|coding| coding != "gzip") {
        return received.body.to_vec();
    }
    let mut plain = Vec::new();
    GzDecoder::new(&received.body[..]).read_to_end(&mut plain).expect("a client's gzip can be read");
    plain
}

/// What the library was asked to send is what is stored; libraries may add to context, properties and integrations.
fn compare_with_asked(sent: &Map<String, Value>, stored: &Map<String, Value>) {
    let kind = &sent["type"];
    for (name, asked) in sent {
        let found = stored.get(&stored_name(name)).unwrap_or_else(|| panic!("{name} of the {kind} call is not stored"));
        match name.as_str() {
            // The skew that is taken out is that of one machine's clock against itself: the time under way.
            "timestamp" => {
                let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
                let (asked, found) = (time(asked).expect("a time"), time(found).expect("a time"));
                let apart = found.0.abs_diff(asked.0);
                assert!(apart < 10_000_000, "the {kind} call happened {asked} and is stored as {found}");
            }
            "context" | "properties" => contains(found, asked, &format!("{name} of the {kind} call")),
            _ => assert!(same(found, asked), "{name} of the {kind} call: asked {asked}, stored {found}"),
        }
    }
}

/// The traits of the identify call are the person's; a null one is not there.
async fn compare_profile(acme: &Persona, report: &Report) {
    let identify = report.sent.iter().find(|call| call["type"] == "identify").expect("every client can identify");
    let traits = identify.get("traits").or_else(|| identify["context"].get("traits")).expect("with traits");
    let user = identify["userId"].as_str().expect("of a user");
    let profile = acme.profile("user_id", user).await;
    for (name, asked) in traits.as_object().expect("traits are an object") {
        match profile["traits"].get(name) {
            Some(found) => assert!(same(&found["value"], asked), "trait {name}: asked {asked}, is {found}"),
            None => assert!(asked.is_null(), "trait {name} is not on the profile"),
        }
    }
}

/// Every member that was sent is there, unchanged; others may stand beside it.
fn contains(found: &Value, sent: &Value, what: &str) {
    let sent = sent.as_object().unwrap_or_else(|| panic!("{what} is an object"));
    for (name, sent) in sent {
        let found = found.get(name).unwrap_or_else(|| panic!("{name} in the {what} is not stored"));
        assert!(same(found, sent), "{name} in the {what}: sent {sent}, stored {found}");
    }
}

/// Equal, where 1 and 1.0 are one number: JSON knows no other.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| same(left, right)))
        }
        _ => left == right,
    }
}

/// `anonymousId` on the wire is `anonymous_id` in the hub.
fn stored_name(name: &str) -> String {
    let named = ["messageId", "userId", "anonymousId", "previousId", "groupId"];
    if !named.contains(&name) {
        return name.to_owned();
    }
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

macro_rules! client {
    ($name:ident, $runtime:literal, $libraries:literal, $file:literal) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            check(concat!("clients::", stringify!($name)), $runtime, $libraries, $file).await;
        }
    };
}

client!(segment_analytics_node, "node", "node_modules", "node/segment.mjs");
client!(analytics_node, "node", "node_modules", "node/segment-legacy.mjs");
client!(rudder_sdk_node, "node", "node_modules", "node/rudderstack.mjs");
client!(customerio_cdp_analytics_node, "node", "node_modules", "node/customerio.mjs");
client!(jitsu_js, "node", "node_modules", "node/jitsu.mjs");
client!(posthog_node, "node", "node_modules", "node/posthog.mjs");
client!(segment_analytics_python, "python3", "python", "python/segment_python.py");
client!(rudder_sdk_python, "python3", "python", "python/rudderstack_python.py");
client!(posthog_python, "python3", "python", "python/posthog_python.py");
